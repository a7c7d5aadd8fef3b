"""The view calls over HTTP: shape in, one service call, result out."""

from common import timestamps
from common.api import ApiViewSet, Call, Result
from common.openapi import described
from common.wire import body_fields, read_fields, to_input
from viewer import events, explaining, reading, services
from viewer import sync as syncing
from viewer.inputs import EndInput, ReadInput, StartInput, SyncInput, UpdateInput
from viewer.lifecycle import Verb
from viewer.schemas import ACK, EXPLAIN_PARAMETERS, EXPLANATION, READ, SYNC

ACKS = {Verb.START: "Progress started", Verb.UPDATE: "SUCCESS", Verb.END: "Progress ended"}


class ViewViewSet(ApiViewSet):
    """Content views: start, update, end, read, and many at once."""

    api_ids = {
        "start": "api.view.start",
        "update_view": "api.view.update",
        "end": "api.view.end",
        "read": "api.view.read",
        "sync": "api.view.sync",
        "explain": "api.view.explain",
    }

    @described("view.start", StartInput, ACK, errors=(400, 401, 403))
    def start(self, call: Call) -> Result:
        """Starts a content: its row is made unless it is there. A later start changes nothing."""
        return self._record(call, Verb.START)

    @described("view.update", UpdateInput, ACK, errors=(400, 401, 403, 404))
    def update_view(self, call: Call) -> Result:
        """Reports progress inside a started content. Progress never goes down; 100 comes by end only."""
        return self._record(call, Verb.UPDATE)

    @described("view.end", EndInput, ACK, errors=(400, 401, 403, 404))
    def end(self, call: Call) -> Result:
        """Completes a started content; with `force` also one whose start got lost."""
        return self._record(call, Verb.END)

    @described("view.read", ReadInput, READ, errors=(400, 401, 403))
    def read(self, call: Call) -> Result:
        """How far the learner is with a content, several contents, or everything of a collection and context."""
        given = to_input(body_fields(call.body), ReadInput)
        return reading.read(call.caller, given, timestamps.now())

    @described("view.sync", SyncInput, SYNC, errors=(400, 401, 403))
    def sync(self, call: Call) -> Result:
        """Takes up to 500 events collected offline, in any order, and answers each with its own result."""
        given = to_input(body_fields(call.body), SyncInput)
        return syncing.sync(call.caller, given, timestamps.now())

    @described("view.explain", None, EXPLANATION, errors=(400, 401, 403), parameters=EXPLAIN_PARAMETERS)
    def explain(self, call: Call) -> Result:
        """Why one content is as far as it is: its row, the mode, what was carried, and every candidate's verdict."""
        pairs = ((name, value) for name, values in call.http.GET.lists() for value in values)
        return explaining.explain(call.caller, to_input(read_fields(pairs), ReadInput), timestamps.now())

    def _record(self, call: Call, verb: Verb) -> Result:
        fields = body_fields(call.body)
        given = to_input(fields, events.VERBS[verb])
        now = timestamps.now()
        services.record(call.caller, verb, given, msgid=call.message_id, fields=fields, now=now)
        return {given.content_id: ACKS[verb]}
