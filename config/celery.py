"""The Celery application: broker, schedule and limits. Tasks are triggers; what they do lives in the apps."""

import logging.config
import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("viewer")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["viewer"])


@setup_logging.connect
def _one_log_format(**_: object) -> None:
    """Keeps Django's logging: Celery would put its own format over it."""
    logging.config.dictConfig(settings.LOGGING)
