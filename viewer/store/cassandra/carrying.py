"""Carrying progress forward on Cassandra: a planned record, attempts, one write of row and mark, the record as done.

The write of the row decides: before it nothing is there that cannot be withdrawn, after it everything follows. Whoever
is killed in between leaves a planned record, by which the next try knows its own row and completes what is missing.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from common.rows import Attempt, Consumption, ContextKey, Provenance, RowKey
from viewer.lifecycle import Outcome
from viewer.store import codec
from viewer.store.cassandra import cql, rows, session, typed
from viewer.store.cassandra.folds import FoldTables
from viewer.store.cassandra.marks import Marks
from viewer.store.cassandra.session import available
from viewer.store.port import Carry, TakenBack

PLANNED = "planned"
AttemptKey = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """One row's place as it is. writer: who wrote the row last; record: the one that is asked for."""

    row: Consumption | None
    writer: int | None
    marks: Marks
    record: Provenance | None

    @property
    def version(self) -> int:
        """The row's; 0 where there is none."""
        return self.row.version if self.row is not None else 0

    @property
    def planned(self) -> Provenance | None:
        """The record of somebody who did not come to his end."""
        return self.record if self.record is not None and self.record.state == PLANNED else None


class CarryTables(FoldTables):
    """What carries are decided on, and how they are stored and undone."""

    def provenance(self, user_id: str) -> list[Provenance]:
        """See the port."""
        with available():
            found = session.run(cql.select("provenance", codec.PROVENANCE, ("userid",)), (user_id,))
        return sorted(map(codec.provenance_from, found), key=lambda record: record.id)

    def all_rows(self, user_id: str) -> list[Consumption]:
        """See the port. A partition that holds nothing but marks is told as one row without a content."""
        with available():
            found = session.run(cql.select(cql.UCC, codec.CONSUMPTION, ("userid",)), (user_id,))
        return sorted((codec.consumption_from(row) for row in found if row[3] is not None), key=lambda row: row.key)

    def attempts_in(self, keys: Sequence[ContextKey]) -> list[Attempt]:
        """See the port."""
        contexts: dict[tuple[str, str], list[str]] = {}
        for user_id, collection_id, context_id in sorted(set(keys)):
            contexts.setdefault((user_id, collection_id), []).append(context_id)
        text = cql.select(cql.ATTEMPTS, codec.ATTEMPT, ("user_id", "collection_id"), within="context_id")
        with available():
            parts = session.each([(text, (*partition, ids)) for partition, ids in contexts.items()])
            found = [typed.attempt_from(row) for part in parts for row in part]
        return sorted(found, key=lambda attempt: (attempt.key, attempt.attempt_id))

    def carry(self, carries: Sequence[Carry], at: datetime) -> list[bool]:
        """See the port. Five round trips for each without attempts: read, plan, register, write, record."""
        with available():
            return [rows.again(one.row.key.user_id, partial(self._carry, one, at)) for one in carries]

    def take_back(self, taken: TakenBack, at: datetime) -> bool:
        """See the port."""
        with available():
            return rows.again(taken.key.user_id, partial(self._take_back, taken, at))

    def _carry(self, carry: Carry, at: datetime) -> bool:
        """The whole of one carry, in the learner's turn of this process."""
        key = carry.row.key
        before = self._look(key, carry.record.id)
        if before.planned and before.planned.undone_at is None and _carried(before.row, carry):
            return self._follow(carry, {}, before.planned, at)
        if before.version != carry.expected_version:
            return False
        plan = replace(carry.record, state=PLANNED)
        self._record(plan, before.record)
        placed = self._add_attempts(carry.attempts, at) if carry.attempts else {}
        if self._write(key, carry.written, before, at) or _carried(self._look(key, carry.record.id).row, carry):
            return self._follow(carry, placed, plan, at)  # where another process did the same, both may end it
        if placed:
            rows.again(key.user_id, partial(self._remove, placed, placed))
        if before.record is not None:
            self._record(before.record, plan)
        return False

    def _follow(self, carry: Carry, placed: Mapping[AttemptKey, int], plan: Provenance, at: datetime) -> bool:
        """What comes after the row: attempts that somebody else wrote become ours, and the record is done.

        Another carry that placed them and lost its row takes away what it is the last writer of.
        """
        others = {_key_of(one) for one in carry.attempts} - placed.keys()
        if carry.attempts:
            write = partial(self._write_attempts, carry.attempts, {}, renewed=others)
            outcomes = rows.again(carry.row.key.user_id, write)
            if others or Outcome.APPLIED in outcomes:
                self._mark([carry.row.key.context], at)
        self._record(carry.record, plan)
        return True

    def _take_back(self, taken: TakenBack, at: datetime) -> bool:
        """The whole of one undoing, in the learner's turn of this process."""
        before = self._look(taken.key, taken.record.id)
        plan = replace(taken.record, state=PLANNED)
        begun = before.planned is not None and before.planned.undone_at is not None
        if not (begun and before.row == taken.written):
            if before.row is None or (before.version, before.row.origin) != (taken.expected_version, taken.record.id):
                return False
            self._record(plan, before.record)
            written = self._write(taken.key, taken.written, before, at)
            # Where another process did the same, both may end it.
            if not written and self._look(taken.key, taken.record.id).row != taken.written:
                if before.record is not None:
                    self._record(before.record, plan)
                return False
        if taken.attempts:
            gone = [(*taken.key, attempt_id) for attempt_id in taken.attempts]
            rows.again(taken.key.user_id, partial(self._remove, gone))
            self._mark([taken.key.context], at)
        self._record(taken.record, plan)
        return True

    # --- the row ---------------------------------------------------------------------------------------------------

    def _look(self, key: RowKey, record_id: str) -> _Place:
        """What is there now. One round trip."""
        text = cql.select("provenance", codec.PROVENANCE, codec.PROVENANCE[:2])
        *found, records = session.together([*_place_calls(key), (text, (key.user_id, record_id))])
        return _place(key, found, codec.provenance_from(records[0]) if records else None)

    def _write(self, key: RowKey, row: Consumption | None, before: _Place, at: datetime) -> bool:
        """Puts `row` (None: nothing) where `before` was found, and marks its context. False: that is not there now."""
        return rows.again(key.user_id, partial(self._try_to_write, key, row, before, at, []))

    def _try_to_write(
        self, key: RowKey, row: Consumption | None, before: _Place, at: datetime, tried: list[rows.Writing]
    ) -> bool | None:
        """None where another writer was in between.

        tried: earlier tries. Raises UnknownOutcome where one whose answer was lost may have taken place, and others
        wrote since.
        """
        place = _place(key, session.together(_place_calls(key)))
        stored = {key: place.row} if place.row is not None else {}
        doubted = [one for one in tried if one.in_doubt]
        if (doubted and place.row == row) or {one.id for one in tried} & {place.writer, place.marks.write_id}:
            return True
        if place.writer != before.writer:
            if doubted and (row is None or any(one.overtaken(stored) for one in doubted)):
                raise session.UnknownOutcome
            return False
        writing = rows.Writing(stored, place.marks, {key: place.writer} if place.writer is not None else {})
        tried.append(writing)
        if row is None:
            return writing.write(reasons={key.context: at}, gone=[key]) or None
        new, changed = ([], [row]) if stored else ([row], [])
        return writing.write(new, changed, {key.context: at}) or None

    def _record(self, record: Provenance, before: Provenance | None) -> None:
        """Keeps the record over the one of before."""
        held = codec.provenance_values(before) if before is not None else None
        session.run(cql.insert("provenance", codec.PROVENANCE), typed.written(codec.provenance_values(record), held))

    # --- its attempts ----------------------------------------------------------------------------------------------

    def _add_attempts(self, attempts: Sequence[Attempt], at: datetime) -> dict[AttemptKey, int]:
        """Adds those that are not there, for a row that is still to come: their keys, and what wrote each."""
        context = attempts[0].key.context
        session.run(cql.insert("user_contexts", cql.CONTEXT), tuple(context))
        self._mark([context], at)  # for whoever is killed before the row and its own mark
        return rows.again(context.user_id, partial(self._add_missing, attempts, set()))

    def _add_missing(self, attempts: Sequence[Attempt], tried: set[int]) -> dict[AttemptKey, int] | None:
        """None where another writer was in between, or the answer was lost: reading again tells what there is."""
        found = self._stored(attempts)
        placed = {key: writer for key, (_, writer) in found.items() if writer in tried}
        missing = [one for one in attempts if _key_of(one) not in found]
        if not missing:
            return placed
        write_id = secrets.randbits(62)
        tried.add(write_id)
        text = cql.insert_new(cql.ATTEMPTS)
        statements = [session.bound(text, [*typed.attempt_values(one), write_id]) for one in missing]
        if not session.settled(lambda: session.conditional(statements), lambda: False):
            return None
        return placed | {_key_of(one): write_id for one in missing}

    def _remove(self, keys: Collection[AttemptKey], writers: Mapping[AttemptKey, int] | None = None) -> bool | None:
        """Takes these attempts of one row away; writers: only those whose last writers these are.

        True once they are gone; None: look again.
        """
        found = {key: writer for key, (_, writer) in self._stored_at(keys).items()}
        gone = [key for key, writer in sorted(found.items()) if writers is None or writers[key] == writer]
        if not gone:
            return True
        statements = [session.bound(cql.delete(cql.ATTEMPTS), [*key, found[key]]) for key in gone]
        session.settled(lambda: session.conditional(statements), lambda: False)
        return None


def _place_calls(key: RowKey) -> list[session.Call]:
    return [rows.marks_call(key.user_id), *rows.read_calls([key])]


def _place(key: RowKey, found: Sequence[Sequence[Any]], record: Provenance | None = None) -> _Place:
    """What `_place_calls` found, and the record."""
    marks, own = found
    row, writer = (codec.consumption_from(own[0]), own[0][-1]) if own else (None, None)
    return _Place(row, writer, rows.marks_of(key.user_id, marks), record)


def _key_of(attempt: Attempt) -> AttemptKey:
    return (*attempt.key, attempt.attempt_id)


def _carried(row: Consumption | None, carry: Carry) -> bool:
    """Whether the row is what this carry makes of it."""
    if row is None or row.version <= carry.expected_version:
        return False
    return row == carry.written or row.origin == carry.record.id
