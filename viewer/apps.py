"""The app's place in Django."""

from django.apps import AppConfig
from django.db import connections
from django.db.backends.signals import connection_created


class ViewerConfig(AppConfig):
    """Views and assessments."""

    name = "viewer"
    verbose_name = "Views and assessments"

    def ready(self) -> None:
        """Sees to it that every SQLite connection of the process knows our function, also one that is open by now."""
        from viewer.store.database import register_functions  # noqa: PLC0415 - models are not ready any earlier

        connection_created.connect(register_functions, dispatch_uid="viewer.store.functions")
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                register_functions(connection)
