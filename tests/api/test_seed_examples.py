"""Every request and answer of the seeds' API spec for views, its scenarios 1-3, and the Strict Context Mode table."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.wire import BATCH, DOUBLE, END, MATHS, READ, SINGLE, START, UPDATE, contents, gateway, view
from tests.servers import Server

Learner = Callable[..., str]
Family = Callable[[str], str]

SPEC_REQUEST = """{
    "request": {
        "userId": "{{userId}}",
        "collectionId" : "{{collectionId}}",
        "contextId": "{{batchId}}",
        "contentId": "{{contentId}}"
    }
}"""
SPEC_UPDATE = """{
    "request": {
        "userId": "{{userId}}",
        "collectionId" : "{{collectionId}}",
        "contextId": "{{batchId}}",
        "contentId": "{{contentId}}",
        "progressDetails": {},
        "timespent": 10
    }
}"""
SPEC_READ = """{
    "request": {
        "userId": "{{userId}}",
        "contentId": ["do_123", "do_1234"],
        "collectionId" : "{{collectionId}}",
        "contextId": "{{batchId}}"

    }
}"""
SPEC_ANSWER = """{
    "id": "api.view.start",
    "ver": "v1",
    "ts": "2021-06-23 05:37:40:575+0000",
    "params": {
        "resmsgid": null,
        "msgid": "5e763bc2-b072-440d-916e-da787881b1b9",
        "err": null,
        "status": "success",
        "errmsg": null
    },
    "responseCode": "OK",
    "result": {}
}"""


@pytest.fixture(params=[str, gateway], ids=["v1", "gateway"])
def family(request: pytest.FixtureRequest) -> Family:
    """Both forms of every path."""
    chosen: Family = request.param
    return chosen


def _filled(template: str, user: str, content: str = "do_123") -> dict[str, Any]:
    values = {"userId": user, "collectionId": MATHS, "batchId": BATCH, "contentId": content}
    for name, value in values.items():
        template = template.replace("{{" + name + "}}", value)
    filled: dict[str, Any] = json.loads(template)
    return filled


def _post(server: Server, path: str, template: str, user: str) -> dict[str, Any]:
    answer = server.client.post(path, json=_filled(template, user))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _assert_spec_answer(body: dict[str, Any], api_id: str) -> None:
    spec = json.loads(SPEC_ANSWER)
    own = {"ts": body["ts"], "result": body["result"]}
    assert body == {**spec, "id": api_id, **own, "params": {**spec["params"], "msgid": body["params"]["msgid"]}}


def test_content_view_start_answers_as_the_spec_shows(server: Server, learner: Learner, family: Family) -> None:
    body = _post(server, family(START), SPEC_REQUEST, learner())
    _assert_spec_answer(body, "api.view.start")
    assert body["result"] == {"do_123": "Progress started"}


def test_content_view_update_answers_as_the_spec_shows(server: Server, learner: Learner, family: Family) -> None:
    user = learner()
    _post(server, family(START), SPEC_REQUEST, user)
    body = _post(server, family(UPDATE), SPEC_UPDATE, user)
    _assert_spec_answer(body, "api.view.update")
    assert body["result"] == {"do_123": "SUCCESS"}


def test_content_view_end_answers_as_the_spec_shows(server: Server, learner: Learner, family: Family) -> None:
    user = learner()
    _post(server, family(START), SPEC_REQUEST, user)
    body = _post(server, family(END), SPEC_REQUEST, user)
    _assert_spec_answer(body, "api.view.end")
    assert body["result"] == {"do_123": "Progress ended"}


def test_content_view_read_answers_as_the_spec_shows(server: Server, learner: Learner, family: Family) -> None:
    user = learner()
    _post(server, family(START), SPEC_REQUEST, user)
    update = _filled(SPEC_UPDATE, user)["request"] | {"progressDetails": {"progress": 45}}
    server.result(family(UPDATE), update)
    body = _post(server, family(READ), SPEC_READ, user)
    _assert_spec_answer(body, "api.view.read")
    result = body["result"]
    assert list(result) == ["userId", "collectionId", "contextId", "contents"]
    assert (result["userId"], result["collectionId"], result["contextId"]) == (user, MATHS, BATCH)
    shown = [
        {key: item[key] for key in ("identifier", "progress", "score", "max_score")} for item in result["contents"]
    ]
    assert shown == [
        {"identifier": "do_123", "progress": 45, "score": None, "max_score": None},
        {"identifier": "do_1234", "progress": 0, "score": None, "max_score": None},
    ]


def test_read_answers_every_field_live_clients_look_for(server: Server, learner: Learner, family: Family) -> None:
    user = learner()
    _post(server, family(START), SPEC_REQUEST, user)
    (item,) = contents(server, _filled(SPEC_REQUEST, user)["request"])
    assert list(item) == [
        "identifier", "contentId", "collectionId", "contextId", "status", "progress", "score", "max_score",
        "progressDetails", "lastAccessTime", "lastCompletedTime", "viewCount", "timespent", "origin",
    ]  # fmt: skip
    assert (item["identifier"], item["contentId"]) == ("do_123", "do_123")
    assert (item["collectionId"], item["contextId"]) == (MATHS, BATCH)
    assert item["status"] == 1
    assert item["progressDetails"] == {}
    assert isinstance(item["lastAccessTime"], int)
    assert item["lastCompletedTime"] is None
    assert item["viewCount"] == 1
    assert item["origin"] is None


def test_error_answers_as_the_spec_shows(server: Server, learner: Learner, family: Family) -> None:
    answer = server.client.post(family(UPDATE), json=_filled(SPEC_UPDATE, learner()))
    assert answer.status_code == 404
    body = answer.json()
    assert body["id"] == "api.view.update"
    assert body["params"]["status"] == "failed"
    assert body["params"]["err"] == "ERR_VIEW_NOT_STARTED"
    assert isinstance(body["params"]["errmsg"], str)
    assert body["responseCode"] == "RESOURCE_NOT_FOUND"


# --- scenarios 1-3, in the names of their own table -----------------------------------------------------------------


def test_scenario_1_individual_content_is_its_own_collection(server: Server, learner: Learner, family: Family) -> None:
    user = learner()
    request = {"userid": user, "contentid": SINGLE}
    server.result(family(START), request)
    server.result(family(END), request)
    result = server.result(family(READ), request)
    assert (result["collectionId"], result["contextId"]) == (SINGLE, SINGLE)
    item = view(server, request)
    assert (item["collectionId"], item["contextId"], item["contentId"], item["status"]) == (SINGLE, SINGLE, SINGLE, 2)


@pytest.mark.parametrize("spelling", ["collection", "collectionid"])
def test_scenario_2_collection_is_its_own_context(
    server: Server, learner: Learner, family: Family, spelling: str
) -> None:
    user = learner()
    request = {"userid": user, "collectionid": MATHS, "contentid": SINGLE}
    server.result(family(START), request)
    server.result(family(END), request)
    result = server.result(family(READ), {"userid": user, spelling: MATHS})
    assert (result["collectionId"], result["contextId"]) == (MATHS, MATHS)
    found: Any = result["contents"]
    assert {item["contentId"]: item["status"] for item in found if item["status"]} == {SINGLE: 2}


@pytest.mark.parametrize("context", ["batch-1", "program-1", "program-batch-1", f"batch-1:{MATHS}"])
def test_scenario_3_context_is_what_the_client_says(
    server: Server, learner: Learner, family: Family, context: str
) -> None:
    user = learner()
    request = {"userid": user, "collectionid": MATHS, "contextid": context, "contentid": SINGLE}
    server.result(family(START), request)
    server.result(family(END), request)
    result = server.result(family(READ), {"userid": user, "collectionid": MATHS, "contextid": context})
    assert (result["collectionId"], result["contextId"]) == (MATHS, context)
    found: Any = result["contents"]
    assert {item["contentId"]: item["status"] for item in found if item["status"]} == {SINGLE: 2}
    assert view(server, {"userid": user, "collectionid": MATHS, "contentid": SINGLE})["status"] == 0
    assert view(server, {"userid": user, "contentid": SINGLE})["status"] == 0


# --- Strict Context Mode ------------------------------------------------------------------------------------------


def _complete(server: Server, family: Family, **where: str) -> None:
    server.result(family(START), where)
    server.result(family(END), where)


def _as_in_the_seeds(server: Server, family: Family, user: str) -> None:
    """Rahul completes single-digit-addition in batch-1 of class-1-maths, and double-digit-addition organically."""
    _complete(server, family, userId=user, collectionId=MATHS, contextId="batch-1", contentId=SINGLE)
    _complete(server, family, userId=user, contentId=DOUBLE)


def _inverse(server: Server, family: Family, user: str) -> None:
    """Rahul completes single-digit-addition after searching for it."""
    _complete(server, family, userId=user, contentId=SINGLE)


STRICT = [
    pytest.param(
        _as_in_the_seeds, {"collectionId": MATHS, "contextId": "batch-1", "contentId": SINGLE}, 2, id="STRICT-1"
    ),
    pytest.param(_as_in_the_seeds, {"contentId": SINGLE}, 0, id="STRICT-2"),
    pytest.param(
        _as_in_the_seeds, {"collectionId": MATHS, "contextId": "batch-2", "contentId": SINGLE}, 0, id="STRICT-3"
    ),
    pytest.param(_inverse, {"collectionId": MATHS, "contextId": "batch-1", "contentId": SINGLE}, 0, id="STRICT-4"),
    pytest.param(
        _as_in_the_seeds, {"collectionId": MATHS, "contextId": "batch-1", "contentId": DOUBLE}, 0, id="STRICT-5"
    ),
    pytest.param(_as_in_the_seeds, {"contentId": DOUBLE}, 2, id="STRICT-6"),
]


@pytest.mark.parametrize(("before", "opened", "status"), STRICT)
def test_strict_context_mode_answers_as_its_table_says(
    server: Server,
    learner: Learner,
    family: Family,
    before: Callable[[Server, Family, str], None],
    opened: dict[str, str],
    status: int,
) -> None:
    rahul = learner("Rahul")
    before(server, family, rahul)
    item = view(server, {"userId": rahul, **opened})
    assert (item["status"], item["progress"]) == (status, 100 if status == 2 else 0)


def test_strict_context_mode_stores_the_two_rows_of_its_table(server: Server, learner: Learner, family: Family) -> None:
    rahul = learner("Rahul")
    _as_in_the_seeds(server, family, rahul)
    seen = [
        (item["collectionId"], item["contextId"], item["contentId"], item["status"])
        for request in ({"collectionId": MATHS, "contextId": "batch-1"}, {"contentId": [SINGLE, DOUBLE]})
        for item in contents(server, {"userId": rahul, **request})
        if item["status"]
    ]
    assert seen == [(MATHS, "batch-1", SINGLE, 2), (DOUBLE, DOUBLE, DOUBLE, 2)]
