"""Which middlewares a path goes through, seen in the answers of a running service and in its routes."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from tests.servers import Server

PAGES = ("schema", "docs", "admin/", "favicon.ico")


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """Every route as it is written, such as "v1/view/start"."""
    for one in resolver.url_patterns:
        route = prefix + str(one.pattern)
        if isinstance(one, URLPattern):
            yield route
        else:
            yield from routes(one, route)


@pytest.mark.parametrize("path", ["/v1/view/start", "/api/view/v1/start", "/health", "/v1/nothing-is-here"])
def test_an_answer_of_the_api_is_guarded_and_has_no_session(server: Server, path: str) -> None:
    answer = server.client.get(path)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert len(answer.headers["x-request-id"]) == 32
    assert not {"set-cookie", "x-frame-options", "vary"} & set(answer.headers)


def test_a_page_goes_through_every_middleware(server: Server) -> None:
    answer = server.client.get("/admin/login/")
    assert answer.status_code == 200
    assert "csrftoken" in answer.cookies
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.headers["x-request-id"]) == 32


def test_a_form_of_a_page_is_refused_without_its_token(server: Server) -> None:
    answer = server.client.post("/admin/login/", data={"username": "admin", "password": "x"})
    assert answer.status_code == 403


def test_static_files_are_served(server: Server) -> None:
    assert server.client.get("/static/admin/css/base.css").status_code == 200


def test_a_path_that_is_nobodys_is_answered_in_the_envelope(server: Server) -> None:
    answer = server.client.get("/nope")
    assert answer.status_code == 404
    assert answer.json()["params"]["err"] == "ERR_NOT_FOUND"


def test_every_route_is_a_page_or_a_call_of_the_api() -> None:
    for route in routes(get_resolver()):
        assert route.startswith(PAGES) != f"/{route}".startswith(settings.API_PATHS), route


@pytest.mark.parametrize("path", ["/v1/view/start", "/v1/nothing-is-here", "/health"])
def test_a_foreign_host_is_refused(server: Server, path: str) -> None:
    answer = server.client.get(path, headers={"host": "elsewhere.example"})
    assert answer.status_code == 400
    assert answer.json()["params"]["err"] == "ERR_INVALID_REQUEST"
