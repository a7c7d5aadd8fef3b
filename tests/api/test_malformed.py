"""Everything a client can get wrong, in one table: refused with its own code, and nothing left behind.

A row is (name, path, what is sent, status, code, message, fields to blame). What is sent is an object for "request",
where USER stands for the learner, or raw bytes. The message is the exact text, or a pattern.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.wire import BATCH, CALLS, END, MATHS, READ, SINGLE, START, SYNC, UPDATE, contents, place, refusal
from tests.servers import Server

Learner = Callable[..., str]
Row = tuple[str, str, Any, int, str, str | re.Pattern[str], list[str]]

USER = "USER"
LIST: Any = []
OBJECT: Any = {}
BAD, ID, FIELD, TIME, MISSING = (
    f"ERR_{name}" for name in ("INVALID_REQUEST", "INVALID_ID", "INVALID_FIELD", "INVALID_TIME", "MISSING_FIELD")
)
NO_REQUEST = 'The body must hold a "request" object'
NO_OBJECT = "The body must be a JSON object"
NOT_JSON = re.compile(r"The body is not valid JSON: .+")
NO_TIME = "{} is not a time (epoch ms, yyyy-MM-dd HH:mm:ss:SSSZ or ISO 8601)"
NO_ID = '{} has a character no id may have (control, "/", "\\" or "..")'
TIME_TYPE = "{}: expected a whole number or a number or text, got {}"


def raw(inner: str | bytes) -> bytes:
    """A body whose request has the learner, a place and `inner`, written out as it is."""
    head = json.dumps(place(USER))[1:-1].encode()
    return b'{"request":{' + head + b"," + (inner.encode() if isinstance(inner, str) else inner) + b"}}"


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


BODIES: list[Row] = [
    ("empty body", START, b"", 400, BAD, NO_REQUEST, ["request"]),
    ("blank body", START, b" \r\n\t", 400, BAD, NO_REQUEST, ["request"]),
    ("empty object", START, b"{}", 400, BAD, NO_REQUEST, ["request"]),
    ("no request", UPDATE, json.dumps(place(USER)).encode(), 400, BAD, NO_REQUEST, ["request"]),
    ("request null", END, b'{"request":null}', 400, BAD, NO_REQUEST, ["request"]),
    ("request list", READ, b'{"request":[]}', 400, BAD, NO_REQUEST, ["request"]),
    ("request text", SYNC, b'{"request":"x"}', 400, BAD, NO_REQUEST, ["request"]),
    ("request under another case", START, b'{"Request":{}}', 400, BAD, NO_REQUEST, ["request"]),
    ("body list", START, b"[]", 400, BAD, NO_OBJECT, []),
    ("body null", UPDATE, b"null", 400, BAD, NO_OBJECT, []),
    ("body true", END, b"true", 400, BAD, NO_OBJECT, []),
    ("body number", READ, b"5", 400, BAD, NO_OBJECT, []),
    ("body text", SYNC, b'"request"', 400, BAD, NO_OBJECT, []),
    ("not JSON", START, b"request=1&x=2", 400, BAD, NOT_JSON, []),
    ("single quotes", START, b"{'request': {}}", 400, BAD, NOT_JSON, []),
    ("cut off", START, b'{"request":{"userId":', 400, BAD, NOT_JSON, []),
    ("something behind", START, b'{"request":{}} x', 400, BAD, NOT_JSON, []),
    ("two objects", START, b'{"request":{}}{"request":{}}', 400, BAD, NOT_JSON, []),
    ("trailing comma", START, b'{"request":{},}', 400, BAD, NOT_JSON, []),
    ("comment", START, b'{"request":{} /* x */}', 400, BAD, NOT_JSON, []),
    ("byte order mark", START, b'\xef\xbb\xbf{"request":{}}', 400, BAD, NOT_JSON, []),
    ("UTF-16", START, '{"request":{}}'.encode("utf-16"), 400, BAD, NOT_JSON, []),
    ("not UTF-8", START, raw(b'"courseId":"\xff\xfe"'), 400, BAD, NOT_JSON, []),
    ("overlong UTF-8", START, raw(b'"courseId":"\xc0\x80"'), 400, BAD, NOT_JSON, []),
    ("NUL bytes", START, b"\x00" * 16, 400, BAD, NOT_JSON, []),
    ("raw NUL in text", START, raw(b'"courseId":"a\x00b"'), 400, BAD, NOT_JSON, []),
    ("NaN", UPDATE, raw('"timespent":NaN'), 400, BAD, NOT_JSON, []),
    ("Infinity", UPDATE, raw('"timespent":-Infinity'), 400, BAD, NOT_JSON, []),
    ("1e999 as time spent", UPDATE, raw('"timespent":1e999'), 400, BAD, NOT_JSON, []),
    ("1e999 in the details", UPDATE, raw('"progressDetails":{"progress":1e999}'), 400, BAD, NOT_JSON, []),
    ("5,000 digits", UPDATE, raw('"progressDetails":{"n":' + "9" * 5000 + "}"), 400, BAD, NOT_JSON, []),
    ("hexadecimal", UPDATE, raw('"timespent":0x10'), 400, BAD, NOT_JSON, []),
    ("lone surrogate in an id", START, raw('"courseId":"\\ud800"'), 400, BAD, NOT_JSON, []),
    ("lone surrogate in the details", UPDATE, raw('"progressDetails":{"a":"\\udc00"}'), 400, BAD, NOT_JSON, []),
    ("surrogates in bytes", UPDATE, raw(b'"progressDetails":{"a":"\xed\xa0\x80"}'), 400, BAD, NOT_JSON, []),
    ("list without an end", START, b"[" * 100_000, 400, BAD, re.compile(r".*(deep|valid JSON).*"), []),
    ("objects without an end", START, b'{"a":' * 100_000, 400, BAD, "The body is nested too deeply", []),
    ("nested beyond reason", UPDATE, raw('"x":' + nested(5000)), 400, BAD, "The body is nested too deeply", []),
]


def _typed(field: str, given: Any, told: str, path: str = UPDATE) -> Row:
    """`field` of a wrong JSON type: "expected …, got …"."""
    name = f"{field} {json.dumps(given)[:24]} to {path.rsplit('/', 1)[1]}"
    return (name, path, place(USER) | {field: given}, 400, FIELD, f"{field}: {told}", [field])


def _not_text(field: str, given: Any, path: str) -> Row:
    name = f"{field} {json.dumps(given)} to {path.rsplit('/', 1)[1]}"
    return (name, path, place(USER) | {field: given}, 400, ID, f"{field} must be text", [field])


def _no_time(field: str, given: Any, path: str) -> Row:
    name = f"{field} {given!r:.30} to {path.rsplit('/', 1)[1]}"
    return (name, path, place(USER) | {field: given}, 400, TIME, NO_TIME.format(field), [field])


GOT = {
    "5": "a whole number",
    "true": "true or false",
    "[]": "a list",
    "{}": "an object",
    '"x"': "text",
    "1.5": "a number",
}


def _got(given: Any) -> str:
    return GOT[json.dumps(given)]


IDS: list[Row] = [
    *(_not_text(field, given, path)
      for field in ("userId", "collectionId", "contextId")
      for given, path in ((5, START), (True, END), (LIST, READ), (OBJECT, UPDATE))),
    *(_typed("contentId", given, f"expected text, got {_got(given)}", path)
      for given, path in ((5, START), (True, UPDATE), (LIST, END), (OBJECT, START))),
    *(_typed("contentId", given, f"expected text or a list, got {_got(given)}", READ) for given in (5, True, OBJECT)),
    ("a write of two contents", START, place(USER) | {"contentId": [SINGLE]}, 400, FIELD,
     "contentId: expected text, got a list", ["contentId"]),
    ("a read of numbers", READ, place(USER) | {"contentId": [SINGLE, 5]}, 400, FIELD,
     "contentId[1]: expected text, got a whole number", ["contentId"]),
    ("a read of null", READ, place(USER) | {"contentId": [None]}, 400, FIELD,
     "contentId[0]: expected text, got null", ["contentId"]),
    ("a read of one bad id", READ, place(USER) | {"contentId": [SINGLE, "a/b"]}, 400, ID,
     NO_ID.format("contentId"), ["contentId"]),
    ("too many contents", READ, place(USER) | {"contentId": [f"do_{n}" for n in range(1001)]}, 400, "ERR_TOO_MANY",
     "contentId lists more than 1000 contents", ["contentId"]),
    ("no content", START, {"userId": USER}, 400, MISSING, "contentId is required", ["contentId"]),
    ("blank content", END, {"userId": USER, "contentId": "  "}, 400, MISSING, "contentId is required", ["contentId"]),
    ("no user", START, {"contentId": SINGLE}, 400, MISSING, "userId is required", ["userId"]),
    ("blank user", READ, {"userId": " ", "contentId": SINGLE}, 400, MISSING, "userId is required", ["userId"]),
    ("no user to sync", SYNC, {"events": []}, 400, MISSING, "userId is required", ["userId"]),
    ("context without collection, start", START, {"userId": USER, "contextId": BATCH, "contentId": SINGLE}, 400,
     "ERR_CONTEXT_WITHOUT_COLLECTION", "contextId needs the collectionId it is a context of", ["collectionId"]),
    ("context without collection, end", END, {"userId": USER, "batchId": BATCH, "contentId": SINGLE, "force": True},
     400, "ERR_CONTEXT_WITHOUT_COLLECTION", "contextId needs the collectionId it is a context of", ["collectionId"]),
    ("context without collection, read", READ, {"userId": USER, "contextId": BATCH}, 400,
     "ERR_CONTEXT_WITHOUT_COLLECTION", "contextId needs the collectionId it is a context of", ["collectionId"]),
    ("nothing to read", READ, {"userId": USER}, 400, "ERR_NOTHING_TO_READ", "Name a contentId or a collectionId",
     ["contentId"]),
    ("only blanks to read", READ, {"userId": USER, "contentId": ["", " "]}, 400, "ERR_NOTHING_TO_READ",
     "Name a contentId or a collectionId", ["contentId"]),
    ("two collections", START, place(USER) | {"courseId": "class-2-maths"}, 400, "ERR_CONFLICTING_IDS",
     "courseId contradicts another spelling of collectionId in the same request", ["collectionId"]),
    ("two contexts", END, place(USER) | {"batchId": "batch-2"}, 400, "ERR_CONFLICTING_IDS",
     "batchId contradicts another spelling of contextId in the same request", ["contextId"]),
    ("two contents", UPDATE, place(USER) | {"contentid": "x"}, 400, "ERR_CONFLICTING_IDS",
     "contentid contradicts another spelling of contentId in the same request", ["contentId"]),
    ("two details", UPDATE, place(USER) | {"progressDetails": {"a": 1}, "progressdetails": {"a": 2}}, 400,
     "ERR_CONFLICTING_IDS", "progressdetails contradicts another spelling of progressDetails in the same request",
     ["progressDetails"]),
    *((f"NUL in {field}", START, place(USER) | {field: "a\x00b"}, 400, ID, NO_ID.format(field), [field])
      for field in ("userId", "collectionId", "contextId", "contentId")),
    ("path in an id", START, place(USER) | {"contentId": "../x"}, 400, ID, NO_ID.format("contentId"), ["contentId"]),
    ("id too long", START, place(USER) | {"contextId": "x" * 257}, 400, ID,
     "contextId is longer than 256 characters", ["contextId"]),
]  # fmt: skip

VALUES: list[Row] = [
    *(_typed("progressDetails", given, f"expected an object, got {_got(given)}", path)
      for given in (5, True, LIST, "x", 1.5) for path in (START, UPDATE, END)),
    ("NUL in the details", UPDATE, place(USER) | {"progressDetails": {"a": "x\x00"}}, 400, FIELD,
     "progressDetails holds a NUL character", ["progressDetails"]),
    ("NUL in a key of the details", START, place(USER) | {"progressDetails": {"a\x00": 1}}, 400, FIELD,
     "progressDetails holds a NUL character", ["progressDetails"]),
    ("details too deep", UPDATE, raw('"progressDetails":' + nested(33)), 400, FIELD,
     "progressDetails is nested deeper than 32 levels", ["progressDetails"]),
    ("details as deep as a body may be", UPDATE, raw('"progressDetails":' + nested(900)), 400, FIELD,
     "progressDetails is nested deeper than 32 levels", ["progressDetails"]),
    ("details too large", END, place(USER) | {"progressDetails": {"a": "x" * 16_400}}, 400, FIELD,
     "progressDetails is larger than 16384 bytes", ["progressDetails"]),
    ("details of too many bytes", START, place(USER) | {"progressDetails": {"a": "ह" * 5_500}}, 400, FIELD,
     "progressDetails is larger than 16384 bytes", ["progressDetails"]),
    *(_typed("timespent", given, f"expected a number, got {_got(given)}") for given in (True, "x", LIST, OBJECT)),
    _typed("timespent", -1, "expected a number >= 0.0"),
    _typed("timespent", -0.001, "expected a number >= 0.0", END),
    _typed("timespent", 1e10, "expected a number <= 1000000000.0"),
    _typed("timespent", 10**40, "expected a number <= 1000000000.0"),
    *(_typed("force", given, f"expected true or false, got {_got(given)}", END)
      for given in (5, "x", LIST, OBJECT, 1.5)),
    *(_typed("lastAccessTime", given, TIME_TYPE.format("", _got(given))[2:], path)
      for given in (True, LIST, OBJECT) for path in (START, UPDATE, END)),
    *(_typed("lastCompletedTime", given, TIME_TYPE.format("", _got(given))[2:], END) for given in (True, LIST, OBJECT)),
    *(_no_time("lastAccessTime", given, path) for path, given in (
        (START, "yesterday"), (UPDATE, "2026-13-01T00:00:00Z"), (END, "12:00"), (START, "2026-02-30"),
        (UPDATE, "2026-01-01 10:00:00:000+9999"), (END, "1e5"), (START, "\uff12\uff10\uff12\uff16"),
        (UPDATE, "9" * 5000),
        (START, "0001-01-01T00:00:00+14:00"), (UPDATE, "NaN"), (END, "now()"), (START, "10/01/2026"))),
    *(_no_time("lastCompletedTime", given, END) for given in ("done", "2026-01-01T25:00:00", "true")),
    ("events missing", SYNC, {"userId": USER}, 400, MISSING, "events is required", ["events"]),
    ("events null", SYNC, {"userId": USER, "events": None}, 400, MISSING, "events is required", ["events"]),
    *(_typed("events", given, f"expected a list, got {_got(given)}", SYNC) for given in (5, True, "x", OBJECT)),
    *((f"event {given!r}", SYNC, {"userId": USER, "events": [{}, given]}, 400, FIELD,
       f"events[1]: expected an object, got {told}", ["events"])
      for given, told in ((5, "a whole number"), (None, "null"), (LIST, "a list"), ("x", "text"),
                          (True, "true or false"))),
    ("too many events", SYNC, {"userId": USER, "events": [{}] * 501}, 400, "ERR_TOO_MANY",
     "events lists more than 500; send it in parts", ["events"]),
]  # fmt: skip

TABLE = [*BODIES, *IDS, *VALUES]


def test_the_table_names_each_case_once_and_covers_every_call() -> None:
    names = [row[0] for row in TABLE]
    assert len(names) == len(set(names)) >= 70
    assert {row[1] for row in TABLE} == set(CALLS)


def _filled(sent: Any, user: str) -> bytes:
    text: bytes = sent if isinstance(sent, bytes) else json.dumps({"request": sent}).encode()
    return text.replace(b'"USER"', json.dumps(user).encode())


def _state(server: Server, user: str) -> list[list[dict[str, Any]]]:
    """What the service knows of this learner, wherever a row of the table could have written."""
    reads: list[dict[str, Any]] = [
        {"collectionId": MATHS, "contextId": BATCH},
        {"collectionId": MATHS},
        {"contentId": [SINGLE, "x", "a", BATCH]},
    ]
    return [contents(server, {"userId": user, **read}) for read in reads]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_malformed_request_is_refused_and_leaves_nothing(server: Server, learner: Learner, row: Row) -> None:
    _, path, sent, status, code, message, fields = row
    user = learner()
    body = refusal(server.client.post(path, content=_filled(sent, user)), status, code)
    errmsg = body["params"]["errmsg"]
    assert message.fullmatch(errmsg) if isinstance(message, re.Pattern) else errmsg == message
    assert list(body["result"]) == fields
    assert body["result"].get("request") in {None, '"request" must be an object'}
    assert {told for field, told in body["result"].items() if field != "request"} <= {errmsg}
    assert body["responseCode"] == "BAD_REQUEST"
    assert [item["status"] for items in _state(server, user) for item in items if item["status"]] == []


@pytest.mark.parametrize("row", VALUES, ids=[row[0] for row in VALUES])
def test_malformed_request_changes_nothing_of_a_started_view(server: Server, learner: Learner, row: Row) -> None:
    """An update or end that is refused for one field must not have applied the others."""
    user = learner()
    server.result(START, place(user, progressDetails={"progress": 10}))
    before = _state(server, user)
    assert server.client.post(row[1], content=_filled(row[2], user)).status_code == row[3]
    assert _state(server, user) == before


@pytest.mark.parametrize(
    "levels", [30, 100, 500, *range(940, 1000, 6), 1100, 3000], ids=lambda levels: f"{levels} levels"
)
@pytest.mark.parametrize("field", ["progressDetails", "events", "force", "x"])
@pytest.mark.parametrize("path", CALLS)
def test_no_depth_of_nesting_crashes(server: Server, learner: Learner, path: str, field: str, levels: int) -> None:
    """Around Python's recursion limit a body may be read and then fail to be compared, hashed or written."""
    user = learner()
    inner = f'"{field}":{nested(levels)},"{field.upper()}":{nested(levels)}'
    event = f'"events":[{{"id":"e","type":"start","contentId":"{SINGLE}",{inner}}}]'
    sent = _filled(raw(event if path == SYNC else inner), user)
    answer = server.client.post(path, content=b'{"params":{"msgid":"m"},' + sent[1:])
    assert answer.status_code < 500, answer.text


LENIENT: list[tuple[str, str, dict[str, Any]]] = [
    ("unknown fields", START, {"score": 5, "maxScore": [], "x": {"y": None}, "": 1}),
    ("fields of another call", START, {"lastCompletedTime": "rubbish", "force": "perhaps", "timespent": "long"}),
    ("null everywhere", START, {"progressDetails": None, "lastAccessTime": None, "timespent": None, "force": None}),
    ("blank times", START, {"lastAccessTime": "", "lastCompletedTime": "  "}),
    ("far future", START, {"lastAccessTime": 10**30}),
    ("far past", START, {"lastAccessTime": -(10**30)}),
    ("year 9999", START, {"lastAccessTime": "9999-12-31T23:00:00Z"}),
    ("year 1", START, {"lastAccessTime": "0001-01-01T12:00:00Z"}),
    ("float time", START, {"lastAccessTime": 1.5e300}),
    ("numeric text", START, {"lastAccessTime": "1795333790350"}),
    ("far future as text", START, {"lastAccessTime": "9" * 25}),
    ("numbers of any size in the details", START, {"progressDetails": {"progress": 10**30, "n": 1e308, "m": -1e-308}}),
    ("a NUL that is only spelled", START, {"progressDetails": {"a": "\\u0000", "b\\u0000": "\\\\u0000"}}),
    ("32 levels", START, {"progressDetails": json.loads(nested(32))}),
    ("16 KB of details", START, {"progressDetails": {"a": "x" * 16_300}}),
]


@pytest.mark.parametrize(("path", "more"), [row[1:] for row in LENIENT], ids=[row[0] for row in LENIENT])
def test_odd_but_meaningful_requests_are_taken(
    server: Server, learner: Learner, path: str, more: dict[str, Any]
) -> None:
    user = learner()
    server.result(path, place(user) | more)
    server.result(UPDATE, place(user) | {"progressDetails": {"b": 1}})
    (item,) = contents(server, place(user))
    assert item["status"] == 1
    if details := more.get("progressDetails"):
        assert _as_javascript(item["progressDetails"]) == _as_javascript({**details, "b": 1})


def _as_javascript(value: Any) -> Any:
    """`value` as a client reads it: every number is a float (PostgreSQL writes 1e308 with all its digits)."""
    return json.loads(json.dumps(value), parse_int=float)
