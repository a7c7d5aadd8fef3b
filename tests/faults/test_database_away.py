"""PostgreSQL refuses the service for a while: nothing is told to be wrong with what was sent."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests import servers
from tests.services import POSTGRES_URL

SECONDS = 3.0  # longer than what a process remembers of the instance
Learner = Callable[..., str]


def allow(name: str, *, connections: bool) -> None:
    """Lets nobody into the database, or everybody again; who is in is thrown out."""
    with psycopg.connect(POSTGRES_URL, autocommit=True) as connection:
        statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Literal(connections)))
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        connection.execute(ended, [name])


def test_a_sync_without_a_database_is_503_and_never_a_rejected_event(tmp_path: Path, learner: Learner) -> None:
    name = f"viewer_away_{os.getpid()}"
    user = learner()
    body = {"userId": user, "events": [{"id": "e-1", "type": "start", "contentId": "c-1", "ts": 1_790_000_000_000}]}
    database = servers.postgres_database(POSTGRES_URL, name)
    with database as url, servers.running(tmp_path / "service", DATABASE_URL=url, VIEWER_WORKER="off") as server:
        assert server.call("/v1/view/sync", body).status_code == 200
        allow(name, connections=False)
        try:
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends:
                answer = server.call("/v1/view/sync", body)
                assert answer.status_code == 503, answer.text
        finally:
            allow(name, connections=True)
        results: Any = server.result("/v1/view/sync", body)["results"]
        assert [one["status"] for one in results] == ["duplicate"]
