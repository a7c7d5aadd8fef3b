"""What a batch allows on which day: both ends inclusive, days where the instance is."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from catalogue.days import BatchStatus, status_on
from catalogue.facts import BatchFacts
from common.errors import ViewerError
from summaries.batches import check_enrol, check_unenrol
from summaries.services import today

START, END = date(2026, 3, 2), date(2026, 3, 20)


def batch(**more: Any) -> BatchFacts:
    told = {"status": 1, "enrollment_type": "open", "start_date": START, "end_date": END, "enrollment_end_date": None}
    owner = {"collection_id": "class-1-maths", "program_id": None}
    return BatchFacts(**{"batch_id": "batch-1", "name": "", "created_for": (), **owner, **told, **more})


DAYS = [
    (date(2026, 3, 1), BatchStatus.UPCOMING),
    (START, BatchStatus.ONGOING),
    (date(2026, 3, 10), BatchStatus.ONGOING),
    (END, BatchStatus.ONGOING),
    (date(2026, 3, 21), BatchStatus.ENDED),
]


@pytest.mark.parametrize(("day", "status"), DAYS)
@pytest.mark.parametrize("stored", [0, 1, None])
def test_status_comes_from_the_dates_and_not_from_what_is_stored(
    day: date, status: BatchStatus, stored: int | None
) -> None:
    assert status_on(batch(status=stored), day) is status


@pytest.mark.parametrize(("day", "_status"), DAYS)
def test_a_batch_its_owner_ended_is_ended_on_every_day(day: date, _status: BatchStatus) -> None:
    assert status_on(batch(status=2), day) is BatchStatus.ENDED


def test_an_open_side_never_ends_and_never_waits() -> None:
    assert status_on(batch(start_date=None), date(1999, 1, 1)) is BatchStatus.ONGOING
    assert status_on(batch(end_date=None), date(2999, 1, 1)) is BatchStatus.ONGOING


def refusal(check: Any, *given: Any, of: str = "class-1-maths") -> str | None:
    try:
        check(*given, of=of)
    except ViewerError as error:
        return error.code
    return None


ENROL = [
    (batch(), END, None),
    (batch(), date(2026, 3, 21), "COURSE_BATCH_ALREADY_COMPLETED"),
    (batch(), date(2026, 1, 1), None),
    (batch(enrollment_end_date=START), START, None),
    (batch(enrollment_end_date=START), date(2026, 3, 3), "COURSE_BATCH_ENROLLMENT_DATE_ENDED"),
    (batch(enrollment_end_date=START), date(2026, 3, 21), "COURSE_BATCH_ALREADY_COMPLETED"),
    (batch(status=2), START, "COURSE_BATCH_ALREADY_COMPLETED"),
    (batch(enrollment_type="INVITE-ONLY"), START, None),
    (batch(enrollment_type=""), date(2026, 3, 21), "ENROLLMENT_TYPE_VALIDATION"),
    (None, START, "INVALID_COURSE_BATCH_ID"),
    (batch(collection_id="class-2-maths", enrollment_type=""), START, "INVALID_COURSE_BATCH_ID"),
    (batch(collection_id=None, program_id="class-1-maths"), START, None),
]


@pytest.mark.parametrize(("given", "day", "code"), ENROL)
def test_the_first_check_that_fails_speaks(given: BatchFacts | None, day: date, code: str | None) -> None:
    assert refusal(check_enrol, given, day) == code


def test_nobody_is_kept_by_the_last_day_to_enrol() -> None:
    assert refusal(check_unenrol, batch(enrollment_end_date=START), END) is None


def test_days_end_where_the_instance_is(settings: Any) -> None:
    """20 March in India ends at 18:30 UTC, in Chicago at five o'clock of the next morning."""
    instant = datetime(2026, 3, 20, 18, 29, 59, 999000, tzinfo=UTC)
    later = datetime(2026, 3, 20, 18, 30, tzinfo=UTC)
    settings.VIEWER_TIME_ZONE = "Asia/Kolkata"
    assert (today(instant), today(later)) == (END, date(2026, 3, 21))
    settings.VIEWER_TIME_ZONE = "America/Chicago"
    assert (today(instant), today(later)) == (END, END)
