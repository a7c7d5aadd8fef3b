"""Parsed hierarchies kept in the process, never older than the re-check interval.

Not in a shared cache: the parsed tree is a web of objects, cheap to keep and dear to send. Freshness comes from
asking the source for the version instead, so a load in one process is seen by all of them.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from catalogue.hierarchy import Hierarchy
from catalogue.source import TreeSource

RECHECK_SECONDS = 1.0
MAX_ENTRIES = 1024


@dataclass(slots=True)
class _Entry:
    """One collection's place in the cache. The lock lets one thread ask while the others wait for its answer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    checked_at: float | None = None
    version: str | None = None
    hierarchy: Hierarchy | None = None


class HierarchyCache:
    """Hierarchies by collection id, each parsed once per version. Thread-safe; the least used leave first.

    recheck_seconds: how long an answer is given without asking the source again. clock: seconds, monotonic.
    Unknown collections are remembered as unknown for as long, since views outside any course ask for them often.
    """

    def __init__(
        self,
        source: TreeSource,
        *,
        recheck_seconds: float = RECHECK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._source = source
        self._recheck_seconds = recheck_seconds
        self._clock = clock
        self._max_entries = max_entries
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, collection_id: str, *, fresh: bool = False) -> Hierarchy | None:
        """The collection's hierarchy, or None when it is unknown. fresh: as it is now, not within the interval.

        Cost: nothing within the interval, one small query after it, one more when the collection has changed.
        """
        entry = self._entry(collection_id)
        with entry.lock:
            started = self._clock()  # before asking: a change during the query must not be missed for longer
            if fresh or entry.checked_at is None or started - entry.checked_at >= self._recheck_seconds:
                self._refresh(collection_id, entry)
                entry.checked_at = started
            return entry.hierarchy

    def forget(self) -> None:
        """Drop everything: the next call of each collection asks the source."""
        with self._lock:
            self._entries.clear()

    def _entry(self, collection_id: str) -> _Entry:
        with self._lock:
            entry = self._entries.get(collection_id)
            if entry is None:
                entry = self._entries[collection_id] = _Entry()
                if len(self._entries) > self._max_entries:
                    self._entries.popitem(last=False)
            else:
                self._entries.move_to_end(collection_id)
            return entry

    def _refresh(self, collection_id: str, entry: _Entry) -> None:
        known = entry.version is not None
        if known and self._source.tree_version(collection_id) == entry.version:
            return
        tree = self._source.tree(collection_id)
        entry.version = tree.version if tree else None
        entry.hierarchy = Hierarchy.from_node(tree.node) if tree else None
