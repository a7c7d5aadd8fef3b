"""The columns an import takes: every accepted name of each, and what its values may be. Pure, and no rule of merging.

A name is matched without regard to case and underscores, so one entry covers `last_access_time`, `lastaccesstime` and
`lastAccessTime`; where a line has several of them, the one spelled as declared here is read. Readers take the name as
the line spells it, for the message, and raise a FieldError. `docs/import.md` is this module for operators.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import msgspec

from common import timestamps
from common.errors import ConflictingIds, InvalidField, InvalidTime, MissingField
from common.ids import MAX_ID_LENGTH, check_id, plain_user_id
from common.rows import Question
from viewer.merging import status_of

MAX_WHOLE = 2**31 - 1  # what an integer column of SQL keeps
MAX_NUMBER = 1e12
MAX_SECONDS = 1e9
MAX_DEPTH = 64  # of nested JSON; SQLite refuses 1,000
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_ENDS_OF_CALENDAR = (timestamps.from_epoch_ms(-(10**18)), timestamps.from_epoch_ms(10**18))

Reader = Callable[[str, Any], Any]


# --- readers ------------------------------------------------------------------------------------------------------


def user_id(name: str, value: Any) -> str | None:
    """The plain user id: `f:<provider>:<id>` is `<id>`."""
    found = check_id(name, value)
    return plain_user_id(found) if found else None


def agg_context_id(name: str, value: Any) -> str | None:
    """The context id without the `cb:` that legacy aggregates put before a batch id."""
    found = check_id(name, value)
    return (found.removeprefix("cb:").strip() or None) if found else None


def time(name: str, value: Any) -> datetime:
    """The time as the line has it: epoch ms, Sunbird's text or ISO. Raises InvalidTime, also beyond the calendar."""
    try:
        found = timestamps.parse(value)
    except ValueError:
        raise InvalidTime(name, f"{name} is not a time") from None
    if found in _ENDS_OF_CALENDAR:
        raise InvalidTime(name, f"{name} is beyond the calendar")
    return found


def number(name: str, value: Any, *, least: float = -MAX_NUMBER, most: float = MAX_NUMBER) -> float:
    """The number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(name, f"{name} is not a number")
    if not least <= value <= most:
        raise InvalidField(name, f"{name} is not a number from {least:.0f} to {most:.0f}")
    return float(value)


def whole(name: str, value: Any, *, least: int = 0) -> int:
    """The whole number from `least` to the greatest a column keeps."""
    found = number(name, value, least=least, most=MAX_WHOLE)
    if not found.is_integer():
        raise InvalidField(name, f"{name} is not a whole number")
    return int(found)


def percent(name: str, value: Any) -> int:
    """Whole percent, rounded down; old rows hold more than 100, which is 100."""
    return min(int(number(name, value, least=0)), 100)


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidField(name, f"{name} is not true or false")
    return value


def text(name: str, value: Any, *, most: int | None = None) -> str:
    """Text that every database keeps, of at most `most` characters."""
    if not isinstance(value, str):
        raise InvalidField(name, f"{name} is not text")
    if _UNSTORABLE.search(value):
        raise InvalidField(name, f"{name} has a character no database keeps")
    if most is not None and len(value) > most:
        raise InvalidField(name, f"{name} is longer than {most} characters")
    return value


def status(name: str, value: Any) -> int:
    """0, 1 or 2; greater numbers of old rows are completed."""
    return int(status_of(whole(name, value, least=-MAX_WHOLE)))


def details(name: str, value: Any) -> dict[str, Any]:
    """An object, or JSON text of one; null and blank are an empty one."""
    return _object(name, _decoded(name, value))


def status_map(name: str, value: Any) -> dict[str, int]:
    """Content -> 1 or 2; contents that were not started are left out."""
    found = {_content(name, key): status(f"{name}.{key}", one) for key, one in _entries(name, value)}
    return {content: known for content, known in found.items() if known}


def number_map(name: str, value: Any) -> dict[str, float]:
    """Metric -> number, at least 0 for all but scores."""

    def least(metric: str) -> float:
        return -MAX_NUMBER if metric.startswith("score:") else 0

    return {_metric(name, key): number(f"{name}.{key}", one, least=least(key)) for key, one in _entries(name, value)}


def whole_map(name: str, value: Any) -> dict[str, int]:
    """Metric -> the nearest whole number."""
    return {metric: round(found) for metric, found in number_map(name, value).items()}


def time_map(name: str, value: Any) -> dict[str, int]:
    """Metric -> epoch ms."""
    found = {_metric(name, key): time(f"{name}.{key}", one) for key, one in _entries(name, value)}
    return {metric: timestamps.to_epoch_ms(known) for metric, known in found.items()}


def text_maps(name: str, value: Any) -> tuple[dict[str, str], ...]:
    """A list of maps of texts; other values become their JSON, as the legacy jobs write them."""
    return tuple(
        {key: one if isinstance(one, str) else _json(one) for key, one in entry.items() if one is not None}
        for entry in _objects(name, value)
    )


def questions(name: str, value: Any) -> tuple[Question, ...]:
    """The answered questions, with the field names of the legacy type `question`."""
    return tuple(
        Question(**{"score": 0.0, "max_score": 0.0, **_present(read_columns(entry, QUESTION, f"{name}[{place}]."))})
        for place, entry in enumerate(_objects(name, value))
    )


def agg_details(name: str, value: Any) -> dict[str, Any] | list[dict[str, Any]]:
    """Our object (content -> facts) or the legacy list of attempts, each an object or JSON text of one."""
    found = _decoded(name, value)
    if isinstance(found, list):
        entries = [(f"{name}[{place}]", entry) for place, entry in enumerate(found)]
        return [read_columns(details(one, entry), LEGACY_ATTEMPT, f"{one}.") for one, entry in entries]
    return {
        (_content(name, key) if key.strip() else ""): _present(
            read_columns(_object(f"{name}.{key}", facts), KEPT_FACTS, below=f"{name}.{key}.")
        )
        for key, facts in _object(name, found).items()
    }


def _decoded(name: str, value: Any) -> Any:
    """What JSON text holds; anything else as it is. Refuses what no database keeps."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value.strip() else None
        except (msgspec.DecodeError, RecursionError, ValueError):
            raise InvalidField(name, f"{name} is not JSON") from None
    _check_storable(name, value, MAX_DEPTH)
    return value


def _check_storable(name: str, value: Any, depth: int) -> None:
    if depth == 0:
        raise InvalidField(name, f"{name} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        text(name, value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            text(name, key)
            _check_storable(name, inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check_storable(name, inner, depth - 1)


def _object(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidField(name, f"{name} is not an object")
    return value


def _objects(name: str, value: Any) -> list[dict[str, Any]]:
    """The objects of a list, which may be JSON text."""
    found = _decoded(name, value)
    if found is None:
        return []
    if not isinstance(found, list):
        raise InvalidField(name, f"{name} is not a list")
    return [_object(f"{name}[{place}]", entry) for place, entry in enumerate(found)]


def _entries(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    return ((key, one) for key, one in details(name, value).items() if one is not None)


def _content(name: str, key: str) -> str:
    """A content id that is a key of a map. Raises InvalidId and MissingField."""
    content = check_id(name, key)
    if content is None:
        raise MissingField(name, f"{name} has a blank content id")
    return content


def _metric(name: str, key: str) -> str:
    """`completedCount`, or a metric of one content: `score:<content>`."""
    kind, colon, content = key.strip().partition(":")
    return f"{kind}:{_content(name, content)}" if colon else kind


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


# --- tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column. names: in lower case, the most trusted first. key: it must be there, and its names must agree."""

    read: Reader
    names: tuple[str, ...]
    key: bool = False


Layout = Mapping[str, Column]
amount = partial(number, least=0)
seconds = partial(number, least=0, most=MAX_SECONDS)
short_text = partial(text, most=MAX_ID_LENGTH)
label = partial(text, most=64)

_COLLECTION = ("collectionid", "courseid", "activity_id")
_CONTEXT = ("contextid", "batchid")
_USER = Column(user_id, ("userid",), key=True)
_PLACE = {
    "user_id": _USER,
    "collection_id": Column(check_id, _COLLECTION, key=True),
    "context_id": Column(check_id, _CONTEXT, key=True),
}
_CONTENT = {"content_id": Column(check_id, ("contentid",), key=True)}

CONSUMPTION: Layout = {
    **_PLACE,
    **_CONTENT,
    "status": Column(status, ("status",)),
    "progress": Column(percent, ("progress", "completionpercentage")),
    "progress_details": Column(details, ("progressdetails",)),
    "timespent": Column(seconds, ("timespent",)),
    "view_count": Column(whole, ("view_count",)),
    "last_access_time": Column(time, ("last_access_time",)),
    "last_completed_time": Column(time, ("last_completed_time",)),
    "last_updated_time": Column(time, ("last_updated_time", "datetime")),
    "own_completed_time": Column(time, ("own_completed_time",)),
    "origin": Column(label, ("origin",)),
}
ATTEMPT: Layout = {
    **_PLACE,
    **_CONTENT,
    "attempt_id": Column(check_id, ("attempt_id",), key=True),
    "total_score": Column(number, ("total_score",)),
    "total_max_score": Column(amount, ("total_max_score",)),
    "grand_total": Column(label, ("grand_total",)),
    "created_on": Column(time, ("created_on",)),
    "last_attempted_on": Column(time, ("last_attempted_on",)),
    "updated_on": Column(time, ("updated_on",)),
    "questions": Column(questions, ("questions", "question")),
}
ENROLMENT: Layout = {
    **_PLACE,
    "active": Column(flag, ("active",)),
    "added_by": Column(short_text, ("addedby",)),
    "enrolled_date": Column(time, ("enrolled_date", "datetime")),
    "status": Column(status, ("status",)),
    "progress": Column(whole, ("progress",)),
    "completion_percentage": Column(percent, ("completionpercentage",)),
    "completed_on": Column(time, ("completedon",)),
    "content_status": Column(status_map, ("contentstatus",)),
    "issued_certificates": Column(text_maps, ("issued_certificates",)),
    "certificates": Column(text_maps, ("certificates",)),
    "last_read_content_id": Column(check_id, ("lastreadcontentid",)),
    "last_read_content_status": Column(status, ("lastreadcontentstatus",)),
    "last_content_access_time": Column(time, ("lastcontentaccesstime",)),
    "updated_at": Column(time, ("datetime", "updated_at")),
}
ACTIVITY_AGG: Layout = {
    "user_id": _USER,
    "collection_id": Column(check_id, ("activity_id", "collectionid", "courseid"), key=True),
    "context_id": Column(agg_context_id, _CONTEXT, key=True),
    "activity_type": Column(text, ("activity_type",)),
    "agg": Column(whole_map, ("agg",)),
    "aggregates": Column(number_map, ("aggregates",)),
    "agg_details": Column(agg_details, ("agg_details",)),
    "agg_last_updated": Column(time_map, ("agg_last_updated",)),
    "content_status": Column(status_map, ("content_status",)),
}
QUESTION: Layout = {
    "id": Column(text, ("id",), key=True),
    "score": Column(number, ("score",)),
    "max_score": Column(amount, ("max_score",)),
    "assess_ts": Column(time, ("assess_ts",)),
    "type": Column(text, ("type",)),
    "title": Column(text, ("title",)),
    "description": Column(text, ("description",)),
    "duration": Column(number, ("duration",)),
    "resvalues": Column(text_maps, ("resvalues",)),
    "params": Column(text_maps, ("params",)),
}
LEGACY_ATTEMPT: Layout = {
    "content_id": Column(check_id, ("content_id",), key=True),
    "attempt_id": Column(check_id, ("attempt_id",)),
    "score": Column(number, ("score",)),
    "max_score": Column(amount, ("max_score",)),
}


def _epoch_ms(name: str, value: Any) -> int:
    return timestamps.to_epoch_ms(time(name, value))


KEPT_FACTS: Layout = {
    "status": Column(status, ("status",)),
    "progress": Column(percent, ("progress",)),
    "score": Column(number, ("score",)),
    "max_score": Column(amount, ("max_score",)),
    "attempts": Column(whole, ("attempts",)),
    "viewCount": Column(whole, ("viewcount",)),
    "timespent": Column(seconds, ("timespent",)),
    "lastAccessTime": Column(_epoch_ms, ("lastaccesstime",)),
    "lastCompletedTime": Column(_epoch_ms, ("lastcompletedtime",)),
    "completedCount": Column(whole, ("completedcount",)),
    "origin": Column(label, ("origin",)),
}


@lru_cache(maxsize=4096)
def _folded(name: str) -> str:
    return name.lower().replace("_", "")


def read_columns(given: Mapping[str, Any], layout: Layout, below: str = "") -> dict[str, Any]:
    """Every field of `layout`, None where the line has no such column, or only null or blank in it.

    `below` comes before the names in messages. Raises MissingField, ConflictingIds, InvalidId, InvalidTime and
    InvalidField.
    """
    spelled: dict[str, list[tuple[str, Any]]] = {}
    for name, value in given.items():
        if value is not None and not (isinstance(value, str) and not value.strip()):
            spelled.setdefault(_folded(name), []).append((name, value))
    return {
        field: _key(spelled, field, column, below) if column.key else _value(spelled, column, below)
        for field, column in layout.items()
    }


def _value(spelled: Mapping[str, list[tuple[str, Any]]], column: Column, below: str) -> Any:
    for declared in column.names:
        if found := spelled.get(_folded(declared)):
            name, value = next((one for one in found if one[0].lower() == declared), found[0])
            return column.read(below + name, value)
    return None


def _key(spelled: Mapping[str, list[tuple[str, Any]]], field: str, column: Column, below: str) -> Any:
    key = None
    for declared in column.names:
        for name, value in spelled.get(_folded(declared), ()):
            found = column.read(below + name, value)
            if key is not None and found is not None and found != key:
                raise ConflictingIds(below + name, f"{below}{name} contradicts another spelling of {field}")
            key = key or found
    if key is None:
        raise MissingField(below + field, f"{below}{field} is missing")
    return key
