"""Rows to column values and back, for the SQL tables. Times and JSON differ by database, names do not."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from common.rows import (
    ActivityAgg,
    AppliedEvent,
    Attempt,
    Consumption,
    ContextKey,
    Enrolment,
    Provenance,
    Question,
    RowKey,
    StaleMark,
    Status,
)
from common.timestamps import from_epoch_ms, to_epoch_ms
from viewer.outbox import OutboxEvent

CONSUMPTION_KEY = ("userid", "collectionid", "contextid", "contentid")
CONSUMPTION = (
    *CONSUMPTION_KEY,
    "status",
    "progress",
    "progressdetails",
    "timespent",
    "view_count",
    "last_access_time",
    "last_completed_time",
    "last_updated_time",
    "own_completed_time",
    "origin",
    "applied",
    "version",
)
ATTEMPT_KEY = ("user_id", "collection_id", "context_id", "content_id", "attempt_id")
ATTEMPT = (
    *ATTEMPT_KEY,
    "created_on",
    "last_attempted_on",
    "updated_on",
    "grand_total",
    "total_score",
    "total_max_score",
    "questions",
)
AGG_KEY = ("activity_type", "activity_id", "user_id", "context_id")
AGG = (
    *AGG_KEY,
    "agg",
    "aggregates",
    "content_status",
    "agg_details",
    "agg_last_updated",
    "kept",
    "version",
)
ENROLMENT_KEY = ("userid", "courseid", "batchid")
ENROLMENT = (
    *ENROLMENT_KEY,
    "active",
    "addedby",
    "enrolled_date",
    "status",
    "progress",
    "completionpercentage",
    "completedon",
    "contentstatus",
    "issued_certificates",
    "lastreadcontentid",
    "lastreadcontentstatus",
    "lastcontentaccesstime",
    "datetime",
    "moved_to",
    "version",
)
CONTEXT_KEY = ("userid", "collectionid", "contextid")
MARK = (*CONTEXT_KEY, "token", "marked_at", "not_before")
PROVENANCE = ("userid", "id", "action", "state", "recorded_at", "undone_at", "facts")
EVENT = ("id", "topic", "payload", "created_at", "published_at")
ACTIVITY_TYPE = "Course"


def to_json(value: Any) -> str:
    """`value` as compact JSON text."""
    return msgspec.json.encode(value).decode()


def from_json(value: Any) -> Any:
    """What the column holds; drivers hand JSON over as text or already decoded."""
    return msgspec.json.decode(value) if isinstance(value, str | bytes) else value


def time_text(value: datetime | None) -> str | None:
    """A time as SQLite keeps it: UTC, no offset, sorted by text as by time (Django's own format)."""
    return str(value.astimezone(UTC).replace(tzinfo=None)) if value is not None else None


def from_time(value: Any) -> datetime | None:
    """An aware UTC time from what either driver gives."""
    if value is None:
        return None
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def time(value: Any) -> datetime:
    """As `from_time`, for a column that is never empty."""
    found = from_time(value)
    assert found is not None
    return found


def applied_json(event: AppliedEvent) -> dict[str, Any]:
    """One applied event as it is kept."""
    return {"id": event.id, "hash": event.payload_hash, "at": to_epoch_ms(event.at)}


def consumption_values(row: Consumption) -> tuple[Any, ...]:
    """Values in the order of CONSUMPTION; JSON as text, times as datetimes."""
    return (
        *row.key,
        int(row.status),
        row.progress,
        to_json(row.progress_details),
        row.timespent,
        row.view_count,
        row.last_access_time,
        row.last_completed_time,
        row.last_updated_time,
        row.own_completed_time,
        row.origin,
        to_json([applied_json(event) for event in row.applied]),
        row.version,
    )


def consumption_from(columns: Sequence[Any]) -> Consumption:
    """The row of these columns, in the order of CONSUMPTION."""
    return Consumption(
        key=RowKey(*columns[:4]),
        status=Status(columns[4]),
        progress=columns[5],
        progress_details=from_json(columns[6]),
        timespent=columns[7],
        view_count=columns[8],
        last_access_time=from_time(columns[9]),
        last_completed_time=from_time(columns[10]),
        last_updated_time=time(columns[11]),
        own_completed_time=from_time(columns[12]),
        origin=columns[13],
        applied=tuple(
            AppliedEvent(event["id"], event["hash"], from_epoch_ms(event["at"])) for event in from_json(columns[14])
        ),
        version=columns[15],
    )


def attempt_values(attempt: Attempt) -> tuple[Any, ...]:
    """Values in the order of ATTEMPT."""
    return (*attempt_head(attempt), to_json([_question_json(question) for question in attempt.questions]))


def attempt_head(attempt: Attempt) -> tuple[Any, ...]:
    """The values of ATTEMPT but the questions, which stores keep each in their own way."""
    return (
        *attempt.key,
        attempt.attempt_id,
        attempt.created_on,
        attempt.last_attempted_on,
        attempt.updated_on,
        attempt.grand_total,
        attempt.total_score,
        attempt.total_max_score,
    )


def attempt_from(columns: Sequence[Any]) -> Attempt:
    """The attempt of these columns, in the order of ATTEMPT."""
    return attempt_of(columns, tuple(_question_from(question) for question in from_json(columns[11])))


def attempt_of(columns: Sequence[Any], questions: tuple[Question, ...]) -> Attempt:
    """The attempt of these columns, in the order of ATTEMPT, with its questions."""
    return Attempt(
        key=RowKey(*columns[:4]),
        attempt_id=columns[4],
        created_on=time(columns[5]),
        last_attempted_on=time(columns[6]),
        updated_on=time(columns[7]),
        grand_total=columns[8],
        total_score=columns[9],
        total_max_score=columns[10],
        questions=questions,
    )


def _question_json(question: Question) -> dict[str, Any]:
    return {
        "id": question.id,
        "score": question.score,
        "max_score": question.max_score,
        "assess_ts": to_epoch_ms(question.assess_ts) if question.assess_ts else None,
        "type": question.type,
        "title": question.title,
        "description": question.description,
        "duration": question.duration,
        "resvalues": question.resvalues,
        "params": question.params,
    }


def _question_from(kept: Mapping[str, Any]) -> Question:
    assess_ts = kept["assess_ts"]
    return Question(
        id=kept["id"],
        score=float(kept["score"]),
        max_score=float(kept["max_score"]),
        assess_ts=from_epoch_ms(assess_ts) if assess_ts is not None else None,
        type=kept["type"],
        title=kept["title"],
        description=kept["description"],
        duration=float(kept["duration"]),
        resvalues=tuple(kept["resvalues"]),
        params=tuple(kept["params"]),
    )


def agg_key_values(key: ContextKey) -> tuple[str, str, str, str]:
    """The key columns of one context's aggregate, in the order of AGG_KEY."""
    return (ACTIVITY_TYPE, key.collection_id, key.user_id, key.context_id)


def agg_values(agg: ActivityAgg) -> tuple[Any, ...]:
    """Values in the order of AGG."""
    maps = (agg.agg, agg.aggregates, agg.content_status, agg.agg_details, agg.agg_last_updated, agg.kept)
    return (*agg_key_values(agg.key), *map(to_json, maps), agg.version)


def agg_from(columns: Sequence[Any]) -> ActivityAgg:
    """The aggregate of these columns, in the order of AGG."""
    _, collection_id, user_id, context_id = columns[:4]
    agg, aggregates, content_status, details, updated, kept = map(from_json, columns[4:10])
    return ActivityAgg(
        key=ContextKey(user_id, collection_id, context_id),
        agg=agg,
        aggregates=aggregates,
        content_status=content_status,
        agg_details=details,
        agg_last_updated=updated,
        kept=kept,
        version=columns[10],
    )


def enrolment_values(enrolment: Enrolment, encode: Callable[[Any], Any] = to_json) -> tuple[Any, ...]:
    """Values in the order of ENROLMENT; `encode`: how maps and lists of them are kept."""
    return (
        enrolment.user_id,
        enrolment.collection_id,
        enrolment.context_id,
        enrolment.active,
        enrolment.added_by,
        enrolment.enrolled_date,
        int(enrolment.status),
        enrolment.progress,
        enrolment.completion_percentage,
        enrolment.completed_on,
        encode(enrolment.content_status),
        encode(enrolment.issued_certificates),
        enrolment.last_read_content_id,
        enrolment.last_read_content_status,
        enrolment.last_content_access_time,
        enrolment.updated_at,
        enrolment.moved_to,
        enrolment.version,
    )


def enrolment_from(columns: Sequence[Any], decode: Callable[[Any], Any] = from_json) -> Enrolment:
    """The enrolment of these columns, in the order of ENROLMENT; `decode`: the other way round."""
    return Enrolment(
        user_id=columns[0],
        collection_id=columns[1],
        context_id=columns[2],
        active=bool(columns[3]),
        added_by=columns[4],
        enrolled_date=from_time(columns[5]),
        status=Status(columns[6]),
        progress=columns[7],
        completion_percentage=columns[8],
        completed_on=from_time(columns[9]),
        content_status=decode(columns[10]),
        issued_certificates=tuple(decode(columns[11])),
        last_read_content_id=columns[12],
        last_read_content_status=columns[13],
        last_content_access_time=from_time(columns[14]),
        updated_at=from_time(columns[15]),
        moved_to=columns[16],
        version=columns[17],
    )


def mark_values(mark: StaleMark) -> tuple[Any, ...]:
    """Values in the order of MARK."""
    return (*mark.key, mark.token, mark.marked_at, mark.not_before)


def mark_from(columns: Sequence[Any]) -> StaleMark:
    """The mark of these columns, in the order of MARK."""
    return StaleMark(ContextKey(*columns[:3]), columns[3], time(columns[4]), from_time(columns[5]))


def provenance_values(record: Provenance) -> tuple[Any, ...]:
    """Values in the order of PROVENANCE."""
    facts = to_json(record.facts)
    return (record.user_id, record.id, record.action, record.state, record.recorded_at, record.undone_at, facts)


def provenance_from(columns: Sequence[Any]) -> Provenance:
    """The record of these columns, in the order of PROVENANCE."""
    user_id, record_id, action, state, recorded_at, undone_at, facts = columns
    return Provenance(user_id, record_id, action, state, time(recorded_at), from_time(undone_at), from_json(facts))


def event_values(event: OutboxEvent, published_at: datetime | None = None) -> tuple[Any, ...]:
    """Values in the order of EVENT."""
    return (event.id, event.topic, to_json(event.payload), event.created_at, published_at)


def event_from(columns: Sequence[Any]) -> tuple[OutboxEvent, datetime | None]:
    """The event of these columns, in the order of EVENT, and when it was published; None: it waits."""
    event_id, topic, payload, created_at, published_at = columns
    return OutboxEvent(event_id, topic, from_json(payload), time(created_at)), from_time(published_at)
