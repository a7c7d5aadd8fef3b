"""A source that reads through our tables: what Sunbird's services own is fetched when it is missing or old.

The tables are the cache, shared by all processes and kept over restarts; here is only what a process remembers of
when to ask again. Whatever a neighbour does, an answer comes from the tables, and no error of his reaches a caller.

An entry that is merely old is answered as it is and fetched behind the caller's back. A missing one is waited for, at
most as long as a call may take; of many threads one asks. After a failure nobody asks for the same for a while.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar
from weakref import WeakSet

from django.core.signals import request_finished
from django.db import DatabaseError, connections, transaction

from catalogue.facts import BatchFacts, CollectionFacts, LearnerProfile, ProgramFacts
from catalogue.local import OrmCatalogue
from catalogue.models import Fetch
from catalogue.source import Tree
from catalogue.sunbird import contracts
from catalogue.sunbird.allowance import CALLS, Allowance
from catalogue.sunbird.client import Neighbour
from catalogue.sunbird.crew import Crew
from catalogue.sunbird.fetching import Fetched, Fetcher, Kind, Services
from common import timestamps
from common.database import available

logger = logging.getLogger("viewer.neighbours")
UNKNOWN_SECONDS = 30.0  # how long an id that the service does not know is not asked for
RETRY_SECONDS = 10.0  # the same after a failure
THREADS = 4  # of each neighbour, so that a slow one does not hold up the others
WAITING = 64
_IDS_PER_QUERY = 500
_REMEMBERED = 100_000
_AT_ONCE = {Kind.LEARNER: contracts.USERS_AT_ONCE}
_T = TypeVar("_T")
_Key = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old an entry may be before it is fetched again, in seconds."""

    hierarchy: float = 300
    batch: float = 60
    profile: float = 3600

    def of(self, kind: Kind) -> float:
        """The age of this kind."""
        if kind is Kind.COLLECTION:
            return self.hierarchy
        return self.profile if kind is Kind.LEARNER else self.batch


class _Memory:
    """Until when not to ask for an id, and whether the tables have it. Written under the source's lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[_Key, tuple[float, bool]] = {}

    def due(self, key: _Key) -> bool:
        """Whether the id may be asked for."""
        told = self._told.get(key)
        return told is None or self._clock() >= told[0]

    def held(self, key: _Key) -> bool:
        """Whether the tables were last seen to have the id."""
        told = self._told.get(key)
        return told is not None and told[1]

    def settle(self, key: _Key, seconds: float, *, held: bool) -> None:
        """Have nobody ask for so long."""
        self._told.pop(key, None)
        self._told[key] = (self._clock() + seconds, held)
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]  # the one settled first


@dataclass(slots=True)
class _Flight:
    """One call on its way, for these ids. `landed`: whether our tables have more since."""

    kind: Kind
    ids: Sequence[str]
    held: bool
    landed: "Future[bool]" = field(default_factory=Future)


class SunbirdCatalogue:
    """A `CatalogueSource` over Sunbird's services and our tables. Raises Unavailable where our database is away.

    clock: seconds, monotonic; now: UTC, what the tables' times are compared to.
    """

    def __init__(
        self,
        services: Services,
        freshness: Freshness | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = timestamps.now,
    ) -> None:
        self._services = services
        self._freshness = freshness or Freshness()
        self._clock = clock
        self._now = now
        self._tables = OrmCatalogue()
        self._fetcher = Fetcher(services, now)
        self._patience = max((one.seconds for one in self._neighbours()), default=0.0)
        self._crews = {one.name: Crew(one.name, threads=THREADS, waiting=WAITING) for one in self._neighbours()}
        self._allowance = Allowance(seconds=self._patience, clock=clock)
        request_finished.connect(self._allowance.renew)
        self.forget()
        _sources.add(self)

    def forget(self) -> None:
        """Begins anew, as after a fork: with what the tables have."""
        self._lock = threading.Lock()
        self._memory = _Memory(self._clock)
        self._flights: dict[_Key, _Flight] = {}
        for neighbour in self._neighbours():
            self._crews[neighbour.name].forget()
            neighbour.breaker.forget()

    def tree_version(self, collection_id: str) -> str | None:
        """As the tables have it; a collection they do not have is asked for first."""
        return self._through(Kind.COLLECTION, [collection_id], self._versions).get(collection_id)

    def tree(self, collection_id: str) -> Tree | None:
        """As `tree_version`."""
        return self._through(Kind.COLLECTION, [collection_id], self._trees).get(collection_id)

    def collections(self, ids: Iterable[str]) -> dict[str, CollectionFacts]:
        """The known ones; at most allowance.CALLS of the missing ones are asked for."""
        return self._through(Kind.COLLECTION, ids, self._tables.collections)

    def batches(self, ids: Iterable[str]) -> dict[str, BatchFacts]:
        """As `collections`."""
        return self._through(Kind.BATCH, ids, self._tables.batches)

    def batch_ids_of(self, collection_id: str) -> list[str]:
        """As the tables have them, once the service's list was read."""
        self._through(Kind.BATCHES_OF, [collection_id], lambda ids: self._stamps(Kind.BATCHES_OF, ids))
        return self._tables.batch_ids_of(collection_id)

    def changed_since(self, since: datetime | None) -> list[tuple[str, datetime]]:
        """What fetching and loading changed."""
        return self._tables.changed_since(since)

    def programs(self, ids: Iterable[str]) -> dict[str, ProgramFacts]:
        """From the tables alone: Sunbird has no service of programs."""
        return self._tables.programs(ids)

    def profiles(self, user_ids: Iterable[str]) -> dict[str, LearnerProfile]:
        """The known ones; of the missing ones at most allowance.CALLS hundreds are asked for.

        Only reports read profiles, and many at once: they do not draw on what a request may wait for.
        """
        return self._through(Kind.LEARNER, user_ids, self._tables.profiles)

    def _versions(self, ids: list[str]) -> dict[str, str]:
        told = {one: self._tables.tree_version(one) for one in ids}
        return {one: version for one, version in told.items() if version is not None}

    def _trees(self, ids: list[str]) -> dict[str, Tree]:
        told = {one: self._tables.tree(one) for one in ids}
        return {one: tree for one, tree in told.items() if tree is not None}

    def _neighbours(self) -> Iterator[Neighbour]:
        services = self._services
        return (one for one in (services.content, services.batch, services.user) if one is not None)

    def _through(self, kind: Kind, ids: Iterable[str], read: Callable[[list[str]], Mapping[str, _T]]) -> dict[str, _T]:
        """What `read` finds in the tables, after the missing ones were waited for; old ones are fetched meanwhile.

        Cost beside `read`: nothing for what is fresh, one query for each 500 ids that this process knows nothing of.
        """
        wanted = list(dict.fromkeys(ids))
        found = dict(read(wanted))
        neighbour = self._services.of(kind)
        if neighbour is None:
            return found
        missing = [one for one in wanted if one not in found]
        if missing and self._await(neighbour, kind, missing):
            found = dict(read(wanted))
        self._refresh_old(neighbour, kind, [one for one in found if self._memory.due((kind, one))])
        return found

    # --- missing: waited for -------------------------------------------------------------------------------------

    def _await(self, neighbour: Neighbour, kind: Kind, ids: Sequence[str]) -> bool:
        """Whether the tables may have more of these ids now."""
        if transaction.get_connection().in_atomic_block:
            return False  # what is fetched could not be stored while this one holds the database
        limited = kind is not Kind.LEARNER
        patience = self._allowance.seconds if limited else self._patience
        calls = self._allowance.calls() if limited else CALLS
        landed, joined, begun = self._boarded(neighbour, kind, ids, calls)
        if not joined:
            return landed
        started = time.monotonic()
        done, _ = wait([flight.landed for flight in joined], max(patience, 0))
        if limited:
            self._allowance.spend(calls=begun, seconds=time.monotonic() - started)
        return landed or any(one.result() for one in done)

    def _boarded(
        self, neighbour: Neighbour, kind: Kind, ids: Sequence[str], calls: int
    ) -> tuple[bool, list[_Flight], int]:
        """Whether some came since they were missed, the flights that bring others, and how many of those are new."""
        with self._lock:
            flights = [self._flights[kind, one] for one in ids if (kind, one) in self._flights]
            grounded = [one for one in ids if (kind, one) not in self._flights]
            landed = any(self._memory.held((kind, one)) for one in grounded)
            due = [one for one in grounded if self._memory.due((kind, one))]
            begun = self._launch(neighbour, kind, due, calls, held=False)
        return landed, flights + begun, len(begun)

    # --- old: fetched behind the caller's back -------------------------------------------------------------------

    def _refresh_old(self, neighbour: Neighbour, kind: Kind, ids: list[str]) -> None:
        if not ids:
            return
        stamps, now, freshness = self._stamps(kind, ids), self._now(), self._freshness.of(kind)
        fresh = {one: freshness - (now - stamps[one]).total_seconds() for one in ids if one in stamps}
        with self._lock:
            due = [one for one in ids if self._memory.due((kind, one))]  # another thread may just have settled one
            for one in due:
                # An old one too: while it is on its way, and for a while after a failure, it is good enough.
                left = min(fresh.get(one, 0), freshness)
                self._memory.settle((kind, one), left if left > 0 else RETRY_SECONDS, held=True)
            old = [one for one in due if fresh.get(one, 0) <= 0 and (kind, one) not in self._flights]
            self._launch(neighbour, kind, old, CALLS, held=True)

    @available()
    def _stamps(self, kind: Kind, ids: Sequence[str]) -> dict[str, datetime]:
        """When these were last fetched. One query for each 500 ids."""
        found: dict[str, datetime] = {}
        for place in range(0, len(ids), _IDS_PER_QUERY):
            some = Fetch.objects.filter(kind=kind, entry_id__in=ids[place : place + _IDS_PER_QUERY]).order_by()
            found.update(some.values_list("entry_id", "fetched_at"))
        return found

    # --- flights -------------------------------------------------------------------------------------------------

    def _launch(self, neighbour: Neighbour, kind: Kind, ids: Sequence[str], calls: int, *, held: bool) -> list[_Flight]:
        """Flights for the first of these ids, at most `calls`. Under the lock."""
        size = _AT_ONCE.get(kind, 1)
        begun: list[_Flight] = []
        if neighbour.breaker.is_open:
            return begun
        for place in range(0, min(len(ids), calls * size), size):
            flight = _Flight(kind, ids[place : place + size], held)
            if not self._crews[neighbour.name].take(partial(self._fly, flight), urgent=not held):
                break
            self._flights.update({(kind, one): flight for one in flight.ids})
            begun.append(flight)
        return begun

    def _fly(self, flight: _Flight) -> None:
        """Fetches, remembers what came of it, and tells those who wait. Never raises."""
        try:
            fetched = self._fetcher.fetch(flight.kind, flight.ids, held=flight.held)
        except Exception as error:  # noqa: BLE001 - our own database's, mostly; the thread has to live
            logger.warning("nothing was kept of a neighbour's answer", extra={"error": type(error).__name__})
            fetched = Fetched()
        with suppress(DatabaseError):
            connections.close_all()  # this thread's; the next job may be long in coming
        with self._lock:
            for one in flight.ids:
                self._settle(flight, one, fetched)
        flight.landed.set_result(bool(fetched.found))

    def _settle(self, flight: _Flight, one: str, fetched: Fetched) -> None:
        key = (flight.kind, one)
        self._flights.pop(key, None)
        if one in fetched.found or (flight.held and one in fetched.unknown):
            self._memory.settle(key, self._freshness.of(flight.kind), held=True)
        elif one in fetched.unknown:
            self._memory.settle(key, UNKNOWN_SECONDS, held=False)
        else:
            self._memory.settle(key, RETRY_SECONDS, held=flight.held)


_sources: "WeakSet[SunbirdCatalogue]" = WeakSet()


def _after_fork() -> None:
    for source in list(_sources):
        source.forget()


os.register_at_fork(after_in_child=_after_fork)
