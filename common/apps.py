"""The app's place in Django."""

from django.apps import AppConfig


class CommonConfig(AppConfig):
    """What every app shares."""

    name = "common"
    verbose_name = "Common"

    def ready(self) -> None:
        """Registers the system checks."""
        from common import checks  # noqa: F401, PLC0415 - importing it is the registration
