"""One structured line for each request: who knows nothing of learners' names or answers."""

import logging
import time
import uuid
from collections.abc import Callable

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase

logger = logging.getLogger("viewer.request")
REFUSALS = (Http404, PermissionDenied, SuspiciousOperation, BadRequest, MultiPartParserError)
QUIET = frozenset({"/health", "/ready", "/metrics"})


class RequestLog:
    """Logs method, path, status and duration (ms) and answers with the request's id in `X-Request-Id`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer of the rest of the stack."""
        started = time.perf_counter()
        given = request.META.get("HTTP_X_REQUEST_ID", "")  # request.headers would parse every header
        request_id = given if 0 < len(given) <= 128 and given.isprintable() else uuid.uuid4().hex
        response = self.get_response(request)
        response.headers["X-Request-Id"] = request_id
        if request.path not in QUIET:
            about = {
                "request_id": request_id,
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "ms": round((time.perf_counter() - started) * 1000, 1),
            }
            if logger.isEnabledFor(logging.INFO):  # by hand: logger.info would look for the line that calls it
                logger.handle(
                    logger.makeRecord(logger.name, logging.INFO, __file__, 0, "request", (), None, extra=about)
                )
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Logs what a page failed on; what is a 4xx is no failure."""
        if not isinstance(exception, REFUSALS):
            about = {"method": request.method, "path": request.path}
            logger.error("a page failed", exc_info=exception, extra=about)
