"""Whose enrolments a caller sees and changes, with tokens: his own, and those of the learner he manages."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import servers
from tests.api.tokens import Key
from tests.api.wire import BATCH, MATHS, refusal
from tests.servers import Server
from tests.summaries.wire import (
    AGG,
    ENROLL,
    PROGRAM_ENROLL,
    PROGRAM_UNENROLL,
    SUMMARY,
    UNENROLL,
    Learner,
    legacy_refusal,
    seat,
)

COURSE = {"courseId": MATHS, "batchId": BATCH}
BY_PATH = ("/v1/summary/list", "/v1/summary/download", "/v1/summary/export")
PROGRAM = {"programId": "program-abc", "batchId": "program-batch-1"}


@pytest.fixture(scope="module")
def key() -> Key:
    return Key.rsa()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Server]:
    """A server that asks for tokens."""
    folder = tmp_path_factory.mktemp("guarded-summaries")
    with servers.running(folder, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=key.pem) as running:
        yield running


def bearer(key: Key, user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.token(user)}"}


def listed(server: Server, key: Key, user: str) -> list[Any]:
    answer = server.client.get(f"/v1/summary/list/{user}", headers=bearer(key, user))
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["result"]["summary"]
    return found


def test_without_a_token_nothing_is_told(guarded: Server) -> None:
    for path in (SUMMARY, AGG, PROGRAM_ENROLL, PROGRAM_UNENROLL):
        refusal(guarded.call(path, {**COURSE, **PROGRAM}), 401, "ERR_UNAUTHORIZED")
    for path in BY_PATH:
        refusal(guarded.client.get(f"{path}/rahul"), 401, "ERR_UNAUTHORIZED")
    for path in (ENROLL, UNENROLL):
        answer = guarded.call(path, COURSE)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        body = answer.json()
        assert (body["responseCode"], body["params"]["status"]) == ("CLIENT_ERROR", "ERR_UNAUTHORIZED")


def test_a_learner_is_not_told_who_else_is_in_a_batch(guarded: Server, key: Key, learner: Learner) -> None:
    answer = guarded.call("/v1/batch/participants/list", {"batch": COURSE}, headers=bearer(key, learner()))
    assert (answer.status_code, answer.json()["params"]["err"]) == (403, "ERR_FORBIDDEN_USER")


@pytest.mark.parametrize("given", ["{other}", "f:keycloak:{other}", " ", 5, [1], "a/b", None])
def test_the_older_calls_ignore_the_learner_of_the_body(
    guarded: Server, key: Key, learner: Learner, given: Any
) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    told = given.format(other=meera) if isinstance(given, str) else given
    for path in (ENROLL, UNENROLL, ENROLL):
        answer = guarded.call(path, {"userId": told, **COURSE}, headers=bearer(key, rahul))
        assert answer.status_code == 200, answer.text
    assert [one["userId"] for one in listed(guarded, key, rahul)] == [rahul]
    assert listed(guarded, key, meera) == []


def test_with_a_token_no_learner_need_be_named(guarded: Server, key: Key, learner: Learner) -> None:
    rahul = learner()
    headers = bearer(key, f"f:keycloak:{rahul}")
    for path, request in ((ENROLL, COURSE), (PROGRAM_ENROLL, PROGRAM)):
        assert guarded.result(path, request, headers=headers)["response"] == "SUCCESS"
    for path in (SUMMARY, AGG):
        assert guarded.result(path, COURSE, headers=headers)["userId"] == rahul
    assert len(listed(guarded, key, rahul)) == 2
    missing = guarded.call(ENROLL, {"courseId": MATHS}, headers=headers)
    legacy_refusal(missing, "MANDATORY_PARAMETER_MISSING", "Mandatory parameter batchId is missing.")


def test_another_learner_is_refused_and_nothing_done(guarded: Server, key: Key, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    guarded.result(ENROLL, COURSE, headers=bearer(key, meera))
    theirs = {"userId": meera, **COURSE, **PROGRAM, "contextId": None}
    for path in (SUMMARY, AGG, PROGRAM_ENROLL, PROGRAM_UNENROLL):
        body = refusal(guarded.call(path, theirs, headers=bearer(key, rahul)), 403, "ERR_FORBIDDEN_USER")
        assert list(body["result"]) == ["userId"]
    for user in (meera, f"f:keycloak:{meera}"):
        for route in (*BY_PATH, "/api/summary/v1/list"):
            answer = guarded.client.get(f"{route}/{user}", headers=bearer(key, rahul))
            body = refusal(answer, 403, "ERR_FORBIDDEN_USER")
            assert body["responseCode"] == "FORBIDDEN"
            assert MATHS not in answer.text
    assert len(listed(guarded, key, meera)) == 1
    assert listed(guarded, key, rahul) == []


def test_ones_own_id_may_be_named_in_either_form(guarded: Server, key: Key, learner: Learner) -> None:
    rahul = learner()
    guarded.result(ENROLL, COURSE, headers=bearer(key, rahul))
    for user in (rahul, f"f:keycloak:{rahul}"):
        assert guarded.result(SUMMARY, seat(user), headers=bearer(key, rahul))["userId"] == rahul
        answer = guarded.client.get(f"/v1/summary/list/{user}", headers=bearer(key, rahul))
        assert len(answer.json()["result"]["summary"]) == 1


def test_a_managed_learner_is_enrolled_by_the_parent(guarded: Server, key: Key, learner: Learner) -> None:
    parent, child = learner("parent"), learner("child")
    managed = bearer(key, parent) | {"x-authenticated-for": key.token(child, parentId=parent)}
    guarded.result(ENROLL, {"userId": parent, **COURSE}, headers=managed)
    answer = guarded.client.get(f"/v1/summary/list/{child}", headers=managed)
    assert [one["userId"] for one in answer.json()["result"]["summary"]] == [child]
    refusal(guarded.client.get(f"/v1/summary/list/{parent}", headers=managed), 403, "ERR_FORBIDDEN_USER")
    assert listed(guarded, key, parent) == []
