"""What a batch allows on a given day. Pure: the day is an argument, and days are the instance's (VIEWER_TIME_ZONE).

The order of the checks is the older service's, because a client shows the first refusal (facts: enrol and unenrol).
"""

from datetime import date
from enum import IntEnum

from catalogue.facts import BatchFacts
from summaries.errors import BatchCompleted, EnrolmentDateEnded, InvalidBatch, InvalidEnrollmentType

ENROLLMENT_TYPES = frozenset({"open", "invite-only"})


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


def check_enrol(batch: BatchFacts | None, day: date, *, of: str) -> None:
    """Raises why nobody can be enrolled into `of` (a collection or a program) through this batch on `day`.

    A batch that has not begun takes enrolments: that is what its days before the start are for.
    """
    known = check_unenrol(batch, day, of=of)
    if known.enrollment_end_date is not None and day > known.enrollment_end_date:
        raise EnrolmentDateEnded


def check_unenrol(batch: BatchFacts | None, day: date, *, of: str) -> BatchFacts:
    """The batch. Raises why nobody can leave it on `day`."""
    if batch is None or of not in (batch.collection_id, batch.program_id):
        raise InvalidBatch
    if batch.enrollment_type.lower() not in ENROLLMENT_TYPES:
        raise InvalidEnrollmentType
    if status_on(batch, day) is BatchStatus.ENDED:
        raise BatchCompleted
    return batch
