"""The rows the service keeps, as plain values. No Django, no driver: every layer may know them.

Times are aware UTC datetimes cut to whole milliseconds, because that is what every store can keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple


class Status(IntEnum):
    """How far a learner is with a content, a collection or an enrolment. Numbers are the wire's."""

    NOT_STARTED = 0
    IN_PROGRESS = 1
    COMPLETED = 2


class ContextKey(NamedTuple):
    """One learner in one collection in one context: the unit that is folded into one aggregate."""

    user_id: str
    collection_id: str
    context_id: str


class RowKey(NamedTuple):
    """The key of one content's row: (user, collection, context, content)."""

    user_id: str
    collection_id: str
    context_id: str
    content_id: str

    @property
    def context(self) -> ContextKey:
        """The learner's context that this row counts in."""
        return ContextKey(self.user_id, self.collection_id, self.context_id)


@dataclass(frozen=True, slots=True)
class AppliedEvent:
    """One event a row has taken in: who sent it may send it again.

    `id` is the client's, `payload_hash` tells a repeat from another event under the same id, `at` is when it came.
    """

    id: str
    payload_hash: str
    at: datetime


REBUILT = "mode:"
"""How the origin of a rebuilt row begins: the id of the record that keeps what was there before."""


@dataclass(frozen=True, slots=True)
class Consumption:
    """One row of user_content_consumption.

    progress: whole percent, 0-100; 100 only when completed. timespent: seconds, exact up to completion.
    last_completed_time: None while not completed, and in imported rows that never had one.
    own_completed_time: when the learner completed it here himself; None for a row that was carried in.
    origin: None for the learner's own row, else the id of the provenance record that brought or rebuilt it.
    version: 1 for a new row, one more for each write.
    """

    key: RowKey
    status: Status
    progress: int
    last_access_time: datetime | None
    last_updated_time: datetime
    last_completed_time: datetime | None = None
    own_completed_time: datetime | None = None
    progress_details: Mapping[str, Any] = field(default_factory=dict)
    timespent: float = 0.0
    view_count: int = 1
    origin: str | None = None
    applied: tuple[AppliedEvent, ...] = ()
    version: int = 1

    @property
    def rebuilt(self) -> bool:
        """True for a row that a change of the mode made, of the learner's own rows and of what he did in it since."""
        return self.origin is not None and self.origin.startswith(REBUILT)


@dataclass(frozen=True, slots=True)
class Question:
    """One answered question of an attempt: the learner's latest answer to it."""

    id: str
    score: float
    max_score: float
    assess_ts: datetime | None = None
    type: str = ""
    title: str = ""
    description: str = ""
    duration: float = 0.0
    resvalues: tuple[Mapping[str, str], ...] = ()
    params: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of assessment_aggregator. `grand_total` is the legacy text, such as "1.33/3.0"."""

    key: RowKey
    attempt_id: str
    total_score: float
    total_max_score: float
    grand_total: str
    created_on: datetime
    last_attempted_on: datetime
    updated_on: datetime
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class ActivityAgg:
    """One row of user_activity_agg: everything known about one learner in one context, in one read.

    content_status: content -> 1 or 2. agg: the seeds' rounded ints. aggregates: `completedCount`,
    `completedCount:<unit>`, `score:<content>`, `max_score:<content>`, `attempts_count:<content>`.
    agg_details: content -> facts, all of them folded. kept: content -> facts that no row tells (any more), with "by"
    "import" or "archive"; every fold starts from them. version: 0 for a row that was never saved.
    """

    key: ContextKey
    content_status: Mapping[str, int] = field(default_factory=dict)
    agg: Mapping[str, int] = field(default_factory=dict)
    aggregates: Mapping[str, float] = field(default_factory=dict)
    agg_details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    agg_last_updated: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One row of user_enrolments. progress: count of completed required leaves; completion_percentage: 0-100.

    moved_to: the context id the learner's progress in this enrolment was moved to; None: nothing was moved away.
    """

    user_id: str
    collection_id: str
    context_id: str
    active: bool = True
    added_by: str | None = None
    moved_to: str | None = None
    enrolled_date: datetime | None = None
    status: Status = Status.NOT_STARTED
    progress: int = 0
    completion_percentage: int = 0
    completed_on: datetime | None = None
    content_status: Mapping[str, int] = field(default_factory=dict)
    issued_certificates: tuple[Mapping[str, str], ...] = ()
    last_read_content_id: str | None = None
    last_read_content_status: int | None = None
    last_content_access_time: datetime | None = None
    updated_at: datetime | None = None
    version: int = 1

    @property
    def key(self) -> ContextKey:
        """The learner's context this enrolment is for."""
        return ContextKey(self.user_id, self.collection_id, self.context_id)


@dataclass(frozen=True, slots=True)
class StaleMark:
    """A promise to fold `key` again. `token` grows with each new reason; `marked_at` is the oldest unserved one.

    not_before: a sweep and a read leave it alone until then; None: it is due.
    """

    key: ContextKey
    token: int
    marked_at: datetime
    not_before: datetime | None = None


COPIED, MOVED, REBUILT_FOR = "copied", "moved", "rebuilt"
"""The actions a record tells of: a completion that was copied, a context that was moved, rows rebuilt for a mode."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """One record of a carry, a move or an undo: why the learner's rows are where they are.

    state: "planned" or "done"; undone_at: None while it holds; facts: what it was decided on.
    """

    user_id: str
    id: str
    action: str
    state: str
    recorded_at: datetime
    undone_at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
