"""The envelope around every answer, made in one place: views return `result` and know nothing else."""

import uuid
from typing import Any

import msgspec
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse

from common import timestamps
from common.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    ServerError,
    TooLarge,
    Unavailable,
    ViewerError,
)


def read_body(request: HttpRequest) -> bytes:
    """The whole body. Raises TooLarge beyond VIEWER_MAX_BODY_BYTES without reading on.

    A body that came in chunks has no length, and Django would take it for empty: it is read where the server ends the
    stream itself (wsgi.input_terminated).
    """
    limit: int = settings.VIEWER_MAX_BODY_BYTES
    meta = request.META
    chunked = not meta.get("CONTENT_LENGTH") and meta.get("wsgi.input_terminated")
    body: bytes = (meta["wsgi.input"] if chunked else request).read(limit + 1)
    if len(body) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes")
    return body


def encode(value: Any) -> bytes:
    """`value` as JSON in UTF-8."""
    return msgspec.json.encode(value)


def envelope(*, api_id: str, msgid: str | None, result: Any, error: ViewerError | None = None) -> dict[str, Any]:
    """The envelope's fields, in the seeds' order."""
    return {
        "id": api_id,
        "ver": "v1",
        "ts": timestamps.envelope_ts(timestamps.now()),
        "params": {
            "resmsgid": None,
            "msgid": msgid or str(uuid.uuid4()),
            "err": error.code if error else None,
            "status": "failed" if error else "success",
            "errmsg": error.message if error else None,
        },
        "responseCode": error.response_code if error else "OK",
        "result": result,
    }


def as_legacy(whole: dict[str, Any], error: ViewerError) -> dict[str, Any]:
    """The envelope of an error as Sunbird's older calls tell it: the status is the code, and no field is blamed.

    For views that say `legacy_errors = True`; their answers of 200 have the same envelope as all others.
    """
    told = "CLIENT_ERROR" if error.http_status < 500 else "SERVER_ERROR"
    return {**whole, "params": {**whole["params"], "status": error.code}, "responseCode": told, "result": {}}


def as_viewer_error(error: Exception) -> ViewerError | None:
    """The wire's error for anything the framework or the store raises; None for what nobody foresaw."""
    known: ViewerError | None = None
    match error:
        case ViewerError():
            known = error
        case Http404():
            known = NotFound("No such route")
        case RequestDataTooBig():
            known = TooLarge(f"The body is larger than {settings.VIEWER_MAX_BODY_BYTES} bytes")
        case SuspiciousOperation():
            known = BadRequest("The request cannot be read")
        case PermissionDenied():
            known = Forbidden("request", "Not allowed")
        case OperationalError() | InterfaceError():
            known = Unavailable("The store does not answer; nothing was acknowledged, try again")
    return known


def plain_error(error: ViewerError, api_id: str = "api.request") -> HttpResponse:
    """An error outside the calls (an unknown route, a page that crashed) in the same envelope."""
    body = encode(envelope(api_id=api_id, msgid=None, result=error.fields, error=error))
    return HttpResponse(body, status=error.http_status, content_type="application/json")


def handler400(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """What Django itself refuses: a bad Host header, a path it cannot read."""
    return plain_error(BadRequest("The request cannot be read"))


def handler404(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Routes that do not exist."""
    return plain_error(NotFound("No such route"))


def handler500(request: HttpRequest) -> HttpResponse:
    """What fell through every other border."""
    return plain_error(ServerError("Something failed on our side; it has been logged"))
