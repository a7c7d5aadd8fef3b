"""One learner's partition: his rows and his marks, read and written together."""

import os
import random
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from cassandra import ConsistencyLevel
from cassandra.query import BoundStatement

from common.errors import Unavailable
from common.rows import Consumption, ContextKey, RowKey
from viewer.store import codec
from viewer.store.cassandra import cql, queue, session, typed
from viewer.store.cassandra.marks import Marks, column_of, current_slot, marks_from
from viewer.store.codec import CONSUMPTION_KEY

PATIENCE_SECONDS = 10
ResultT = TypeVar("ResultT")
ROWS_AT_ONCE = 100  # rows one statement reads
_turns = [threading.RLock() for _ in range(256)]
_SETTLE = ("version", cql.WRITE_ID)
_SETTLE_MARKS = ("marks_version", "marks_write_id")


def _new_turns() -> None:
    """A fork copies locks as they are, and not the threads that hold them."""
    _turns[:] = [threading.RLock() for _ in _turns]


os.register_at_fork(after_in_child=_new_turns)


def by_context(keys: Iterable[RowKey]) -> dict[ContextKey, list[str]]:
    """Context -> the contents asked for in it."""
    grouped: dict[ContextKey, list[str]] = {}
    for key in sorted(set(keys)):
        grouped.setdefault(key.context, []).append(key.content_id)
    return grouped


def read_calls(keys: Iterable[RowKey]) -> list[session.Call]:
    """The statements that read these rows of one learner, with who wrote each last."""
    columns = (*codec.CONSUMPTION, cql.WRITE_ID)
    text = f"{cql.select(cql.UCC, columns, ('userid',))} AND (collectionid, contextid, contentid) IN ?"
    ordered = sorted(set(keys))
    parts = (ordered[place : place + ROWS_AT_ONCE] for place in range(0, len(ordered), ROWS_AT_ONCE))
    return [(text, (part[0].user_id, [tuple(key[1:]) for key in part])) for part in parts]


def marks_call(user_id: str, *, serially: bool = False) -> session.Call:
    """The statement that reads a learner's marks: static columns, so one row whatever the partition holds."""
    text = f"{cql.select(cql.UCC, cql.MARKS, ('userid',))} LIMIT 1"
    return (text, (user_id,), ConsistencyLevel.LOCAL_SERIAL) if serially else (text, (user_id,))


def marks_of(user_id: str, found: Sequence[Sequence[Any]]) -> Marks:
    """What `marks_call` found."""
    version, column, write_id = found[0] if found else (None, None, None)
    return marks_from(user_id, version, column, write_id)


def look(user_ids: Sequence[str], serially: bool = False) -> dict[str, Marks]:
    """The marks of these learners. serially: after every conditional write that is under way."""
    found = session.together([marks_call(user_id, serially=serially) for user_id in user_ids])
    return {user_id: marks_of(user_id, rows) for user_id, rows in zip(user_ids, found, strict=True)}


def again(user_id: str, attempt: Callable[[], ResultT | None]) -> ResultT:
    """What `attempt` gives once no other writer was in between. Raises Unavailable when that does not happen in time.

    The writers of one learner in this process take turns, so that only other processes have to be raced.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = 0.001
    turn = _turns[zlib.crc32(user_id.encode()) % len(_turns)]
    if not turn.acquire(timeout=PATIENCE_SECONDS):
        raise Unavailable("Too many writers on the same rows; try again")
    try:
        while True:
            done = attempt()
            if done is not None:
                return done
            if time.monotonic() > deadline:
                raise Unavailable("Too many writers on the same rows; try again")
            time.sleep(random.uniform(0, pause))  # noqa: S311 - so that two do not meet again
            pause = min(pause * 2, 0.05)
    finally:
        turn.release()


class Writing:
    """One conditional write of a learner's partition: rows that are new, changed or to go, and his marks.

    stored, marks: as they were read; writers: who wrote each stored row last. A row changes only while the same write
    is its last: a row that was deleted and made again counts its versions from 1 again, and its writer differs.

    All of it takes place or nothing; where another writer was in between, nothing. Where an answer was lost and the
    write is not there yet, `write` is False too, and it may take place later: whoever tries again writes under the same
    condition, so that one of both takes place, and looks for `id` among the last writers of what it reads.
    """

    def __init__(
        self, stored: Mapping[RowKey, Consumption], marks: Marks, writers: Mapping[RowKey, int] | None = None
    ) -> None:
        self._stored = stored
        self._marks = marks
        self._writers = writers or {}
        self._lost: Sequence[RowKey] = ()
        self.id = secrets.randbits(62)

    def write(
        self,
        new: Sequence[Consumption] = (),
        changed: Sequence[Consumption] = (),
        reasons: Mapping[ContextKey, datetime] | None = None,
        after: Marks | None = None,
        gone: Sequence[RowKey] = (),
    ) -> bool:
        """True where it took place. reasons: contexts to mark; after: or the marks as they are to be.

        gone: stored rows to delete; their contexts have to be marked with them.
        """
        began = time.monotonic()
        marks = after or (self._marks.with_reasons(reasons) if reasons else self._marks)
        entries = queue.entries_of(marks.entries_after(self._marks))
        places = sorted({row.key.context for row in new})
        register = cql.insert("user_contexts", cql.CONTEXT)
        session.together([*queue.insertions(entries), *((register, tuple(place)) for place in places)])
        statements = [*self._rows(new, changed), *self._deletions(gone), *self._mark(marks)]
        if not statements:
            return True
        took_place = session.settled(
            lambda: session.conditional(statements), lambda: self._took_place([*new, *changed], gone, marks)
        )
        if took_place and entries and time.monotonic() - began > queue.STALL_SECONDS:
            # The sweep may have passed the minute meanwhile: it finds the mark under this one.
            now = [queue.Entry(current_slot(), entry.key, entry.id) for entry in entries]
            session.together(queue.insertions(now))
        return took_place

    @property
    def in_doubt(self) -> bool:
        """True where its answer was lost."""
        return bool(self._lost)

    def overtaken(self, found: Mapping[RowKey, Consumption]) -> bool:
        """True where nobody can tell from its rows as they are now whether it took place: others wrote them all since.

        Only a write whose answer was lost is in doubt.
        """
        versions = [(self._version(self._stored, key), self._version(found, key)) for key in self._lost]
        return bool(versions) and all(now > before + 1 for before, now in versions)

    @staticmethod
    def _version(rows: Mapping[RowKey, Consumption], key: RowKey) -> int:
        return rows[key].version if key in rows else 0

    def _rows(self, new: Sequence[Consumption], changed: Sequence[Consumption]) -> list[BoundStatement]:
        key_length = len(CONSUMPTION_KEY)
        statements = []
        for row in new:
            values = typed.written(codec.consumption_values(row))
            statements.append(session.bound(cql.insert_new(cql.UCC), [*values, self.id]))
        for row in changed:
            before = self._stored[row.key]
            values = typed.written(codec.consumption_values(row), codec.consumption_values(before))
            given = [*values[key_length:], self.id, *row.key, self._writers[row.key]]
            statements.append(session.bound(cql.update(cql.UCC, cql.WRITE_ID), given))
        return statements

    def _deletions(self, gone: Sequence[RowKey]) -> list[BoundStatement]:
        return [session.bound(cql.delete(cql.UCC), [*key, self._writers[key]]) for key in gone]

    def _mark(self, marks: Marks) -> list[BoundStatement]:
        if marks is self._marks:
            return []
        values = [marks.version, column_of(marks), self.id, marks.user_id, self._marks.version]
        return [session.bound(cql.update_marks(), values)]

    def _took_place(self, rows: Sequence[Consumption], gone: Sequence[RowKey], marks: Marks) -> bool | None:
        """Whether a write whose answer was lost did: any part of it tells of the whole."""
        self._lost = [*(row.key for row in rows), *gone]
        if rows:
            key = rows[0].key
            found = session.serial(cql.select(cql.UCC, _SETTLE, CONSUMPTION_KEY), key)
            before = self._stored[key].version if key in self._stored else None
        else:
            text = f"{cql.select(cql.UCC, _SETTLE_MARKS, ('userid',))} LIMIT 1"
            found = session.serial(text, (marks.user_id,))
            before = self._marks.version
        return told(found, self.id, before)


def told(found: Sequence[Sequence[object]], write_id: int, before: int | None) -> bool | None:
    """From (version, write id) as they are now: True where our write is the last, False where it never was.

    None: others wrote since, on top of ours or instead of it.
    """
    version, last = found[0] if found else (None, None)
    if last == write_id:
        return True
    return False if version == before or version == (before or 0) + 1 else None
