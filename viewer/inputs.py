"""What each call takes, one declared type per call. Field names are the wire's canonical ones (common.wire)."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

ContentId = Annotated[str, Meta(description="The content. Up to 256 characters.")]
OptionalId = Annotated[str | None, Meta(description="Also accepted under its legacy name, in any case.")]
Time = Annotated[
    int | float | str | None,
    Meta(description="Epoch ms, 'yyyy-MM-dd HH:mm:ss:SSS+0530' or ISO 8601. Kept within [now - 90 days, now]."),
]
Seconds = Annotated[float, Meta(ge=0, le=1e9, description="Seconds, fractions allowed.")]
MAX_CONTENTS = 1000
MAX_EVENTS = 500
MAX_ANSWERS = 1000  # ASSESS events of one submit
AttemptTime = Annotated[
    int | float | str | None,
    Meta(description="When it was taken: epoch ms, 'yyyy-MM-dd HH:mm:ss:SSS+0530' or ISO 8601. Kept as it is."),
]
Telemetry = Annotated[
    list[dict[str, Any]] | None,
    Meta(description="Raw Sunbird ASSESS events, or attempts {attemptId, assessmentTs, events: [...]} of one content."),
]


class Place(msgspec.Struct, rename="camel", kw_only=True):
    """Who, and where."""

    user_id: OptionalId = None
    collection_id: OptionalId = None
    context_id: OptionalId = None


class StartInput(Place, rename="camel", kw_only=True):
    """`POST /v1/view/start`."""

    content_id: ContentId
    progress_details: dict[str, Any] | None = None
    last_access_time: Time = None


class UpdateInput(StartInput, rename="camel", kw_only=True):
    """`POST /v1/view/update`."""

    timespent: Seconds = 0.0


class EndInput(UpdateInput, rename="camel", kw_only=True):
    """`POST /v1/view/end`."""

    last_completed_time: Time = None
    force: bool = False


class ReadInput(Place, rename="camel", kw_only=True):
    """`POST /v1/view/read`: a content, several, or everything of a collection."""

    content_id: str | list[str] | None = None


class SubmitInput(Place, rename="camel", kw_only=True):
    """`POST /v1/assessment/submit`. The ids may stand in the attempts inside `assessments` instead."""

    content_id: str | None = None
    assessments: Telemetry = None
    events: Annotated[Telemetry, Meta(description="Another name of `assessments`.")] = None
    attempt_id: Annotated[str | None, Meta(description="The client's own; derived from the time where absent.")] = None
    assessment_ts: AttemptTime = None


class AttemptInput(Place, rename="camel", kw_only=True):
    """One attempt inside `assessments`, in the legacy shape."""

    content_id: str | None = None
    attempt_id: str | None = None
    assessment_ts: AttemptTime = None
    events: list[dict[str, Any]]


class AssessmentReadInput(ReadInput, rename="camel", kw_only=True):
    """`POST /v1/assessment/read`: as `view/read`, and which page of the attempts."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    offset: Annotated[int, Meta(ge=0, le=2**31)] = 0


class SyncInput(msgspec.Struct, rename="camel", kw_only=True):
    """`POST /v1/view/sync`: what a phone collected while it was offline, in any order."""

    user_id: OptionalId = None
    events: list[dict[str, Any]]


class EventHead(msgspec.Struct, rename="camel", kw_only=True):
    """What every event of a sync has beside its own call's fields."""

    id: Annotated[str, Meta(description="The client's own; sending it again adds nothing.")]
    type: str
    ts: Time = None
