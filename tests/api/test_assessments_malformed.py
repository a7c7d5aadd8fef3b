"""Assessment calls that are refused, each with its code and message, and nothing is completed (DESIGN §9)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.assessments import SCORES, SUBMIT, best, event
from tests.api.wire import READ, SINGLE, place, refusal, view
from tests.servers import Server

Learner = Callable[..., str]

ONE = [event("q1", 1)]
Row = tuple[str, str, dict[str, Any], str, str, list[str]]
NOT_AN_ID = 'attemptId has a character no id may have (control, "/", "\\" or "..")'
NO_TIME = "{} is not a time (epoch ms, yyyy-MM-dd HH:mm:ss:SSSZ or ISO 8601)"
A = "assessments"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def _event(name: str, bad: dict[str, Any], code: str, message: str) -> Row:
    return (name, SUBMIT, {A: [*ONE, bad]}, f"ERR_{code}", f"{A}[1]{message}", [A])


MALFORMED: list[Row] = [
    ("no assessments", SUBMIT, {}, "ERR_MISSING_FIELD", f"{A} is required", [A]),
    ("assessments null", SUBMIT, {A: None, "events": ""}, "ERR_MISSING_FIELD", f"{A} is required", [A]),
    ("no events", SUBMIT, {A: []}, "ERR_NO_ANSWERS", f"{A} holds no ASSESS event: there is nothing to score", [A]),
    ("no events under their other name", SUBMIT, {"events": []}, "ERR_NO_ANSWERS",
     "events holds no ASSESS event: there is nothing to score", [A]),
    ("only other events", SUBMIT, {A: [{"eid": "START"}, {"eid": "END"}]}, "ERR_NO_ANSWERS",
     f"{A} holds no ASSESS event: there is nothing to score", [A]),
    ("an attempt without events", SUBMIT, {A: [{"events": ONE}, {"events": []}]}, "ERR_NO_ANSWERS",
     f"{A}[1].events holds no ASSESS event: there is nothing to score", [A]),
    ("an attempt of null", SUBMIT, {A: [{"attemptId": "A", "events": None}]}, "ERR_MISSING_FIELD",
     "events is required", ["events"]),
    ("assessments an object", SUBMIT, {A: ONE[0]}, "ERR_INVALID_FIELD",
     f"{A}: expected a list, got an object", [A]),
    ("assessments text", SUBMIT, {A: "[]"}, "ERR_INVALID_FIELD", f"{A}: expected a list, got text", [A]),
    ("an event of text", SUBMIT, {A: [*ONE, "x"]}, "ERR_INVALID_FIELD",
     f"{A}[1]: expected an object, got text", [A]),
    ("events of an attempt no list", SUBMIT, {A: [{"events": {}}]}, "ERR_INVALID_FIELD",
     "events: expected a list, got an object", ["events"]),
    ("two names, two contents", SUBMIT, {A: ONE, "events": []}, "ERR_CONFLICTING_IDS",
     "events contradicts assessments in the same request", ["events"]),
    ("events and attempts mixed", SUBMIT, {A: [*ONE, {"events": ONE}]}, "ERR_CONFLICTING_IDS",
     f"{A}[1] and {A}[0] differ: send events, or attempts with events in them", [A]),
    ("too many events", SUBMIT, {A: [{}] * 1001}, "ERR_TOO_MANY",
     f"{A} lists more than 1000 events; send each attempt by itself", [A]),
    ("too many events in attempts", SUBMIT, {A: [{"events": [{}] * 501}] * 2}, "ERR_TOO_MANY",
     f"{A} lists more than 1000 events; send each attempt by itself", [A]),
    ("nested too deeply", SUBMIT, {A: [{**ONE[0], "context": nested(40)}]}, "ERR_INVALID_FIELD",
     f"{A} is nested deeper than 32 levels", [A]),
    ("nested as deeply as a body may be", SUBMIT, {A: [nested(900)]}, "ERR_INVALID_FIELD",
     f"{A} is nested deeper than 32 levels", [A]),
    *((f"inner {name} contradicts", SUBMIT, {A: [{"events": ONE, name: "other"}]}, "ERR_CONFLICTING_IDS",
       f"the assessments contradict the request's {field}, or one another", [field])
      for name, field in (("contentId", "contentId"), ("courseId", "collectionId"), ("batchid", "contextId"))),
    ("inner attemptId contradicts", SUBMIT, {A: [{"events": ONE, "attemptId": "B"}], "attemptId": "A"},
     "ERR_CONFLICTING_IDS", "the assessments contradict the request's attemptId, or one another", ["attemptId"]),
    ("two contexts", SUBMIT, {A: ONE, "batchId": "other"}, "ERR_CONFLICTING_IDS",
     "batchId contradicts another spelling of contextId in the same request", ["contextId"]),
    ("no collection", SUBMIT, {A: ONE, "collectionId": None}, "ERR_CONTEXT_WITHOUT_COLLECTION",
     "contextId needs the collectionId it is a context of", ["collectionId"]),
    ("no content", SUBMIT, {A: ONE, "contentId": " "}, "ERR_MISSING_FIELD", "contentId is required", ["contentId"]),
    ("a bad content", SUBMIT, {A: ONE, "contentId": "a/b"}, "ERR_INVALID_ID",
     NOT_AN_ID.replace("attemptId", "contentId"), ["contentId"]),
    ("two contents", SUBMIT, {A: ONE, "contentId": [SINGLE]}, "ERR_INVALID_FIELD",
     "contentId: expected text or null, got a list".replace(" or null", ""), ["contentId"]),
    ("a bad inner collection", SUBMIT, {A: [{"events": ONE, "courseId": "a\x00"}]}, "ERR_INVALID_ID",
     NOT_AN_ID.replace("attemptId", "collectionId"), ["collectionId"]),
    ("attemptId a number", SUBMIT, {A: ONE, "attemptId": 5}, "ERR_INVALID_FIELD",
     "attemptId: expected text, got a whole number", ["attemptId"]),
    ("attemptId a path", SUBMIT, {A: ONE, "attemptId": "../x"}, "ERR_INVALID_ID", NOT_AN_ID, ["attemptId"]),
    ("attemptId with NUL", SUBMIT, {A: ONE, "attemptId": "a\x00"}, "ERR_INVALID_ID", NOT_AN_ID, ["attemptId"]),
    ("attemptId too long", SUBMIT, {A: ONE, "attemptId": "x" * 257}, "ERR_INVALID_ID",
     "attemptId is longer than 256 characters", ["attemptId"]),
    ("assessmentTs words", SUBMIT, {A: ONE, "assessmentTs": "now"}, "ERR_INVALID_TIME",
     NO_TIME.format("assessmentTs"), ["assessmentTs"]),
    ("assessmentTs true", SUBMIT, {A: ONE, "assessmentTs": True}, "ERR_INVALID_FIELD",
     "assessmentTs: expected a whole number or a number or text, got true or false", ["assessmentTs"]),
    ("assessmentTs beyond the calendar", SUBMIT, {A: ONE, "assessmentTs": 10**30}, "ERR_INVALID_TIME",
     "assessmentTs is beyond the calendar", ["assessmentTs"]),
    ("two assessment times", SUBMIT, {A: ONE, "assessmentTs": 1, "assessmentTimestamp": 2}, "ERR_CONFLICTING_IDS",
     "assessmentTimestamp contradicts another spelling of assessmentTs in the same request", ["assessmentTs"]),
    _event("no question", {}, "MISSING_FIELD", " names no question (edata.item.id or questionId)"),
    _event("blank question", event(" ", 1), "MISSING_FIELD", " names no question (edata.item.id or questionId)"),
    _event("score in words", event("a", "lots"), "INVALID_FIELD", ".edata.score is not a number"),
    _event("score NaN", event("a", "NaN"), "INVALID_FIELD", ".edata.score is not a number"),
    _event("score Infinity", event("a", "-Infinity"), "INVALID_FIELD", ".edata.score is not a number"),
    _event("score too large", event("a", "1e999"), "INVALID_FIELD",
           ".edata.score is not a number from -1000000000000 to 1000000000000"),
    _event("score true", event("a", True), "INVALID_FIELD", ".edata.score is not a number"),
    _event("score a list", event("a", [1]), "INVALID_FIELD", ".edata.score is not a number"),
    _event("maximum below zero", event("a", 1, None, -1), "INVALID_FIELD",
           ".edata.item.maxscore is not a number from 0 to 1000000000000"),
    _event("ets words", event("a", 1, "yesterday"), "INVALID_TIME", "." + NO_TIME.format("ets")),
    _event("ets an object", event("a", 1, {}), "INVALID_TIME", "." + NO_TIME.format("ets")),
    _event("edata a list", {"edata": ONE}, "INVALID_FIELD", ".edata is not an object"),
    _event("resvalues an object", event("a", 1, resvalues={}), "INVALID_FIELD", ".edata.resvalues is not a list"),
    _event("NUL in a value", event("a", 1, resvalues=[{"1": "\x00"}]), "INVALID_FIELD",
           ".edata.resvalues[0] holds a character no store keeps (NUL or half of a pair)"),
    _event("NUL in a question", event("a\x00", 1), "INVALID_FIELD",
           ".edata.item.id holds a character no store keeps (NUL or half of a pair)"),
    ("nothing to read", SCORES, {"contentId": None, "collectionId": None, "contextId": None}, "ERR_NOTHING_TO_READ",
     "Name a contentId or a collectionId", ["contentId"]),
    ("context without collection", SCORES, {"collectionId": None}, "ERR_CONTEXT_WITHOUT_COLLECTION",
     "contextId needs the collectionId it is a context of", ["collectionId"]),
    ("too many contents", SCORES, {"contentId": ["x"] * 1001}, "ERR_TOO_MANY",
     "contentId lists more than 1000 contents", ["contentId"]),
    ("content a number", SCORES, {"contentId": 5}, "ERR_INVALID_FIELD",
     "contentId: expected text or a list, got a whole number", ["contentId"]),
    ("limit 0", SCORES, {"limit": 0}, "ERR_INVALID_FIELD", "limit: expected a whole number >= 1", ["limit"]),
    ("limit too high", SCORES, {"limit": 1001}, "ERR_INVALID_FIELD",
     "limit: expected a whole number <= 1000", ["limit"]),
    ("offset below zero", SCORES, {"offset": -1}, "ERR_INVALID_FIELD",
     "offset: expected a whole number >= 0", ["offset"]),
    ("offset text", SCORES, {"offset": "1"}, "ERR_INVALID_FIELD",
     "offset: expected a whole number, got text", ["offset"]),
]  # fmt: skip


@pytest.mark.parametrize("row", MALFORMED, ids=[row[0] for row in MALFORMED])
def test_malformed_request_is_refused_and_nothing_is_completed(server: Server, learner: Learner, row: Row) -> None:
    _, path, more, code, message, fields = row
    user = learner()
    body = refusal(server.call(path, place(user) | more), 400, code)
    assert body["params"]["errmsg"] == message
    assert body["result"] == dict.fromkeys(fields, message)
    assert best(server, user) == (None, None, 0)
    assert view(server, place(user))["status"] == 0


@pytest.mark.parametrize("levels", [30, 500, *range(940, 1000, 6), 1100, 3000])
@pytest.mark.parametrize("field", ["assessments", "events", "attemptId", "assessmentTs"])
def test_no_depth_of_nesting_crashes(server: Server, learner: Learner, field: str, levels: int) -> None:
    deep = '{"a":' * levels + "1" + "}" * levels
    head = json.dumps(place(learner()))[1:-1]
    for inner in (f'"{field}":{deep},"{field.upper()}":{deep}', f'"{field}":[{deep}],"{field.upper()}":[{deep}]'):
        body = f'{{"params":{{"msgid":"m"}},"request":{{{head},{inner}}}}}'
        assert server.client.post(SUBMIT, content=body.encode()).status_code == 400
        item = f'{{"id":"e","type":"assess","contentId":"{SINGLE}",{inner}}}'
        body = f'{{"request":{{"userId":"{learner()}","events":[{item}]}}}}'
        assert server.client.post(READ.replace("read", "sync"), content=body.encode()).status_code in {200, 400}
