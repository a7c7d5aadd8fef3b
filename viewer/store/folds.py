"""The SQL store's second half: attempts, enrolments, what a fold saves and the outbox."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from common.database import available
from common.rows import ActivityAgg, Attempt, ContextKey, Enrolment
from viewer.lifecycle import Outcome
from viewer.outbox import OutboxEvent
from viewer.progress import Sources
from viewer.store import codec, imports, sql
from viewer.store.batch import keep_attempts
from viewer.store.database import Database, LostRace


class FoldTables:
    """Everything a fold reads and writes, on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def sources(self, key: ContextKey) -> Sources:
        """See the port. The aggregate is read first: a row written after it makes the save fail, not go missing."""
        agg = sql.select("user_activity_agg", codec.AGG, sql.matches(codec.AGG_KEY))
        rows = sql.select(sql.UCC, codec.CONSUMPTION, sql.matches(codec.CONSUMPTION_KEY[:3]), ("contentid",))
        attempts = sql.select(
            "assessment_aggregator",
            codec.ATTEMPT,
            "user_id = %s AND collection_id = %s AND context_id = %s",
            ("content_id", "attempt_id"),
        )
        with available():
            stored = self._db.all(agg, codec.agg_key_values(key))
            return Sources(
                agg=codec.agg_from(stored[0]) if stored else ActivityAgg(key),
                rows=[codec.consumption_from(row) for row in self._db.all(rows, key)],
                attempts=[codec.attempt_from(row) for row in self._db.all(attempts, key)],
                enrolment=self.enrolment(key),
            )

    def enrolment(self, key: ContextKey) -> Enrolment | None:
        """See the port."""
        statement = sql.select("user_enrolments", codec.ENROLMENT, sql.matches(codec.ENROLMENT_KEY))
        with available():
            found = self._db.all(statement, key)
        return codec.enrolment_from(found[0]) if found else None

    def save_enrolment(self, enrolment: Enrolment, expected_version: int, at: datetime) -> bool:
        """See the port."""

        def save() -> None:
            self._save_enrolment(enrolment, expected_version)
            self._db.execute(sql.mark(), [*enrolment.key, at, sql.fresh_token()])

        return self._db.unless_lost(save)

    def save_attempts(self, attempts: Sequence[Attempt], at: datetime) -> list[Outcome]:
        """See the port."""
        return self._db.retried(lambda: self._save_attempts(attempts, at)) if attempts else []

    def _save_attempts(self, attempts: Sequence[Attempt], at: datetime) -> list[Outcome]:
        changed, outcomes = self._keep_attempts(attempts)
        if contexts := sorted({one.key.context for one in changed}):
            self._db.many(sql.mark(), [(*key, at, sql.fresh_token()) for key in contexts])
            self._db.many(sql.register_context(), contexts)
        return outcomes

    def _keep_attempts(self, attempts: Sequence[Attempt]) -> tuple[list[Attempt], list[Outcome]]:
        """The attempts that were written, and what became of each given one."""
        table = imports.ATTEMPTS
        stored = {
            _attempt_key(one): one for one in self._locked(table, sorted({_attempt_key(one) for one in attempts}))
        }
        known, outcomes = keep_attempts(stored, attempts)
        changed = [one for key, one in sorted(known.items()) if one is not stored.get(key)]
        self._save(table, [one for one in changed if _attempt_key(one) not in stored], new=True)
        self._save(table, [one for one in changed if _attempt_key(one) in stored], new=False)
        return changed, outcomes

    def _locked(self, table: imports.Table, keys: Sequence[tuple[str, ...]]) -> list[Any]:
        """The rows of these keys, locked until the transaction ends, in key order so that no two callers deadlock."""
        where = sql.in_values(table.key, len(keys))
        statement = sql.select(table.name, table.columns, where, table.key) + self._db.dialect.lock
        return [table.decode(row) for row in self._db.all(statement, [part for one in keys for part in one])]

    def _save(self, table: imports.Table, rows: Sequence[Any], *, new: bool) -> None:
        if not rows:
            return
        make = sql.insert_new if new else sql.upsert
        written = self._db.many(
            make(self._db.dialect, table.name, table.columns, table.key), [table.encode(row) for row in rows]
        )
        if new and written < len(rows):
            raise LostRace

    def unpublished(self, limit: int) -> list[OutboxEvent]:
        """See the port."""
        statement = sql.select("outbox", codec.EVENT, "published_at IS NULL", ("created_at", "id")) + " LIMIT %s"
        with available():
            return [codec.event_from(row)[0] for row in self._db.all(statement, [limit])]

    def mark_published(self, ids: Sequence[str], at: datetime) -> None:
        """See the port."""
        statement = f"UPDATE outbox SET published_at = {self._db.dialect.time} WHERE id = %s"
        with available(), self._db.turn(), self._db.atomic():
            self._db.many(statement, [(at, event_id) for event_id in ids])

    def _save_enrolment(self, enrolment: Enrolment, expected_version: int) -> None:
        self._replace(imports.ENROLMENTS, [(enrolment, expected_version)])
        imports.save_by_batch(self._db, [enrolment])

    def _replace(self, table: imports.Table, rows: Sequence[tuple[Any, int]]) -> None:
        """Stores each row over the version it was read with (0: it was not there). Raises LostRace for any other."""
        dialect, key = self._db.dialect, len(table.key)
        new = [table.encode(row) for row, version in rows if not version]
        old = [
            (*values[key:], *values[:key], version)
            for values, version in ((table.encode(row), version) for row, version in rows if version)
        ]
        for make, values in ((sql.insert_new, new), (sql.update, old)):
            if values and self._db.many(make(dialect, table.name, table.columns, table.key), values) < len(values):
                raise LostRace

    def _write_outbox(self, events: Sequence[OutboxEvent]) -> None:
        if events:
            insert = sql.insert_new(self._db.dialect, "outbox", codec.EVENT, codec.EVENT[:1])
            self._db.many(insert, [codec.event_values(event) for event in events])


def _attempt_key(attempt: Attempt) -> tuple[str, ...]:
    return (*attempt.key, attempt.attempt_id)
