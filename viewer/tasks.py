"""Triggers: what a worker is asked to do. A body parses ids, calls one function and logs one line.

A lost or doubled message changes nothing: the marks in the store say what is to be done.
"""

import logging
import time
from dataclasses import asdict
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from kombu.exceptions import OperationalError

from common import timestamps
from viewer import aggregator, publisher

logger = logging.getLogger("viewer.tasks")
SWEEP_LIMIT = 1000


@shared_task(name="viewer.aggregate")
def aggregate(user_id: str) -> None:
    """Folds every marked context of one learner and publishes what that completed."""
    began = time.perf_counter()
    tally = aggregator.fold_learner(user_id, timestamps.now())
    # Always: the completion may have been folded by a read that came before this task.
    _log("aggregate", began, **asdict(tally), published=publisher.publish_waiting())


@shared_task(name="viewer.sweep")
def sweep() -> None:
    """Serves marks whose messages were lost, and publishes events that a killed worker left behind."""
    began = time.perf_counter()
    tally = aggregator.sweep(SWEEP_LIMIT, timedelta(seconds=settings.VIEWER_SWEEP_SECONDS))
    _log("sweep", began, **asdict(tally), published=publisher.publish_waiting())


def wake(user_id: str) -> None:
    """Asks a worker to fold this learner. Never fails a request: without a broker the sweep finds the mark."""
    try:
        aggregate.apply_async(args=(user_id,), retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("broker unavailable", extra={"error": str(error)})


def _log(task: str, began: float, **counts: int) -> None:
    # A sweep that found nothing is the normal case and tells nobody anything.
    level = logging.INFO if any(counts.values()) else logging.DEBUG
    logger.log(level, task, extra={"ms": round((time.perf_counter() - began) * 1000, 1), **counts})
