"""What the bench looks up in a tier's database behind the service's back: a question to the API would fold inline."""

import json
import sqlite3
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

import psycopg

from bench.traffic import BATCH, COURSE

STATUSES = "SELECT user_id, content_status FROM user_activity_agg WHERE activity_id = {one} AND user_id IN {users}"


class Done(NamedTuple):
    """One learner's completed content."""

    user: str
    content: str


class Inside(Protocol):
    """One tier's learner tables, read and tidied from outside."""

    def aggregated(self, waiting: Collection[Done]) -> set[Done]:
        """Those whose aggregate has the content as completed."""

    def marks(self) -> int:
        """How many contexts wait to be folded."""

    def forget_marks(self) -> None:
        """Drops every mark, as a worker that keeps up would have cleared them."""

    def durability(self) -> dict[str, str]:
        """The database's own words on when a write is acknowledged."""


class SqliteInside:
    """The embedded default's file."""

    def __init__(self, file: str) -> None:
        self._connection = sqlite3.connect(file, timeout=20, isolation_level=None, check_same_thread=False)

    def aggregated(self, waiting: Collection[Done]) -> set[Done]:
        """See Inside."""
        users = list({done.user for done in waiting})
        statement = STATUSES.format(one="?", users=f"({', '.join('?' * len(users))})")
        return _completed(waiting, self._connection.execute(statement, [COURSE, *users]).fetchall())

    def marks(self) -> int:
        """See Inside."""
        return int(self._connection.execute("SELECT count(*) FROM stale_marks").fetchone()[0])

    def forget_marks(self) -> None:
        """See Inside."""
        self._connection.execute("DELETE FROM stale_marks")

    def durability(self) -> dict[str, str]:
        """See Inside. `synchronous` is each connection's own: the service and the floor both set FULL."""
        version = self._connection.execute("SELECT sqlite_version()").fetchone()[0]
        journal = self._connection.execute("PRAGMA journal_mode").fetchone()[0]
        return {"database": f"SQLite {version}", "journal_mode": journal, "synchronous": "FULL"}


class PostgresInside:
    """The single server's database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def aggregated(self, waiting: Collection[Done]) -> set[Done]:
        """See Inside."""
        users = list({done.user for done in waiting})
        statement = STATUSES.format(one="%s", users="(SELECT unnest(%s::text[]))")
        return _completed(waiting, self._connection.execute(statement, [COURSE, users]).fetchall())

    def marks(self) -> int:
        """See Inside."""
        found = self._connection.execute("SELECT count(*) FROM stale_marks").fetchone()
        assert found is not None
        return int(found[0])

    def forget_marks(self) -> None:
        """See Inside."""
        self._connection.execute("DELETE FROM stale_marks")

    def durability(self) -> dict[str, str]:
        """See Inside."""
        told = {}
        for setting in ("server_version", "fsync", "synchronous_commit"):
            found = self._connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
            assert found is not None
            told[setting] = str(found[0])
        return told


class CassandraInside:
    """The cluster's keyspace."""

    def __init__(self, port: int, keyspace: str) -> None:
        from cassandra.cluster import Cluster  # noqa: PLC0415 - only this tier has it

        self._session = Cluster(["127.0.0.1"], port=port).connect(keyspace)
        self._keyspace = keyspace
        self._statuses = self._session.prepare(
            "SELECT user_id, content_status FROM user_activity_agg"
            " WHERE activity_type = 'Course' AND activity_id = ? AND user_id = ? AND context_id = ?"
        )

    def aggregated(self, waiting: Collection[Done]) -> set[Done]:
        """See Inside."""
        from cassandra.concurrent import execute_concurrent_with_args  # noqa: PLC0415 - only this tier has it

        users = {done.user for done in waiting}
        places = [(COURSE, user, BATCH) for user in users]
        found = execute_concurrent_with_args(self._session, self._statuses, places)
        return _completed(waiting, [tuple(row) for told in found for row in told.result_or_exc])

    def marks(self) -> int:
        """See Inside."""
        return int(self._session.execute("SELECT count(*) FROM stale_marks").one()[0])

    def forget_marks(self) -> None:
        """See Inside."""
        self._session.execute("TRUNCATE stale_marks")

    def durability(self) -> dict[str, str]:
        """See Inside."""
        version = self._session.execute("SELECT release_version FROM system.local").one()[0]
        settings = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'"
        return {"database": f"Cassandra {version}", "commitlog_sync": str(self._session.execute(settings).one()[0])}


def _completed(waiting: Collection[Done], found: Collection[tuple[Any, ...]]) -> set[Done]:
    """Of `waiting` those that the found maps have as 2."""
    maps: dict[str, dict[str, int]] = {}
    for user, statuses in found:
        told = json.loads(statuses) if isinstance(statuses, str) else dict(statuses or {})
        maps[user] = {**maps.get(user, {}), **told}
    return {done for done in waiting if maps.get(done.user, {}).get(done.content) == 2}
