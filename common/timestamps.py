"""The wire's time formats, both ways. Inside, a time is an aware UTC datetime of whole milliseconds."""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_LAST_MS = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // _MS
_FIRST_MS = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // _MS
# 2026-03-01 15:30:00:000+0530: Sunbird puts a colon before the milliseconds.
_SUNBIRD = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}):(\d{1,3})\s*(Z|[+-]\d{2}:?\d{2})?", re.ASCII)
_DIGITS = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
# ISO 8601 as Python reads it, but strict where Python lets any character separate day, time and fraction.
_ISO = re.compile(
    r"[\dW-]{7,10}([T ]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?(Z|[+-][\d:.]+)?)?",
    re.ASCII,
)


def now() -> datetime:
    """The current time, cut to whole milliseconds."""
    return from_epoch_ms(to_epoch_ms(datetime.now(UTC)))


def to_epoch_ms(value: datetime) -> int:
    """Whole milliseconds since 1970, as the APIs answer dates."""
    return (value - EPOCH) // _MS


def epoch_ms_of(value: datetime | None) -> int | None:
    """As `to_epoch_ms`, of a time that may be unknown."""
    return to_epoch_ms(value) if value is not None else None


def time_of(value: int | None) -> datetime | None:
    """As `from_epoch_ms`, of ms that may be unknown."""
    return from_epoch_ms(value) if value is not None else None


def from_epoch_ms(value: int) -> datetime:
    """The time of `value` ms since 1970; values beyond the calendar give its first or last day."""
    return EPOCH + min(max(value, _FIRST_MS), _LAST_MS) * _MS


def parse(value: object) -> datetime:
    """The time a client wrote: epoch ms (number or numeric text), Sunbird text with any offset, or ISO 8601.

    Text without an offset is UTC. Raises ValueError for anything else (booleans, lists, words, infinities).
    """
    if isinstance(value, bool):
        raise ValueError("a boolean is not a time")
    if isinstance(value, int | float):
        return from_epoch_ms(_whole_ms(value))
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} is not a time")
    written = value.strip()
    if _DIGITS.fullmatch(written):
        return from_epoch_ms(int(written.split(".", 1)[0]))
    if found := _SUNBIRD.fullmatch(written):
        day, clock, millis, offset = found.groups()
        written = f"{day}T{clock}.{millis:0>3}{offset or '+00:00'}"
    if not _ISO.fullmatch(written):
        raise ValueError("neither epoch ms, nor Sunbird's text, nor ISO 8601")
    parsed = datetime.fromisoformat(written)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    try:
        return from_epoch_ms(to_epoch_ms(parsed.astimezone(UTC)))
    except OverflowError:
        raise ValueError("beyond the calendar") from None


def _whole_ms(value: float) -> int:
    try:
        return int(value)
    except (OverflowError, ValueError):
        raise ValueError("not a finite number") from None


def clamp_offline(value: datetime, now: datetime, max_days: int) -> datetime:
    """`value` kept within [now - max_days, now]: phones' clocks are wrong in both directions."""
    return min(max(value, now - timedelta(days=max_days)), now)


def envelope_ts(value: datetime) -> str:
    """The envelope's `ts`: "2021-06-23 05:37:40:575+0000"."""
    return f"{value:%Y-%m-%d %H:%M:%S}:{value.microsecond // 1000:03d}+0000"
