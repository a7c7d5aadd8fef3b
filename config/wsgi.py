"""The WSGI entry point that granian serves.

Two of Django's handlers share one set of routes: pages go through every middleware, calls of the API through the few
that they need (settings.API_MIDDLEWARE). A path nobody put among the API's is a page: slower, and never less guarded.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.utils.module_loading import import_string


class ApiHandler(WSGIHandler):
    """Django's handler with the middlewares of API_MIDDLEWARE, none of which has a hook beside its own call."""

    def load_middleware(self, is_async: bool = False) -> None:
        """Builds the chain. Django's own method would build it of MIDDLEWARE."""
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        chain = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]
        for path in reversed(settings.API_MIDDLEWARE):
            chain = convert_exception_to_response(import_string(path)(chain))
        self._middleware_chain = chain


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_pages = get_wsgi_application()
_api = ApiHandler()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The answer of whichever handler the path belongs to."""
    handler = _api if environ.get("PATH_INFO", "").startswith(settings.API_PATHS) else _pages
    return handler(environ, start_response)
