"""The app's place in Django."""

from django.apps import AppConfig


class ExhaustConfig(AppConfig):
    """Reports."""

    name = "exhaust"
    verbose_name = "Reports"
