"""Folds marked contexts: reads rows, adds them up, saves the aggregate and the enrolment, clears the mark.

Runs inside a worker's task, in a sweep, in a command and in a read whose learner has a pending mark: always this.
Two folds of one context at once are harmless: each save is conditional on the aggregate's version, read before the
rows, and the loser reads again.
"""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TypeVar

from django.conf import settings

from catalogue import api as catalogue
from common import timestamps
from common.errors import Unavailable
from common.rows import ContextKey, StaleMark
from modes import keys
from viewer import counting, outbox, progress, reaching, rekeying, turns
from viewer.store import Fold, get_store

ResultT = TypeVar("ResultT")
logger = logging.getLogger("viewer.aggregator")
MAX_TRIES = 8
REPUBLISHED = "republished"
LOOK_BACK = timedelta(minutes=10)  # longer than any load takes
_republished: dict[str, datetime] = {}
TOGETHER = 100  # learners folded in one go
STEPS = 3  # a view's own context, the enrolments it counts in, and one more for what came meanwhile
INLINE_LIMIT = 50  # contexts a read folds before it answers; the worker takes the rest


@dataclass(slots=True)
class Tally:
    """What a run did.

    folded: contexts read and added up; saved: those that had changed; completed: enrolments it completed; waiting:
    contexts whose tree is not known yet; retired: marks dropped with their retired collection; busy: given up for now;
    failed: contexts that could not be folded, which are tried again later; left: learners left to the worker that folds
    them already; again: learners whose marks came faster than one run may fold them; reached:
    contexts it marked because what was folded counts in them too.
    """

    folded: int = 0
    saved: int = 0
    completed: int = 0
    waiting: int = 0
    retired: int = 0
    busy: int = 0
    failed: int = 0
    left: int = 0
    again: int = 0
    reached: int = 0

    def add(self, other: "Tally") -> None:
        """Counts `other` in."""
        self.folded += other.folded
        self.saved += other.saved
        self.completed += other.completed
        self.waiting += other.waiting
        self.retired += other.retired
        self.busy += other.busy
        self.failed += other.failed
        self.left += other.left
        self.again += other.again
        self.reached += other.reached


def fold_learners(user_ids: Sequence[str], until: float) -> tuple[Tally, list[str]]:
    """Folds these learners; what that did, and who needs another run.

    Those are whom it did not come to by `until` (monotonic s), and who has new marks all the time. One whose fold fails
    is counted and stops nobody else.
    """
    tally = Tally()
    later: list[str] = []
    for place in range(0, len(user_ids), TOGETHER):
        if time.monotonic() >= until:
            return tally, [*later, *user_ids[place:]]
        later += _fold_in_turns(user_ids[place : place + TOGETHER], timestamps.now(), tally)
    return tally, later


def fold_learner(user_id: str, now: datetime) -> Tally:
    """Folds every marked context of one learner until none is marked or nothing more can be done now."""
    tally = Tally()
    _fold_in_turns([user_id], now, tally)
    return tally


def _fold_in_turns(
    user_ids: Sequence[str], now: datetime, tally: Tally, wanted: Callable[[StaleMark], bool] = lambda _: True
) -> list[str]:
    """Folds the wanted marks of these learners, each once, but for those another worker is at; who has ever new ones.

    Marks are looked for without a turn before and after each: who came during the turn was sent away, and the mark it
    came for may be newer than the last look within.
    """
    seen: set[tuple[ContextKey, int]] = set()

    def due(of: Sequence[str]) -> list[StaleMark]:
        return [mark for mark in get_store().marks_of(of) if (mark.key, mark.token) not in seen and wanted(mark)]

    mine = list(user_ids)
    for _ in range(MAX_TRIES):
        waiting = list(dict.fromkeys(mark.key.user_id for mark in due(mine)))
        if not waiting:
            return []
        with turns.turns(waiting) as mine:
            tally.left += len(waiting) - len(mine)
            marks = due(mine)
            seen |= {(mark.key, mark.token) for mark in marks}
            _serve_all(marks, now, tally)
    tally.again += len(mine)
    return mine


def _serve_all(marks: Sequence[StaleMark], now: datetime, tally: Tally) -> None:
    """Serves these marks in a few statements for all; what cannot be done with the others is done by itself."""
    try:
        served = _serve_together(marks, now)
    except Unavailable:
        raise
    except Exception:
        logger.warning("folding one by one", exc_info=True)
        served = {}
    _pass_on(served, now)
    get_store().clear_marks([mark for mark, one in served.items() if not one.failed])
    for mark in marks:
        tally.add(_put_off(mark, served[mark], now) if mark in served else _served(mark, now))


def _pass_on(served: dict[StaleMark, Tally], now: datetime) -> None:
    """Lets what was folded count elsewhere too; a learner with whom that fails is to be folded again."""
    of_learner: dict[str, list[StaleMark]] = defaultdict(list)
    for mark, told in served.items():
        if not told.failed:
            of_learner[mark.key.user_id].append(mark)
    for marks in of_learner.values():
        reached = _alone(partial(reaching.pass_on, [mark.key for mark in marks], now), None)
        if reached is None:
            served.update(dict.fromkeys(marks, Tally(failed=1)))
        else:
            served[marks[0]].reached = reached


def _serve_together(marks: Sequence[StaleMark], now: datetime) -> dict[StaleMark, Tally]:
    """Folds and saves these contexts in one go; each mark with what its fold did.

    Those are left out whose tree is not known, and all that would change where one was lost to another writer.
    """
    store = get_store()
    rekeying.bring(mark.key.user_id for mark in marks)
    sources = store.sources_of([mark.key for mark in marks])
    # Fresh: what a fold clears may be the very mark that a new tree has caused.
    tree = cache(partial(catalogue.hierarchy, fresh=True))

    def fold(found: progress.Sources) -> Fold:
        return _fold(counting.counted(found, tree), now)

    served: dict[StaleMark, Tally] = {}
    changed: dict[StaleMark, Fold] = {}
    for mark, found in zip(marks, sources, strict=True):
        made = _alone(partial(fold, found), None, collection_id=mark.key.collection_id)
        if made is None:
            served[mark] = Tally(failed=1)
        elif made.sources.hierarchy is None and not made.sources.organic:
            continue
        elif _says_the_same(made):
            served[mark] = Tally(folded=1)
        else:
            changed[mark] = made
    if store.save_folds(list(changed.values())):
        served |= {mark: Tally(folded=1, saved=1, completed=int(one.folded.completed)) for mark, one in changed.items()}
    return served


def _fold(sources: progress.Sources, now: datetime) -> Fold:
    """What these sources add up to, with the events of a completion."""
    folded = progress.fold(sources, now, reopen=settings.VIEWER_REOPEN_ON_REPUBLISH)
    events = outbox.completion_events(folded.enrolment, now) if folded.completed and folded.enrolment else []
    return Fold(sources, folded, events)


def _says_the_same(fold: Fold) -> bool:
    """True where there is nothing to store."""
    return bool(fold.sources.agg.version) and not fold.folded.completed and _unchanged(fold.sources, fold.folded)


def fold_pending(wanted: Iterable[ContextKey], now: datetime) -> None:
    """Folds those of one learner's contexts that are marked: what a read does before it answers. Bounded.

    A context that waits for its tree is left to the sweep, and one that cannot be folded does not fail the read: what
    the answer takes from the aggregate is then as it was folded last.
    """
    asked = set(wanted)
    if not asked:
        return
    user_id = next(iter(asked)).user_id
    mode = rekeying.mode_for(user_id)
    for _ in range(STEPS):
        marks = get_store().marks(user_id)
        awaited = keys.awaited(mode, {mark.key for mark in marks}, asked)
        due = [mark for mark in marks if mark.key in awaited and _is_due(mark, now)]
        if not due:
            return
        if mode.ignores_context:
            # What was viewed is counted wherever it is kept: its own marks, of which there may be any number, can wait.
            enrolled = {enrolment.key for enrolment in get_store().enrolments(user_id)}
            for key in sorted(asked & (enrolled | awaited))[:INLINE_LIMIT]:
                _alone(partial(fold_context, key, now), None, collection_id=key.collection_id)
            return
        _serve_each(sorted(due, key=lambda mark: mark.marked_at)[:INLINE_LIMIT], now)
        if not mode.reaches_others:
            return


def _serve_each(marks: Sequence[StaleMark], now: datetime) -> None:
    """Serves one learner's marks one by one, and lets all of it reach his other contexts at once."""
    served = {
        mark: _alone(partial(fold_context, mark.key, now), Tally(failed=1), collection_id=mark.key.collection_id)
        for mark in marks
    }
    _pass_on(served, now)
    for mark, told in served.items():
        _put_off(mark, _settled(mark, told, now), now)


def _is_due(mark: StaleMark, now: datetime) -> bool:
    return mark.not_before is None or mark.not_before <= now


def _served(mark: StaleMark, now: datetime) -> Tally:
    """What serving the mark did; a context that cannot be folded is put off, and stops nobody else."""
    tally = _alone(lambda: serve(mark, now), Tally(failed=1), collection_id=mark.key.collection_id)
    return _put_off(mark, tally, now)


def _put_off(mark: StaleMark, tally: Tally, now: datetime) -> Tally:
    """`tally`; the mark is deferred where it tells of a failure."""
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
    """Folds one marked context, lets it reach others, and settles its mark."""
    tally = fold_context(mark.key, now)
    tally.reached += reaching.pass_on([mark.key], now)  # before the mark goes: whoever is killed here is repeated
    return _settled(mark, tally, now)


def _settled(mark: StaleMark, tally: Tally, now: datetime) -> Tally:
    """`tally` of its fold; the mark is cleared unless a new reason came, or put off while its tree is not known."""
    store = get_store()
    if tally.busy or tally.failed:
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
    rekeying.bring([key.user_id])
    tally = Tally(folded=1)
    for _ in range(MAX_TRIES):
        # Fresh: what this fold clears may be the very mark that a new tree has caused.
        sources = counting.counted(store.sources(key), partial(catalogue.hierarchy, fresh=True))
        fold = _fold(sources, now)
        tally.waiting = int(sources.hierarchy is None and not sources.organic)
        if _says_the_same(fold):
            return tally
        if store.save_fold(sources, fold.folded, fold.events):
            tally.saved, tally.completed = 1, int(fold.folded.completed)
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
        contexts = _own_contexts(user_id) if user_id is not None else store.contexts_after(after, page)
        for key in contexts:
            fold = partial(_compare, key) if dry_run else partial(fold_context, key, timestamps.now())
            yield key, _alone(fold, Tally(folded=1, failed=1), collection_id=key.collection_id)
        if user_id is not None or len(contexts) < page:
            return
        after = contexts[-1]


def _own_contexts(user_id: str) -> list[ContextKey]:
    """Where the learner has progress, and where he is enrolled: there it may be counted from elsewhere."""
    store = get_store()
    return sorted({*store.contexts(user_id), *(enrolment.key for enrolment in store.enrolments(user_id))})


def _compare(key: ContextKey) -> Tally:
    """What a fold of this context would do."""
    sources = counting.counted(get_store().sources(key), catalogue.hierarchy)
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


def sweep(limit: int, older_than: timedelta, until: float = math.inf) -> Tally:
    """Serves the learners of the `limit` oldest marks, whatever became of their messages.

    until: monotonic s after which no further learner is taken up; the next sweep goes on there.
    """
    now = timestamps.now()
    before = now - older_than
    _alone(lambda: mark_republished(before), 0)
    tally = Tally()
    user_ids = longest_waiting(limit, now, before=before + timedelta(milliseconds=1))
    for place in range(0, len(user_ids), TOGETHER):
        if time.monotonic() >= until:
            break
        _fold_in_turns(user_ids[place : place + TOGETHER], now, tally, partial(_is_due, now=now))
    return tally


def longest_waiting(limit: int, now: datetime, before: datetime | None = None) -> list[str]:
    """The learners of the `limit` oldest marks that are due and were made before `before` (now)."""
    oldest = get_store().oldest_marks(limit, before=before or now, now=now)
    return list(dict.fromkeys(mark.key.user_id for mark in oldest))
