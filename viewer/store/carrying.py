"""Carrying progress forward on one SQL database: a row, its record, its attempts and its mark in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from common.database import available
from common.rows import Attempt, Consumption, ContextKey, Provenance
from viewer.store import codec, imports, sql
from viewer.store.database import Database, LostRace
from viewer.store.folds import FoldTables
from viewer.store.port import Carry, TakenBack


class CarryTables(FoldTables):
    """What carries are decided on, and how they are stored and undone."""

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
            self._mark_carried(carry.row.key.context, at)
            return True

        return [self._db.retried(partial(carried, carry)) for carry in carries]

    def take_back(self, taken: TakenBack, at: datetime) -> bool:
        """See the port. One transaction of four statements, one more where attempts go."""

        def took_back() -> bool:
            row = taken.written
            if not (self._put(row, taken.expected_version) if row is not None else self._remove(taken)):
                return False
            self._record(taken.record)
            if taken.attempts:
                gone = f"DELETE FROM {imports.ATTEMPTS.name} WHERE {sql.matches(codec.ATTEMPT_KEY)}"
                self._db.many(gone, [(*taken.key, attempt_id) for attempt_id in sorted(taken.attempts)])
            self._mark_carried(taken.key.context, at)
            return True

        return self._db.retried(took_back)

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

    def _mark_carried(self, key: ContextKey, at: datetime) -> None:
        self._db.execute(sql.mark(), [*key, at, sql.fresh_token()])
        self._db.execute(sql.register_context(), key)
