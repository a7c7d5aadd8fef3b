"""`view/sync`: many events of one learner in one call, each with its own result. One transaction.

The items are validated one by one, put in the order in which they happened, and applied to the rows as single calls
would be. What is wrong with one never fails another.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.errors import EventConflict, InvalidField, NotSupported, TooMany, ViewerError
from common.identity import Caller
from common.rows import RowKey
from common.wire import read_fields, to_input
from viewer import events, services, tasks
from viewer.inputs import MAX_EVENTS, EventHead, SyncInput
from viewer.lifecycle import Outcome, Verb, ViewEvent
from viewer.store import get_store

# Events of the same instant: a start comes before what it starts, an end after what it ends.
RANK = {Verb.START: 0, Verb.UPDATE: 1, Verb.END: 3}


@dataclass(frozen=True, slots=True)
class Item:
    """One event of a sync, ready to be applied. `ts`: when it happened; `place`: where it stood in the request."""

    place: int
    ts: datetime
    key: RowKey
    event: ViewEvent


def sync(caller: Caller, given: SyncInput, now: datetime) -> dict[str, Any]:
    """The result of view/sync: one entry for each event, in the order they were sent.

    Raises TooMany beyond MAX_EVENTS, Forbidden for another learner's body; an event's own errors are in its result.
    """
    if len(given.events) > MAX_EVENTS:
        raise TooMany("events", f"events lists more than {MAX_EVENTS}; send it in parts")
    learner = Caller(caller.acts_for(given.user_id))
    results: list[dict[str, Any]] = [{} for _ in given.events]
    items: list[Item] = []
    for place, event in enumerate(given.events):
        try:
            items.append(_item(learner, place, event, now))
        except ViewerError as error:
            results[place] = _rejected(event, error)
    items.sort(key=lambda item: (item.ts, RANK[item.event.verb], item.place))
    user_id = learner.acts_for(None)
    items = _without_conflicts(items, results, given.events)
    of_one_row = Counter(item.key for item in items)
    outcomes = get_store().apply_all(
        user_id, [(item.key, replace(item.event, remember=of_one_row[item.key])) for item in items]
    )
    if outcomes:
        tasks.wake(user_id)
    for item, outcome in zip(items, outcomes, strict=True):
        results[item.place] = _result(given.events[item.place], item, outcome)
    return {"results": results}


def _item(learner: Caller, place: int, event: dict[str, Any], now: datetime) -> Item:
    """The event, validated. Raises what the single call would raise, and NotSupported for a type it does not know."""
    fields = read_fields(event.items())
    head = to_input(fields, EventHead)
    verb = _verb(head.type)
    given = to_input(fields, events.VERBS[verb])
    key = services.row_key(learner, given)
    ts = events.client_time("ts", head.ts, now)
    identity = events.sync_identity(head.id, {**fields, "userId": key.user_id}, now)
    made = replace(services.forced(events.view_event(verb, given, now, ts=ts)), identity=identity)
    return Item(place, ts or now, key, made)


def _verb(written: str) -> Verb:
    kind = written.strip().lower()
    if kind == "assess":
        raise NotSupported("type", "assess events are not taken yet")
    try:
        return Verb(kind)
    except ValueError:
        raise InvalidField("type", "type must be start, update, end or assess") from None


def _without_conflicts(items: list[Item], results: list[dict[str, Any]], sent: list[dict[str, Any]]) -> list[Item]:
    """The items but those whose id an earlier item of this call carries with other content; these are told so."""
    hashes: dict[str, str] = {}
    kept: list[Item] = []
    for item in items:
        identity = item.event.identity
        assert identity is not None
        if hashes.setdefault(identity.id, identity.payload_hash) == identity.payload_hash:
            kept.append(item)
        else:
            results[item.place] = _rejected(sent[item.place], _conflict())
    return kept


def _result(sent: dict[str, Any], item: Item, outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Outcome.NOT_STARTED:
            return _rejected(sent, services.not_started(item.event.verb, item.key))
        case Outcome.CONFLICT:
            return _rejected(sent, _conflict())
        case _:
            return {"id": _id_of(sent), "status": outcome.value, "err": None, "errmsg": None}


def _conflict() -> EventConflict:
    return EventConflict("id", "this id was sent before with other content")


def _rejected(sent: dict[str, Any], error: ViewerError) -> dict[str, Any]:
    return {
        "id": _id_of(sent),
        "status": "rejected",
        "err": error.code,
        "errmsg": error.message,
        "code": error.http_status,
    }


def _id_of(sent: dict[str, Any]) -> str | None:
    """The event's id as its client wrote it, under whatever spelling of the name; None where it wrote none."""
    named = (value for name, value in sent.items() if name.lower() == "id" and isinstance(value, str))
    return next(named, None)
