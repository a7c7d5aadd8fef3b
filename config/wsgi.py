"""The WSGI entry point that granian serves.

Pages go through Django's handler and every middleware. Calls of the API go through one of their own: the same request,
routes and views, and of the middlewares what an answer in JSON needs. A path nobody put among the API's is a page:
slower, and never less guarded.
"""

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.handlers.exception import response_for_exception
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve

from common.envelope import plain_error
from common.errors import BadRequest
from common.middleware import RequestLog

BODY_AT_ONCE = 16_384  # bytes that are there with the headers, or so soon after that the server takes them
ROUTES_KEPT = 1024  # paths whose route is remembered; those with an id in them push each other out


@lru_cache(ROUTES_KEPT)
def _route(path: str) -> ResolverMatch:
    """Which view answers a path. Raises Resolver404, which is not remembered."""
    return resolve(path)


def _answer(request: HttpRequest) -> HttpResponseBase:
    """The view's answer, guarded as far as JSON needs it; an error's where there is none. Never raises."""
    try:
        request.get_host()  # a foreign host is refused
        match = request.resolver_match = _route(request.path_info)
        response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
    except Exception as error:  # noqa: BLE001 - whatever it is becomes an answer
        response = response_for_exception(request, error)
    response.headers["X-Content-Type-Options"] = "nosniff"
    if isinstance(response, HttpResponse) and "Content-Length" not in response.headers and response.status_code != 304:
        response.headers["Content-Length"] = str(len(response.content))
    return response


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_pages = get_wsgi_application()
_logged = RequestLog(_answer)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The answer of whichever handler the path belongs to."""
    handler = _api if environ.get("PATH_INFO", "").startswith(settings.API_PATHS) else _pages
    return handler(environ, _ending(start_response) if _may_be_unread(environ) else start_response)


def _api(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A call's answer, after a line in the request log.

    When the server closes it, Django's signal gives up broken connections to databases; there is none for its start.
    """
    response: Any
    try:
        request = WSGIRequest(environ)
    except (LookupError, ValueError):  # a charset nobody knows
        response = plain_error(BadRequest("The request cannot be read"))
    else:
        response = _logged(request)
    response._handler_class = WSGIHandler
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    body: Iterable[bytes] = response
    return body


def _may_be_unread(environ: dict[str, Any]) -> bool:
    """Whether the call could be refused while something of its body is still on its way."""
    length = environ.get("CONTENT_LENGTH")
    return int(length) > BODY_AT_ONCE if length else bool(environ.get("HTTP_TRANSFER_ENCODING"))


def _ending(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Says with a refusal that the connection ends.

    The server closes it where a body was not read, and a client that is not told sends its next call into nothing.
    """

    def started(status: str, headers: list[tuple[str, str]], *args: Any) -> Any:
        return start_response(status, [*headers, ("Connection", "close")] if status >= "4" else headers, *args)

    return started
