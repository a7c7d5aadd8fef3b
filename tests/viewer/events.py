"""Events as tests need them: times counted in minutes from one fixed instant."""

from datetime import UTC, datetime, timedelta
from typing import Any

from common.rows import AppliedEvent
from viewer.lifecycle import Verb, ViewEvent, progress_of

DAWN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def at(minute: float) -> datetime:
    """The time `minute` minutes after DAWN."""
    return DAWN + timedelta(minutes=minute)


def view(
    verb: Verb,
    minute: float = 0,
    *,
    client: float | None = None,
    details: dict[str, Any] | None = None,
    timespent: float = 0.0,
    force: bool = False,
    identity: str | None = None,
    payload: str = "payload",
    repeats_since: float | None = None,
) -> ViewEvent:
    """An event that arrives at `minute`; `client`: the minute the client says it happened."""
    happened = at(minute if client is None else client)
    return ViewEvent(
        verb=verb,
        at=at(minute),
        access_time=happened,
        completed_time=happened,
        client_timed=client is not None,
        details=details,
        progress=progress_of(details),
        timespent=timespent,
        force=force,
        identity=AppliedEvent(identity, payload, at(minute)) if identity else None,
        repeats_since=at(repeats_since) if repeats_since is not None else None,
    )
