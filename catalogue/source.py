"""The port to wherever collections, batches, programs and profiles live.

`catalogue.local` answers from our own tables, `catalogue.sunbird` from Sunbird's services as well, with the same
methods. `catalogue.api` picks one; nobody else knows there is a choice.

An unknown id is absent from the answer, never an error. Repeated ids count once.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from catalogue.facts import BatchFacts, CollectionFacts, LearnerProfile, ProgramFacts


class Tree(NamedTuple):
    """A collection's hierarchy node and the version it was read at."""

    version: str
    node: Mapping[str, Any]


class TreeSource(Protocol):
    """Where hierarchies come from. Every method may be called from several threads at once."""

    def tree_version(self, collection_id: str) -> str | None:
        """An opaque text that differs after each change of the collection; None when it is unknown. Cheap."""

    def tree(self, collection_id: str) -> Tree | None:
        """The hierarchy node with its version, both of one moment; None when the collection is unknown."""


class CatalogueSource(TreeSource, Protocol):
    """Where the whole catalogue comes from. Every method may be called from several threads at once."""

    def collections(self, ids: Iterable[str]) -> dict[str, CollectionFacts]:
        """Each known collection by its id, without its tree."""

    def batches(self, ids: Iterable[str]) -> dict[str, BatchFacts]:
        """Each known batch by its id."""

    def batch_ids_of(self, collection_id: str) -> list[str]:
        """The batches of the collection and of every program that contains it."""

    def changed_since(self, since: datetime | None) -> list[tuple[str, datetime]]:
        """Collections changed after `since` (None: all) and when, oldest change first."""

    def programs(self, ids: Iterable[str]) -> dict[str, ProgramFacts]:
        """Each known program by its id."""

    def profiles(self, user_ids: Iterable[str]) -> dict[str, LearnerProfile]:
        """Each known learner's profile by user id."""
