"""Puts checked rows into the tables: all of them in one transaction, and only what differs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.db import models, transaction

from catalogue.models import Batch, Collection, Learner, Program
from catalogue.reading import Document, Row, Rows
from common import timestamps

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows of one kind a load added, changed and left as they were."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.added + other.added, self.changed + other.changed, self.unchanged + other.unchanged)

    def __str__(self) -> str:
        return f"{self.added} added, {self.changed} changed, {self.unchanged} unchanged"


def store(document: Document, *, dry_run: bool = False, now: datetime | None = None) -> dict[str, Tally]:
    """What became of the document's rows, by kind, in the order they are stored; a second load changes nothing.

    Nothing is ever deleted: a collection absent from the file stays. A row that exists is compared field by field;
    a child course found in a tree never replaces a collection that was loaded itself, while loading one itself
    replaces what was found. With `dry_run` the same counts come without a write. `now` is the time new collections
    bear (UTC), the present when None. Cost: two queries for each 500 rows.
    """
    at = now or timestamps.now()
    with transaction.atomic():
        return {
            "collections": _store_collections(document.collections, at, dry_run),
            "child courses": _store_collections(_only_derived(document.child_courses), at, dry_run),
            "batches": _store(Batch, document.batches, dry_run),
            "programs": _store(Program, document.programs, dry_run),
            "learners": _store(Learner, document.learners, dry_run),
        }


def _only_derived(child_courses: Rows) -> Rows:
    """The child courses that no one has loaded themselves."""
    loaded: set[str] = set()
    for some in _chunks(child_courses):
        own = Collection.objects.filter(pk__in=list(some), parent_id__isnull=True)
        loaded.update(own.values_list("collection_id", flat=True))
    return {identifier: row for identifier, row in child_courses.items() if identifier not in loaded}


def _store_collections(rows: Rows, at: datetime, dry_run: bool) -> Tally:
    def stamp(old: models.Model | None) -> Row:
        # The time is the version other processes compare: it must grow even when the clock does not.
        grown = old.updated_at + timedelta(milliseconds=1) if isinstance(old, Collection) else at
        return {"updated_at": max(at, grown)}

    return _store(Collection, rows, dry_run, stamp)


def _store(
    model: type[models.Model],
    rows: Rows,
    dry_run: bool,
    stamp: Callable[[models.Model | None], Row] = lambda old: {},
) -> Tally:
    """Write the rows that are new or differ. `stamp` gives the columns that are set without being compared."""
    tally = Tally()
    for some in _chunks(rows):
        existing = model._default_manager.in_bulk(list(some))
        writes: list[models.Model] = []
        added = 0
        for identifier, row in some.items():
            old = existing.get(identifier)
            if old is None or any(getattr(old, name) != value for name, value in row.items()):
                added += old is None
                writes.append(model(**row, **stamp(old)))
        tally += Tally(added, len(writes) - added, len(some) - len(writes))
        if writes and not dry_run:
            _upsert(model, writes)
    return tally


def _upsert(model: type[models.Model], rows: list[models.Model]) -> None:
    """Insert or overwrite: another load may have added the same id since the rows were compared."""
    columns = [column.name for column in model._meta.concrete_fields]
    key = model._meta.pk.name
    model._default_manager.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=[key],
        update_fields=[name for name in columns if name != key],
    )


def _chunks(rows: Rows) -> Iterator[Rows]:
    # By id, so that two loads at once lock rows in one order and cannot block each other for ever.
    waiting = iter(sorted(rows.items()))
    while some := dict(islice(waiting, _ROWS_AT_ONCE)):
        yield some
