"""Makes the keyspace and its tables, then runs the numbered files. Safe to run again."""

from typing import Any

from django.conf import settings
from django.db import connections
from django_cassandra_engine.management.commands.sync_cassandra import Command as EngineCommand

from viewer.cassandra_tables import schema


class Command(EngineCommand):
    """The engine's command, and what it cannot do."""

    help = "Makes the Cassandra keyspace, types and tables, adds new columns, and runs the numbered .cql files once."

    def handle(self, **options: Any) -> None:
        """Runs it."""
        super().handle(**options)
        session = connections[settings.CASSANDRA].connection.session
        for name in schema.run(session, settings.CASSANDRA_KEYSPACE):
            self.stdout.write(f"Ran {name}")
