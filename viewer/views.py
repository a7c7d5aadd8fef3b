"""The view calls over HTTP: shape in, one service call, result out."""

from typing import Any, ClassVar

from django.http import HttpRequest
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from common import timestamps
from common.envelope import accept_chunks, message_id
from common.identity import Caller
from common.openapi import described
from common.wire import body_fields, to_input
from viewer import events, reading, services
from viewer import sync as syncing
from viewer.inputs import EndInput, ReadInput, StartInput, SyncInput, UpdateInput
from viewer.lifecycle import Verb
from viewer.schemas import ACK, READ, SYNC

ACKS = {Verb.START: "Progress started", Verb.UPDATE: "SUCCESS", Verb.END: "Progress ended"}


def caller_of(request: Request) -> Caller:
    """Who calls, as `common.identity` proved it."""
    caller: Any = request.user
    assert isinstance(caller, Caller)
    return caller


class EnvelopeViewSet(ViewSet):
    """A viewset whose actions each have the envelope's id in `api_ids`."""

    api_ids: ClassVar[dict[str, str]] = {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """DRF's request, with its body whichever way it was sent."""
        accept_chunks(request)
        return super().initialize_request(request, *args, **kwargs)

    @property
    def api_id(self) -> str | None:
        """The envelope's `id` for the running action; None where no action matched (a wrong HTTP method)."""
        name = getattr(self, "action", None)
        return self.api_ids.get(name) if name else next(iter(self.api_ids.values()), None)


class ViewViewSet(EnvelopeViewSet):
    """Content views: start, update, end, read, and many at once."""

    api_ids = {
        "start": "api.view.start",
        "update_view": "api.view.update",
        "end": "api.view.end",
        "read": "api.view.read",
        "sync": "api.view.sync",
    }

    @described("view.start", StartInput, ACK, errors=(400, 401, 403))
    @action(methods=["post"], detail=False)
    def start(self, request: Request) -> Response:
        """Starts a content: its row is made unless it is there. A later start changes nothing."""
        return self._record(request, Verb.START)

    @described("view.update", UpdateInput, ACK, errors=(400, 401, 403, 404))
    @action(methods=["post"], detail=False)
    def update_view(self, request: Request) -> Response:
        """Reports progress inside a started content. Progress never goes down; 100 comes by end only."""
        return self._record(request, Verb.UPDATE)

    @described("view.end", EndInput, ACK, errors=(400, 401, 403, 404))
    @action(methods=["post"], detail=False)
    def end(self, request: Request) -> Response:
        """Completes a started content; with `force` also one whose start got lost."""
        return self._record(request, Verb.END)

    @described("view.read", ReadInput, READ, errors=(400, 401, 403))
    @action(methods=["post"], detail=False)
    def read(self, request: Request) -> Response:
        """How far the learner is with a content, several contents, or everything of a collection and context."""
        given = to_input(body_fields(request), ReadInput)
        return Response(reading.read(caller_of(request), given, timestamps.now()))

    @described("view.sync", SyncInput, SYNC, errors=(400, 401, 403))
    @action(methods=["post"], detail=False)
    def sync(self, request: Request) -> Response:
        """Takes up to 500 events collected offline, in any order, and answers each with its own result."""
        given = to_input(body_fields(request), SyncInput)
        return Response(syncing.sync(caller_of(request), given, timestamps.now()))

    def _record(self, request: Request, verb: Verb) -> Response:
        fields = body_fields(request)
        given = to_input(fields, events.VERBS[verb])
        now = timestamps.now()
        services.record(caller_of(request), verb, given, msgid=message_id(request), fields=fields, now=now)
        return Response({given.content_id: ACKS[verb]})
