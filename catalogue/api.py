"""What the other apps may ask of the catalogue. Plain values out; no model, no queryset.

Where Sunbird's services are configured, what is missing or old comes from them (`catalogue/sunbird/`); the costs told
here are those of what is fresh. All functions are thread-safe. An unknown id gives None, or is absent from the answer;
repeated ids count once. Ids are taken as they are: the edge has checked them.
"""

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.utils.module_loading import import_string

from catalogue.cache import HierarchyCache
from catalogue.facts import BatchFacts, CollectionFacts, LearnerProfile, ProgramFacts
from catalogue.hierarchy import Hierarchy, Leaf, Node
from catalogue.local import OrmCatalogue
from catalogue.source import CatalogueSource

__all__ = [
    "BatchFacts",
    "CollectionFacts",
    "Hierarchy",
    "Leaf",
    "LearnerProfile",
    "Node",
    "ProgramFacts",
    "batch",
    "batch_ids_of",
    "batches",
    "changed_since",
    "collections",
    "forget_hierarchies",
    "hierarchy",
    "profiles",
    "program",
]


def _configured() -> CatalogueSource:
    """The source that the settings choose."""
    if not settings.VIEWER_SUNBIRD_SERVICES:
        return OrmCatalogue()
    source: CatalogueSource = import_string("catalogue.sunbird.wiring.catalogue")()  # httpx is loaded only where used
    return source


_source = _configured()
_hierarchies = HierarchyCache(_source)


def hierarchy(collection_id: str, *, fresh: bool = False) -> Hierarchy | None:
    """The collection's tree, at most one second old; None when the collection is unknown. fresh: as it is now.

    A child course that was only ever seen inside another collection's tree is answered too. Cost: no query within a
    second of the last check, then one for its version, and one for the tree when that is new.
    """
    return _hierarchies.get(collection_id, fresh=fresh)


def collections(ids: Iterable[str]) -> dict[str, CollectionFacts]:
    """The known ones of these collections by id, child courses of loaded trees included. One query per 500 ids."""
    return _source.collections(ids)


def batch(batch_id: str) -> BatchFacts | None:
    """The batch, or None when it is unknown. One query."""
    return _source.batches([batch_id]).get(batch_id)


def batches(ids: Iterable[str]) -> dict[str, BatchFacts]:
    """The known ones of these batches by id. One query per 500 ids."""
    return _source.batches(ids)


def batch_ids_of(collection_id: str) -> list[str]:
    """Every batch one can be enrolled in the collection with: its own, and those of programs that contain it.

    Three queries.
    """
    return _source.batch_ids_of(collection_id)


def changed_since(since: datetime | None) -> list[tuple[str, datetime]]:
    """The collections a load changed after `since` (None: all) and when, oldest change first. One query."""
    return _source.changed_since(since)


def program(program_id: str) -> ProgramFacts | None:
    """The program with its collections in order, or None when it is unknown. One query."""
    return _source.programs([program_id]).get(program_id)


def profiles(user_ids: Iterable[str]) -> dict[str, LearnerProfile]:
    """The known ones of these learners by user id. One query per 500 ids."""
    return _source.profiles(user_ids)


def forget_hierarchies() -> None:
    """Drop this process's parsed trees, so that the next question sees the tables as they are now.

    Loading does this by itself. Tests that roll back what they loaded need it between each other.
    """
    _hierarchies.forget()
