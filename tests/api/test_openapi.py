"""What the service says of itself: the OpenAPI document, its page, health and readiness; and that it is true."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.api.wire import CALLS, END, READ, START, SYNC, UPDATE, gateway, place
from tests.servers import Server

Learner = Callable[..., str]
COMMON = {"200", "400", "401", "403", "413", "503"}
STATUSES = {START: COMMON, UPDATE: COMMON | {"404"}, END: COMMON | {"404"}, READ: COMMON, SYNC: COMMON}
REQUESTS_PER_CALL = 60


@pytest.fixture(scope="session")
def document(server: Server) -> dict[str, Any]:
    """The OpenAPI document of a running server."""
    answer = server.client.get("/schema")
    assert answer.status_code == 200
    loaded: dict[str, Any] = yaml.safe_load(answer.text)
    return loaded


def _resolved(document: dict[str, Any], node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def _refs(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_refs, node.values()))
    return set().union(*map(_refs, node)) if isinstance(node, list) else set()


def test_document_is_openapi_3_1_and_holds_together(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "Sunbird Viewer Service"
    assert document["info"]["version"]
    for ref in _refs(document):
        assert isinstance(_resolved(document, {"$ref": ref}), dict), ref
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert set(schema.get("required", ())) <= set(schema.get("properties", ())), name
    ids = [call["operationId"] for path in document["paths"].values() for call in path.values()]
    assert len(ids) == len(set(ids))


def test_document_is_the_same_each_time(server: Server) -> None:
    assert len({server.client.get("/schema").text for _ in range(3)}) == 1


@pytest.mark.parametrize("path", CALLS)
def test_every_call_is_documented_with_its_errors(document: dict[str, Any], path: str) -> None:
    assert list(document["paths"][path]) == ["post"]
    call = document["paths"][path]["post"]
    assert call["description"]
    assert set(call["responses"]) == STATUSES[path]
    for status, answer in call["responses"].items():
        schema = _resolved(document, answer["content"]["application/json"]["schema"])
        assert schema["required"] == ["id", "ver", "ts", "params", "responseCode", "result"], status
    body = _resolved(document, call["requestBody"]["content"]["application/json"]["schema"])
    assert body["required"] == ["request"]
    request = _resolved(document, body["properties"]["request"])
    assert {"userId"} <= set(request["properties"])


def test_each_view_path_has_its_gateway_twin_and_is_told_once(server: Server, document: dict[str, Any]) -> None:
    assert {path for path in document["paths"] if "/view/" in path} >= set(CALLS)
    assert not [path for path in document["paths"] if path.startswith("/api/")]
    for path in CALLS:
        assert server.client.get(gateway(path)).status_code == 405


def test_examples_of_every_answer_match_their_schema(
    server: Server, document: dict[str, Any], learner: Learner
) -> None:
    user = learner()
    events = [{"id": "a", "type": "start", "contentId": "do_1"}, {"id": "b"}]
    for path in (START, UPDATE, END, READ, SYNC):
        for request in (place(user, events=events), {"userId": user, "contentId": "never"}, {}):
            answer = server.call(path, request)
            told = document["paths"][path]["post"]["responses"]
            assert str(answer.status_code) in told
            schema = told[str(answer.status_code)]["content"]["application/json"]["schema"]
            Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


def test_docs_page_and_all_it_loads_are_served(server: Server) -> None:
    page = server.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) >= 4
    for asset in assets:
        assert asset.startswith("/static/"), "nothing is loaded from other hosts"
        loaded = server.client.get(asset)
        assert loaded.status_code == 200, asset
        assert loaded.content
    assert "/schema" in page.text


def test_health_says_that_the_process_lives(server: Server) -> None:
    answer = server.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"healthy": True})


def test_ready_names_each_dependency(server: Server) -> None:
    answer = server.client.get("/ready")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    checks = answer.json()["checks"]
    assert checks["database"] == "ok"
    assert set(checks.values()) == {"ok"}


# --- schemathesis: requests made from the document --------------------------------------------------------------------


@pytest.fixture(scope="session")
def described(server: Server) -> Any:
    """The document as schemathesis reads it, from the running server."""
    return schemathesis.openapi.from_url(f"{server.url}/schema")


def _about(user: str, body: Any) -> Any:
    """The body with a learner in it where its shape allows; without one nearly every request stops at its absence."""
    if isinstance(body, dict) and isinstance(body.get("request"), dict):
        return {**body, "request": {**body["request"], "userId": user}}
    return body


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)  # what this looks at is the same on both tiers
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("path", CALLS)
def test_requests_made_from_the_document_meet_no_server_error(
    described: Any, learner: Learner, path: str, mode: str
) -> None:
    """Answers of 200 must be as documented; whatever is sent, none may be a 5xx."""
    user = learner()
    operation = described[path]["POST"]
    cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @settings(
        max_examples=REQUESTS_PER_CALL,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, named=st.booleans())
    def run(case: Any, named: bool) -> None:
        if named:
            case.body = _about(user, case.body)
        answer = case.call()
        checks: list[Any] = [not_a_server_error]
        if answer.status_code < 300:
            checks.append(response_schema_conformance)
        case.validate_response(answer, checks=checks)

    run()
