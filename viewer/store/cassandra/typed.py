"""What Cassandra keeps in types of its own: questions, maps, a batch's entries. The rest is viewer/store/codec.

None is bound as UNSET, which writes nothing; only a column that held a value before is set to null.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from cassandra.query import UNSET_VALUE

from common.rows import ActivityAgg, Attempt, ContextKey, Enrolment, Question, Status
from common.timestamps import EPOCH, from_epoch_ms, to_epoch_ms
from viewer.store import codec
from viewer.store.codec import from_json, to_json


def written(values: Sequence[Any], before: Sequence[Any] | None = None) -> list[Any]:
    """`values` as they are bound, over a row whose values were `before`; None: there was no row."""
    if before is None:
        return [UNSET_VALUE if value is None else value for value in values]
    return [
        UNSET_VALUE if value is None and held is None else value for value, held in zip(values, before, strict=True)
    ]


def attempt_values(attempt: Attempt) -> tuple[Any, ...]:
    """Values in the order of ATTEMPT."""
    return (*codec.attempt_head(attempt), [_question_values(question) for question in attempt.questions])


def attempt_from(columns: Sequence[Any]) -> Attempt:
    """The attempt of these columns, in the order of ATTEMPT."""
    return codec.attempt_of(columns, tuple(_question_from(question) for question in columns[11] or ()))


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
        assess_ts=codec.from_time(kept.assess_ts),
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
        agg_last_updated={name: to_epoch_ms(codec.time(stamp)) for name, stamp in (stamps or {}).items()},
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
    return codec.enrolment_values(enrolment, encode=_plain)


def enrolment_from(columns: Sequence[Any]) -> Enrolment:
    """The enrolment of these columns, in the order of ENROLMENT."""
    return codec.enrolment_from(columns, decode=_plain)


def _plain(maps: Any) -> Any:
    """A map or a list of maps as plain ones: the driver gives types of its own, and takes only these."""
    return dict(maps) if isinstance(maps, Mapping) else [dict(one) for one in maps]


def listed_values(enrolment: Enrolment) -> tuple[Any, ...]:
    """What a batch's list tells of an enrolment, without its key. No completion is 1970: null would be a tombstone."""
    return (
        enrolment.active,
        int(enrolment.status),
        enrolment.completion_percentage,
        enrolment.completed_on or EPOCH,
        _plain(enrolment.issued_certificates),
    )


def listed_from(columns: Sequence[Any]) -> Enrolment:
    """An entry of a batch's list: user, collection, context, enrolment date, then as `listed_values`."""
    user_id, collection_id, context_id, enrolled, active, status, percentage, completed, certificates = columns
    completed_on = codec.time(completed)
    return Enrolment(
        user_id=user_id,
        collection_id=collection_id,
        context_id=context_id,
        enrolled_date=codec.time(enrolled),
        active=active,
        status=Status(status),
        completion_percentage=percentage,
        completed_on=completed_on if completed_on != EPOCH else None,
        issued_certificates=tuple(_plain(certificates)),
    )
