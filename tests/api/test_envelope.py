"""The envelope around every answer (DESIGN §4): its fields, their order and formats, whatever was asked and how."""

import json
import re
import socket
import uuid
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.wire import CALLS, END, READ, START, SYNC, UPDATE, gateway, now_ms, place, refusal, view
from tests.servers import Server

Learner = Callable[..., str]
TS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3}\+0000")
FIELDS = ["id", "ver", "ts", "params", "responseCode", "result"]
PARAMS = ["resmsgid", "msgid", "err", "status", "errmsg"]
API_IDS = {
    START: "api.view.start",
    UPDATE: "api.view.update",
    END: "api.view.end",
    READ: "api.view.read",
    SYNC: "api.view.sync",
}


def _is_uuid(text: str) -> bool:
    return str(uuid.UUID(text)) == text


def _assert_envelope(answer: httpx.Response) -> None:
    body = answer.json()
    assert list(body) == FIELDS
    assert list(body["params"]) == PARAMS
    assert body["ver"] == "v1"
    assert TS.fullmatch(body["ts"])
    assert body["params"]["resmsgid"] is None
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("family", [str, gateway], ids=["v1", "gateway"])
@pytest.mark.parametrize("path", CALLS)
def test_success_has_the_seeds_fields_in_their_order(
    server: Server, learner: Learner, path: str, family: Callable[[str], str]
) -> None:
    user = learner()
    server.result(START, place(user))
    answer = server.call(family(path), place(user, events=[]))
    assert answer.status_code == 200, answer.text
    _assert_envelope(answer)
    body = answer.json()
    assert body["id"] == API_IDS[path]
    assert body["responseCode"] == "OK"
    assert body["params"]["err"] is None
    assert body["params"]["status"] == "success"
    assert body["params"]["errmsg"] is None


@pytest.mark.parametrize("path", CALLS)
def test_error_has_the_same_fields_and_says_what_is_wrong(server: Server, path: str) -> None:
    answer = server.call(path, {})
    body = refusal(answer, 400, "ERR_MISSING_FIELD")
    _assert_envelope(answer)
    assert body["id"] == API_IDS[path]
    assert body["responseCode"] == "BAD_REQUEST"
    assert list(body["result"].values()) == [body["params"]["errmsg"]]


def test_ts_is_the_time_of_the_answer(server: Server, learner: Learner) -> None:
    before = now_ms()
    text = server.call(START, place(learner())).json()["ts"]
    told = datetime.strptime(text.replace(":", ".").replace("+", "000+"), "%Y-%m-%d %H.%M.%S.%f%z")
    assert before - 1 <= told.timestamp() * 1000 <= now_ms() + 1


@pytest.mark.parametrize("msgid", ["5e763bc2-b072-440d-916e-da787881b1b9", "1", "संदेश", "m" * 256])
def test_msgid_of_the_request_is_echoed(server: Server, learner: Learner, msgid: str) -> None:
    body = {"params": {"msgid": msgid}, "request": place(learner())}
    assert server.client.post(START, json=body).json()["params"]["msgid"] == msgid
    refused = server.client.post(START, json={**body, "request": {}})
    assert refusal(refused, 400, "ERR_MISSING_FIELD")["params"]["msgid"] == msgid


@pytest.mark.parametrize(
    "params",
    [None, {}, [], "text", {"msgid": None}, {"msgid": ""}, {"msgid": " "}, {"msgid": 5}, {"msgid": ["a"]}],
    ids=str,
)
def test_without_a_usable_msgid_the_answer_makes_a_uuid(server: Server, learner: Learner, params: object) -> None:
    answer = server.client.post(START, json={"params": params, "request": place(learner())})
    assert answer.status_code == 200
    assert _is_uuid(answer.json()["params"]["msgid"])


def test_msgid_too_long_to_be_one_is_replaced(server: Server, learner: Learner) -> None:
    answer = server.client.post(START, json={"params": {"msgid": "m" * 257}, "request": place(learner())})
    assert _is_uuid(answer.json()["params"]["msgid"])


def test_two_answers_have_two_message_ids(server: Server, learner: Learner) -> None:
    ids = {server.call(START, place(learner())).json()["params"]["msgid"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/view",
        "/v1/view/",
        "/v1/view/begin",
        "/v1/view/start/",
        "/v1/view/start.json",
        "//v1/view/start",
        "/v1/view/start%0a",
        "/api/view/v2/start",
        "/V1/view/start",
        "/%ff%fe",
        "/%00",
        "/health/",
        "/static/../config/settings.py",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_route_is_404_in_the_envelope(server: Server, method: str, path: str) -> None:
    answer = server.client.request(method, server.url + path, content=b"")
    if answer.headers["content-type"].startswith("text/html"):  # whitenoise's own 404 under /static
        assert path.startswith("/static")
        return
    body = refusal(answer, 404, "ERR_NOT_FOUND")
    _assert_envelope(answer)
    assert body["id"] == "api.request"
    assert body["responseCode"] == "RESOURCE_NOT_FOUND"
    assert body["result"] == {}


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
@pytest.mark.parametrize("path", CALLS)
def test_wrong_method_is_405_and_names_the_right_one(server: Server, path: str, method: str) -> None:
    answer = server.client.request(method, path)
    body = refusal(answer, 405, "ERR_METHOD_NOT_ALLOWED")
    _assert_envelope(answer)
    assert body["responseCode"] == "BAD_REQUEST"
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", [*CALLS, *map(gateway, CALLS), "/nope", "/health", "/ready", "/schema", "/docs"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_never_crash(server: Server, method: str, path: str) -> None:
    answer = server.client.request(method, path)
    assert answer.status_code < 500
    if method == "HEAD":
        assert answer.content == b""


@pytest.mark.parametrize("size", [2_000_001, 2_100_000, 20_000_000])
def test_body_beyond_the_limit_is_413_and_nothing_is_written(server: Server, learner: Learner, size: int) -> None:
    user = learner()
    body = json.dumps({"request": place(user, padding="x" * size)})
    answer = server.client.post(START, content=body)
    refused = refusal(answer, 413, "ERR_BODY_TOO_LARGE")
    _assert_envelope(answer)
    assert refused["params"]["errmsg"] == "The body is larger than 2000000 bytes"
    assert refused["result"] == {}
    assert answer.headers["connection"] == "close"  # what is unread goes with it, and the next call takes another
    assert view(server, place(user))["status"] == 0


@pytest.mark.parametrize("length", [True, False], ids=["with its length", "in chunks"])
def test_refused_before_its_body_was_read_says_that_the_connection_ends(server: Server, length: bool) -> None:
    body = b"x" * 1_000_000
    with httpx.Client(base_url=server.url) as client:
        for _ in range(5):
            answer = client.post("/nope", content=body if length else iter([body]))
            assert (answer.status_code, answer.headers["connection"]) == (404, "close")
            assert client.post(START, json={}).headers.get("connection") is None


def test_body_just_within_the_limit_is_taken(server: Server, learner: Learner) -> None:
    user = learner()
    body = json.dumps({"request": place(user, padding="")})
    padding = "x" * (2_000_000 - len(body))
    assert server.client.post(START, content=json.dumps({"request": place(user, padding=padding)})).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json; charset=bogus",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/xml",
        "*/*",
        "nonsense",
        ";;;;",
        "",
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/xml;q=0.9", "nonsense", ""])
def test_content_type_and_accept_do_not_matter(
    server: Server, learner: Learner, content_type: str, accept: str
) -> None:
    user = learner()
    headers = {"Content-Type": content_type, "Accept": accept}
    answer = server.client.post(START, content=json.dumps({"request": place(user)}), headers=headers)
    assert answer.status_code == 200, answer.text
    _assert_envelope(answer)
    assert view(server, place(user))["status"] == 1


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "nonsense"])
def test_empty_body_of_any_content_type_is_400(server: Server, content_type: str) -> None:
    answer = server.client.post(START, content=b"", headers={"Content-Type": content_type})
    refusal(answer, 400, "ERR_INVALID_REQUEST")


def test_body_sent_in_chunks_is_read(server: Server, learner: Learner) -> None:
    """A gateway that streams sends no Content-Length; taken for empty, its learners' views would be refused."""
    user = learner()
    body = json.dumps({"request": place(user)}).encode()
    answer = server.client.post(START, content=iter([body[:10], body[10:]]))
    assert answer.status_code == 200, answer.text
    assert view(server, place(user))["status"] == 1


def test_chunks_beyond_the_limit_are_413(server: Server) -> None:
    answer = server.client.post(START, content=(b"x" * 100_000 for _ in range(25)))
    refusal(answer, 413, "ERR_BODY_TOO_LARGE")


def test_foreign_host_is_refused_in_the_envelope(server: Server) -> None:
    answer = server.client.post(START, json={"request": {}}, headers={"Host": "evil.example"})
    body = refusal(answer, 400, "ERR_INVALID_REQUEST")
    assert body["params"]["errmsg"] == "The request cannot be read"


def test_request_without_a_host_is_refused_and_not_a_crash(server: Server) -> None:
    port = urlsplit(server.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /v1/view/start HTTP/1.0\r\n\r\n")
        status = connection.recv(65536).split(b"\r\n", 1)[0]
    assert b" 400 " in status


def test_request_id_comes_back_in_its_header(server: Server) -> None:
    assert server.client.get("/nope", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(server.client.get("/nope", headers={"X-Request-Id": "x" * 500}).headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": 'sessionid=abc; ;;=,"\\'},
        {"Authorization": "Bearer x"},
        {"Authorization": "\xff\xfe"},
        {"Content-Encoding": "gzip"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-Forwarded-Host": "evil.example"},
        {"Origin": "http://localhost:3000", "Referer": "https://portal.example/x"},
    ],
    ids="+".join,
)
def test_odd_headers_change_nothing(server: Server, learner: Learner, headers: dict[str, str]) -> None:
    raw = [(name, value.encode("latin-1")) for name, value in headers.items()]
    answer = server.client.post(START, json={"request": place(learner())}, headers=raw)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text


def test_query_of_a_post_is_ignored(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(START + "?format=xml&contentId=other&userId=somebody", place(user))
    assert view(server, place(user))["status"] == 1


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", START, {"content-type": "text/plain; charset*=nope''a%20b"}),
        ("GET", "/v1/summary/list/somebody?limit=1", {"content-type": "text/plain; charset=punycode"}),
        ("GET", "/v1/view/explain?" + "&".join(f"a{number}=1" for number in range(1001)), {}),
        ("GET", "/v1/summary/list/somebody?" + "&".join(f"a{number}=1" for number in range(1001)), {}),
    ],
    ids=["an unknown charset", "a charset that decodes nothing", "too many parameters", "of the list too"],
)
def test_what_nobody_can_read_is_400_in_the_envelope(
    server: Server, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = server.client.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    refusal(answer, 400, "ERR_INVALID_REQUEST")
    _assert_envelope(answer)


def test_a_client_that_sends_slowly_keeps_nobody_waiting(server: Server, learner: Learner) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /v1/view/start HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 20\r\n\r\n{")
        for _ in range(8):
            assert server.call(START, place(learner())).status_code == 200
