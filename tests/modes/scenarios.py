"""The demo's scenarios, importable from here, and an empty service on each tier to play those of one mode on."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import servers
from tests.settings import POSTGRES_URL

sys.path.insert(0, str(servers.ROOT / "scripts"))  # they stand beside the demo's script, as a script's own modules do

from demo_modes import learner, outcome, prepare, step_of
from demo_runner import http_caller, judge
from demo_scenarios import (
    ALL,
    COPY_COLLECTION,
    COPY_CONTENT,
    MOVE,
    NO_CONTEXT_COLLECTION,
    NO_CONTEXT_CONTENT,
    STRICT,
    ModeTables,
    Scenario,
)

__all__ = [
    "ALL",
    "COPY_COLLECTION",
    "COPY_CONTENT",
    "MOVE",
    "NO_CONTEXT_COLLECTION",
    "NO_CONTEXT_CONTENT",
    "STRICT",
    "ModeTables",
    "Scenario",
    "http_caller",
    "judge",
    "learner",
    "outcome",
    "prepare",
    "running",
    "step_of",
]


@contextmanager
def running(tier: str, mode: str, folder: Path) -> Iterator[servers.Server]:
    """A service with the sample catalogue and an empty store, for the length of a block."""
    if tier == "sqlite":
        with servers.running(folder) as server:
            yield server
        return
    own = f"viewer_{mode}_{os.getpid()}"
    settings = servers.ONE_SERVER if tier == "postgres" else servers.cluster(own)
    database = servers.postgres_database(POSTGRES_URL, f"{own}_{tier}")
    try:
        with database as url, servers.running(folder, DATABASE_URL=url, **settings) as server:
            loaded = server.manage("load_catalogue", str(servers.ROOT / "catalogue" / "sample" / "catalogue.json"))
            assert loaded.returncode == 0, loaded.stderr
            yield server
    finally:
        servers.forget(settings)
