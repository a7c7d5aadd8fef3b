"""The demo's scenarios, importable from here, and an empty service on each tier to play those of one mode on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import servers

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
    with servers.own_tier(tier, f"viewer_{mode}") as settings, servers.running(folder, **settings) as server:
        if settings:
            servers.load_sample(server)
        yield server
