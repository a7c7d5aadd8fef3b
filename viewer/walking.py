"""Comes to every learner after a change of the mode or of its rules, a few at a time, and goes on where it was stopped.

A walk is a row that says how far it got. A worker's sweep takes it up, and a command may; who is at it holds a lease,
so that two do not walk the same way. Coming to a learner twice changes nothing.
"""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import F, Q

from common import timestamps
from common.database import available
from common.errors import Unavailable
from modes import instance, switching
from modes.models import Walk
from viewer import mode_change, rekeying
from viewer.store import get_store

logger = logging.getLogger("viewer.walking")
PAGE = 50
LEASE = timedelta(seconds=60)
PAUSE_SECONDS = 0.2


def go_on(until: float = math.inf, told: Callable[[Walk], None] = lambda _: None) -> Walk | None:
    """Goes on with the walk that is under way until `until` (monotonic s); the walk as it is now.

    told: called after each page. None: nobody has to be come to, or somebody else is at it. A learner who cannot be
    brought in line is counted, and stops nobody else. Raises Unavailable without a store.
    """
    walk = _taken_up(timestamps.now())
    while walk is not None and walk.finished_at is None and time.monotonic() < until:
        walk = _page(walk, until)
        if walk is not None:
            told(walk)
    if walk is not None:
        _lease(walk, None)
    return walk


def to_the_end(told: Callable[[Walk], None] = lambda _: None) -> Walk | None:
    """The walk that is under way, once it has come to its end, by this process or another; None: there is none.

    Returns also where it was replaced by a newer one. Raises Unavailable without a store.
    """
    walk = _newest()
    while walk is not None and walk.finished_at is None:
        if go_on(told=told) is None:
            time.sleep(PAUSE_SECONDS)  # somebody else is at it, or it is too early
        walk.refresh_from_db()
    return walk


@available()
def _newest() -> Walk | None:
    return Walk.objects.filter(finished_at=None).order_by("-id").first()


@available()
def _taken_up(now: datetime) -> Walk | None:
    """The newest walk, with this process's lease; None where there is none to take up."""
    chosen = instance.read()
    if not chosen.rows_settled and not rekeying.is_quiet(chosen, now):
        return None  # somebody may still write as before: a learner come to now would have to be come to again
    walk = _newest()
    if walk is None or (now - walk.started_at).total_seconds() <= instance.MAX_AGE_SECONDS:
        return None  # a process that has not seen the change would do nothing for those it came to
    free = Walk.objects.filter(Q(leased_until=None) | Q(leased_until__lt=now), pk=walk.pk, finished_at=None)
    return walk if free.update(leased_until=now + LEASE) else None


def _page(walk: Walk, until: float) -> Walk | None:
    """Comes to the next learners; the walk with how far it got, None where a newer one has replaced it."""
    user_ids = get_store().learners_after(walk.after or None, PAGE)
    learners = carried = failed = 0
    for user_id in user_ids:
        if learners and time.monotonic() >= until:
            break
        moved = _come_to(user_id, walk)
        learners, carried, failed = learners + 1, carried + (moved or 0), failed + (moved is None)
        walk.after = user_id
    return _noted(walk, learners, carried, failed, is_last=not user_ids)


def _come_to(user_id: str, walk: Walk) -> int | None:
    """How much was carried for one learner; None where that failed."""
    try:
        return len(mode_change.bring_in_line(user_id, timestamps.now(), trigger="change"))
    except Unavailable:
        raise
    except Exception:
        logger.exception("a learner could not be brought in line", extra={"walk": walk.pk})
        return None


@available()
def _noted(walk: Walk, learners: int, carried: int, failed: int, *, is_last: bool) -> Walk | None:
    now = timestamps.now()
    changed = Walk.objects.filter(pk=walk.pk, finished_at=None).update(
        after=walk.after,
        learners=F("learners") + learners,
        carried=F("carried") + carried,
        failed=F("failed") + failed,
        leased_until=now + LEASE,
        finished_at=now if is_last else None,
    )
    if not changed:
        return None
    walk.refresh_from_db()
    if is_last and not walk.failed:
        switching.settle(walk.epoch)
    logger.info("walk", extra={"walk": walk.pk, "learners": walk.learners, "carried": walk.carried})
    return walk


@available()
def _lease(walk: Walk, until: datetime | None) -> None:
    Walk.objects.filter(pk=walk.pk).update(leased_until=until)
