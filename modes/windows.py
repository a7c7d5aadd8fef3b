"""Windows of carry-forward rules: calendar months and days in the instance's zone. Pure."""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def window_end(completed: datetime, unit: str, value: int, zone: ZoneInfo) -> datetime:
    """The moment `value` days or calendar months after `completed`, by the wall clock of `zone`; UTC.

    A month that has no such day is full with its last one: three months from 30 November end as 1 March begins.
    That moment is outside: "within 3 months" ends when the third month is full. Counted from the completion, a window
    that has closed never opens again; counted back from the moment that asks, it would at the end of a month.
    """
    local = completed.astimezone(zone).replace(fold=0)
    end = local + timedelta(days=value) if unit == "days" else _months_after(local, value)
    return end.astimezone(UTC)


def is_within(completed: datetime, until: datetime, unit: str, value: int, zone: ZoneInfo) -> bool:
    """True where the window that opened at `completed` is open at `until`; what was completed later is within too."""
    try:
        return until < window_end(completed, unit, value, zone)
    except (OverflowError, ValueError):  # the window reaches beyond the calendar
        return True


def is_between(completed: datetime, first: date | None, last: date | None, zone: ZoneInfo) -> bool:
    """True where `completed` falls on a day from `first` to `last`, both included; False where either is missing."""
    if first is None or last is None:
        return False
    return first <= completed.astimezone(zone).date() <= last


def _months_after(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    if moment.day <= last:
        return moment.replace(year=year, month=month + 1)
    return datetime.combine(date(year, month + 1, last) + timedelta(days=1), time(), moment.tzinfo)
