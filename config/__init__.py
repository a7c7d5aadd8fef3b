"""Wiring only: settings, routes and the processes. Nothing imports this package but Django and the shell.

The Celery application is made with the package, so that every process that sends a task knows the broker.
"""

from config.celery import app as celery_app

__all__ = ["celery_app"]
