"""Everything stored of one learner in words others can read: table by table, in the columns an import takes. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from common.timestamps import to_epoch_ms
from viewer.store import LearnerDump, codec

OURS = frozenset({"applied", "version"})  # how writes are kept apart: nothing of the learner's
JSON = frozenset(
    {
        "progressdetails",
        "questions",
        "agg",
        "aggregates",
        "content_status",
        "agg_details",
        "agg_last_updated",
        "kept",
        "contentstatus",
        "issued_certificates",
        "facts",
    }
)
COLUMNS: Mapping[str, Sequence[str]] = {
    "user_content_consumption": codec.CONSUMPTION,
    "assessment_aggregator": codec.ATTEMPT,
    "user_activity_agg": codec.AGG,
    "user_enrolments": codec.ENROLMENT,
    "provenance": codec.PROVENANCE,
}
Told = list[dict[str, Any]]


def told(dump: LearnerDump) -> dict[str, Told]:
    """Table -> its rows: column -> value. Times in ms since 1970, maps and lists as they are."""
    values: Mapping[str, tuple[Iterable[Any], Callable[[Any], Sequence[Any]]]] = {
        "user_content_consumption": (dump.rows, codec.consumption_values),
        "assessment_aggregator": (dump.attempts, codec.attempt_values),
        "user_activity_agg": (dump.aggs, codec.agg_values),
        "user_enrolments": (dump.enrolments, codec.enrolment_values),
        "provenance": (dump.provenance, codec.provenance_values),
    }
    return {table: _rows(COLUMNS[table], *of) for table, of in values.items()}


def columns_of(table: str) -> list[str]:
    """The columns of a table, as `told` names them."""
    return [name for name in COLUMNS[table] if name not in OURS]


def _rows(columns: Sequence[str], rows: Iterable[Any], values: Callable[[Any], Sequence[Any]]) -> Told:
    return [
        {name: _value(name, value) for name, value in zip(columns, values(row), strict=True) if name not in OURS}
        for row in rows
    ]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return to_epoch_ms(value)
    return codec.from_json(value) if name in JSON else value
