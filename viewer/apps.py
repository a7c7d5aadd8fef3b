"""The app's place in Django."""

from django.apps import AppConfig


class ViewerConfig(AppConfig):
    """Views and assessments."""

    name = "viewer"
    verbose_name = "Views and assessments"
