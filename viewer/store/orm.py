"""The store on Django's SQL databases: SQLite for the embedded default, PostgreSQL for one server.

Single events are one conditional statement. Batches (`apply_all`, `import_rows`) read and lock their rows, fold them
with the pure functions and write what changed, in one transaction.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from common.database import available
from common.rows import (
    ActivityAgg,
    Attempt,
    Consumption,
    ContextKey,
    Enrolment,
    RowKey,
    StaleMark,
)
from common.timestamps import to_epoch_ms
from viewer.lifecycle import Outcome, Verb, ViewEvent, fold
from viewer.store import batch, codec, imports, sql
from viewer.store.carrying import CarryTables
from viewer.store.database import MAX_TRIES, Database
from viewer.store.moving import MovingTables
from viewer.store.port import Applied, ImportBatch
from viewer.store.together import FoldsTogether

_BATCH_COLUMNS = (
    "userid",
    "courseid",
    "batchid",
    "enrolled_date",
    "active",
    "status",
    "completionpercentage",
    "completedon",
    "issued_certificates",
)


class OrmStore(FoldsTogether, CarryTables, MovingTables):
    """Implements `viewer.store.port.Store`. `using`: the alias of the database."""

    def __init__(self, using: str = "default") -> None:
        super().__init__(Database(using))

    # --- single events ---------------------------------------------------------------------------------------

    def apply(self, key: RowKey, event: ViewEvent) -> Applied:
        """See the port."""
        with available(), self._db.turn():
            for _ in range(MAX_TRIES):
                if written := self._write(key, event):
                    return written
                unwritten = self._why_not_written(key, event)
                if unwritten is not None:
                    return unwritten
        return self._apply_locked(key, event)

    def _write(self, key: RowKey, event: ViewEvent) -> Applied | None:
        """What one statement wrote; None when it wrote nothing."""
        match event.verb:
            case Verb.START:
                inserted = self._insert(key, event)
                return inserted or (self._update(key, event) if event.details is not None else None)
            case Verb.UPDATE:
                return self._update(key, event)
            case Verb.END:
                return self._end(key, event) or (self._insert(key, event) if event.force else None)

    def _insert(self, key: RowKey, event: ViewEvent) -> Applied | None:
        row, _ = fold(key, None, event)
        assert row is not None
        values = dict(zip(codec.CONSUMPTION, codec.consumption_values(row), strict=True))
        return self._write_and_mark(sql.insert_if_absent(self._db.dialect), {**values, "at": event.at}, new_row=True)

    def _update(self, key: RowKey, event: ViewEvent) -> Applied | None:
        statement, values = sql.update_view(self._db.dialect, _shape(event)), _values(key, event)
        if event.verb is not Verb.UPDATE:
            return self._write_and_mark(statement, values, new_row=False)
        found = self._db.all(f"{statement}{sql.RETURNING_ROW}", values)
        return _applied(found[0], new_mark=False) if found else None

    def _end(self, key: RowKey, event: ViewEvent) -> Applied | None:
        return self._write_and_mark(sql.end_view(self._db.dialect, _shape(event)), _values(key, event), new_row=False)

    def _why_not_written(self, key: RowKey, event: ViewEvent) -> Applied | None:
        """What the row says about an event that wrote nothing; None when it changed meanwhile: try again."""
        rows = self.rows([key])
        if not rows:
            return self._why_absent(key, event)
        _, outcome = fold(key, rows[0], event)
        if outcome is Outcome.APPLIED:
            return None
        marked = self._db.execute(
            sql.mark_if_newer(self._db.dialect), [*key.context, event.at, sql.fresh_token(), *key]
        )
        return Applied(outcome, new_mark=marked > 0)

    def _why_absent(self, key: RowKey, event: ViewEvent) -> Applied | None:
        """An absent row may be one that only its aggregate keeps, archived or imported: then as in a batch."""
        if batch.kept_status(self.aggs([key.context]).get(key.context), key) is not None:
            return self._apply_locked(key, event)
        return Applied(fold(key, None, event)[1]) if event.verb is not Verb.START else None

    def _write_and_mark(self, statement: str, values: dict[str, Any], *, new_row: bool) -> Applied | None:
        """`statement`, and where it wrote the row, its mark and its context: all or nothing; None: nothing."""
        fresh = values["token"] = sql.fresh_token()
        if self._db.dialect.one_statement:
            found = self._db.all(sql.with_followups(statement, new_row=new_row), values)
            return _applied(found[0][1:], new_mark=found[0][0] == fresh) if found else None
        with self._db.atomic():
            found = self._db.all(f"{statement}{sql.RETURNING_ROW}", values)
            if not found:
                return None
            marked = {name: values[name] for name in sql.MARKED}
            (token,) = self._db.one(sql.mark_event(), marked)
            if new_row:
                self._db.execute(sql.register_event(), marked)
            return _applied(found[0], new_mark=token == fresh)

    # --- batches -------------------------------------------------------------------------------------------------

    def apply_all(self, user_id: str, events: Sequence[tuple[RowKey, ViewEvent]]) -> list[Applied]:
        """See the port."""
        return self._db.retried(lambda: self._apply_all(events)) if events else []

    def _apply_locked(self, key: RowKey, event: ViewEvent) -> Applied:
        """One event as a batch takes it: for what one statement cannot say."""
        return self._db.retried(lambda: self._apply_all([(key, event)]))[0]

    def _apply_all(self, events: Sequence[tuple[RowKey, ViewEvent]]) -> list[Applied]:
        keys = sorted({key for key, _ in events})
        stored = {row.key: row for row in self._locked(imports.CONSUMPTION, keys)}
        made = batch.folded(events, stored, self.aggs(sorted({key.context for key in keys})))
        self._save(imports.CONSUMPTION, made.new, new=True)
        self._save(imports.CONSUMPTION, made.changed, new=False)
        newly_marked = self._mark_all(made.marks)
        self._register_all(row.key.context for row in made.new)
        return made.answers(newly_marked)

    def import_rows(self, batch: ImportBatch) -> int:
        """See the port."""
        return self._db.retried(lambda: self._import(batch))

    def _import(self, given: ImportBatch) -> int:
        changed: set[ContextKey] = set()
        count = 0
        for table, key_of, rows in imports.tables(given):
            keys = sorted({key_of(row) for row in rows})
            if not keys:
                continue
            stored = {key_of(row): row for row in self._locked(table, keys)}
            merged = imports.merge_all(table, key_of, stored, rows)
            new = [row for key, row in sorted(merged.items()) if key not in stored]
            old = [row for key, row in sorted(merged.items()) if key in stored and row is not stored[key]]
            self._save(table, new, new=True)
            self._save(table, old, new=False)
            if table is imports.ENROLMENTS:
                imports.save_by_batch(self._db, new, same_dates=True)
                imports.save_by_batch(self._db, old)
            count += len(new) + len(old)
            changed |= {row.key.context if isinstance(row.key, RowKey) else row.key for row in (*new, *old)}
        if changed:
            self._db.many(sql.mark(), [(*key, given.at, sql.fresh_token()) for key in sorted(changed)])
        self._register_all(changed)
        return count

    def _mark_all(self, marks: dict[ContextKey, datetime]) -> set[ContextKey]:
        """Marks the contexts, in key order so that no two callers deadlock; those that were not marked before."""
        new: set[ContextKey] = set()
        for key, at in sorted(marks.items()):
            fresh = sql.fresh_token()
            (token,) = self._db.one(f"{sql.mark()} RETURNING token", [*key, at, fresh])
            if token == fresh:
                new.add(key)
        return new

    def _register_all(self, contexts: Iterable[ContextKey]) -> None:
        if keys := sorted(set(contexts)):
            self._db.many(sql.register_context(), keys)

    # --- reads -------------------------------------------------------------------------------------------------

    def rows(self, keys: Sequence[RowKey]) -> list[Consumption]:
        """See the port."""
        return self._read(imports.CONSUMPTION, keys)

    def attempts(self, keys: Sequence[RowKey]) -> list[Attempt]:
        """See the port."""
        return self._read(imports.ATTEMPTS, keys, by=codec.ATTEMPT_KEY[:4])

    def aggs(self, keys: Sequence[ContextKey]) -> dict[ContextKey, ActivityAgg]:
        """See the port."""
        values = [codec.agg_key_values(key) for key in keys]
        found = self._read(imports.AGGS, values)
        return {agg.key: agg for agg in found}

    def contexts(self, user_id: str) -> list[ContextKey]:
        """See the port."""
        columns = ("userid", "collectionid", "contextid")
        with available():
            rows = self._db.all(sql.select("user_contexts", columns, "userid = %s", columns), [user_id])
        return [ContextKey(*row) for row in rows]

    def contexts_after(self, after: ContextKey | None, limit: int) -> list[ContextKey]:
        """See the port."""
        columns = ("userid", "collectionid", "contextid")
        where = "(userid, collectionid, contextid) > (%s, %s, %s)"
        statement = sql.select("user_contexts", columns, where, columns) + " LIMIT %s"
        with available():
            rows = self._db.all(statement, [*(after or ("", "", "")), limit])
        return [ContextKey(*row) for row in rows]

    def enrolments(self, user_id: str) -> list[Enrolment]:
        """See the port."""
        statement = sql.select("user_enrolments", codec.ENROLMENT, "userid = %s", codec.ENROLMENT_KEY)
        with available():
            return [codec.enrolment_from(row) for row in self._db.all(statement, [user_id])]

    def batch_enrolments(self, context_id: str) -> Iterator[Enrolment]:
        """See the port."""
        statement = sql.select("enrolments_by_batch", _BATCH_COLUMNS, "batchid = %s", ("enrolled_date", "userid"))
        with available():
            yield from map(imports.enrolment_from_batch, self._db.streamed(statement, [context_id]))

    def marks(self, user_id: str) -> list[StaleMark]:
        """See the port."""
        statement = sql.select("stale_marks", codec.MARK, "userid = %s", codec.CONTEXT_KEY)
        with available():
            return [codec.mark_from(row) for row in self._db.all(statement, [user_id])]

    def oldest_marks(self, limit: int, before: datetime, now: datetime) -> list[StaleMark]:
        """See the port."""
        time = self._db.dialect.time
        where = f"marked_at < {time} AND (not_before IS NULL OR not_before <= {time})"
        statement = sql.select("stale_marks", codec.MARK, where, ("marked_at",)) + " LIMIT %s"
        with available():
            return [codec.mark_from(row) for row in self._db.all(statement, [before, now, limit])]

    # --- marks ---------------------------------------------------------------------------------------------------

    def mark(self, key: ContextKey, at: datetime) -> None:
        """See the port."""
        with available(), self._db.turn():
            self._db.execute(sql.mark(), [*key, at, sql.fresh_token()])

    def clear_mark(self, mark: StaleMark) -> bool:
        """See the port."""
        statement = f"DELETE FROM stale_marks WHERE {sql.matches(codec.MARK[:4])}"
        with available(), self._db.turn():
            return self._db.execute(statement, [*mark.key, mark.token]) > 0

    def defer_mark(self, mark: StaleMark, until: datetime) -> None:
        """See the port."""
        statement = f"UPDATE stale_marks SET not_before = {self._db.dialect.time} WHERE {sql.matches(codec.MARK[:4])}"
        with available(), self._db.turn():
            self._db.execute(statement, [until, *mark.key, mark.token])

    def undefer_marks(self, collection_ids: Collection[str]) -> None:
        """See the port."""
        statement = "UPDATE stale_marks SET not_before = NULL WHERE collectionid = %s AND not_before IS NOT NULL"
        with available(), self._db.turn():
            self._db.many(statement, [[collection_id] for collection_id in sorted(collection_ids)])

    def watermark(self, name: str) -> datetime | None:
        """See the port."""
        with available():
            found = self._db.all("SELECT at FROM watermarks WHERE name = %s", [name])
        return codec.from_time(found[0][0]) if found else None

    def set_watermark(self, name: str, at: datetime) -> None:
        """See the port."""
        statement = (
            f"INSERT INTO watermarks (name, at) VALUES (%s, {self._db.dialect.time})"
            " ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE watermarks.at < excluded.at"
        )
        with available(), self._db.turn():
            self._db.execute(statement, [name, at])

    # --- plumbing --------------------------------------------------------------------------------------------

    def _read(
        self,
        table: imports.Table,
        keys: Sequence[tuple[str, ...]],
        by: Sequence[str] | None = None,
    ) -> list[Any]:
        """The rows of these keys; `by`: the leading key columns they name, where that is not the whole key."""
        if not keys:
            return []
        where = sql.in_values(by or table.key, len(keys))
        statement = sql.select(table.name, table.columns, where, table.key)
        with available():
            return [table.decode(row) for row in self._db.all(statement, [part for one in keys for part in one])]


def _shape(event: ViewEvent) -> sql.Shape:
    return sql.Shape(
        progress=event.progress is not None,
        details=event.details is not None,
        identity=event.identity is not None,
        client_timed=event.client_timed,
    )


def _values(key: RowKey, event: ViewEvent) -> dict[str, Any]:
    """What the statements of an update or an end name; those of its shape need not name it all."""
    values: dict[str, Any] = {
        "userid": key.user_id,
        "collectionid": key.collection_id,
        "contextid": key.context_id,
        "contentid": key.content_id,
        "at": event.at,
        "access_time": event.access_time,
        "completed_time": event.completed_time,
        "timespent": event.timespent,
        "progress": event.progress,
        "details": codec.to_json(event.details),
    }
    if event.identity is not None:
        values["identity"] = codec.to_json(codec.applied_json(event.identity))
        values["seen_id"] = event.identity.id
        values["seen_since"] = to_epoch_ms(event.repeats_since) if event.repeats_since else 0
    return values


def _applied(columns: Sequence[Any], *, new_mark: bool) -> Applied:
    """The answer for an event that wrote the row of these columns."""
    return Applied(Outcome.APPLIED, new_mark=new_mark, row=codec.consumption_from(columns))
