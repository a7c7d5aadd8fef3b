"""Makes the keyspace and its tables, then runs the numbered files. Safe to run again."""

from typing import Any

from cassandra.cluster import NoHostAvailable
from django.conf import settings
from django.core.management import CommandError
from django_cassandra_engine.management.commands.sync_cassandra import Command as EngineCommand

from viewer.cassandra_tables import schema, state
from viewer.store.cassandra.session import session


class Command(EngineCommand):
    """The engine's command, and what it cannot do."""

    help = "Makes the Cassandra keyspace, types and tables, adds new columns, and runs the numbered .cql files once."

    def handle(self, **options: Any) -> None:
        """Runs it; says aloud what would lose acknowledged writes."""
        try:
            super().handle(**options)
            for name in schema.run(session(), settings.CASSANDRA_KEYSPACE):
                self.stdout.write(f"Ran {name}")
            for found in state.check_durability(None, databases=[settings.CASSANDRA]):
                self.stderr.write(self.style.WARNING(f"WARNING: {found.msg} {found.hint}"))
        except NoHostAvailable:
            where = ", ".join(settings.CASSANDRA_HOSTS)
            raise CommandError(f"Cassandra does not answer at {where}, port {settings.CASSANDRA_PORT}") from None
