"""The app's place in Django."""

from django.apps import AppConfig


class SummariesConfig(AppConfig):
    """Enrolments and summaries."""

    name = "summaries"
    verbose_name = "Enrolments and summaries"
