"""Calls of the API: a viewset whose actions take a `Call` and give the `result` of their answer.

DRF names the routes and describes them; the cycle of a call is ours. DRF negotiates parsers, renderers, versions and
throttles anew for every request, which costs more than everything a view does here; the API has one of each.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from rest_framework.viewsets import ViewSet

from common.envelope import as_legacy, as_viewer_error, encode, envelope, plain_error, read_body
from common.errors import InvalidRequest, MethodNotAllowed, ServerError, Unauthorized, ViewerError
from common.identity import Caller, caller_of

logger = logging.getLogger("viewer.api")
FETCHING = ("GET", "HEAD")
MAX_MSGID_LENGTH = 256
_UNREAD = object()
Result = Mapping[str, Any]


class Call:
    """What came over HTTP, and who sent it."""

    # No cached_property: until Python 3.12 it computes under one lock for all calls of the process.

    def __init__(self, http: HttpRequest) -> None:
        self.http = http
        self._caller: Caller | None = None
        self._body: Any = _UNREAD

    @property
    def caller(self) -> Caller:
        """Who calls. Raises Unauthorized and ForbiddenOrigin."""
        if self._caller is None:
            self._caller = caller_of(self.http)
        return self._caller

    @property
    def body(self) -> Any:
        """The body as JSON whatever its Content-Type says: a plain `curl -d` should just work. {} for none.

        Raises TooLarge and InvalidRequest.
        """
        if self._body is _UNREAD:
            self._body = decoded(read_body(self.http))
        return self._body

    @property
    def message_id(self) -> str | None:
        """The client's `params.msgid`, if it sent a usable one. Raises what `body` raises."""
        params = self.body.get("params") if isinstance(self.body, Mapping) else None
        msgid = params.get("msgid") if isinstance(params, Mapping) else None
        usable = isinstance(msgid, str) and 0 < len(msgid.strip()) <= MAX_MSGID_LENGTH
        return msgid if usable else None


def decoded(body: bytes) -> Any:
    """`body` as JSON, {} for an empty one. Raises InvalidRequest."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply") from None


class ApiViewSet(ViewSet):
    """A viewset whose actions each have the envelope's id in `api_ids`.

    legacy_errors: its errors are told as Sunbird's older calls tell them. tagged: actions whose answers carry an ETag,
    and are told by 304 alone where the client has the same result already.
    """

    api_ids: ClassVar[dict[str, str]] = {}
    legacy_errors: ClassVar[bool] = False
    tagged: ClassVar[frozenset[str]] = frozenset()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The action's result, or its error, in the envelope. Never raises."""
        call = Call(request)
        try:
            _ = call.caller  # refused before anything else is looked at
            result = self._handler(request)(call, *args, **kwargs)
            return self._tagged(call, result) if self._action in self.tagged else self._answer(call, result)
        except Exception as error:  # noqa: BLE001 - the one border: whatever it is becomes an answer
            return self._refusal(request, call, error)

    def _handler(self, request: HttpRequest) -> Callable[..., Result]:
        """The action for the request's method. Raises MethodNotAllowed."""
        handler: Callable[..., Result] | None = None
        if request.method in self.allowed_methods:
            handler = getattr(self, str(request.method).lower(), None)
        if handler is None or request.method == "OPTIONS":
            raise MethodNotAllowed(f'Method "{request.method}" not allowed.')
        return handler

    def _answer(self, call: Call, result: Result, error: ViewerError | None = None) -> HttpResponse:
        whole = envelope(api_id=self.api_id, msgid=_message_id(call), result=result, error=error)
        body = encode(as_legacy(whole, error) if error and self.legacy_errors else whole)
        return HttpResponse(body, status=error.http_status if error else 200, content_type="application/json")

    def _tagged(self, call: Call, result: Result) -> HttpResponse:
        """The answer with its result's tag, or 304. The envelope is not part of it: its time is always another."""
        tag = f'W/"{hashlib.blake2b(encode(result), digest_size=16).hexdigest()}"'
        known = parse_etags(call.http.headers.get("If-None-Match", ""))
        response = HttpResponse(status=304) if tag in known or known == ["*"] else self._answer(call, result)
        response["ETag"] = tag
        response["Cache-Control"] = "private, no-cache"
        return response

    def _refusal(self, request: HttpRequest, call: Call, error: Exception) -> HttpResponse:
        """The foreseen in its own words; what nobody foresaw is logged and told without detail."""
        known = _known(request, error)
        response = self._answer(call, known.fields, known)
        if isinstance(known, Unauthorized):
            response["WWW-Authenticate"] = "Bearer"
        if isinstance(known, MethodNotAllowed):
            response["Allow"] = ", ".join(self.allowed_methods)
        return response

    @property
    def api_id(self) -> str:
        """The envelope's `id` for the running action, or for the route's first one where no action matched."""
        return self.api_ids[self._action or next(iter(self.action_map.values()))]

    @property
    def _action(self) -> str | None:
        return self.action_map.get(str(self.request.method).lower())


def fetched(api_id: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A view that is got without a token and answers no envelope; what it raises is told as a viewset tells it."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                if request.method not in FETCHING:
                    raise MethodNotAllowed(f'Method "{request.method}" not allowed.')
                return view(request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the border of these: whatever it is becomes an answer
                response = plain_error(_known(request, error), api_id)
                if isinstance(error, MethodNotAllowed):
                    response["Allow"] = ", ".join(FETCHING)
                return response

        return answered

    return decorate


def _known(request: HttpRequest, error: Exception) -> ViewerError:
    known = as_viewer_error(error)
    if known is None or known.http_status >= 500:
        logger.error("api error", exc_info=error, extra={"path": request.path})
    return known or ServerError("Something failed on our side; it has been logged")


def _message_id(call: Call) -> str | None:
    """As `Call.message_id`; None for a body that cannot be read: that has been told already.

    It also reads a body nobody looked at: a connection with an unread one is of no more use to its client.
    """
    try:
        return call.message_id
    except (ViewerError, OSError):
        return None
