"""A context's aggregate and enrolment as one: what they tell of the learner's progress, kept and given back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.rows import ActivityAgg, Enrolment, Status
from common.timestamps import epoch_ms_of, time_of
from viewer.progress import COMPLETION_TOLD, Folded, Sources

NOTHING: Mapping[str, Any] = {
    "status": int(Status.NOT_STARTED),
    "progress": 0,
    "percentage": 0,
    "completedOn": None,
    "contents": {},
    "certificates": [],
    "lastRead": None,
    "lastReadStatus": None,
    "lastAccess": None,
    "told": None,
}
"""What an enrolment without progress tells. told: when the completion was, of its aggregate."""


@dataclass(frozen=True, slots=True)
class Side:
    """One context's aggregate and enrolment, as they were read and as they are to be."""

    before: Sources
    after: Folded


def side_of(before: Sources, agg: ActivityAgg, enrolment: Enrolment | None, now: datetime) -> Side | None:
    """None where nothing would change."""
    return None if agg == before.agg and enrolment == before.enrolment else changed(before, agg, enrolment, now)


def changed(before: Sources, agg: ActivityAgg, enrolment: Enrolment | None, now: datetime) -> Side:
    """Always a write of the aggregate, so that who read it before cannot write; of the enrolment where it changes."""
    stored = before.enrolment
    if enrolment is not None and stored is not None:
        is_other = enrolment != stored
        enrolment = replace(enrolment, updated_at=now, version=stored.version + 1) if is_other else stored
    return Side(before, Folded(replace(agg, version=before.agg.version + 1), enrolment, completed=False))


def told_stamps(agg: ActivityAgg, told: int | None) -> dict[str, int]:
    """The aggregate's times, with `told` (ms, None: never) for when the completion was told."""
    stamps = {name: time for name, time in agg.agg_last_updated.items() if name != COMPLETION_TOLD}
    return stamps if told is None else {**stamps, COMPLETION_TOLD: told}


def told_of(side: Sources) -> dict[str, Any]:
    """What the context's enrolment tells of the learner's progress, as a record keeps it."""
    told = side.agg.agg_last_updated.get(COMPLETION_TOLD)
    return {**(progress_of(side.enrolment) if side.enrolment else NOTHING), "told": told}


def progress_of(enrolment: Enrolment) -> dict[str, Any]:
    """What the enrolment tells of the learner's progress; times in ms since 1970."""
    return {
        "status": int(enrolment.status),
        "progress": enrolment.progress,
        "percentage": enrolment.completion_percentage,
        "completedOn": epoch_ms_of(enrolment.completed_on),
        "contents": dict(enrolment.content_status),
        "certificates": [dict(one) for one in enrolment.issued_certificates],
        "lastRead": enrolment.last_read_content_id,
        "lastReadStatus": enrolment.last_read_content_status,
        "lastAccess": epoch_ms_of(enrolment.last_content_access_time),
    }


def holding(enrolment: Enrolment, told: Mapping[str, Any]) -> Enrolment:
    """The enrolment with the progress that a record tells, and none of its own."""
    return replace(
        enrolment,
        status=Status(told["status"]),
        progress=told["progress"],
        completion_percentage=told["percentage"],
        completed_on=time_of(told["completedOn"]),
        content_status=told["contents"],
        issued_certificates=tuple(told["certificates"]),
        last_read_content_id=told["lastRead"],
        last_read_content_status=told["lastReadStatus"],
        last_content_access_time=time_of(told["lastAccess"]),
    )
