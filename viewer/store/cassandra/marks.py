"""A learner's marks: one static column of his partition, so that a row and its mark are one conditional write.

The column is a map, replaced whole under its own version. Where a sweep looks for marks is another table, by the
minute in which they were made (`stale_marks`): its entry is written before the mark, and never outlives its use by
more than its time to live.
"""

import secrets
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from common.rows import ContextKey, StaleMark
from common.timestamps import from_epoch_ms, to_epoch_ms
from viewer.store.codec import from_json, to_json

SLOT_SECONDS = 60
BUCKETS = 16
CLOSED_SLOTS = 3  # minutes until no writer can add to a minute, or mark what it entered there; clocks may differ by one
SEPARATOR = "/"  # no id holds one


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark. slot: the minute under which a sweep finds it; entry: the id of its line there, never used again.

    deferred: it is among the marks that wait for its collection.
    """

    token: int
    marked_at: datetime
    entry: int
    slot: int
    not_before: datetime | None = None
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """All marks of one learner. version: None where nothing was ever marked. write_id: who wrote them last."""

    user_id: str
    version: int | None = None
    by_context: Mapping[ContextKey, Mark] = field(default_factory=dict)
    write_id: int | None = None

    def told(self) -> list[StaleMark]:
        """As the port tells them, by key."""
        return [
            StaleMark(key, mark.token, mark.marked_at, mark.not_before) for key, mark in sorted(self.by_context.items())
        ]

    def with_reasons(self, reasons: Mapping[ContextKey, datetime]) -> "Marks":
        """With one more reason for each context.

        A mark that waits, or that has not been served for long, gets a new line: whatever became of its old one.
        """
        after = dict(self.by_context)
        for key, at in reasons.items():
            known = after.get(key)
            if known is None:
                after[key] = relined(Mark(secrets.randbits(62), at, 0, 0), current_slot())
            else:
                old = known.not_before is not None or known.slot < current_slot() - CLOSED_SLOTS
                due = replace(known, token=known.token + 1, not_before=None)
                after[key] = relined(due, current_slot()) if old else due
        return self._next(after)

    def entries_after(self, before: "Marks") -> dict[ContextKey, Mark]:
        """The marks a sweep would not find yet where it finds those of `before`."""
        return {
            key: mark
            for key, mark in self.by_context.items()
            if (known := before.by_context.get(key)) is None or known.entry != mark.entry
        }

    def without(self, key: ContextKey) -> "Marks":
        """Without one mark."""
        return self._next({known: mark for known, mark in self.by_context.items() if known != key})

    def with_mark(self, key: ContextKey, mark: Mark) -> "Marks":
        """With one mark in another state."""
        return self._next({**self.by_context, key: mark})

    def _next(self, by_context: Mapping[ContextKey, Mark]) -> "Marks":
        return Marks(self.user_id, (self.version or 0) + 1, by_context)


def relined(mark: Mark, slot: int) -> Mark:
    """The mark under another minute, in a new line."""
    return replace(mark, slot=slot, entry=secrets.randbits(62))


def current_slot() -> int:
    """This minute."""
    return int(time.time()) // SLOT_SECONDS


def slot_of(at: datetime) -> int:
    """The minute of a time."""
    return to_epoch_ms(at) // 1000 // SLOT_SECONDS


def bucket(user_id: str) -> int:
    """The learner's part of a minute or of a waiting collection, 0-15."""
    return zlib.crc32(user_id.encode()) % BUCKETS


def marks_from(user_id: str, version: int | None, column: Mapping[str, str] | None, write_id: int | None) -> Marks:
    """The marks of the static columns."""
    found = {_key(user_id, name): _mark(text) for name, text in (column or {}).items()}
    return Marks(user_id, version, found, write_id)


def column_of(marks: Marks) -> dict[str, str]:
    """The static column of these marks."""
    return {f"{key.collection_id}{SEPARATOR}{key.context_id}": _text(mark) for key, mark in marks.by_context.items()}


def _key(user_id: str, name: str) -> ContextKey:
    collection_id, context_id = name.split(SEPARATOR)
    return ContextKey(user_id, collection_id, context_id)


def _text(mark: Mark) -> str:
    told: dict[str, Any] = {
        "token": mark.token,
        "at": to_epoch_ms(mark.marked_at),
        "entry": mark.entry,
        "slot": mark.slot,
    }
    if mark.not_before is not None:
        told["until"] = to_epoch_ms(mark.not_before)
    if mark.deferred:
        told["deferred"] = True
    return to_json(told)


def _mark(text: str) -> Mark:
    told = from_json(text)
    until = told.get("until")
    return Mark(
        token=told["token"],
        marked_at=from_epoch_ms(told["at"]),
        entry=told["entry"],
        slot=told["slot"],
        not_before=from_epoch_ms(until) if until is not None else None,
        deferred=told.get("deferred", False),
    )
