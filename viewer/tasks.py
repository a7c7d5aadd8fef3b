"""Triggers: what a worker is asked to do. A body parses ids, calls one function and logs one line.

A lost or doubled message changes nothing: the marks in the store say what is to be done.
"""

import logging
import time
from dataclasses import asdict
from datetime import timedelta

from celery import shared_task
from django.conf import settings

from common import timestamps
from viewer import aggregator, publisher, statusmap, waking, walking

logger = logging.getLogger("viewer.tasks")
SWEEP_LIMIT = 1000
BEHIND_SECONDS = 0.3
CATCH_UP = 200  # marks a worker that is behind takes up beside those it was asked for


wake = waking.wake  # the name by which services ask for a task


@shared_task(name=waking.TASK)
def aggregate(user_ids: list[str], asked_at: float | None = None) -> None:
    """Folds every marked context of these learners and publishes what that completed.

    asked_at: when they were asked for, in epoch seconds. A worker that is behind takes those who have waited longest
    with them: what it folds at once costs little more than what it was asked for, and their own messages find nothing.
    """
    began = time.perf_counter()
    if asked_at is not None and time.time() - asked_at > BEHIND_SECONDS:
        user_ids = list(dict.fromkeys([*aggregator.longest_waiting(CATCH_UP, timestamps.now()), *user_ids]))
    tally, later = aggregator.fold_learners(user_ids, until=_until())
    for user_id in later:
        wake(user_id)
    # Always: the completion may have been folded by a read that came before this task.
    _log("aggregate", began, learners=len(user_ids), **asdict(tally), published=publisher.publish_waiting())


@shared_task(name="viewer.sweep")
def sweep() -> None:
    """Serves marks whose messages were lost, and publishes events that a killed worker left behind."""
    began = time.perf_counter()
    statusmap.heal(timestamps.now())
    tally = aggregator.sweep(SWEEP_LIMIT, timedelta(seconds=settings.VIEWER_SWEEP_SECONDS), until=_until())
    _log("sweep", began, **asdict(tally), published=publisher.publish_waiting())
    walking.go_on(until=_until())


def _until() -> float:
    """When a run takes up no further learner, in monotonic seconds: in time for the one in hand and for publishing."""
    return time.monotonic() + settings.VIEWER_TASK_SECONDS / 2


def _log(task: str, began: float, **counts: int) -> None:
    # A sweep that found nothing is the normal case and tells nobody anything.
    level = logging.INFO if any(counts.values()) else logging.DEBUG
    logger.log(level, task, extra={"ms": round((time.perf_counter() - began) * 1000, 1), **counts})
