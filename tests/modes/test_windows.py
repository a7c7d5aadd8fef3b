"""Windows of carry-forward rules: when a calendar month is full, on whose clock, and on which side a moment falls."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modes.windows import is_between, is_within, window_end

KOLKATA, BERLIN, NEW_YORK = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
INSTANT = timedelta(milliseconds=1)
Span = tuple[str, int]
zones = st.sampled_from([UTC, KOLKATA, BERLIN, NEW_YORK, ZoneInfo("Pacific/Apia")])
instants = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - aware by `timezones`
spans = st.tuples(st.just("days"), st.integers(1, 4000)) | st.tuples(st.just("months"), st.integers(1, 120))


def ist(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=KOLKATA)  # type: ignore[arg-type, misc]


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[arg-type, misc]


def cet(*moment: int, fold: int = 0) -> datetime:
    return datetime(*moment, tzinfo=BERLIN, fold=fold)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("completed", "unit", "value", "end"),
    [
        pytest.param(ist(2026, 1, 15, 10), "months", 3, ist(2026, 4, 15, 10), id="the same day three months on"),
        pytest.param(ist(2025, 11, 15, 10), "months", 2, ist(2026, 1, 15, 10), id="over the new year"),
        pytest.param(ist(2025, 12, 31, 10), "months", 12, ist(2026, 12, 31, 10), id="December to December"),
        pytest.param(ist(2026, 12, 1), "months", 1, ist(2027, 1, 1), id="the first moment of a month"),
        pytest.param(ist(2025, 1, 31, 10), "months", 1200, ist(2125, 1, 31, 10), id="a century"),
        pytest.param(ist(2026, 2, 28, 10), "months", 3, ist(2026, 5, 28, 10), id="from the end of a short month"),
        pytest.param(ist(2025, 11, 30, 10), "months", 3, ist(2026, 3, 1), id="into a month without a 30th"),
        pytest.param(ist(2025, 11, 29, 10), "months", 3, ist(2026, 3, 1), id="into a February without a 29th"),
        pytest.param(ist(2027, 11, 29, 10), "months", 3, ist(2028, 2, 29, 10), id="into a leap February"),
        pytest.param(ist(2027, 11, 30, 10), "months", 3, ist(2028, 3, 1), id="into a leap February without a 30th"),
        pytest.param(ist(2028, 2, 29, 10), "months", 12, ist(2029, 3, 1), id="a year from a leap day"),
        pytest.param(ist(2028, 2, 29, 10), "months", 48, ist(2032, 2, 29, 10), id="from leap day to leap day"),
        pytest.param(ist(2026, 8, 31, 10), "months", 1, ist(2026, 10, 1), id="into a month of 30 days"),
        pytest.param(ist(2026, 1, 31, 10), "days", 1, ist(2026, 2, 1, 10), id="a day over the end of a month"),
        pytest.param(ist(2028, 2, 28, 10), "days", 1, ist(2028, 2, 29, 10), id="a day to a leap day"),
        pytest.param(ist(2025, 12, 31, 10), "days", 365, ist(2026, 12, 31, 10), id="a year of days"),
        pytest.param(utc(2025, 11, 30, 20), "months", 3, utc(2026, 2, 28, 20), id="December already, in the zone"),
    ],
)
def test_a_window_is_open_until_its_last_month_or_day_is_full(
    completed: datetime, unit: str, value: int, end: datetime
) -> None:
    for before in (INSTANT, timedelta(seconds=1), timedelta(days=0.5)):
        assert is_within(completed, end - before, unit, value, KOLKATA)
    for after in (timedelta(0), INSTANT, timedelta(seconds=1), timedelta(days=1), timedelta(days=1000)):
        assert not is_within(completed, end + after, unit, value, KOLKATA)


@pytest.mark.parametrize("before", [timedelta(0), INSTANT, timedelta(seconds=1), timedelta(days=400)])
def test_a_completion_is_within_its_window_at_once_and_when_it_is_still_to_come(before: timedelta) -> None:
    completed = ist(2026, 1, 15, 10)
    assert is_within(completed, completed - before, "days", 1, KOLKATA)


@pytest.mark.parametrize(
    ("completed", "unit", "value", "end"),
    [
        pytest.param(cet(2026, 1, 15, 12), "months", 3, utc(2026, 4, 15, 10), id="winter to summer"),
        pytest.param(cet(2026, 8, 15, 12), "months", 3, utc(2026, 11, 15, 11), id="summer to winter"),
        pytest.param(cet(2026, 3, 28, 12), "days", 1, utc(2026, 3, 29, 10), id="a day of 23 hours"),
        pytest.param(cet(2026, 10, 24, 12), "days", 1, utc(2026, 10, 25, 11), id="a day of 25 hours"),
        pytest.param(cet(2026, 1, 29, 2, 30), "months", 2, utc(2026, 3, 29, 1, 30), id="to a time that is skipped"),
        pytest.param(cet(2026, 9, 25, 2, 30), "months", 1, utc(2026, 10, 25, 0, 30), id="to a time that comes twice"),
        pytest.param(cet(2026, 10, 25, 2, 30), "months", 1, utc(2026, 11, 25, 1, 30), id="from the first of two"),
        pytest.param(cet(2026, 10, 25, 2, 30, fold=1), "months", 1, utc(2026, 11, 25, 1, 30), id="from the second"),
        pytest.param(
            cet(2028, 10, 29, 2, 30, fold=1), "months", 72, utc(2034, 10, 29, 0, 30), id="to the first of two"
        ),
        pytest.param(utc(2025, 11, 30, 20), "months", 3, utc(2026, 2, 28, 23), id="still November, in the zone"),
    ],
)
def test_a_window_keeps_to_the_clock_on_the_wall_when_that_is_changed(
    completed: datetime, unit: str, value: int, end: datetime
) -> None:
    assert window_end(completed, unit, value, BERLIN) == end
    assert is_within(completed, end - INSTANT, unit, value, BERLIN)
    assert not is_within(completed, end, unit, value, BERLIN)


def test_the_second_of_two_equal_times_is_after_a_window_that_ends_at_the_first() -> None:
    completed, later = cet(2026, 9, 25, 2, 30), cet(2026, 10, 25, 2, 15, fold=1)
    assert not is_within(completed, later, "months", 1, BERLIN)


@given(instants, instants, spans, zones, zones)
def test_the_zone_in_which_a_moment_is_told_changes_nothing(
    completed: datetime, until: datetime, span: Span, one: tzinfo, other: tzinfo
) -> None:
    expected = is_within(completed, until, *span, BERLIN)
    assert is_within(completed.astimezone(one), until.astimezone(other), *span, BERLIN) == expected


@given(instants, spans, st.timedeltas(-timedelta(days=3), timedelta(days=3)))
def test_each_moment_near_the_end_is_on_the_side_the_end_says(completed: datetime, span: Span, away: timedelta) -> None:
    end = window_end(completed, *span, BERLIN)
    assert is_within(completed, end + away, *span, BERLIN) == (away < timedelta(0))


@given(instants, instants, st.timedeltas(timedelta(0), timedelta(days=4)), spans)
def test_a_window_that_has_closed_stays_closed(
    completed: datetime, until: datetime, later: timedelta, span: Span
) -> None:
    assert is_within(completed, until, *span, KOLKATA) >= is_within(completed, until + later, *span, KOLKATA)


@given(instants, st.timedeltas(timedelta(0), timedelta(days=4)), spans)
def test_a_later_completion_never_ends_sooner(completed: datetime, later: timedelta, span: Span) -> None:
    assert window_end(completed, *span, KOLKATA) <= window_end(completed + later, *span, KOLKATA)


@given(instants, spans, st.integers(1, 40))
def test_a_larger_value_is_a_longer_window(completed: datetime, span: Span, more: int) -> None:
    unit, value = span
    assert window_end(completed, unit, value, BERLIN) < window_end(completed, unit, value + more, BERLIN)


@pytest.mark.parametrize(("unit", "value"), [("days", 36_500), ("months", 1_200), ("months", 1)])
@pytest.mark.parametrize("zone", [KOLKATA, NEW_YORK])
def test_a_window_that_reaches_beyond_the_calendar_is_open(unit: str, value: int, zone: ZoneInfo) -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert is_within(last - timedelta(days=2), last, unit, value, zone)


def test_a_moment_without_a_zone_is_not_compared() -> None:
    with pytest.raises(TypeError):
        is_within(ist(2026, 1, 15), ist(2026, 1, 16).replace(tzinfo=None), "days", 3, KOLKATA)


FIRST, LAST = date(2026, 2, 1), date(2026, 3, 29)


@pytest.mark.parametrize("zone", [KOLKATA, BERLIN, NEW_YORK])
def test_days_are_whole_from_the_first_moment_of_the_first_to_the_last_of_the_last(zone: ZoneInfo) -> None:
    opening, closing = datetime(2026, 2, 1, tzinfo=zone), datetime(2026, 3, 30, tzinfo=zone).astimezone(UTC)
    for inside in (opening, opening + INSTANT, closing - INSTANT, closing - timedelta(seconds=1)):
        assert is_between(inside, FIRST, LAST, zone)
    for outside in (opening - INSTANT, opening - timedelta(seconds=1), closing, closing + timedelta(seconds=1)):
        assert not is_between(outside, FIRST, LAST, zone)


def test_a_batch_of_one_day_has_that_day() -> None:
    assert is_between(ist(2026, 2, 1, 23, 59, 59), FIRST, FIRST, KOLKATA)
    assert not is_between(ist(2026, 2, 2), FIRST, FIRST, KOLKATA)


@pytest.mark.parametrize(("first", "last"), [(None, LAST), (FIRST, None), (None, None), (LAST, FIRST)])
def test_days_that_miss_a_side_or_are_turned_round_hold_nothing(first: date | None, last: date | None) -> None:
    assert not is_between(ist(2026, 2, 15), first, last, KOLKATA)


@given(instants, zones)
def test_the_zone_in_which_a_moment_is_told_does_not_change_its_day(completed: datetime, told: tzinfo) -> None:
    day = completed.astimezone(BERLIN).date()
    assert is_between(completed.astimezone(told), day, day, BERLIN)
    assert not is_between(completed.astimezone(told), day + timedelta(days=1), day + timedelta(days=1), BERLIN)
