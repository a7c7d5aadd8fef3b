"""Reading a request's fields: one spelling for every name, blanks dropped, types said once per call.

Clients spell the ids in two vocabularies and any case (`collectionId`, `courseId`, `collectionid`, `collection`).
Inside there is one name for each. `read_fields` does that; `to_input` gives the call's declared type.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from common.errors import ConflictingIds, InvalidField, InvalidRequest, MissingField
from common.ids import check_id

# wire spelling in lower case -> the one name used inside
NAMES = {
    "userid": "userId",
    "collectionid": "collectionId",
    "courseid": "collectionId",
    "collection": "collectionId",
    "contextid": "contextId",
    "batchid": "contextId",
    "contentid": "contentId",
    "progressdetails": "progressDetails",
    "timespent": "timespent",
    "lastaccesstime": "lastAccessTime",
    "lastcompletedtime": "lastCompletedTime",
    "force": "force",
    "events": "events",
    "id": "id",
    "type": "type",
    "ts": "ts",
    "programid": "programId",
    "assessments": "assessments",
    "attemptid": "attemptId",
    "assessmentts": "assessmentTs",
    "assessmenttimestamp": "assessmentTs",
    "limit": "limit",
    "offset": "offset",
    "cursor": "cursor",
    "active": "active",
    "status": "status",
    "updatedsince": "updatedSince",
}
_IDS = frozenset({"userId", "collectionId", "contextId"})
_ABSENT: tuple[object, ...] = (None, "")

InputT = TypeVar("InputT", bound=msgspec.Struct)


def body_fields(body: object) -> dict[str, Any]:
    """The canonical fields of the body's "request" object. Raises InvalidRequest and the errors of `read_fields`."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object")
    inner = body.get("request")
    if not isinstance(inner, Mapping):
        raise InvalidRequest('The body must hold a "request" object', {"request": '"request" must be an object'})
    return read_fields(inner.items())


def read_fields(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Canonical name -> value for the known names among `pairs`; blank and null values are absent.

    Raises InvalidId for an id no store could keep, and ConflictingIds when two spellings of one name carry
    different values: guessing which one the client meant would write a row nobody finds again.
    """
    fields: dict[str, Any] = {}
    for spelling, given in pairs:
        name = NAMES.get(spelling.lower())
        if name is None:
            continue
        value = check_id(name, given) if name in _IDS else _trimmed(given)
        if value in _ABSENT:
            continue
        if name in fields and fields[name] != value:
            raise ConflictingIds(name, f"{spelling} contradicts another spelling of {name} in the same request")
        fields[name] = value
    return fields


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def to_input(fields: Mapping[str, Any], kind: type[InputT]) -> InputT:
    """`fields` as the call's declared type. Raises MissingField or InvalidField naming the field to blame."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None


_MISSING = re.compile(r"missing required field `(\w+)`")
_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_PLAIN_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def _named(message: str) -> MissingField | InvalidField:
    """The sentence of msgspec in the wire's words."""
    if missing := _MISSING.search(message):
        name = missing.group(1)
        return MissingField(name, f"{name} is required")
    place = _PLACE.search(message)
    name = place.group(1) if place else "request"
    told = _PLACE.sub("", message)
    told = re.sub(r"`([^`]+)`", lambda found: _in_words(found.group(1)), told)
    return InvalidField(name.split("[", 1)[0].split(".", 1)[0], f"{name}: {told[0].lower()}{told[1:]}")


def _in_words(types: str) -> str:
    parts = [_PLAIN_TYPES.get(part.strip(), part.strip()) for part in types.split("|")]
    return " or ".join(part for part in parts if part != "null") or "null"
