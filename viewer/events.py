"""A call's input as the event the row takes in: times settled, details checked, repeats told apart."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings

from common import timestamps
from common.errors import InvalidField, InvalidTime, MissingField
from common.ids import check_id
from common.rows import AppliedEvent
from viewer.inputs import EndInput, StartInput, UpdateInput
from viewer.lifecycle import Verb, ViewEvent, progress_of

REPEAT_WINDOW = timedelta(minutes=1)
MAX_DETAILS_DEPTH = 32
VERBS: dict[Verb, type[StartInput]] = {Verb.START: StartInput, Verb.UPDATE: UpdateInput, Verb.END: EndInput}


def view_event(verb: Verb, given: StartInput, now: datetime, *, ts: datetime | None = None) -> ViewEvent:
    """The event of one call. `ts`: the time of a sync item, for what the item itself leaves out.

    Raises InvalidTime and InvalidField.
    """
    accessed = client_time("lastAccessTime", given.last_access_time, now) or ts
    end = given if isinstance(given, EndInput) else None
    completed = client_time("lastCompletedTime", end.last_completed_time, now) if end else None
    details = checked_details(given.progress_details)
    return ViewEvent(
        verb=verb,
        at=now,
        access_time=accessed or completed or now,
        completed_time=completed or accessed or now,
        client_timed=(completed or accessed) is not None,
        details=details,
        progress=progress_of(details),
        timespent=given.timespent if isinstance(given, UpdateInput) else 0.0,
        force=end is not None and end.force,
    )


def own_time(field: str, value: object) -> datetime | None:
    """A client's time as it told it; None when it gave none. Raises InvalidTime."""
    if value is None:
        return None
    try:
        return timestamps.parse(value)
    except ValueError:
        formats = "epoch ms, yyyy-MM-dd HH:mm:ss:SSSZ or ISO 8601"
        raise InvalidTime(field, f"{field} is not a time ({formats})") from None


def client_time(field: str, value: object, now: datetime) -> datetime | None:
    """A client's time within [now - VIEWER_MAX_OFFLINE_DAYS, now]; None when it gave none. Raises InvalidTime."""
    told = own_time(field, value)
    return timestamps.clamp_offline(told, now, settings.VIEWER_MAX_OFFLINE_DAYS) if told is not None else None


def checked_details(details: dict[str, Any] | None) -> dict[str, Any] | None:
    """`details` if every store can keep them, None where there are none. Raises InvalidField."""
    if not details:
        return None
    if _depth(details) > MAX_DETAILS_DEPTH:
        raise InvalidField("progressDetails", f"progressDetails is nested deeper than {MAX_DETAILS_DEPTH} levels")
    encoded = msgspec.json.encode(details)
    if len(encoded) > settings.VIEWER_MAX_DETAILS_BYTES:
        limit = settings.VIEWER_MAX_DETAILS_BYTES
        raise InvalidField("progressDetails", f"progressDetails is larger than {limit} bytes")
    if b"\\u0000" in encoded.replace(b"\\\\", b""):
        raise InvalidField("progressDetails", "progressDetails holds a NUL character")
    return details


def _depth(value: object) -> int:
    """How deep `value` is nested; counts on beyond the limit by one level only."""
    level: list[object] = [value]
    for depth in range(MAX_DETAILS_DEPTH + 1):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return depth
        level = inner
    return MAX_DETAILS_DEPTH + 1


def sync_identity(event_id: str | None, fields: dict[str, Any], now: datetime) -> AppliedEvent:
    """What to remember of a sync item: its id for ever, and its content to tell a repeat from a conflict."""
    checked = check_id("id", event_id)
    if checked is None:
        raise MissingField("id", "id is required")
    return AppliedEvent(f"e:{checked}", _hash(fields), now)


def call_identity(msgid: str, fields: dict[str, Any], now: datetime) -> AppliedEvent:
    """What to remember of a single call: its msgid together with its body, for a minute."""
    digest = _hash([msgid, fields])
    return AppliedEvent(f"m:{digest}", digest, now)


def _hash(value: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted"), digest_size=12).hexdigest()
