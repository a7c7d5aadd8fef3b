"""The envelope around every answer, made in one place: views return `result` and know nothing else."""

import io
import logging
import uuid
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import msgspec
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from common import timestamps
from common.errors import (
    BadRequest,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ServerError,
    TooLarge,
    Unavailable,
    ViewerError,
)

logger = logging.getLogger("viewer.api")
MAX_MSGID_LENGTH = 256


class RequestParser(BaseParser):
    """The body as JSON, whatever its Content-Type says: a plain `curl -d` should just work."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The decoded body; {} for none. Raises TooLarge and InvalidRequest."""
        body = read_body(cast("BinaryIO", stream))
        if not body.strip():
            return {}
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"The body is not valid JSON: {error}") from None
        except RecursionError:
            raise InvalidRequest("The body is nested too deeply") from None


def read_body(stream: BinaryIO) -> bytes:
    """The whole body. Raises TooLarge beyond VIEWER_MAX_BODY_BYTES without reading on."""
    limit: int = settings.VIEWER_MAX_BODY_BYTES
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes")
    return body


def accept_chunks(request: HttpRequest) -> None:
    """Makes a body that came in chunks readable: without a Content-Length Django and DRF take it for empty.

    Only where the server ends the stream itself (wsgi.input_terminated); one byte beyond the limit is enough for
    `read_body` to refuse it.
    """
    meta = request.META
    if meta.get("CONTENT_LENGTH") or not meta.get("wsgi.input_terminated"):
        return
    body = meta["wsgi.input"].read(settings.VIEWER_MAX_BODY_BYTES + 1)
    meta["CONTENT_LENGTH"] = str(len(body))
    cast("Any", request)._stream = io.BytesIO(body)


class AlwaysJson(BaseContentNegotiation):
    """One parser, one renderer: a learner's call never fails for an Accept header."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The only one."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The only one."""
        return renderers[0], renderers[0].media_type


class EnvelopeRenderer(BaseRenderer):
    """`result` in the envelope of the seeds, with the request's own `msgid` where it brought one."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """The answer's bytes."""
        context = renderer_context or {}
        error = getattr(context.get("response"), "viewer_error", None)
        request, view = context.get("request"), context.get("view")
        whole = envelope(
            api_id=getattr(view, "api_id", None) or "api.request",
            msgid=message_id(request) if request is not None else None,
            result=data if data is not None else {},
            error=error,
        )
        return encode(as_legacy(whole, error) if error and getattr(view, "legacy_errors", False) else whole)


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


def message_id(request: Request) -> str | None:
    """The client's `params.msgid`, if it sent a usable one. Never raises: a broken body has no message id."""
    try:
        body = request.data
    except (ViewerError, exceptions.APIException, OSError):
        return None
    params = body.get("params") if isinstance(body, Mapping) else None
    msgid = params.get("msgid") if isinstance(params, Mapping) else None
    if isinstance(msgid, str) and 0 < len(msgid.strip()) <= MAX_MSGID_LENGTH:
        return msgid
    return None


def as_viewer_error(error: Exception) -> ViewerError | None:
    """The wire's error for anything the framework or the store raises; None for what nobody foresaw."""
    known: ViewerError | None = None
    match error:
        case ViewerError():
            known = error
        case Http404() | exceptions.NotFound():
            known = NotFound("No such route")
        case exceptions.MethodNotAllowed():
            known = MethodNotAllowed(str(error.detail))
        case RequestDataTooBig():
            known = TooLarge(f"The body is larger than {settings.VIEWER_MAX_BODY_BYTES} bytes")
        case PermissionDenied() | exceptions.PermissionDenied():
            known = Forbidden("request", "Not allowed")
        case exceptions.APIException() if error.status_code < 500:
            known = BadRequest(str(error.detail))
        case OperationalError() | InterfaceError():
            known = Unavailable("The store does not answer; nothing was acknowledged, try again")
    return known


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's one border: every error becomes the envelope, the unforeseen is logged and told without detail."""
    known = as_viewer_error(error)
    if known is None or known.http_status >= 500:
        logger.error("api error", exc_info=error, extra={"path": context["request"].path})
    known = known or ServerError("Something failed on our side; it has been logged")
    response = Response(known.fields, status=known.http_status)
    response.viewer_error = known  # type: ignore[attr-defined]
    if known.http_status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if known.http_status == 405 and isinstance(error, exceptions.MethodNotAllowed):
        response["Allow"] = ", ".join(getattr(context["view"], "allowed_methods", []))
    return response


def plain_error(error: ViewerError, api_id: str = "api.request") -> HttpResponse:
    """An error outside DRF (an unknown route, a crash in a middleware) in the same envelope."""
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
