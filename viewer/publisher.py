"""Publishes the outbox: each event at least once, in the order in which they were written."""

import fcntl
import json
import logging
import os
from collections.abc import Sequence

from django.conf import settings

from common import timestamps
from viewer.outbox import OutboxEvent
from viewer.store import get_store

logger = logging.getLogger("viewer.publisher")
CHUNK = 200


def publish_waiting(limit: int = 5000) -> int:
    """Publishes up to `limit` waiting events; how many. What fails stays in the outbox for the next run."""
    published = 0
    while published < limit:
        events = get_store().unpublished(CHUNK)
        if not events:
            break
        to_file(events)
        get_store().mark_published([event.id for event in events], timestamps.now())
        published += len(events)
    return published


def to_file(events: Sequence[OutboxEvent]) -> None:
    """Appends the events to this day's file in VIEWER_EVENTS_DIR, one JSON object a line; on disk when it returns.

    A reader drops repeats by `id`: a worker killed between writing and marking writes its last events again.
    """
    folder = settings.VIEWER_EVENTS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(
        json.dumps({"id": event.id, "topic": event.topic, "event": event.payload}, ensure_ascii=False) + "\n"
        for event in events
    )
    with (folder / f"{timestamps.now():%Y-%m-%d}.jsonl").open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
