"""What a batch allows on a given day. Pure: the day is an argument, and days are the instance's (VIEWER_TIME_ZONE).

The order of the checks is the older service's, because a client shows the first refusal (facts: enrol and unenrol).
"""

from datetime import date

from catalogue.days import BatchStatus, status_on
from catalogue.facts import BatchFacts
from summaries.errors import BatchCompleted, EnrolmentDateEnded, InvalidBatch, InvalidEnrollmentType

ENROLLMENT_TYPES = frozenset({"open", "invite-only"})


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
