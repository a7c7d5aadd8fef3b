"""Where a batch is in its days. Pure: the day is an argument, and days are the instance's (VIEWER_TIME_ZONE)."""

from datetime import date
from enum import IntEnum

from catalogue.facts import BatchFacts


class BatchStatus(IntEnum):
    """Where a batch is in its days. Numbers are the catalogue's."""

    UPCOMING = 0
    ONGOING = 1
    ENDED = 2


def status_on(batch: BatchFacts, day: date) -> BatchStatus:
    """From its dates, both inclusive, an absent one open; a batch its owner ended is ended whatever its dates say."""
    if batch.status == BatchStatus.ENDED or (batch.end_date is not None and day > batch.end_date):
        return BatchStatus.ENDED
    if batch.start_date is not None and day < batch.start_date:
        return BatchStatus.UPCOMING
    return BatchStatus.ONGOING
