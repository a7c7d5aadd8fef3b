"""What each write does: choose the row, write it, say what happened. No HTTP, no SQL, no mode."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from common.errors import ContextWithoutCollection, MissingField, NothingToRead, TooMany, ViewNotStarted
from common.identity import Caller
from common.ids import check_id
from common.rows import ContextKey, RowKey, Status
from modes import instance, keys
from viewer import aggregator, carrying, counting, events, rekeying, statusmap, tasks
from viewer.inputs import MAX_CONTENTS, ReadInput, StartInput
from viewer.lifecycle import Outcome, Verb, ViewEvent
from viewer.store import get_store

FORCE_HINT = 'send "force": true to complete it all the same, or ask the operator to switch on "force view end"'


def record(
    caller: Caller, verb: Verb, given: StartInput, *, msgid: str | None, fields: dict[str, Any], now: datetime
) -> Outcome:
    """Records one start, update or end; APPLIED, DUPLICATE or OLDER, all of which are acknowledged.

    Raises ViewNotStarted where there is nothing to update or end, and the errors of the input.
    """
    key = row_key(caller, given)
    event = forced(events.view_event(verb, given, now))
    if msgid and event.timespent:
        identity = events.call_identity(msgid, fields, now)
        event = replace(event, identity=identity, repeats_since=now - events.REPEAT_WINDOW)
    carrying.uncover([key], now)
    with statusmap.writing([key.user_id]) as written:
        applied = get_store().apply(key, event)
        written.show([(key, applied)])
    if applied.outcome is Outcome.NOT_STARTED:
        raise not_started(verb, key)
    if applied.new_mark:
        tasks.wake(key.user_id)
    return applied.outcome


def row_key(caller: Caller, given: StartInput) -> RowKey:
    """The row this call is about. Raises Forbidden, MissingField, InvalidId and ContextWithoutCollection."""
    user_id = caller.acts_for(given.user_id)
    content_id = check_id("contentId", given.content_id)
    if content_id is None:
        raise MissingField("contentId", "contentId is required")
    check_place(given.collection_id, given.context_id)
    view = keys.View(user_id, content_id, given.collection_id, given.context_id)
    return keys.write_key(rekeying.mode_for(user_id), view)


def check_place(collection_id: str | None, context_id: str | None) -> None:
    """Raises ContextWithoutCollection: a context alone names no place (seed: scenario 3 names both)."""
    if context_id is not None and collection_id is None:
        raise ContextWithoutCollection("collectionId", "contextId needs the collectionId it is a context of")


def read_scope(caller: Caller, given: ReadInput, now: datetime) -> tuple[str, keys.ReadScope]:
    """Whose rows a read answers from, and which.

    Raises Forbidden, MissingField, InvalidId, TooMany, ContextWithoutCollection and NothingToRead.
    """
    user_id = caller.acts_for(given.user_id)
    content_ids = _content_ids(given.content_id)
    check_place(given.collection_id, given.context_id)
    if not content_ids and given.collection_id is None:
        raise NothingToRead("contentId", "Name a contentId or a collectionId")
    mode = rekeying.mode_for(user_id)
    places = (given.collection_id, given.context_id)
    scope = keys.read_scope(mode, user_id, content_ids, *places, leaves=counting.leaves_of)
    return user_id, _best_context(scope, now) if scope.any_context else scope


def _best_context(scope: keys.ReadScope, now: datetime) -> keys.ReadScope:
    """The scope in that of the learner's contexts of the collection where he is farthest with what was asked.

    Of several the one with the smallest id; where he is nowhere, the scope as it is.
    """
    assert scope.context is not None
    store, asked = get_store(), scope.context
    contexts = [key for key in store.contexts(asked.user_id) if key.collection_id == asked.collection_id]
    aggregator.fold_pending(contexts, now)
    aggs = store.aggs(contexts)
    contents = {key.content_id for key in scope.keys} if scope.keys is not None else None
    progress = {  # from the rows, because updates mark nothing
        key: sum(row.progress for row in store.sources(key).rows if contents is None or row.key.content_id in contents)
        for key in aggs
    }

    def done(key: ContextKey) -> tuple[int, int, int]:
        statuses = aggs[key].content_status
        told = [statuses[content] for content in statuses if contents is None or content in contents]
        return sum(status == Status.COMPLETED for status in told), len(told), progress[key]

    best = max(sorted(aggs), key=done, default=asked)
    return keys.ReadScope(
        best, None if scope.keys is None else tuple(RowKey(*best, one.content_id) for one in scope.keys)
    )


def _content_ids(given: str | list[str] | None) -> list[str]:
    """The contents asked for, each once, in the order asked for. Raises InvalidId and TooMany."""
    asked = [given] if isinstance(given, str) else given or []
    if len(asked) > MAX_CONTENTS:
        raise TooMany("contentId", f"contentId lists more than {MAX_CONTENTS} contents")
    checked = (check_id("contentId", content_id) for content_id in asked)
    return list(dict.fromkeys(content_id for content_id in checked if content_id is not None))


def forced(event: ViewEvent) -> ViewEvent:
    """The event with the instance's own "force view end", where that is switched on."""
    if event.verb is Verb.END and not event.force and instance.current().force_view_end:
        return replace(event, force=True)
    return event


def not_started(verb: Verb, key: RowKey) -> ViewNotStarted:
    """The error for an update or end without a start; for an end it says how to force it."""
    hint = f"; {FORCE_HINT}" if verb is Verb.END else "; send view/start first"
    return ViewNotStarted("contentId", f"{key.content_id} was not started in this context{hint}")
