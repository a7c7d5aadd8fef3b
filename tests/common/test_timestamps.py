"""The wire's time formats: what each means, that both ways agree, and that nonsense is refused in one way only."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common import timestamps

NINE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
MS = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Any instant that any offset keeps inside the calendar, in whole milliseconds.
instants = st.integers(
    (datetime(1, 1, 3, tzinfo=UTC) - EPOCH) // MS, (datetime(9999, 12, 29, tzinfo=UTC) - EPOCH) // MS
).map(lambda value: EPOCH + value * MS)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(instants)
def test_epoch_milliseconds_come_back_as_the_same_time(value: datetime) -> None:
    assert timestamps.from_epoch_ms(timestamps.to_epoch_ms(value)) == value


@given(instants)
def test_a_number_and_its_text_mean_the_same_time(value: datetime) -> None:
    number = timestamps.to_epoch_ms(value)
    assert timestamps.parse(number) == timestamps.parse(str(number)) == timestamps.parse(f" {number} ") == value


@given(instants, offsets, st.sampled_from(["%z", " %z"]))
def test_sunbird_text_with_any_offset_means_the_same_time(value: datetime, offset: timezone, zone: str) -> None:
    local = value.astimezone(offset)
    written = f"{local:%H:%M:%S}:{local.microsecond // 1000:03d}{local.strftime(zone)}"
    assert timestamps.parse(f"{local.year:04d}-{local:%m-%d} {written}") == value


@given(instants, offsets, st.sampled_from([" ", "T"]))
def test_iso_text_with_any_offset_means_the_same_time(value: datetime, offset: timezone, separator: str) -> None:
    assert timestamps.parse(value.astimezone(offset).isoformat(separator)) == value


@given(instants)
def test_the_envelopes_own_time_can_be_read_back(value: datetime) -> None:
    written = timestamps.envelope_ts(value)
    if value.year >= 1000:  # strftime's %Y has no leading zeros; no clock of ours is that old
        assert timestamps.parse(written) == value


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        ("2026-03-01 09:00:00:000+0000", 0),
        ("2026-03-01 14:30:00:000+0530", 0),
        ("2026-03-01 14:30:00:000+05:30", 0),
        ("2026-03-01 14:30:00:000 +0530", 0),
        ("2026-03-01 05:00:00:000-0400", 0),
        ("2026-03-01 09:00:00:000Z", 0),
        ("2026-03-01 09:00:00:000", 0),  # text without an offset is UTC
        ("2026-03-01 09:05:00:0", 5),
        ("2026-03-01T09:00:00", 0),
        ("2026-03-01T09:00:00Z", 0),
        ("2026-03-01T14:30:00+05:30", 0),
        ("2026-03-01T14:30:00.000+0530", 0),
        ("2026-03-01 09:05", 5),
        ("20260301T090000Z", 0),
        ("2026-03-01", -9 * 60),
        ("2026-W09-7", -9 * 60),
        ("  2026-03-01T09:00:00Z  ", 0),
        (1772355600000, 0),
        (1772355600000.9, 0),
        ("1772355600000", 0),
        ("1772355600000.75", 0),
    ],
)
def test_each_format_is_read(written: object, minutes: int) -> None:
    assert timestamps.parse(written) == NINE + timedelta(minutes=minutes)


@pytest.mark.parametrize(("millis", "expected"), [("5", 5), ("50", 50), ("500", 500)])
def test_sunbirds_milliseconds_are_a_number_and_not_a_fraction(millis: str, expected: int) -> None:
    assert timestamps.parse(f"2026-03-01 09:00:00:{millis}+0000") == NINE + expected * MS


@pytest.mark.parametrize(
    "nonsense",
    [
        True, False, None, [], [1], {}, {"$date": 1}, math.nan, math.inf, -math.inf,
        "", "   ", "yesterday", "null", "NaN", "1e5", "--5", "0x10", "1 2", "5,5", "\x00", "\ud800",
        "2026-02-30", "2026-13-01", "2026-03-01 25:00:00:000+0000", "2026-03-01 09:00:60:000+0000",
        "2026-03-01 09:00:00:0000+0000", "2026-03-01 09:00:00:000+9999", "2026-03-01T09:00:00+24:00",
        "2026-03-01T24:00:01", "2026-03-01x09:00", "2026-03-01\x0009:00", "2026-03-01509:00", "2026-03-01T09:00:00 UTC",
        "01/03/2026", "1 March 2026", "\u0662\u0660\u0662\u0666-03-01",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    ],
)  # fmt: skip
def test_nonsense_is_a_value_error(nonsense: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        timestamps.parse(nonsense)


@given(json_values | st.text(alphabet="0123456789-+:.,TZW /ex\u0663\x00", max_size=32))
@example(10**400)
@example(1e308)
@example("9" * 5000)
@example("-0")
def test_whatever_comes_is_a_time_or_a_value_error_and_nothing_else(value: object) -> None:
    try:
        read = timestamps.parse(value)
    except ValueError:
        return
    assert read.tzinfo is UTC
    assert read.microsecond % 1000 == 0
    assert timestamps.parse(timestamps.to_epoch_ms(read)) == read


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_beyond_the_calendar_are_its_first_or_last_day(value: float) -> None:
    read = timestamps.parse(value)
    assert datetime(1, 1, 2, tzinfo=UTC) <= read <= datetime(9999, 12, 31, tzinfo=UTC)
    if abs(value) > 10**15:
        assert read.year in {1, 9999}


@pytest.mark.parametrize("digits", [18, 19, 30])
def test_numeric_text_of_any_length_is_read_as_the_number(digits: int) -> None:
    assert timestamps.parse("1" * digits) == timestamps.parse(int("1" * digits))


@given(instants, st.integers(0, 3660))
def test_an_offline_time_ends_up_inside_its_bounds(value: datetime, days: int) -> None:
    kept = timestamps.clamp_offline(value, NINE, days)
    assert NINE - timedelta(days=days) <= kept <= NINE
    assert kept == value or value > NINE or value < NINE - timedelta(days=days)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (NINE, NINE),
        (NINE + MS, NINE),
        (NINE - MS, NINE - MS),
        (NINE - timedelta(days=90), NINE - timedelta(days=90)),
        (NINE - timedelta(days=90) - MS, NINE - timedelta(days=90)),
    ],
)
def test_the_bounds_themselves_are_inside(value: datetime, kept: datetime) -> None:
    assert timestamps.clamp_offline(value, NINE, 90) == kept


def test_no_offline_days_leave_only_the_present() -> None:
    assert timestamps.clamp_offline(NINE - MS, NINE, 0) == NINE


def test_the_envelopes_time_has_sunbirds_form() -> None:
    assert timestamps.envelope_ts(datetime(2021, 6, 23, 5, 37, 40, 575_999, UTC)) == "2021-06-23 05:37:40:575+0000"


def test_now_is_utc_in_whole_milliseconds() -> None:
    value = timestamps.now()
    assert value.tzinfo is UTC
    assert value.microsecond % 1000 == 0
    assert abs(datetime.now(UTC) - value) < timedelta(minutes=1)
