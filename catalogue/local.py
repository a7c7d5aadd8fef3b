"""The catalogue from our own tables. One query for each 500 ids asked."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Model, Q

from catalogue.facts import BatchFacts, CollectionFacts, LearnerProfile, ProgramFacts
from catalogue.models import Batch, Collection, Learner, Program
from catalogue.source import Tree
from common.database import available

_IDS_PER_QUERY = 500  # SQLite builds differ in how many parameters a query may have; all take 999


class OrmCatalogue:
    """A `CatalogueSource` on the Django ORM. Holds no state. Every method raises Unavailable without a database."""

    @available()
    def tree_version(self, collection_id: str) -> str | None:
        """When the collection was last changed; None when it is unknown. One query."""
        found = Collection.objects.filter(pk=collection_id).values_list("updated_at", flat=True).first()
        return found.isoformat() if found else None

    @available()
    def tree(self, collection_id: str) -> Tree | None:
        """The stored node with its version; None when the collection is unknown. One query."""
        found: tuple[datetime, Any] | None = (
            Collection.objects.filter(pk=collection_id).values_list("updated_at", "hierarchy").first()
        )
        return Tree(found[0].isoformat(), found[1]) if found else None

    @available()
    def collections(self, ids: Iterable[str]) -> dict[str, CollectionFacts]:
        """Each known collection by its id; the trees are not read."""
        names = [field.name for field in fields(CollectionFacts)]
        return {row["collection_id"]: CollectionFacts(**row) for row in _rows(Collection, ids, names)}

    @available()
    def batches(self, ids: Iterable[str]) -> dict[str, BatchFacts]:
        """Each known batch by its id."""
        names = [field.name for field in fields(BatchFacts)]
        return {
            row["batch_id"]: BatchFacts(**{**row, "created_for": tuple(row["created_for"])})
            for row in _rows(Batch, ids, names)
        }

    @available()
    def batch_ids_of(self, collection_id: str) -> list[str]:
        """Its own batches and those of the programs that contain it, by id."""
        containing = [
            program_id
            for program_id, contained in Program.objects.values_list("program_id", "collections")
            if collection_id in contained
        ]
        wanted = Q(collection_id=collection_id) | Q(program_id__in=containing)
        return list(Batch.objects.filter(wanted).order_by("batch_id").values_list("batch_id", flat=True))

    @available()
    def changed_since(self, since: datetime | None) -> list[tuple[str, datetime]]:
        """By the stamp every load leaves on what it changed."""
        changed = Collection.objects.order_by("updated_at", "collection_id")
        if since is not None:
            changed = changed.filter(updated_at__gt=since)
        return list(changed.values_list("collection_id", "updated_at"))

    @available()
    def programs(self, ids: Iterable[str]) -> dict[str, ProgramFacts]:
        """Each known program by its id."""
        names = [field.name for field in fields(ProgramFacts)]
        return {
            row["program_id"]: ProgramFacts(**{**row, "collections": tuple(row["collections"])})
            for row in _rows(Program, ids, names)
        }

    @available()
    def profiles(self, user_ids: Iterable[str]) -> dict[str, LearnerProfile]:
        """Each known learner's profile by user id."""
        names = [field.name for field in fields(LearnerProfile)]
        return {row["user_id"]: LearnerProfile(**row) for row in _rows(Learner, user_ids, names)}


def _rows(model: type[Model], ids: Iterable[str], names: list[str]) -> Iterator[dict[str, Any]]:
    """The named columns of each known id. A facts class has its model's field names, so one list serves both."""
    distinct = iter(dict.fromkeys(ids))
    while some := list(islice(distinct, _IDS_PER_QUERY)):
        yield from model._default_manager.filter(pk__in=some).order_by().values(*names)
