"""How the cluster is: whether it answers, has our tables, and keeps what it acknowledges."""

import logging
from collections.abc import Sequence
from typing import Any

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage

from viewer.cassandra_tables import schema
from viewer.store.cassandra.session import session

logger = logging.getLogger("viewer.health")
SAFE_COPIES = 3
SAFE_SYNC = frozenset({"batch", "group"})  # commitlog_sync: the log is on the disk before a write is acknowledged


def readiness() -> str:
    """What /ready tells: "ok", or what is wrong."""
    try:
        pending = schema.pending(session(), settings.CASSANDRA_KEYSPACE)
    except (NoHostAvailable, DriverException):
        logger.warning("cassandra not ready", exc_info=True)
        return "unreachable"
    return "tables pending" if pending else "ok"


def check_durability(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """viewer.W002: what is acknowledged must survive the loss of a node. Asked with `check --database cassandra`."""
    if not databases or settings.CASSANDRA not in databases:
        return []
    copies = _copies()
    if copies >= SAFE_COPIES and settings.CASSANDRA_CONSISTENCY in {"quorum", "local_quorum"}:
        return []
    if _commit_log_sync() in SAFE_SYNC:
        return []
    return [
        checks.Warning(
            f"An acknowledged write may be lost with its node: {copies} copies, {settings.CASSANDRA_CONSISTENCY}, and "
            "the commit log is not written to disk before a write is acknowledged.",
            hint="Use 3 copies with local_quorum, or commitlog_sync: batch.",
            id="viewer.W002",
        )
    ]


def _copies() -> int:
    """The smallest number of copies in any data centre."""
    found = session().execute(
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", [settings.CASSANDRA_KEYSPACE]
    )
    options = found.one()
    told = options["replication"] if options else {}
    return min((int(copies) for name, copies in told.items() if name != "class"), default=0)


def _commit_log_sync() -> str:
    found = session().execute("SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'").one()
    return str(found["value"]) if found else ""
