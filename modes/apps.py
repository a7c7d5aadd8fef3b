"""The app's place in Django."""

from django.apps import AppConfig


class ModesConfig(AppConfig):
    """Instance mode."""

    name = "modes"
    verbose_name = "Instance mode"
