"""Asks Sunbird's services and keeps what they answer in our tables, as loading a file would."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from catalogue.models import Fetch
from catalogue.reading import Document
from catalogue.storing import store
from catalogue.sunbird import contracts
from catalogue.sunbird.client import Neighbour, NeighbourFailed

logger = logging.getLogger("viewer.neighbours")
Kind = Fetch.Kind
MAX_PAGES = 25  # of one collection's batches


@dataclass(frozen=True, slots=True)
class Services:
    """The neighbours there are; None for one whose entries come from our tables alone."""

    content: Neighbour | None = None
    batch: Neighbour | None = None
    user: Neighbour | None = None

    def of(self, kind: Kind) -> Neighbour | None:
        """Who owns entries of this kind."""
        if kind is Kind.COLLECTION:
            return self.content
        return self.user if kind is Kind.LEARNER else self.batch


@dataclass(slots=True)
class Fetched:
    """What became of the ids that were asked for; those in neither set were not answered."""

    found: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


class Fetcher:
    """Fetches entries and stores each answer whole, with the time of it, in one transaction. now: UTC."""

    def __init__(self, services: Services, now: Callable[[], datetime]) -> None:
        self._services = services
        self._now = now

    def fetch(self, kind: Kind, ids: Sequence[str], *, held: bool) -> Fetched:
        """Asks for these ids in one call: one id, or up to contracts.USERS_AT_ONCE learners. A list may take pages.

        held: our tables have them, so that it is kept when the service no longer does. A neighbour's failure and a
        malformed answer leave ids unanswered, after a line in the log. Raises what our database raises.
        """
        neighbour = self._services.of(kind)
        if neighbour is None:
            return Fetched()
        ask = {
            Kind.COLLECTION: self._collection,
            Kind.BATCH: self._batch,
            Kind.BATCHES_OF: self._batches_of,
            Kind.LEARNER: self._learners,
        }[kind]
        try:
            fetched = ask(neighbour, ids)
        except NeighbourFailed:
            return Fetched()
        except contracts.Malformed as malformed:
            self._log(neighbour, kind, str(malformed))
            return Fetched()
        if held and fetched.unknown:
            self._stamp(kind, fetched.unknown, found=False)
        return fetched

    def _collection(self, neighbour: Neighbour, ids: Sequence[str]) -> Fetched:
        answer = neighbour.get(contracts.hierarchy_path(ids[0]))
        document = None if answer is None else contracts.hierarchy(answer, ids[0])
        return self._one(Kind.COLLECTION, ids[0], document)

    def _batch(self, neighbour: Neighbour, ids: Sequence[str]) -> Fetched:
        answer = neighbour.get(contracts.batch_path(ids[0]))
        document = None if answer is None else contracts.batch(answer, ids[0])
        return self._one(Kind.BATCH, ids[0], document)

    def _one(self, kind: Kind, entry_id: str, document: Document | None) -> Fetched:
        if document is None:
            return Fetched(unknown={entry_id})
        self._keep(document, kind, {entry_id})
        return Fetched(found={entry_id})

    def _batches_of(self, neighbour: Neighbour, ids: Sequence[str]) -> Fetched:
        """Each page is kept as it comes; the collection is stamped when the last one came."""
        offset = 0
        for _ in range(MAX_PAGES):
            answer = neighbour.post(contracts.BATCH_LIST, contracts.batch_list(ids[0], offset))
            if answer is None:
                break
            page = contracts.batches(answer, ids[0])
            self._keep(page.document, Kind.BATCH, page.document.batches)
            self._tell_refused(neighbour, Kind.BATCHES_OF, page)
            offset += page.entries
            if not page.entries or offset >= (contracts.BATCHES_AT_ONCE if page.total is None else page.total):
                break
        self._stamp(Kind.BATCHES_OF, ids, found=True)
        return Fetched(found=set(ids))

    def _learners(self, neighbour: Neighbour, ids: Sequence[str]) -> Fetched:
        """Learners the answer does not have are unknown; where entries were malformed, they may be among those."""
        answer = neighbour.post(contracts.USER_SEARCH, contracts.user_search(ids))
        if answer is None:
            return Fetched(unknown=set(ids))
        page = contracts.learners(answer, ids)
        self._keep(page.document, Kind.LEARNER, page.document.learners)
        self._tell_refused(neighbour, Kind.LEARNER, page)
        found = set(page.document.learners)
        return Fetched(found, set() if page.refused else set(ids) - found)

    def _keep(self, document: Document, kind: Kind, ids: Iterable[str]) -> None:
        with transaction.atomic():
            store(document, now=self._now())
            self._stamp(kind, ids, found=True)

    def _stamp(self, kind: Kind, ids: Iterable[str], *, found: bool) -> None:
        at = self._now()
        Fetch.objects.bulk_create(
            [Fetch(kind=kind, entry_id=one, fetched_at=at, found=found) for one in sorted(ids)],
            update_conflicts=True,
            unique_fields=["kind", "entry_id"],
            update_fields=["fetched_at", "found"],
        )

    def _tell_refused(self, neighbour: Neighbour, kind: Kind, page: contracts.Listed) -> None:
        if page.refused:
            self._log(neighbour, kind, f"{page.refused} of {page.entries} entries")

    def _log(self, neighbour: Neighbour, kind: Kind, reason: str) -> None:
        told = {"neighbour": neighbour.name, "kind": str(kind), "reason": reason}
        logger.warning("malformed answer of a neighbour", extra=told)
