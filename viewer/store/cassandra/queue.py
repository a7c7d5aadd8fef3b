"""Where a sweep finds marks: entries by the minute in which a mark was made, read oldest minute first.

A queue in one partition would drown in its own tombstones. Here a minute is written, served, emptied and never
looked at again: the sweep keeps its place, and passes a minute once every entry in it has been dealt with and no
writer can still be between its entry and its mark.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from common.rows import ContextKey, StaleMark
from common.timestamps import from_epoch_ms, to_epoch_ms
from viewer.store.cassandra import codec, cql, session
from viewer.store.cassandra.marks import BUCKETS, SLOT_SECONDS, Mark, Marks, bucket, current_slot

PLACE = "sweep"  # the watermark that keeps how far the sweep got
STALL_SECONDS = 60  # a writer that took longer from entry to mark writes another entry
CLOSED_SLOTS = 3  # minutes until no writer can add to a minute, or mark what it entered there; clocks may differ by one
_ENTRY = ("slot", "bucket", "userid", "collectionid", "contextid", "born")
Look = Callable[[Sequence[str]], dict[str, Marks]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the queue."""

    slot: int
    key: ContextKey
    born: int

    def values(self) -> tuple[object, ...]:
        """Its columns, all of which are its key."""
        return (self.slot, bucket(self.key.user_id), *self.key, self.born)

    def needed(self, mark: Mark | None, now: datetime) -> bool:
        """False where its mark is gone, is another one, or waits under a later minute."""
        if mark is None or mark.born != self.born:
            return False
        return mark.slot == self.slot or mark.not_before is None or mark.not_before <= now


def entries_of(marks: Mapping[ContextKey, Mark]) -> list[Entry]:
    """The lines under which a sweep looks for these marks."""
    return [Entry(mark.slot, key, mark.born) for key, mark in marks.items()]


def insertions(entries: Sequence[Entry]) -> list[tuple[str, tuple[object, ...]]]:
    """The statements that add these lines."""
    if entries:
        ensure_place()
    return [(cql.insert("stale_marks", _ENTRY), entry.values()) for entry in entries]


def deletion(entry: Entry) -> tuple[str, tuple[object, ...]]:
    """The statement that takes a line away."""
    return f"DELETE FROM {cql.table('stale_marks')} WHERE {cql.matches(_ENTRY)}", entry.values()


def deferred(key: ContextKey) -> tuple[str, tuple[object, ...]]:
    """The statement that says that this context waits for its collection."""
    columns = ("collectionid", "bucket", "userid", "contextid")
    return cql.insert("deferred_marks", columns), _deferred(key)


def undeferred(key: ContextKey) -> tuple[str, tuple[object, ...]]:
    """The statement that takes that back."""
    columns = ("collectionid", "bucket", "userid", "contextid")
    return f"DELETE FROM {cql.table('deferred_marks')} WHERE {cql.matches(columns)}", _deferred(key)


def _deferred(key: ContextKey) -> tuple[object, ...]:
    return (key.collection_id, bucket(key.user_id), key.user_id, key.context_id)


def due(limit: int, before: datetime, now: datetime, look: Look) -> list[StaleMark]:
    """At most `limit` marks made before `before` and due now, those of the oldest minutes first.

    look: the marks of these learners. Entries whose mark is gone are taken out on the way, and minutes that are
    done with are passed.
    """
    found: list[StaleMark] = []
    passing = True
    place = _place()
    if place is None:
        return []
    for slot in range(place, current_slot() + 1):
        entries = _entries(slot)
        marks = look(sorted({entry.key.user_id for entry in entries})) if entries else {}
        closed = slot < current_slot() - CLOSED_SLOTS
        left = 0
        for entry in entries:
            mark = marks[entry.key.user_id].by_context.get(entry.key)
            if mark is None or not entry.needed(mark, now):
                if closed:
                    session.run(*deletion(entry))
                else:
                    left += 1
                continue
            left += 1
            if mark.marked_at < before and (mark.not_before is None or mark.not_before <= now):
                found.append(StaleMark(entry.key, mark.token, mark.marked_at, mark.not_before))
        passing = passing and closed and not left
        if passing:
            _pass(slot)
        if len(found) >= limit:
            break
    return sorted(set(found), key=lambda mark: (mark.marked_at, mark.key))[:limit]


def _entries(slot: int) -> list[Entry]:
    text = cql.select("stale_marks", _ENTRY, ("slot", "bucket"))
    parts = session.together([(text, (slot, part)) for part in range(BUCKETS)])
    return [Entry(row[0], ContextKey(*row[2:5]), row[5]) for rows in parts for row in rows]


# --- how far the sweep got, and other watermarks ---------------------------------------------------------------------


def watermark(name: str) -> datetime | None:
    """How far the job got."""
    found = session.run(cql.select("watermarks", ("at",), ("name",)), (name,))
    return codec.time(found[0][0]) if found else None


def set_watermark(name: str, at: datetime, over: int = 0) -> None:
    """Keeps how far the job got. Written with its own value as its write time: an earlier one never wins.

    over: the write time of what it replaces all the same.
    """
    text = f"{cql.insert('watermarks', ('name', 'at'))} USING TIMESTAMP ?"
    session.run(text, (name, at, max(to_epoch_ms(at) * 1000, over + 1)))


def _place() -> int | None:
    at = watermark(PLACE)
    return to_epoch_ms(at) // 1000 // SLOT_SECONDS if at is not None else None


def _pass(slot: int) -> None:
    set_watermark(PLACE, from_epoch_ms((slot + 1) * SLOT_SECONDS * 1000))


@cache
def ensure_place() -> None:
    """Sees to it, once in a process, that the sweep has a place before the first entry is written."""
    if _place() is None:
        set_watermark(PLACE, from_epoch_ms((current_slot() - 10) * SLOT_SECONDS * 1000))


def outbox_bucket(event_id: str) -> int:
    """The part of the waiting events that this one is in, 0-15."""
    return zlib.crc32(event_id.encode()) % BUCKETS


def waiting(collection_id: str) -> Iterator[ContextKey]:
    """The contexts that were deferred until this collection is known."""
    text = cql.select("deferred_marks", ("userid", "collectionid", "contextid"), ("collectionid", "bucket"))
    for rows in session.each([(text, (collection_id, part)) for part in range(BUCKETS)]):
        yield from (ContextKey(*row) for row in rows)
