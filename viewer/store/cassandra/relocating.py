"""Moving rows between a learner's contexts on Cassandra: all of them and their marks are one write of his partition.

Attempts have a partition for each collection, so they go in writes of their own, as folds.py writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from common.rows import Attempt, Consumption, Provenance, RowKey
from viewer.store import codec
from viewer.store.cassandra import cql, rows, session
from viewer.store.cassandra.carrying import AttemptKey, CarryTables
from viewer.store.cassandra.marks import Marks
from viewer.store.cassandra.session import available
from viewer.store.port import MovedRows


@dataclass(frozen=True, slots=True)
class _Read:
    """What a try starts from. writers: who wrote each stored row last."""

    stored: Mapping[RowKey, Consumption]
    writers: Mapping[RowKey, int]
    marks: Marks

    def holds(self, expected: Mapping[RowKey, int]) -> bool:
        """Whether each of these keys has its version; 0: no row."""
        versions = {key: row.version for key, row in self.stored.items()}
        return all(versions.get(key, 0) == version for key, version in expected.items())


Tries = list[tuple[_Read, rows.Writing]]
"""The tries of one move so far, each with what it started from."""


class RelocationTables(CarryTables):
    """How rows and attempts leave one context for another."""

    def keep_record(self, record: Provenance) -> None:
        """See the port. None is written as null, not left out: nobody looked whether a record is there to be undone."""
        with available():
            session.run(cql.insert("provenance", codec.PROVENANCE), codec.provenance_values(record))

    def move_rows(self, moved: MovedRows, at: datetime) -> bool:
        """See the port. Three round trips: what is there, lines and contexts of what is new, then one write."""
        expected = moved.expected
        if not expected:
            return True
        user_id = next(iter(expected)).user_id
        with available():
            return rows.again(user_id, partial(self._try_to_move, user_id, moved, at, []))

    def _try_to_move(self, user_id: str, moved: MovedRows, at: datetime, tried: Tries) -> bool | None:
        """None where another writer was in between, or the answer was lost: reading again tells what there is."""
        expected = moved.expected
        read = _read(user_id, expected)
        if {writing.id for _, writing in tried} & {*read.writers.values()}:
            return True
        if not read.holds(expected):
            return _overtaken(read, [one for one in tried if one[1].in_doubt])
        writing = rows.Writing(read.stored, read.marks, read.writers)
        tried.append((read, writing))
        new = [row for row in moved.written if row.key not in read.stored]
        changed = [row for row in moved.written if row.key in read.stored]
        reasons = dict.fromkeys(moved.contexts, at)
        return writing.write(new, changed, reasons, gone=sorted(key for key, _ in moved.gone)) or None

    def remove_attempts(self, attempts: Sequence[Attempt], at: datetime) -> None:
        """See the port."""
        if not attempts:
            return
        contexts = sorted({one.key.context for one in attempts})
        with available():
            self._mark(contexts, at)
            for collection_id in sorted({one.key.collection_id for one in attempts}):
                part = [one for one in attempts if one.key.collection_id == collection_id]
                rows.again(contexts[0].user_id, partial(self._remove_as_given, part))
            self._mark(contexts, at)

    def _remove_as_given(self, attempts: Sequence[Attempt]) -> bool | None:
        """Takes those of one collection away that are stored so. None: look again."""
        given: dict[AttemptKey, Attempt] = {(*one.key, one.attempt_id): one for one in attempts}
        stored = self._stored_at(given.keys())
        same = sorted((key, writer) for key, (one, writer) in stored.items() if one == given[key])
        if not same:
            return True
        statements = [session.bound(cql.delete(cql.ATTEMPTS), [*key, writer]) for key, writer in same]
        return session.settled(lambda: session.conditional(statements), lambda: False) or None


def _read(user_id: str, keys: Mapping[RowKey, int]) -> _Read:
    """One round trip."""
    marks, *parts = session.together([rows.marks_call(user_id), *rows.read_calls(keys)])
    found = [row for part in parts for row in part]
    stored = {row.key: row for row in map(codec.consumption_from, found)}
    return _Read(stored, {RowKey(*row[:4]): row[-1] for row in found}, rows.marks_of(user_id, marks))


def _overtaken(read: _Read, doubted: Tries) -> bool:
    """Whether one of these tries took place before others wrote what `read` found, which no try can follow.

    A move writes the marks too: it took place as their very next version, or never; or not yet, and then it never will,
    because of the row that another wrote. Where more versions came, a row that is as it started from tells that it did
    not. Raises UnknownOutcome where nothing tells.
    """
    if not doubted:
        return False
    user_id = read.marks.user_id
    marks = rows.look([user_id], serially=True)[user_id]  # after the rows: what it tells holds for them
    if marks.write_id in {writing.id for _, writing in doubted}:
        return True
    for before, _ in doubted:
        followed = (marks.version or 0) > (before.marks.version or 0) + 1
        if followed and not before.writers.items() & read.writers.items():
            raise session.UnknownOutcome
    return False
