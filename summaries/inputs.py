"""What each call takes, one declared type per call. Field names are the wire's canonical ones (common.wire)."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from common.errors import InvalidField
from common.rows import Status
from common.timestamps import from_epoch_ms
from common.wire import read_fields
from summaries import paging
from summaries.paging import Cursor
from viewer.inputs import OptionalId

CollectionId = Annotated[str, Meta(description="Also accepted as courseId, in any case.")]
ContextId = Annotated[str, Meta(description="The batch. Also accepted as batchId, in any case.")]
Kind = Literal["enrolment", "organic", "all"]
MAX_LIMIT = 1000
_MAX_OFFSET = 2**31 - 1
_WHOLE = re.compile(r"\d{1,10}", re.ASCII)
_MS = re.compile(r"\d{1,15}", re.ASCII)


class EnrolInput(msgspec.Struct, rename="camel", kw_only=True):
    """`POST /v1/course/enroll` and `/unenroll`. userId is needed where authentication is off, else ignored."""

    user_id: OptionalId = None
    collection_id: CollectionId
    context_id: ContextId


class ProgramInput(msgspec.Struct, rename="camel", kw_only=True):
    """`POST /v1/program/enroll` and `/unenroll`."""

    user_id: OptionalId = None
    program_id: Annotated[str, Meta(description="The program. Up to 256 characters.")]
    context_id: Annotated[str, Meta(description="The program's batch. Also accepted as batchId, in any case.")]


class ParticipantsInput(msgspec.Struct, rename="camel", kw_only=True):
    """`POST /v1/batch/participants/list`, inside `batch` or beside it."""

    context_id: Annotated[str, Meta(description="The batch. Also accepted as batchId, in any case.")]
    active: Annotated[bool, Meta(description="false: those who left.")] = True
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = MAX_LIMIT
    offset: Annotated[int, Meta(ge=0, le=_MAX_OFFSET)] = 0


class SummaryInput(msgspec.Struct, rename="camel", kw_only=True):
    """`POST /v1/view/agg`: one learner in one context of a collection."""

    user_id: OptionalId = None
    collection_id: CollectionId
    context_id: ContextId


class SummaryReadInput(SummaryInput, rename="camel", kw_only=True):
    """`POST /v1/summary/read`: one enrolment; with type organic or all also what was viewed without one."""

    # drf-spectacular reads "type" of every enum; msgspec tells none for a Literal.
    type: Annotated[Kind, Meta(extra_json_schema={"type": "string"})] = "enrolment"


class WhatIfInput(msgspec.Struct, rename="camel", kw_only=True):
    """`POST /v1/summary/whatif`: another mode, and rules for it instead of those that hold."""

    user_id: OptionalId = None
    mode: str
    rules: dict[str, Any] | None = None


class ListQuery(msgspec.Struct, rename="camel", kw_only=True):
    """`GET /v1/summary/list/:userId`: its query."""

    type: Kind = "enrolment"
    limit: int = MAX_LIMIT
    offset: int = 0
    cursor: Cursor | None = None
    status: frozenset[Status] = frozenset(Status)
    updated_since: datetime | None = None

    @property
    def is_any_status(self) -> bool:
        """True where no status is left out."""
        return self.status == frozenset(Status)


def list_query(pairs: Iterable[tuple[str, str]]) -> ListQuery:
    """The query's names and values as its type; blank ones are absent. Raises InvalidField naming the field to blame.

    Names that are not the list's are ignored, as everywhere: apps put their own into every call.
    """
    fields: dict[str, Any] = read_fields((name, value) for name, value in pairs if name.lower() in _QUERY)
    kind = fields.get("type", "enrolment")
    if kind not in ("enrolment", "organic", "all"):
        raise InvalidField("type", "type must be enrolment, organic or all")
    cursor = fields.get("cursor")
    if cursor is not None and "offset" in fields:
        raise InvalidField("cursor", "cursor and offset exclude each other")
    return ListQuery(
        type=kind,
        limit=_whole(fields, "limit", 1, MAX_LIMIT, MAX_LIMIT),
        offset=_whole(fields, "offset", 0, _MAX_OFFSET, 0),
        cursor=paging.read(cursor) if cursor is not None else None,
        status=_statuses(fields.get("status")),
        updated_since=_time(fields, "updatedSince"),
    )


_QUERY = frozenset({"type", "limit", "offset", "cursor", "status", "updatedsince"})


def _statuses(written: str | None) -> frozenset[Status]:
    """The statuses of a list such as "0,1"; all for none. Raises InvalidField."""
    if written is None:
        return frozenset(Status)
    told = {one.strip() for one in written.split(",")}
    if not told <= {"0", "1", "2"}:
        raise InvalidField("status", "status must be 0, 1 or 2, or several of them with commas between")
    return frozenset(Status(int(one)) for one in told)


def _time(fields: dict[str, Any], name: str) -> datetime | None:
    written = fields.get(name)
    if written is None:
        return None
    if not _MS.fullmatch(written):
        raise InvalidField(name, f"{name} must be a time in ms since 1970")
    return from_epoch_ms(int(written))


def _whole(fields: dict[str, Any], name: str, least: int, most: int, default: int) -> int:
    written = fields.get(name)
    if written is None:
        return default
    if not _WHOLE.fullmatch(written) or not least <= int(written) <= most:
        raise InvalidField(name, f"{name} must be a whole number from {least} to {most}")
    return int(written)
