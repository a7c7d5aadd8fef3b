"""The Celery application: broker, schedule and limits. Tasks are triggers; what they do lives in the apps."""

import logging.config
import os
import sys

from celery import Celery
from celery.signals import setup_logging, task_postrun, worker_process_init
from django.conf import settings
from django.db import close_old_connections, connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("viewer")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["viewer"])
# Celery would end every connection around each task: a connection made anew costs as much as a small fold.
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize


@task_postrun.connect
def _after_a_task(**_: object) -> None:
    """Does to connections what Django does after a request: away with broken ones."""
    close_old_connections()


@setup_logging.connect
def _one_log_format(**_: object) -> None:
    """Keeps Django's logging: Celery would put its own format over it."""
    logging.config.dictConfig(settings.LOGGING)


@worker_process_init.connect
def _own_connections(**_: object) -> None:
    """Leaves connections made before the fork to the parent: to close them would say goodbye over its own sockets."""
    for inherited in connections.all(initialized_only=True):
        if inherited.vendor in {"postgresql", "sqlite"}:  # Cassandra's session sees to itself
            inherited.connection = None
