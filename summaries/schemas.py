"""What the calls answer, for the OpenAPI document."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from summaries.inputs import MAX_LIMIT

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_TIME = {"type": ["integer", "null"], "format": "int64", "description": "epoch ms"}
_STATUS = {"type": "integer", "enum": [0, 1, 2]}
_IDS = {"type": "array", "items": _TEXT}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


SUCCESS = _object(response={"type": "string", "enum": ["SUCCESS"]})
ENROLLED = _object(**SUCCESS["properties"], enrolled={**_IDS, "description": "collections this call enrolled into"})
UNENROLLED = _object(
    **SUCCESS["properties"], unenrolled={**_IDS, "description": "collections whose enrolment this call ended"}
)
RECORD = _object(
    userId=_TEXT,
    collectionId=_TEXT,
    contextId=_TEXT,
    enrolledDate={**_TIME, "description": "epoch ms; null for what was viewed without an enrolment"},
    active={"type": "boolean"},
    contentStatus={
        "type": "object",
        "additionalProperties": _STATUS,
        "description": "every content of the collection, and what was viewed beside them",
    },
    assessmentStatus={
        "type": "object",
        "additionalProperties": _object(
            score={"type": "number"}, max_score={"type": "number"}, attempts={"type": "integer"}
        ),
        "description": "the best attempt of each content that was tried",
    },
    collection=_object(
        identifier=_TEXT,
        name=_MAYBE_TEXT,
        logo=_MAYBE_TEXT,
        leafNodesCount={"type": ["integer", "null"]},
        description=_MAYBE_TEXT,
    ),
    issuedCertificates={
        "type": "array",
        "items": _object(name=_MAYBE_TEXT, id=_MAYBE_TEXT, token=_MAYBE_TEXT, lastIssuedOn=_MAYBE_TEXT),
    },
    completedOn=_TIME,
    progress={"type": "integer", "description": "how many contents that count are completed"},
    status=_STATUS,
    completionPercentage={"type": "integer", "minimum": 0, "maximum": 100},
    optional_nodes={**_IDS, "description": "units and contents that need not be completed"},
    lastReadContentId=_MAYBE_TEXT,
    lastReadContentStatus={"type": ["integer", "null"], "enum": [0, 1, 2, None]},
    lastContentAccessTime=_TIME,
    movedTo={**_MAYBE_TEXT, "description": "the context the progress here was moved to; null: nothing was moved away"},
    nextContent={**_MAYBE_TEXT, "description": "the first content in course order that is not completed"},
    lastRead={
        "type": ["object", "null"],
        "properties": {"contentId": _TEXT, "status": _STATUS, "time": _TIME},
        "description": "the content accessed last",
    },
    timespent={"type": "number", "description": "seconds in all contents together"},
    units={
        "type": "array",
        "items": _object(
            identifier=_TEXT,
            name=_MAYBE_TEXT,
            progress={"type": "integer", "description": "its completed contents that count"},
            leafNodesCount={"type": "integer", "description": "its contents that count"},
            completionPercentage={"type": "integer", "minimum": 0, "maximum": 100},
            status=_STATUS,
        ),
        "description": "each nested collection, in course order",
    },
)
LIST = _object(
    summary={"type": "array", "items": RECORD},
    count={"type": "integer", "description": "how many there are on all pages"},
    next={**_MAYBE_TEXT, "description": "the cursor of the next page; null: this is the last one"},
)
READ = _object(**RECORD["properties"], summary=RECORD)
LINK = _object(url={"type": "string", "format": "uri", "description": "expires after VIEWER_LINK_SECONDS"})
_LEARNER = OpenApiParameter("user_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="The learner.")
PARTICIPANTS = _object(
    batch=_object(
        batchId=_TEXT,
        count={"type": "integer", "description": "how many this page has"},
        participants={**_IDS, "description": "user ids, the first enrolled first"},
        next={"type": ["integer", "null"], "description": "the offset of the next page; null: this is the last one"},
    )
)
EXPORT_PARAMETERS = [_LEARNER]
DOWNLOAD_PARAMETERS = [
    _LEARNER,
    OpenApiParameter("format", OpenApiTypes.STR, enum=["csv", "json"], default="json"),
]
LIST_PARAMETERS = [
    _LEARNER,
    OpenApiParameter(
        "type",
        OpenApiTypes.STR,
        enum=["enrolment", "organic", "all"],
        default="enrolment",
        description="organic: what was viewed without an enrolment.",
    ),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT}),
    OpenApiParameter("offset", {"type": "integer", "minimum": 0, "default": 0}),
    OpenApiParameter("cursor", OpenApiTypes.STR, description="`next` of the page before, instead of an offset."),
    OpenApiParameter("status", OpenApiTypes.STR, description="Only these: 0, 1, 2 or several, as in `0,1`."),
    OpenApiParameter("updatedSince", OpenApiTypes.INT64, description="Only what changed after this time, in epoch ms."),
]
_NAMES = {"type": "array", "items": _TEXT}
EXPLANATION = _object(
    userId=_TEXT,
    collectionId=_TEXT,
    contextId=_TEXT,
    status=_STATUS,
    progress={"type": "integer"},
    completionPercentage={"type": "integer", "minimum": 0, "maximum": 100},
    completedOn=_TIME,
    mode=_TEXT,
    required={"type": "integer", "description": "how many contents count"},
    completed=_NAMES,
    inProgress=_NAMES,
    notStarted=_NAMES,
    optional=_NAMES,
    carried={"type": "object", "additionalProperties": _TEXT, "description": "content: the record of what brought it"},
    sentences=_NAMES,
)
EXPLAIN_PARAMETERS = [
    OpenApiParameter(name, OpenApiTypes.STR, required=required)
    for name, required in (("userId", False), ("collectionId", True), ("contextId", True))
]
_NUMBERS = _object(
    status=_STATUS,
    progress={"type": "integer"},
    completionPercentage={"type": "integer", "minimum": 0, "maximum": 100},
    completed={"type": "integer", "description": "completed contents, also those that need not be"},
)
WHAT_IF = _object(
    userId=_TEXT,
    mode=_object(now=_TEXT, then=_TEXT),
    enrolments={
        "type": "array",
        "items": _object(
            collectionId=_TEXT,
            contextId=_TEXT,
            now=_NUMBERS,
            then=_NUMBERS,
            changes={"type": "object", "additionalProperties": _object(now=_STATUS, then=_STATUS)},
        ),
    },
    sentences=_NAMES,
)
