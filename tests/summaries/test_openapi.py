"""What the OpenAPI document says of enrolments and summaries, and that the answers are so."""

from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.servers import Server
from tests.summaries.wire import (
    AGG,
    ENROLL,
    POSTS,
    PROGRAM_ENROLL,
    PROGRAM_UNENROLL,
    SUMMARY,
    UNENROLL,
    Learner,
    complete,
    seat,
)

LIST = "/v1/summary/list/{user_id}"
COMMON = {"200", "400", "401", "503"}
STATUSES = {
    ENROLL: COMMON | {"413"},
    UNENROLL: COMMON | {"413"},
    PROGRAM_ENROLL: COMMON | {"403", "413"},
    PROGRAM_UNENROLL: COMMON | {"403", "413"},
    SUMMARY: COMMON | {"403", "404", "413"},
    AGG: COMMON | {"403", "404", "413"},
    LIST: COMMON | {"403"},
}


@pytest.fixture(scope="session")
def document(school: Server) -> dict[str, Any]:
    """The OpenAPI document of a running server."""
    loaded: dict[str, Any] = yaml.safe_load(school.client.get("/schema").text)
    return loaded


def test_every_call_is_told_once_with_its_errors(document: dict[str, Any]) -> None:
    for path, told in STATUSES.items():
        ((method, call),) = document["paths"][path].items()
        assert method == ("get" if path == LIST else "post")
        assert call["description"]
        assert set(call["responses"]) == told
        assert ("requestBody" in call) is (method == "post")
    assert not [path for path in document["paths"] if path.endswith("enrol") or path.startswith("/api/")]


def test_the_list_tells_its_parameters(document: dict[str, Any]) -> None:
    told = {one["name"]: one for one in document["paths"][LIST]["get"]["parameters"]}
    assert set(told) == {"user_id", "type", "limit", "offset", "cursor", "status", "updatedSince"}
    assert (told["user_id"]["in"], told["user_id"]["required"]) == ("path", True)
    assert told["type"]["schema"]["enum"] == ["all", "enrolment", "organic"]
    assert (told["limit"]["schema"]["minimum"], told["limit"]["schema"]["maximum"]) == (1, 1000)


def test_answers_and_errors_are_as_told(school: Server, document: dict[str, Any], learner: Learner) -> None:
    rahul = learner()
    complete(school, rahul, "single-digit-addition")
    program = {"programId": "trio", "contextId": "trio-1"}
    seen: set[tuple[str, int]] = set()
    for path in (ENROLL, PROGRAM_ENROLL, SUMMARY, AGG, PROGRAM_UNENROLL, UNENROLL, LIST):
        for request in ({**seat(rahul)}, {**program, "userId": rahul}, {}, {**seat(rahul, "x"), "programId": "trio"}):
            if path == LIST:
                query = f"?type={request.get('programId', 'all')}"
                answer = school.client.get(path.replace("{user_id}", rahul) + query)
            else:
                answer = school.call(path, request)
            call = document["paths"][path]["get" if path == LIST else "post"]
            schema = call["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
            Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())
            seen.add((path, answer.status_code))
    assert seen >= {(path, status) for path in (*POSTS, LIST) for status in (200, 400)}


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)  # what this looks at is the same on both tiers
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("path", [*POSTS, LIST])
def test_requests_made_from_the_document_meet_no_server_error(
    school: Server, learner: Learner, path: str, mode: str
) -> None:
    user = learner()
    operation = schemathesis.openapi.from_url(f"{school.url}/schema")[path]["GET" if path == LIST else "POST"]
    cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def run(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("request"), dict):
            case.body = {**case.body, "request": {**case.body["request"], "userId": user}}
        answer = case.call()
        told = [response_schema_conformance] if answer.status_code < 300 else []
        case.validate_response(answer, checks=[not_a_server_error, *told])

    run()
