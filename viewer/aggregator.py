"""Folds marked contexts: reads rows, adds them up, saves the aggregate and the enrolment, clears the mark.

Runs inside a worker's task, in a sweep, in a command and in a read whose learner has a pending mark: always this.
Two folds of one context at once are harmless: each save is conditional on the aggregate's version, read before the
rows, and the loser reads again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from django.conf import settings

from catalogue import api as catalogue
from common import timestamps
from common.errors import Unavailable
from common.rows import ContextKey, StaleMark
from viewer import outbox, progress
from viewer.store import get_store

ResultT = TypeVar("ResultT")
logger = logging.getLogger("viewer.aggregator")
MAX_TRIES = 8
REPUBLISHED = "republished"
LOOK_BACK = timedelta(minutes=10)  # longer than any load takes
_republished: dict[str, datetime] = {}
INLINE_LIMIT = 50  # contexts a read folds before it answers; the worker takes the rest


@dataclass(slots=True)
class Tally:
    """What a run did.

    folded: contexts read and added up; saved: those that had changed; completed: enrolments it completed; waiting:
    contexts whose tree is not known yet; retired: marks dropped with their retired collection; busy: given up for now;
    failed: contexts that could not be folded, which are tried again later.
    """

    folded: int = 0
    saved: int = 0
    completed: int = 0
    waiting: int = 0
    retired: int = 0
    busy: int = 0
    failed: int = 0

    def add(self, other: "Tally") -> None:
        """Counts `other` in."""
        self.folded += other.folded
        self.saved += other.saved
        self.completed += other.completed
        self.waiting += other.waiting
        self.retired += other.retired
        self.busy += other.busy
        self.failed += other.failed


def fold_learner(user_id: str, now: datetime) -> Tally:
    """Folds every marked context of one learner until none is marked or nothing more can be done now."""
    tally = Tally()
    seen: set[tuple[ContextKey, int]] = set()
    for _ in range(MAX_TRIES):
        marks = [mark for mark in get_store().marks(user_id) if (mark.key, mark.token) not in seen]
        if not marks:
            break
        for mark in marks:
            seen.add((mark.key, mark.token))
            tally.add(_served(mark, now))
    return tally


def fold_pending(keys: Iterable[ContextKey], now: datetime) -> None:
    """Folds those of one learner's contexts that are marked: what a read does before it answers. Bounded.

    A context that waits for its tree is left to the sweep, and one that cannot be folded does not fail the read: what
    the answer takes from the aggregate is then as it was folded last.
    """
    wanted = set(keys)
    if not wanted:
        return
    user_id = next(iter(wanted)).user_id
    marks = [mark for mark in get_store().marks(user_id) if mark.key in wanted]
    due = [mark for mark in marks if mark.not_before is None or mark.not_before <= now]
    for mark in sorted(due, key=lambda mark: mark.marked_at)[:INLINE_LIMIT]:
        _served(mark, now)


def _served(mark: StaleMark, now: datetime) -> Tally:
    """What serving the mark did; a context that cannot be folded is put off, and stops nobody else."""
    tally = _alone(lambda: serve(mark, now), Tally(failed=1), collection_id=mark.key.collection_id)
    if tally.failed:
        get_store().defer_mark(mark, now + timedelta(seconds=settings.VIEWER_UNKNOWN_TREE_SECONDS))
    return tally


def _alone(work: Callable[[], ResultT], otherwise: ResultT, **about: str) -> ResultT:
    """What `work` gives; `otherwise`, and the traceback in the log, where it fails: one learner's trouble is his own.

    Unavailable passes: without a store nobody can be served.
    """
    try:
        return work()
    except Unavailable:
        raise
    except Exception:
        logger.exception("work on one context failed", extra=about)
        return otherwise


def serve(mark: StaleMark, now: datetime) -> Tally:
    """Folds one marked context; clears its mark unless a new reason came, or defers it while its tree is not known."""
    tally = fold_context(mark.key, now)
    store = get_store()
    if tally.busy:
        return tally
    if tally.waiting:
        facts = catalogue.collections([mark.key.collection_id]).get(mark.key.collection_id)
        if facts is not None and facts.status == "Retired":
            tally.retired += store.clear_mark(mark)
        else:
            store.defer_mark(mark, now + timedelta(seconds=settings.VIEWER_UNKNOWN_TREE_SECONDS))
        return tally
    store.clear_mark(mark)
    return tally


def fold_context(key: ContextKey, now: datetime) -> Tally:
    """Adds up one context and saves it, where anything changed."""
    store = get_store()
    tally = Tally(folded=1)
    for _ in range(MAX_TRIES):
        sources = store.sources(key)
        # Fresh: what this fold clears may be the very mark that a new tree has caused.
        sources = progress.with_hierarchy(sources, catalogue.hierarchy(key.collection_id, fresh=True))
        folded = progress.fold(sources, now, reopen=settings.VIEWER_REOPEN_ON_REPUBLISH)
        tally.waiting = int(sources.hierarchy is None and not sources.organic)
        if sources.agg.version and not folded.completed and _unchanged(sources, folded):
            return tally
        events = outbox.completion_events(folded.enrolment, now) if folded.completed and folded.enrolment else []
        if store.save_fold(sources, folded, events):
            tally.saved, tally.completed = 1, int(folded.completed)
            return tally
    logger.warning("context is too busy to fold", extra={"collection_id": key.collection_id})
    tally.busy = 1
    return tally


def recompute(
    *, user_id: str | None = None, page: int = 500, dry_run: bool = False
) -> Iterator[tuple[ContextKey, Tally]]:
    """Folds every context of one learner, or of everybody, marked or not; yields after each.

    dry_run: folds and compares, and saves nothing; `saved` then counts what would have changed.
    """
    store, after = get_store(), None
    while True:
        keys = store.contexts(user_id) if user_id is not None else store.contexts_after(after, page)
        for key in keys:
            fold = partial(_compare, key) if dry_run else partial(fold_context, key, timestamps.now())
            yield key, _alone(fold, Tally(folded=1, failed=1), collection_id=key.collection_id)
        if user_id is not None or len(keys) < page:
            return
        after = keys[-1]


def _compare(key: ContextKey) -> Tally:
    """What a fold of this context would do."""
    sources = progress.with_hierarchy(get_store().sources(key), catalogue.hierarchy(key.collection_id))
    folded = progress.fold(sources, timestamps.now(), reopen=settings.VIEWER_REOPEN_ON_REPUBLISH)
    unchanged = _unchanged(sources, folded)
    waiting = int(sources.hierarchy is None and not sources.organic)
    return Tally(folded=1, saved=int(not unchanged), completed=int(folded.completed), waiting=waiting)


def _unchanged(sources: progress.Sources, folded: progress.Folded) -> bool:
    return progress.same_facts(folded.agg, sources.agg) and folded.enrolment == sources.enrolment


def mark_republished(now: datetime) -> int:
    """Marks the enrolments of every collection whose tree changed since this was last asked; how many.

    A tree that gained or lost leaves changes the counts of learners who do nothing. Resumable: the place is kept only
    after the marks, and marking twice is marking once. A load that commits late bears an earlier time than the place
    reached, so each run looks back a little and leaves out what this process has seen.
    """
    store = get_store()
    reached = store.watermark(REPUBLISHED)
    changed = catalogue.changed_since(reached - LOOK_BACK if reached else None)
    count = 0
    for collection_id, at in changed:
        if _republished.get(collection_id) == at:
            continue
        count += _mark_enrolments(collection_id, now)
        store.undefer_marks([collection_id])
        _republished[collection_id] = at
        store.set_watermark(REPUBLISHED, at)
    return count


def _mark_enrolments(collection_id: str, now: datetime) -> int:
    """Marks every enrolment of the collection; how many."""
    store = get_store()
    count = 0
    for batch_id in catalogue.batch_ids_of(collection_id):
        for enrolment in store.batch_enrolments(batch_id):
            if enrolment.collection_id == collection_id:
                store.mark(enrolment.key, now)
                count += 1
    return count


def sweep(limit: int, older_than: timedelta) -> Tally:
    """Serves the oldest marks, whatever became of their messages: at most `limit` of them."""
    now = timestamps.now()
    until = now - older_than
    _alone(lambda: mark_republished(until), 0)
    tally = Tally()
    for mark in get_store().oldest_marks(limit, before=until + timedelta(milliseconds=1), now=now):
        tally.add(_served(mark, now))
    return tally
