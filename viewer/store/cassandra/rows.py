"""One learner's partition: his rows and his marks, read and written together."""

import random
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from cassandra.query import BoundStatement

from common.errors import Unavailable
from common.rows import Consumption, ContextKey, RowKey
from viewer.store.cassandra import codec, cql, queue, session
from viewer.store.cassandra.marks import Marks, column_of, current_slot, marks_from
from viewer.store.codec import CONSUMPTION_KEY

PATIENCE_SECONDS = 10
ResultT = TypeVar("ResultT")
_turns = [threading.RLock() for _ in range(256)]
_SETTLE = ("version", cql.WRITE_ID)
_SETTLE_MARKS = ("marks_version", "marks_write_id")


def by_context(keys: Iterable[RowKey]) -> dict[ContextKey, list[str]]:
    """Context -> the contents asked for in it."""
    grouped: dict[ContextKey, list[str]] = {}
    for key in sorted(set(keys)):
        grouped.setdefault(key.context, []).append(key.content_id)
    return grouped


def read_calls(keys: Sequence[RowKey]) -> list[tuple[str, tuple[object, ...]]]:
    """The statements that read these rows, one for each context."""
    text = cql.select(cql.UCC, codec.CONSUMPTION, cql.CONTEXT, within="contentid")
    return [(text, (*context, contents)) for context, contents in by_context(keys).items()]


def marks_call(user_id: str) -> tuple[str, tuple[object, ...]]:
    """The statement that reads a learner's marks: static columns, so one row whatever the partition holds."""
    return f"{cql.select(cql.UCC, cql.MARKS, ('userid',))} LIMIT 1", (user_id,)


def marks_of(user_id: str, found: Sequence[Sequence[object]]) -> Marks:
    """What `marks_call` found."""
    version, column = found[0] if found else (None, None)
    assert version is None or isinstance(version, int)
    assert column is None or isinstance(column, Mapping)
    return marks_from(user_id, version, column)


def look(user_ids: Sequence[str]) -> dict[str, Marks]:
    """The marks of these learners."""
    found = session.together([marks_call(user_id) for user_id in user_ids])
    return {user_id: marks_of(user_id, rows) for user_id, rows in zip(user_ids, found, strict=True)}


def again(user_id: str, attempt: Callable[[], ResultT | None]) -> ResultT:
    """What `attempt` gives once no other writer was in between. Raises Unavailable when that does not happen in time.

    The writers of one learner in this process take turns, so that only other processes have to be raced.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = 0.001
    with _turns[zlib.crc32(user_id.encode()) % len(_turns)]:
        while True:
            done = attempt()
            if done is not None:
                return done
            if time.monotonic() > deadline:
                raise Unavailable("Too many writers on the same rows; try again")
            time.sleep(random.uniform(0, pause))  # noqa: S311 - so that two do not meet again
            pause = min(pause * 2, 0.05)


class Writing:
    """One conditional write of a learner's partition: rows that are new or changed, and his marks.

    All of it takes place or nothing; where another writer was in between, nothing.
    """

    def __init__(self, stored: Mapping[RowKey, Consumption], marks: Marks) -> None:
        self._stored = stored
        self._marks = marks
        self._write_id = secrets.randbits(62)

    def write(
        self,
        new: Sequence[Consumption] = (),
        changed: Sequence[Consumption] = (),
        reasons: Mapping[ContextKey, datetime] | None = None,
        after: Marks | None = None,
    ) -> bool:
        """True where it took place. reasons: contexts to mark; after: or the marks as they are to be."""
        began = time.monotonic()
        marks = after or (self._marks.with_reasons(reasons) if reasons else self._marks)
        entries = queue.entries_of(marks.entries_after(self._marks))
        places = sorted({row.key.context for row in new})
        register = cql.insert("user_contexts", cql.CONTEXT)
        session.together([*queue.insertions(entries), *((register, tuple(place)) for place in places)])
        statements = [*self._rows(new, changed), *self._mark(marks)]
        if not statements:
            return True
        took_place = session.settled(
            lambda: session.conditional(statements), lambda: self._took_place([*new, *changed], marks)
        )
        if took_place and entries and time.monotonic() - began > queue.STALL_SECONDS:
            # The sweep may have passed the minute meanwhile: it finds the mark under this one.
            now = [queue.Entry(current_slot(), entry.key, entry.born) for entry in entries]
            session.together(queue.insertions(now))
        return took_place

    def _rows(self, new: Sequence[Consumption], changed: Sequence[Consumption]) -> list[BoundStatement]:
        key_length = len(CONSUMPTION_KEY)
        statements = []
        for row in new:
            values = codec.written(codec.consumption_values(row))
            statements.append(session.bound(cql.insert_new(cql.UCC), [*values, self._write_id]))
        for row in changed:
            before = self._stored[row.key]
            values = codec.written(codec.consumption_values(row), codec.consumption_values(before))
            given = [*values[key_length:], self._write_id, *row.key, before.version]
            statements.append(session.bound(cql.update(cql.UCC), given))
        return statements

    def _mark(self, marks: Marks) -> list[BoundStatement]:
        if marks is self._marks:
            return []
        values = [marks.version, column_of(marks), self._write_id, marks.user_id, self._marks.version]
        return [session.bound(cql.update_marks(), values)]

    def _took_place(self, rows: Sequence[Consumption], marks: Marks) -> bool | None:
        """Whether a write whose answer was lost did: any part of it tells of the whole."""
        if rows:
            key = rows[0].key
            found = session.serial(cql.select(cql.UCC, _SETTLE, CONSUMPTION_KEY), key)
            before = self._stored[key].version if key in self._stored else None
        else:
            text = f"{cql.select(cql.UCC, _SETTLE_MARKS, ('userid',))} LIMIT 1"
            found = session.serial(text, (marks.user_id,))
            before = self._marks.version
        return told(found, self._write_id, before)


def told(found: Sequence[Sequence[object]], write_id: int, before: int | None) -> bool | None:
    """From (version, write id) as they are now: True where our write is the last, False where it never was.

    None: others wrote since, on top of ours or instead of it.
    """
    version, last = found[0] if found else (None, None)
    if last == write_id:
        return True
    return False if version == before or version == (before or 0) + 1 else None
