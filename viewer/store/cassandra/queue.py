"""Where a sweep finds marks: entries by the minute in which a mark was made, read oldest minute first.

A queue in one partition would drown in its own tombstones. Here a minute is written, served, emptied and never
looked at again: the sweep keeps its place, and passes a minute once every entry in it has been dealt with and no
writer can still be between its entry and its mark.
"""

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice

from common.rows import ContextKey, StaleMark
from common.timestamps import from_epoch_ms, to_epoch_ms
from viewer.store import codec
from viewer.store.cassandra import cql, session
from viewer.store.cassandra.marks import BUCKETS, CLOSED_SLOTS, SLOT_SECONDS, Mark, Marks, bucket, current_slot

PLACE = "sweep"  # the watermark that keeps how far the sweep got
EVENTS_PLACE = "outbox"  # no event that waits was made before this
OWN = frozenset({PLACE, EVENTS_PLACE})
STALL_SECONDS = 60  # a writer that took longer from entry to mark writes another entry
LOOK_BACK = 60  # minutes a sweep looks back where its place was lost to a wrong clock
MINUTES_AT_ONCE = 4
LEARNERS_AT_ONCE = 64
ENTRIES = 200  # lines of one part of a minute fetched at a time
_ENTRY = ("slot", "bucket", "userid", "collectionid", "contextid", "id")
Look = Callable[[Sequence[str], bool], dict[str, Marks]]
logger = logging.getLogger("viewer.store")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the queue."""

    slot: int
    key: ContextKey
    id: int

    def values(self) -> tuple[object, ...]:
        """Its columns, all of which are its key."""
        return (self.slot, bucket(self.key.user_id), *self.key, self.id)

    def mark(self, marks: Mapping[str, Marks]) -> Mark | None:
        """The mark this line is for; None where it is gone, or has another line by now."""
        found = marks[self.key.user_id].by_context.get(self.key)
        return found if found is not None and found.entry == self.id else None


def entries_of(marks: Mapping[ContextKey, Mark]) -> list[Entry]:
    """The lines under which a sweep looks for these marks."""
    return [Entry(mark.slot, key, mark.entry) for key, mark in marks.items()]


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

    look: the marks of these learners, read serially or not. Lines whose mark is gone are taken out on the way, and
    minutes that are done with are passed. Time is the server's: a wrong clock here must not hide what others enter.
    """
    place, present = _place(), session.server_time_ms() // 1000 // SLOT_SECONDS
    if place is None:
        return []
    if place > present:
        logger.error("the sweep's place is ahead of time", extra={"minutes": place - present})
        place = present - LOOK_BACK
    found: dict[ContextKey, StaleMark] = {}
    passed = place
    for slot, entries in _minutes(place, present):
        closed = slot < present - CLOSED_SLOTS
        left = False
        for part in _chunks(entries, LEARNERS_AT_ONCE):
            live, some_left = _live(part, look, closed=closed)
            left = left or some_left
            for entry, mark in live:
                if mark.marked_at < before and (mark.not_before is None or mark.not_before <= now):
                    found[entry.key] = StaleMark(entry.key, mark.token, mark.marked_at, mark.not_before)
            if len(found) >= limit:
                break
        else:
            passed = slot + 1 if closed and not left and passed == slot else passed
            continue
        break
    if passed > place:
        set_watermark(PLACE, from_epoch_ms(passed * SLOT_SECONDS * 1000))
    return sorted(found.values(), key=lambda mark: (mark.marked_at, mark.key))[:limit]


def _live(entries: Sequence[Entry], look: Look, *, closed: bool) -> tuple[list[tuple[Entry, Mark]], bool]:
    """The lines whose mark is there, with it; and whether any line is left after this."""
    marks = look(sorted({entry.key.user_id for entry in entries}), False)
    live = [(entry, mark) for entry in entries if (mark := entry.mark(marks)) is not None]
    gone = [entry for entry in entries if entry.mark(marks) is None]
    if gone and closed:
        # Read serially: a mark that was promised and not yet kept is there afterwards.
        marks = look(sorted({entry.key.user_id for entry in gone}), True)
        session.together([deletion(entry) for entry in gone if entry.mark(marks) is None])
        live += [(entry, mark) for entry in gone if (mark := entry.mark(marks)) is not None]
        gone = []
    return live, bool(live or gone)


def _minutes(first: int, last: int) -> Iterator[tuple[int, Iterator[Entry]]]:
    """Each minute with its lines, which are fetched as they are looked at; a few minutes are asked for at once."""
    text = cql.select("stale_marks", _ENTRY, ("slot", "bucket"))
    for start in range(first, last + 1, MINUTES_AT_ONCE):
        slots = range(start, min(start + MINUTES_AT_ONCE, last + 1))
        asked = {slot: [session.streamed(text, (slot, part), ENTRIES) for part in range(BUCKETS)] for slot in slots}
        for slot, parts in asked.items():
            yield slot, (Entry(row[0], ContextKey(*row[2:5]), row[5]) for rows in parts for row in rows)


def _chunks(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    while part := list(islice(entries, size)):
        yield part


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


def lower_watermark(name: str, at: datetime) -> None:
    """Puts it back to `at`, where it is later: for who knows that what came since is to be looked at again."""
    before = watermark(name)
    if before is not None and at < before:
        set_watermark(name, at, over=written_at(name))


def written_at(name: str) -> int:
    """The write time of a watermark there is."""
    return int(session.run(cql.select("watermarks", ("WRITETIME(at)",), ("name",)), (name,))[0][0])


def _place() -> int | None:
    at = watermark(PLACE)
    return to_epoch_ms(at) // 1000 // SLOT_SECONDS if at is not None else None


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
