"""Carrying and moving progress on one SQL database: rows, records, attempts and marks in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from common.database import available
from common.rows import Attempt, Consumption, ContextKey, Provenance
from viewer.store import codec, imports, sql
from viewer.store.database import Database, LostRace
from viewer.store.folds import FoldTables
from viewer.store.port import Carry, MovedRows, TakenBack


class CarryTables(FoldTables):
    """What carries and moves are decided on, and how they are stored and undone."""

    _db: Database

    def provenance(self, user_id: str) -> list[Provenance]:
        """See the port. Sorted here, because databases sort text each in their own way."""
        statement = sql.select("provenance", codec.PROVENANCE, "userid = %s")
        with available():
            found = [codec.provenance_from(row) for row in self._db.all(statement, [user_id])]
        return sorted(found, key=lambda record: record.id)

    def all_rows(self, user_id: str) -> list[Consumption]:
        """See the port."""
        statement = sql.select(sql.UCC, codec.CONSUMPTION, "userid = %s")
        with available():
            found = [codec.consumption_from(row) for row in self._db.all(statement, [user_id])]
        return sorted(found, key=lambda row: row.key)

    def attempts_in(self, keys: Sequence[ContextKey]) -> list[Attempt]:
        """See the port. One query."""
        if not keys:
            return []
        where = sql.in_values(codec.ATTEMPT_KEY[:3], len(keys))
        statement = sql.select(imports.ATTEMPTS.name, codec.ATTEMPT, where)
        with available():
            found = self._db.all(statement, [part for key in keys for part in key])
        return sorted(map(codec.attempt_from, found), key=lambda attempt: (attempt.key, attempt.attempt_id))

    def carry(self, carries: Sequence[Carry], at: datetime) -> list[bool]:
        """See the port. One transaction for each: four statements, two to four more where attempts follow."""

        def carried(carry: Carry) -> bool:
            if not self._put(carry.written, carry.expected_version):
                return False
            self._record(carry.record)
            if carry.attempts:
                self._keep_attempts(carry.attempts)
            self._mark_each([carry.row.key.context], at)
            self._place([carry.row.key.context])
            return True

        return [self._db.retried(partial(carried, carry)) for carry in carries]

    def take_back(self, taken: TakenBack, at: datetime) -> bool:
        """See the port. One transaction of four statements, one more where attempts go."""

        def took_back() -> bool:
            row = taken.written
            if not (self._put(row, taken.expected_version) if row is not None else self._remove(taken)):
                return False
            self._record(taken.record)
            self._delete(imports.ATTEMPTS, [(*taken.key, attempt_id) for attempt_id in sorted(taken.attempts)])
            self._mark_each([taken.key.context], at)
            self._place([taken.key.context])
            return True

        return self._db.retried(took_back)

    def keep_record(self, record: Provenance) -> None:
        """See the port."""
        self._db.retried(lambda: self._record(record))

    def move_rows(self, moved: MovedRows, at: datetime) -> bool:
        """See the port. A locking read of every row, then what is new, changed and gone, the marks and the contexts."""
        return self._db.retried(lambda: self._move(moved, at)) if moved.expected else True

    def _move(self, moved: MovedRows, at: datetime) -> bool:
        """Raises LostRace where a row is made in between: the next try finds it."""
        expected = moved.expected
        stored = {row.key: row.version for row in self._locked(imports.CONSUMPTION, list(expected))}
        if any(stored.get(key, 0) != version for key, version in expected.items()):
            return False
        self._replace(imports.CONSUMPTION, [(row, row.version - 1) for row in moved.written])
        self._delete(imports.CONSUMPTION, sorted(key for key, _ in moved.gone))
        self._mark_each(moved.contexts, at)
        self._place(sorted({row.key.context for row in moved.written}))
        return True

    def remove_attempts(self, attempts: Sequence[Attempt], at: datetime) -> None:
        """See the port. A locking read, what is to go, and the marks."""

        def removed() -> None:
            given = {(*one.key, one.attempt_id): one for one in attempts}
            stored = self._locked(imports.ATTEMPTS, sorted(given))
            same = [key for one in stored if given[key := (*one.key, one.attempt_id)] == one]
            self._delete(imports.ATTEMPTS, sorted(same))
            self._mark_each(sorted({one.key.context for one in attempts}), at)

        if attempts:
            self._db.retried(removed)

    def _put(self, row: Consumption, expected_version: int) -> bool:
        """False, and nothing written, where the stored row has another version."""
        try:
            self._replace(imports.CONSUMPTION, [(row, expected_version)])
        except LostRace:
            return False
        return True

    def _remove(self, taken: TakenBack) -> bool:
        # The origin too: a row of the learner's own that came after the carried one was gone has its version.
        gone = f"DELETE FROM {sql.UCC} WHERE {sql.matches(codec.CONSUMPTION_KEY)} AND version = %s AND origin = %s"
        return self._db.execute(gone, [*taken.key, taken.expected_version, taken.record.id]) > 0

    def _record(self, record: Provenance) -> None:
        statement = sql.upsert(self._db.dialect, "provenance", codec.PROVENANCE, codec.PROVENANCE[:2])
        self._db.execute(statement, codec.provenance_values(record))

    def _delete(self, table: imports.Table, keys: Sequence[tuple[str, ...]]) -> None:
        if keys:
            self._db.many(f"DELETE FROM {table.name} WHERE {sql.matches(table.key)}", keys)

    def _mark_each(self, keys: Sequence[ContextKey], at: datetime) -> None:
        self._db.many(sql.mark(), [(*key, at, sql.fresh_token()) for key in keys])

    def _place(self, keys: Sequence[ContextKey]) -> None:
        """Puts these contexts among the learner's."""
        if keys:
            self._db.many(sql.register_context(), keys)
