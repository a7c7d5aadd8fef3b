"""Many contexts folded at once on one SQL database: a fixed number of statements, however many."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from common.database import available
from common.rows import ActivityAgg, ContextKey, StaleMark
from viewer.progress import Sources
from viewer.store import codec, imports, sql
from viewer.store.database import Database, LostRace
from viewer.store.folds import FoldTables
from viewer.store.port import Fold

_MARK = ("userid", "collectionid", "contextid", "token", "marked_at", "not_before")


class FoldsTogether(FoldTables):
    """What a worker asks for when it folds many learners."""

    _db: Database

    def marks_of(self, user_ids: Sequence[str]) -> list[StaleMark]:
        """See the port."""
        if not user_ids:
            return []
        statement = sql.select("stale_marks", _MARK, sql.in_values(("userid",), len(user_ids)), _MARK[:3])
        with available():
            return [_stale_mark(row) for row in self._db.all(statement, user_ids)]

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

    def save_folds(self, folds: Sequence[Fold]) -> bool:
        """See the port. One transaction; rows are locked in the order of their keys, aggregates before enrolments."""
        ordered = sorted(folds, key=lambda fold: fold.sources.key)
        changed = [fold for fold in ordered if fold.changes_enrolment]

        def save() -> None:
            self._db.be_impatient()  # one learner whose rows are held must not hold up all of them
            self._write_outbox([event for fold in ordered for event in fold.events])
            self._replace(
                imports.AGGS, [(fold.folded.agg, fold.sources.agg.version) for fold in ordered], key=len(codec.AGG_KEY)
            )
            enrolments = [(fold.folded.enrolment, fold.sources.enrolment) for fold in changed]
            self._replace(
                imports.ENROLMENTS,
                [(after, before.version) for after, before in enrolments if before is not None],
                key=len(codec.ENROLMENT_KEY),
            )
            listed = [after for after, _ in enrolments if after is not None]
            imports.save_by_batch(self._db, listed, same_dates=True)  # a fold changes no date

        return self._db.unless_lost(save) if folds else True

    def clear_marks(self, marks: Sequence[StaleMark]) -> None:
        """See the port."""
        if not marks:
            return
        statement = f"DELETE FROM stale_marks WHERE {sql.matches(_MARK[:4])}"
        ordered = [(*mark.key, mark.token) for mark in sorted(marks, key=lambda mark: mark.key)]
        self._db.retried(lambda: self._db.many(statement, ordered))

    def _of(self, table: imports.Table, keys: Sequence[tuple[str, ...]]) -> list[Any]:
        """The rows of these contexts, ordered by their keys."""
        where = sql.in_values(table.key[: len(keys[0])], len(keys))
        statement = sql.select(table.name, table.columns, where, table.key)
        return [table.decode(row) for row in self._db.all(statement, [part for key in keys for part in key])]

    def _replace(self, table: imports.Table, rows: Sequence[tuple[Any, int]], *, key: int) -> None:
        """Stores each row over the version it was read with (0: it was not there). Raises LostRace for any other."""
        new = [table.encode(row) for row, version in rows if not version]
        old = [
            (*values[key:], *values[:key], version)
            for values, version in ((table.encode(row), version) for row, version in rows if version)
        ]
        dialect = self._db.dialect
        for make, values in ((sql.insert_new, new), (sql.update, old)):
            if values and self._db.many(make(dialect, table.name, table.columns, table.key), values) < len(values):
                raise LostRace


def _grouped(found: Sequence[Any]) -> dict[ContextKey, list[Any]]:
    grouped: dict[ContextKey, list[Any]] = defaultdict(list)
    for one in found:
        grouped[one.key.context].append(one)
    return grouped


def _stale_mark(row: Sequence[Any]) -> StaleMark:
    marked_at = codec.from_time(row[4])
    assert marked_at is not None
    return StaleMark(ContextKey(*row[:3]), row[3], marked_at, codec.from_time(row[5]))
