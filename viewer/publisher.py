"""Publishes the outbox: each event at least once, in the order in which they were written."""

import fcntl
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

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

    A reader drops repeats by `id`: a worker killed between writing and marking writes its last events again. A line
    that a full disk or a power cut left torn is closed first, so that it costs no other event.
    """
    folder = settings.VIEWER_EVENTS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(
        json.dumps({"id": event.id, "topic": event.topic, "event": event.payload}, ensure_ascii=False) + "\n"
        for event in events
    )
    with (folder / f"{timestamps.now():%Y-%m-%d}.jsonl").open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        torn = file.seek(0, os.SEEK_END) > 0 and _last_byte(file) != b"\n"
        file.write((b"\n" if torn else b"") + lines.encode())
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(folder)


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _sync_folder(folder: Path) -> None:
    """Makes the name of a new file survive a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
