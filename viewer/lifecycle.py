"""The life of one content's row, as a pure fold: (row, event) -> (row, outcome).

The stores write the same thing in their own way (one conditional statement on SQL); the contract suite holds them
to this function. The table is DESIGN's "View lifecycle" (seed: Content View Lifecycle):

    call     row absent                            in progress                      completed
    start    insert: in progress, progress 0       details it brings are merged     no write
    update   NOT_STARTED                           progress = max, details merged,  no write
                                                   timespent added
    end      NOT_STARTED; with force: insert       completed, progress 100          an earlier client time moves the
                                                                                    completion; a carried row turns own

Whatever the order, repetition and interleaving of the same accepted events with client times, status, progress and
completion time come out the same: they are maxima and a minimum.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from common.rows import AppliedEvent, Consumption, RowKey, Status

MAX_APPLIED = 32
PROGRESS_BEFORE_END = 99  # 100 is what `end` says, not what a player reports


class Verb(StrEnum):
    """What happened to a content."""

    START = "start"
    UPDATE = "update"
    END = "end"


class Outcome(StrEnum):
    """What became of an event."""

    APPLIED = "applied"  # the row was written
    DUPLICATE = "duplicate"  # this very event was taken in before
    OLDER = "older"  # the row already says as much or more
    CONFLICT = "conflict"  # the same event id with other content
    NOT_STARTED = "not_started"  # nothing to update or end


@dataclass(frozen=True, slots=True)
class ViewEvent:
    """One start, update or end, validated and with its times settled.

    at: the server's time of arrival. access_time, completed_time: the client's where it gave one (clamped), else
    `at`; client_timed says whether `completed_time` is the client's. progress: 0-99 or None when the details tell
    none. timespent: seconds. identity: what to remember so that a repeat adds nothing; repeats_since: how far back
    a repeat counts (None: for ever). remember: how many events the row must keep in mind after this one: a sync that
    brings more than usual for one row must be able to come again.
    """

    verb: Verb
    at: datetime
    access_time: datetime
    completed_time: datetime
    client_timed: bool = False
    details: Mapping[str, Any] | None = None
    progress: int | None = None
    timespent: float = 0.0
    force: bool = False
    identity: AppliedEvent | None = None
    repeats_since: datetime | None = None
    remember: int = MAX_APPLIED


def progress_of(details: Mapping[str, Any] | None) -> int | None:
    """Whole percent 0-99 from `details["progress"]`, or None when that is not a number. Rounded down."""
    value = details.get("progress") if details else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(min(max(value, 0), PROGRESS_BEFORE_END))


def fold(key: RowKey, row: Consumption | None, event: ViewEvent) -> tuple[Consumption | None, Outcome]:
    """The row after `event`, and what became of the event. The row is unchanged unless the outcome is APPLIED."""
    if row is None:
        return _inserted(key, event)
    if repeated := _repeat(row, event):
        return row, repeated
    if row.status is Status.COMPLETED:
        return _revisited(row, event)
    if event.verb is Verb.END:
        return _completed(row, event), Outcome.APPLIED
    if event.verb is Verb.START and event.details is None:
        return row, Outcome.OLDER
    return _merged(row, event), Outcome.APPLIED


def _inserted(key: RowKey, event: ViewEvent) -> tuple[Consumption | None, Outcome]:
    ended = event.verb is Verb.END
    if event.verb is Verb.UPDATE or (ended and not event.force):
        return None, Outcome.NOT_STARTED
    row = Consumption(
        key=key,
        status=Status.COMPLETED if ended else Status.IN_PROGRESS,
        progress=100 if ended else event.progress or 0,
        last_access_time=event.access_time,
        last_updated_time=event.at,
        last_completed_time=event.completed_time if ended else None,
        own_completed_time=event.completed_time if ended else None,
        progress_details=dict(event.details or {}),
        timespent=event.timespent,
        applied=(event.identity,) if event.identity else (),
    )
    return row, Outcome.APPLIED


def _repeat(row: Consumption, event: ViewEvent) -> Outcome | None:
    if event.identity is None:
        return None
    for known in row.applied:
        if known.id == event.identity.id and (event.repeats_since is None or known.at > event.repeats_since):
            same = known.payload_hash == event.identity.payload_hash
            return Outcome.DUPLICATE if same else Outcome.CONFLICT
    return None


def _written(row: Consumption, event: ViewEvent) -> Consumption:
    keep = max(MAX_APPLIED, event.remember, len(row.applied))
    applied = (*row.applied, event.identity)[-keep:] if event.identity else row.applied
    return replace(row, last_updated_time=event.at, version=row.version + 1, applied=applied)


def _merged(row: Consumption, event: ViewEvent) -> Consumption:
    return replace(
        _written(row, event),
        progress=max(row.progress, event.progress or 0),
        progress_details=merge_details(row, event),
        timespent=row.timespent + event.timespent,
        last_access_time=_later(row.last_access_time, event.access_time),
    )


def merge_details(row: Consumption, event: ViewEvent) -> dict[str, Any]:
    """Both details' keys; where both have one, the later access wins, whichever arrived first."""
    new = event.details or {}
    if row.last_access_time is None or event.access_time >= row.last_access_time:
        return {**row.progress_details, **new}
    return {**new, **row.progress_details}


def _completed(row: Consumption, event: ViewEvent) -> Consumption:
    return replace(
        _merged(row, event),
        status=Status.COMPLETED,
        progress=100,
        last_completed_time=event.completed_time,
        own_completed_time=event.completed_time,
        origin=_own_origin(row),
    )


def _revisited(row: Consumption, event: ViewEvent) -> tuple[Consumption, Outcome]:
    if event.verb is not Verb.END:
        return row, Outcome.OLDER
    known = row.last_completed_time or row.last_updated_time
    earlier = event.client_timed and event.completed_time < known
    own = row.own_completed_time
    if not earlier and (own is not None if row.rebuilt else row.origin is None):
        return row, Outcome.OLDER
    corrected = replace(
        _written(row, event),
        progress=100,
        last_completed_time=min(known, event.completed_time),
        own_completed_time=event.completed_time if own is None else min(own, event.completed_time),
        origin=_own_origin(row),
    )
    return corrected, Outcome.APPLIED


def _own_origin(row: Consumption) -> str | None:
    """What his own completion leaves of it: a carry ends with it, and a rebuilt row stays one."""
    return row.origin if row.rebuilt else None


def _later(known: datetime | None, new: datetime) -> datetime:
    return new if known is None else max(known, new)
