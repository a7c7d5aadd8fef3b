"""The app's place in Django."""

from django.apps import AppConfig
from django.core import checks

from common import health


class CassandraTablesConfig(AppConfig):
    """Tables that `manage.py sync_cassandra` makes."""

    name = "viewer.cassandra_tables"
    label = "cassandra_tables"
    verbose_name = "Cassandra tables"

    def ready(self) -> None:
        """Tells /ready and the system checks of Cassandra. Asks it nothing yet."""
        from viewer.cassandra_tables import state  # noqa: PLC0415 - the driver is needed no earlier

        health.DEPENDENCIES["cassandra"] = state.readiness
        checks.register(state.check_durability, checks.Tags.database)
