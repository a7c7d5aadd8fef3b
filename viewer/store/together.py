"""Many contexts folded at once on one SQL database: a fixed number of statements, however many."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from common.database import available
from common.rows import ActivityAgg, ContextKey, StaleMark
from viewer.outbox import OutboxEvent
from viewer.progress import Folded, Sources
from viewer.store import codec, imports, sql
from viewer.store.database import Database
from viewer.store.folds import FoldTables
from viewer.store.port import Fold


class FoldsTogether(FoldTables):
    """What a worker asks for when it folds many learners."""

    _db: Database

    def marks_of(self, user_ids: Sequence[str]) -> list[StaleMark]:
        """See the port."""
        if not user_ids:
            return []
        statement = sql.select("stale_marks", codec.MARK, sql.in_values(("userid",), len(user_ids)), codec.CONTEXT_KEY)
        with available():
            return [codec.mark_from(row) for row in self._db.all(statement, user_ids)]

    def sources_of(self, keys: Sequence[ContextKey]) -> list[Sources]:
        """See the port. The aggregates are read first, as by `sources`."""
        if not keys:
            return []
        with available():
            aggs = {agg.key: agg for agg in self._of(imports.AGGS, list(map(codec.agg_key_values, keys)))}
            rows = _grouped(self._of(imports.CONSUMPTION, keys))
            attempts = _grouped(self._of(imports.ATTEMPTS, keys))
            enrolments = {one.key: one for one in self._of(imports.ENROLMENTS, keys)}
        return [
            Sources(aggs.get(key) or ActivityAgg(key), rows[key], attempts[key], enrolments.get(key)) for key in keys
        ]

    def save_fold(self, sources: Sources, folded: Folded, events: Sequence[OutboxEvent]) -> bool:
        """See the port."""
        return self._db.unless_lost(lambda: self._save_folds([Fold(sources, folded, events)]))

    def save_folds(self, folds: Sequence[Fold]) -> bool:
        """See the port. One transaction; rows are locked in the order of their keys, aggregates before enrolments."""

        def save() -> None:
            self._db.be_impatient()  # one learner whose rows are held must not hold up all of them
            self._save_folds(sorted(folds, key=lambda fold: fold.sources.key))

        return self._db.unless_lost(save) if folds else True

    def _save_folds(self, folds: Sequence[Fold]) -> None:
        self._write_outbox([event for fold in folds for event in fold.events])
        self._replace(imports.AGGS, [(fold.folded.agg, fold.sources.agg.version) for fold in folds])
        enrolments = [
            (fold.folded.enrolment, fold.sources.enrolment.version)
            for fold in folds
            if fold.changes_enrolment and fold.folded.enrolment and fold.sources.enrolment
        ]
        self._replace(imports.ENROLMENTS, enrolments)
        # A fold changes no date.
        imports.save_by_batch(self._db, [enrolment for enrolment, _ in enrolments], same_dates=True)

    def clear_marks(self, marks: Sequence[StaleMark]) -> None:
        """See the port."""
        if not marks:
            return
        statement = f"DELETE FROM stale_marks WHERE {sql.matches(codec.MARK[:4])}"
        ordered = [(*mark.key, mark.token) for mark in sorted(marks, key=lambda mark: mark.key)]
        self._db.retried(lambda: self._db.many(statement, ordered))

    def _of(self, table: imports.Table, keys: Sequence[tuple[str, ...]]) -> list[Any]:
        """The rows of these contexts, ordered by their keys."""
        where = sql.in_values(table.key[: len(keys[0])], len(keys))
        statement = sql.select(table.name, table.columns, where, table.key)
        return [table.decode(row) for row in self._db.all(statement, [part for key in keys for part in key])]


def _grouped(found: Sequence[Any]) -> dict[ContextKey, list[Any]]:
    grouped: dict[ContextKey, list[Any]] = defaultdict(list)
    for one in found:
        grouped[one.key.context].append(one)
    return grouped
