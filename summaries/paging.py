"""The order of a learner's list, and cursors into it that miss nothing while he goes on learning. Pure."""

import base64
import binascii
from datetime import datetime
from typing import NamedTuple

import msgspec

from common.errors import InvalidField
from common.timestamps import to_epoch_ms


class Place(NamedTuple):
    """Where a record stands in the list; a smaller one comes first.

    The newest access first; then those never accessed, the newest enrolment first; then by ids. What changed after the
    first page was made comes once more, at the end, the oldest change first: wherever it was, it is not missed.
    """

    is_late: bool
    changed: int
    never_accessed: bool
    accessed: int
    never_enrolled: bool
    enrolled: int
    collection_id: str
    context_id: str


class Cursor(NamedTuple):
    """made: the newest change among all records when the first page was made, ms since 1970. after: the last shown."""

    made: int
    after: Place


class Times(NamedTuple):
    """When a record was accessed last, enrolled and changed last; None: never."""

    accessed: datetime | None
    enrolled: datetime | None
    changed: datetime | None


def place(ids: tuple[str, str], times: Times, made: int) -> Place:
    """Where the record of these ids stands in a list whose first page was made when `made` was the newest change."""
    changed = to_epoch_ms(times.changed) if times.changed else 0
    is_late = changed > made
    return Place(
        is_late,
        changed if is_late else 0,
        times.accessed is None,
        -to_epoch_ms(times.accessed) if times.accessed else 0,
        times.enrolled is None,
        -to_epoch_ms(times.enrolled) if times.enrolled else 0,
        *ids,
    )


def written(cursor: Cursor) -> str:
    """The cursor as a text for a query, which means nothing to whoever holds it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read(text: str) -> Cursor:
    """The cursor that `written` wrote. Raises InvalidField."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise InvalidField("cursor", "cursor is not one that this list gave") from error
