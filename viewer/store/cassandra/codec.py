"""Rows to Cassandra's column values and back. Column order is that of the SQL store's codec.

None is bound as UNSET, which writes nothing; only a column that held a value before is set to null.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cassandra.query import UNSET_VALUE

from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, Question, RowKey, Status
from common.timestamps import EPOCH, from_epoch_ms, to_epoch_ms
from viewer.store import codec
from viewer.store.codec import applied_json, from_json, to_json

CONSUMPTION, ATTEMPT, AGG, ENROLMENT = codec.CONSUMPTION, codec.ATTEMPT, codec.AGG, codec.ENROLMENT


def written(values: Sequence[Any], before: Sequence[Any] | None = None) -> list[Any]:
    """`values` as they are bound, over a row whose values were `before`; None: there was no row."""
    if before is None:
        return [UNSET_VALUE if value is None else value for value in values]
    return [
        UNSET_VALUE if value is None and held is None else value for value, held in zip(values, before, strict=True)
    ]


def from_time(value: datetime | None) -> datetime | None:
    """An aware UTC time; the driver's are naive."""
    return value.replace(tzinfo=UTC) if value is not None else None


def time(value: datetime | None) -> datetime:
    """As `from_time`, for a column that always has one."""
    found = from_time(value)
    assert found is not None
    return found


def consumption_values(row: Consumption) -> tuple[Any, ...]:
    """Values in the order of CONSUMPTION."""
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
    return codec.consumption_from(columns)


def attempt_values(attempt: Attempt) -> tuple[Any, ...]:
    """Values in the order of ATTEMPT."""
    return (
        *attempt.key,
        attempt.attempt_id,
        attempt.created_on,
        attempt.last_attempted_on,
        attempt.updated_on,
        attempt.grand_total,
        attempt.total_score,
        attempt.total_max_score,
        [_question_values(question) for question in attempt.questions],
    )


def attempt_from(columns: Sequence[Any]) -> Attempt:
    """The attempt of these columns, in the order of ATTEMPT."""
    return Attempt(
        key=RowKey(*columns[:4]),
        attempt_id=columns[4],
        created_on=time(columns[5]),
        last_attempted_on=time(columns[6]),
        updated_on=time(columns[7]),
        grand_total=columns[8],
        total_score=columns[9],
        total_max_score=columns[10],
        questions=tuple(_question_from(question) for question in columns[11] or ()),
    )


def _question_values(question: Question) -> tuple[Any, ...]:
    """In the order of the type's fields (seed: question)."""
    return (
        question.id,
        question.assess_ts,
        question.max_score,
        question.score,
        question.type,
        question.title,
        [dict(one) for one in question.resvalues],
        [dict(one) for one in question.params],
        question.description,
        Decimal(repr(question.duration)),
    )


def _question_from(kept: Any) -> Question:
    return Question(
        id=kept.id,
        score=kept.score,
        max_score=kept.max_score,
        assess_ts=from_time(kept.assess_ts),
        type=kept.type,
        title=kept.title,
        description=kept.description,
        duration=float(kept.duration),
        resvalues=tuple(dict(one) for one in kept.resvalues or ()),
        params=tuple(dict(one) for one in kept.params or ()),
    )


def agg_values(agg: ActivityAgg) -> tuple[Any, ...]:
    """Values in the order of AGG."""
    return (
        *codec.agg_key_values(agg.key),
        dict(agg.agg),
        {name: float(value) for name, value in agg.aggregates.items()},
        dict(agg.content_status),
        _texts(agg.agg_details),
        {name: from_epoch_ms(stamp) for name, stamp in agg.agg_last_updated.items()},
        _texts(agg.kept),
        agg.version,
    )


def agg_from(columns: Sequence[Any]) -> ActivityAgg:
    """The aggregate of these columns, in the order of AGG."""
    _, collection_id, user_id, context_id, agg, aggregates, statuses, details, stamps, kept, version = columns
    return ActivityAgg(
        key=ContextKey(user_id, collection_id, context_id),
        agg=dict(agg or {}),
        aggregates=dict(aggregates or {}),
        content_status=dict(statuses or {}),
        agg_details=_facts(details),
        agg_last_updated={name: to_epoch_ms(time(stamp)) for name, stamp in (stamps or {}).items()},
        kept=_facts(kept),
        version=version,
    )


def kept_from(key: ContextKey, kept: Mapping[str, str] | None) -> ActivityAgg:
    """What an aggregate keeps, without the rest of it."""
    return ActivityAgg(key, kept=_facts(kept))


def _texts(maps: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {content: to_json(facts) for content, facts in maps.items()}


def _facts(texts: Mapping[str, str] | None) -> dict[str, Any]:
    return {content: from_json(text) for content, text in (texts or {}).items()}


def enrolment_values(enrolment: Enrolment) -> tuple[Any, ...]:
    """Values in the order of ENROLMENT."""
    return (
        *enrolment.key,
        enrolment.active,
        enrolment.added_by,
        enrolment.enrolled_date,
        int(enrolment.status),
        enrolment.progress,
        enrolment.completion_percentage,
        enrolment.completed_on,
        dict(enrolment.content_status),
        _certificates(enrolment),
        enrolment.last_read_content_id,
        enrolment.last_read_content_status,
        enrolment.last_content_access_time,
        enrolment.updated_at,
        enrolment.version,
    )


def _certificates(enrolment: Enrolment) -> list[dict[str, str]]:
    return [dict(one) for one in enrolment.issued_certificates]


def enrolment_from(columns: Sequence[Any]) -> Enrolment:
    """The enrolment of these columns, in the order of ENROLMENT."""
    return Enrolment(
        user_id=columns[0],
        collection_id=columns[1],
        context_id=columns[2],
        active=columns[3],
        added_by=columns[4],
        enrolled_date=from_time(columns[5]),
        status=Status(columns[6]),
        progress=columns[7],
        completion_percentage=columns[8],
        completed_on=from_time(columns[9]),
        content_status=dict(columns[10] or {}),
        issued_certificates=tuple(dict(one) for one in columns[11] or ()),
        last_read_content_id=columns[12],
        last_read_content_status=columns[13],
        last_content_access_time=from_time(columns[14]),
        updated_at=from_time(columns[15]),
        version=columns[16],
    )


def listed_values(enrolment: Enrolment) -> tuple[Any, ...]:
    """What a batch's list tells of an enrolment, without its key. No completion is 1970: null would be a tombstone."""
    return (
        enrolment.active,
        int(enrolment.status),
        enrolment.completion_percentage,
        enrolment.completed_on or EPOCH,
        _certificates(enrolment),
    )


def listed_from(columns: Sequence[Any]) -> Enrolment:
    """An entry of a batch's list: user, collection, context, enrolment date, then as `listed_values`."""
    user_id, collection_id, context_id, enrolled, active, status, percentage, completed, certificates = columns
    completed_on = time(completed)
    return Enrolment(
        user_id=user_id,
        collection_id=collection_id,
        context_id=context_id,
        enrolled_date=time(enrolled),
        active=active,
        status=Status(status),
        completion_percentage=percentage,
        completed_on=completed_on if completed_on != EPOCH else None,
        issued_certificates=tuple(dict(one) for one in certificates or ()),
    )
