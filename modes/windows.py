"""Windows of carry-forward rules: calendar months and days in the instance's zone. Pure."""

import calendar
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


def window_start(until: datetime, unit: str, value: int, zone: ZoneInfo) -> datetime:
    """The moment `value` days or calendar months before `until`, by the wall clock of `zone`.

    A month before the 31st that has no such day begins on its last one: 31 May less three months is 28 or 29 February.
    What was completed at that very moment is outside: "within 3 months" ends when the third month is full.
    """
    local = until.astimezone(zone)
    day = local.date() - timedelta(days=value) if unit == "days" else _months_before(local.date(), value)
    return local.replace(year=day.year, month=day.month, day=day.day).astimezone(until.tzinfo)


def is_within(completed: datetime, until: datetime, unit: str, value: int, zone: ZoneInfo) -> bool:
    """True where `completed` is in the window that ends with `until`; what was completed later is too."""
    try:
        return completed > window_start(until, unit, value, zone)
    except (OverflowError, ValueError):  # the window reaches beyond the calendar
        return True


def is_between(completed: datetime, first: date | None, last: date | None, zone: ZoneInfo) -> bool:
    """True where `completed` falls on a day from `first` to `last`, both included; False where either is missing."""
    if first is None or last is None:
        return False
    return first <= completed.astimezone(zone).date() <= last


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))
