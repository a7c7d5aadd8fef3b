"""Pages of other hosts (DESIGN §4): while nobody is asked who they are, no foreign web page may write or read."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import servers
from tests.api.tokens import Key
from tests.api.wire import BATCH, CALLS, END, MATHS, READ, SINGLE, START, SYNC, gateway, place, refusal, view
from tests.servers import Server

Learner = Callable[..., str]
EVIL = "https://evil.example"
OTHERS = [
    "/v1/assessment/submit", "/v1/assessment/read", "/v1/course/enroll", "/v1/course/unenroll", "/v1/course/enrol",
    "/v1/program/enroll", "/v1/program/unenroll", "/v1/summary/read", "/v1/view/agg", "/api/course/v1/enroll",
]  # fmt: skip
FOREIGN = [
    EVIL, "http://evil.example:8000", "null", "http://127.0.0.1.evil.example", "https://localhost.evil.example",
    "http://127.0.0.1@evil.example", "http://localhost:x@evil.example", "file://", "evil.example", "", ",",
    "http://[::1", "http://[127.0.0.1.evil.example]", "https://evil.example http://127.0.0.1", "chrome-extension://abc",
]  # fmt: skip


@pytest.fixture(scope="module")
def key() -> Key:
    return Key.rsa()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Server]:
    """A server that asks everybody for a token."""
    folder = tmp_path_factory.mktemp("guarded")
    with servers.running(folder, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=key.pem) as running:
        yield running


def test_a_foreign_pages_end_is_refused_and_nothing_is_written(server: Server, learner: Learner) -> None:
    user = learner()
    answer = server.call(END, place(user, force=True), headers={"Origin": EVIL})
    assert refusal(answer, 403, "ERR_FORBIDDEN_ORIGIN")["responseCode"] == "FORBIDDEN"
    item = view(server, place(user))
    assert (item["status"], item["progress"], item["viewCount"]) == (0, 0, 0)


@pytest.mark.parametrize("path", [*CALLS, *map(gateway, CALLS)])
def test_every_call_refuses_a_foreign_page(server: Server, learner: Learner, path: str) -> None:
    request: dict[str, Any] = place(learner())
    if path.endswith("sync"):
        request = {"userId": request["userId"], "events": [{"id": "1", "type": "start", "contentId": SINGLE}]}
    refusal(server.call(path, request, headers={"Origin": EVIL}), 403, "ERR_FORBIDDEN_ORIGIN")
    assert view(server, place(str(request["userId"])))["status"] == 0


@pytest.mark.parametrize("path", OTHERS)
def test_enrolments_assessments_and_summaries_refuse_a_foreign_page(
    server: Server, learner: Learner, path: str
) -> None:
    answer = server.call(path, {**place(learner()), "programId": "program-abc"}, headers={"Origin": EVIL})
    assert (answer.status_code, answer.json()["params"]["err"]) == (403, "ERR_FORBIDDEN_ORIGIN")


def test_the_list_of_a_learner_refuses_a_foreign_page(server: Server, learner: Learner) -> None:
    answer = server.client.get(f"/v1/summary/list/{learner()}", headers={"Origin": EVIL})
    refusal(answer, 403, "ERR_FORBIDDEN_ORIGIN")


@pytest.mark.parametrize("origin", FOREIGN)
def test_whatever_does_not_name_this_host_is_foreign(server: Server, learner: Learner, origin: str) -> None:
    user = learner()
    refusal(server.call(START, place(user), headers={"Origin": origin}), 403, "ERR_FORBIDDEN_ORIGIN")
    assert view(server, place(user))["status"] == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_simple_request_that_a_browser_sends_without_asking_is_refused_too(
    server: Server, learner: Learner, kind: str
) -> None:
    """No preflight protects from these: the page cannot read the answer, but the write would have happened."""
    user = learner()
    body = json.dumps({"request": place(user, force=True)})
    answer = server.client.post(END, content=body, headers={"Origin": EVIL, "Content-Type": kind})
    assert answer.status_code == 403
    assert view(server, place(user))["status"] == 0


def test_no_answer_to_a_foreign_page_allows_it_to_read(server: Server, learner: Learner) -> None:
    headers = {
        "Origin": EVIL,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    for answer in (
        server.client.options(READ, headers=headers),
        server.call(READ, place(learner()), headers={"Origin": EVIL}),
    ):
        assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_this_host_and_a_client_that_is_no_page_may_call(server: Server, learner: Learner) -> None:
    for headers in ({}, {"Origin": server.url}):
        user = learner()
        server.result(START, place(user), headers=headers)
        server.result(END, place(user), headers=headers)
        assert view(server, place(user), headers=headers)["status"] == 2


def test_with_tokens_a_page_of_any_host_may_call(guarded: Server, key: Key, learner: Learner) -> None:
    user = learner()
    headers = {"Origin": EVIL, "Authorization": f"Bearer {key.token(user)}"}
    request = {"collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE}
    guarded.result(END, {**request, "force": True}, headers=headers)
    events = [{"id": "1", "type": "start", "contentId": "other"}]
    guarded.result(SYNC, {"events": events}, headers=headers)
    assert view(guarded, request, headers=headers)["status"] == 2
    refusal(guarded.call(START, place(user), headers={"Origin": EVIL}), 401, "ERR_UNAUTHORIZED")
