"""What the view and assessment calls answer, for the OpenAPI document."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

_TEXT = {"type": "string"}
_TIME = {"type": ["integer", "null"], "format": "int64", "description": "epoch ms"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_MAYBE_NUMBER = {"type": ["number", "null"]}

ACK: dict[str, Any] = {"type": "object", "additionalProperties": _TEXT, "example": {"do_123": "SUCCESS"}}
CONTENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "identifier": _TEXT,
        "contentId": _TEXT,
        "collectionId": _TEXT,
        "contextId": _TEXT,
        "status": {"type": "integer", "enum": [0, 1, 2]},
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "score": _MAYBE_NUMBER,
        "max_score": _MAYBE_NUMBER,
        "progressDetails": {"type": ["object", "null"], "additionalProperties": True},
        "lastAccessTime": _TIME,
        "lastCompletedTime": _TIME,
        "viewCount": {"type": "integer"},
        "timespent": {"type": "number", "description": "seconds, exact up to completion"},
        "origin": {**_MAYBE_TEXT, "description": "null: the learner's own; else the provenance of a carried row"},
        "archived": {"type": "boolean", "description": "present and true when the row was moved to the archive"},
    },
}
READ: dict[str, Any] = {
    "type": "object",
    "properties": {
        "userId": _TEXT,
        "collectionId": _MAYBE_TEXT,
        "contextId": _MAYBE_TEXT,
        "contents": {"type": "array", "items": CONTENT},
    },
}
ASSESSMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "userId": _TEXT,
        "collectionId": _MAYBE_TEXT,
        "contextId": _MAYBE_TEXT,
        "contents": {
            "type": "array",
            "description": "the best attempt of each content",
            "items": {
                "type": "object",
                "properties": {
                    "identifier": _TEXT,
                    "contentId": _TEXT,
                    "collectionId": _TEXT,
                    "contextId": _TEXT,
                    "score": _MAYBE_NUMBER,
                    "max_score": _MAYBE_NUMBER,
                    "attempts": {"type": "integer"},
                },
            },
        },
        "assessments": {
            "type": "array",
            "description": "one page of the attempts, newest first",
            "items": {
                "type": "object",
                "properties": {
                    "identifier": _TEXT,
                    "contentId": _TEXT,
                    "collectionId": _TEXT,
                    "contextId": _TEXT,
                    "attemptId": _TEXT,
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "grandTotal": {**_TEXT, "example": "1.33/3.0"},
                    "lastAttemptedOn": {"type": "integer", "format": "int64", "description": "epoch ms"},
                    "createdOn": {"type": "integer", "format": "int64", "description": "epoch ms"},
                },
            },
        },
        "count": {"type": "integer", "description": "of all attempts, on whatever page"},
    },
}
SYNC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": _MAYBE_TEXT,
                    "status": {"type": "string", "enum": ["applied", "duplicate", "older", "rejected"]},
                    "err": _MAYBE_TEXT,
                    "errmsg": _MAYBE_TEXT,
                    "code": {"type": "integer", "description": "of a rejected event: what the single call answers"},
                },
            },
        }
    },
}
_WHEN_CARRIED = {"type": ["object", "null"], "additionalProperties": True}
EXPLANATION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "userId": _TEXT,
        "collectionId": _TEXT,
        "contextId": _TEXT,
        "contentId": _TEXT,
        "status": {"type": "integer", "enum": [0, 1, 2]},
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "origin": _MAYBE_TEXT,
        "mode": _TEXT,
        "row": {**_WHEN_CARRIED, "description": "where the answer stands; null: there is no row"},
        "carried": {**_WHEN_CARRIED, "description": "the record of what brought it; null: nothing did"},
        "decision": {
            **_WHEN_CARRIED,
            "description": "about carrying here now, with each candidate; null: not enrolled",
        },
        "moved": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": True},
            "description": "the moves from or to this context that took the content along",
        },
        "moves": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": True},
            "description": "in move mode, what is decided about moving between this context and others now",
        },
        "sentences": {"type": "array", "items": _TEXT},
    },
}
EXPLAIN_PARAMETERS = [
    OpenApiParameter(name, OpenApiTypes.STR, required=required)
    for name, required in (("userId", False), ("collectionId", False), ("contextId", False), ("contentId", True))
]
