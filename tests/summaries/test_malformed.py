"""What a client can get wrong in the new-style calls: refused by name, and nothing left behind."""

import json
from typing import Any

import pytest

from tests.api.wire import BATCH, MATHS, refusal
from tests.servers import Server
from tests.summaries.wire import AGG, PROGRAM_ENROLL, PROGRAM_UNENROLL, SUMMARY, Learner, listed

ID, FIELD, MISSING, BAD = "ERR_INVALID_ID", "ERR_INVALID_FIELD", "ERR_MISSING_FIELD", "ERR_INVALID_REQUEST"
PLACE = {"userId": "USER", "collectionId": MATHS, "contextId": BATCH}
LIST: Any = []
OBJECT: Any = {}

BODIES: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a list", b"[]"),
    ("null", b"null"),
    ("no request", json.dumps(PLACE).encode()),
    ("request null", b'{"request":null}'),
    ("request a list", b'{"request":[]}'),
    ("request text", b'{"request":"x"}'),
    ("no JSON", b"userId=rahul"),
    ("cut off", b'{"request":{"userId":"ra'),
    ("two objects", b'{"request":{}}{"request":{}}'),
    ("not UTF-8", b'{"request":{"userId":"\xff"}}'),
    ("NaN", b'{"request":{"userId":NaN}}'),
    ("nested beyond reason", b'{"request":' + b'{"a":' * 50_000),
]


@pytest.mark.parametrize("path", [SUMMARY, AGG, PROGRAM_ENROLL, PROGRAM_UNENROLL])
@pytest.mark.parametrize("body", [row[1] for row in BODIES], ids=[row[0] for row in BODIES])
def test_a_body_that_is_no_request_is_refused(school: Server, path: str, body: bytes) -> None:
    refusal(school.client.post(path, content=body), 400, BAD)


ROWS: list[tuple[dict[str, Any], str, str]] = [
    ({"userId": None}, MISSING, "userId"),
    ({"userId": ""}, MISSING, "userId"),
    ({"userId": "   "}, MISSING, "userId"),
    ({"userId": 5}, ID, "userId"),
    ({"userId": True}, ID, "userId"),
    ({"userId": LIST}, ID, "userId"),
    ({"userId": OBJECT}, ID, "userId"),
    ({"userId": "a/b"}, ID, "userId"),
    ({"userId": ".."}, ID, "userId"),
    ({"userId": "a\u0000b"}, ID, "userId"),
    ({"userId": "x" * 257}, ID, "userId"),
    ({"collectionId": None}, MISSING, "collectionId"),
    ({"collectionId": " "}, MISSING, "collectionId"),
    ({"collectionId": 7}, ID, "collectionId"),
    ({"collectionId": [MATHS]}, ID, "collectionId"),
    ({"collectionId": "a\\b"}, ID, "collectionId"),
    ({"collectionId": "a\nb"}, ID, "collectionId"),
    ({"contextId": None}, MISSING, "contextId"),
    ({"contextId": ""}, MISSING, "contextId"),
    ({"contextId": False}, ID, "contextId"),
    ({"contextId": {"id": BATCH}}, ID, "contextId"),
    ({"contextId": "ß" * 257}, ID, "contextId"),
    ({"courseId": "another"}, "ERR_CONFLICTING_IDS", "collectionId"),
    ({"batchId": "another"}, "ERR_CONFLICTING_IDS", "contextId"),
    ({"userid": "another"}, "ERR_CONFLICTING_IDS", "userId"),
]


@pytest.mark.parametrize("path", [SUMMARY, AGG])
@pytest.mark.parametrize(("given", "code", "field"), ROWS)
def test_a_field_that_means_nothing_is_named(
    school: Server, learner: Learner, path: str, given: dict[str, Any], code: str, field: str
) -> None:
    rahul = learner()
    answer = school.call(path, PLACE | {"userId": rahul} | given)
    body = refusal(answer, 400, code)
    assert list(body["result"]) == [field]
    assert body["responseCode"] == "BAD_REQUEST"
    assert listed(school, rahul, "?type=all") == []


@pytest.mark.parametrize("given", ["programs", "ENROLMENT", 5, True, LIST, OBJECT])
def test_a_type_that_is_none_is_named(school: Server, learner: Learner, given: Any) -> None:
    body = refusal(school.call(SUMMARY, PLACE | {"userId": learner(), "type": given}), 400, FIELD)
    assert list(body["result"]) == ["type"]


def test_what_is_not_asked_for_is_not_looked_at(school: Server, learner: Learner) -> None:
    request = PLACE | {"userId": learner(), "contentId": 5, "fields": [None], "limit": "x", "progressDetails": LIST}
    refusal(school.call(SUMMARY, request), 404, "ERR_NOT_FOUND")
