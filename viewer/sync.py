"""`view/sync`: many events of one learner in one call, each with its own result. One transaction for the views.

The items are validated one by one, put in the order in which they happened, and applied to the rows as single calls
would be. What is wrong with one never fails another. Attempts are kept before the views they complete, each durable by
itself: a call that died in between is cured by its repetition.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.errors import EventConflict, InvalidField, TooMany, Unavailable, ViewerError
from common.identity import Caller
from common.rows import AppliedEvent, Attempt, RowKey
from common.wire import read_fields, to_input
from viewer import assessing, assessments, carrying, events, services, statusmap, tasks
from viewer.inputs import MAX_EVENTS, EventHead, SubmitInput, SyncInput
from viewer.lifecycle import MAX_APPLIED, Outcome, Verb, ViewEvent
from viewer.store import Applied, get_store

ASSESS = "assess"
# Events of the same instant: a start comes before what it starts, an end after what it ends.
RANK: dict[str, int] = {Verb.START: 0, Verb.UPDATE: 1, ASSESS: 2, Verb.END: 3}


@dataclass(frozen=True, slots=True)
class Item:
    """One event of a sync, ready to be applied.

    ts: when it happened by the phone's own clock, however wrong: it only orders. place: where it stood in the request.
    kind: its type, a key of RANK. attempts: those of an assess event, whose `event` is the end of the view.
    """

    place: int
    ts: datetime
    kind: str
    key: RowKey
    event: ViewEvent
    attempts: tuple[Attempt, ...] = ()


def sync(caller: Caller, given: SyncInput, now: datetime) -> dict[str, Any]:
    """The result of view/sync: one entry for each event, in the order they were sent.

    Raises TooMany beyond MAX_EVENTS, Forbidden for another learner's body; an event's own errors are in its result.
    """
    if len(given.events) > MAX_EVENTS:
        raise TooMany("events", f"events lists more than {MAX_EVENTS}; send it in parts")
    learner = Caller(caller.acts_for(given.user_id))
    results: list[dict[str, Any]] = [{} for _ in given.events]
    items: list[Item] = []
    reread: set[str] = set()
    for place, event in enumerate(given.events):
        try:
            items.append(_item(learner, place, event, now, reread))
        except Unavailable:
            raise  # it says nothing about the event
        except ViewerError as error:
            results[place] = _rejected(event, error)
    items.sort(key=lambda item: (item.ts, RANK[item.kind], item.place))
    user_id = learner.acts_for(None)
    items = _without_conflicts(items, results, given.events)
    carrying.uncover([item.key for item in items], now)
    with statusmap.writing([user_id]) as written:
        kept = _kept(items, now)
        applied = _applied(user_id, items)
        written.show(zip((item.key for item in items), applied, strict=True))
        if any(item.attempts for item in items):
            written.forget()
    paired = list(zip(items, (one.outcome for one in applied), strict=True))
    if kept or any(outcome is Outcome.APPLIED and item.kind != Verb.UPDATE for item, outcome in paired):
        tasks.wake(user_id)
    for item, outcome in paired:
        told = _of_assess(outcome, kept=item.place in kept) if item.attempts else outcome
        results[item.place] = _result(given.events[item.place], item, told)
    return {"results": results}


def _kept(items: list[Item], now: datetime) -> set[int]:
    """The places of those items that brought an attempt, or an account of one, that was not there."""
    attempts = [(item.place, attempt) for item in items for attempt in item.attempts]
    outcomes = get_store().save_attempts([attempt for _, attempt in attempts], now)
    return {place for (place, _), told in zip(attempts, outcomes, strict=True) if told is Outcome.APPLIED}


def _applied(user_id: str, items: list[Item]) -> list[Applied]:
    """What became of the views, all in one transaction."""
    of_one_row = Counter(item.key for item in items)
    events = [
        replace(item.event, remember=of_one_row[item.key]) if of_one_row[item.key] > MAX_APPLIED else item.event
        for item in items
    ]
    return get_store().apply_all(user_id, list(zip((item.key for item in items), events, strict=True)))


def _item(learner: Caller, place: int, event: dict[str, Any], now: datetime, reread: set[str]) -> Item:
    """The event, validated. Raises what the single call would raise, and InvalidField for a type there is not.

    reread: as in `assessing.Told`.
    """
    fields = read_fields(event.items())
    head = to_input(fields, EventHead)
    kind = head.type.strip().lower()
    if kind not in RANK:
        raise InvalidField("type", "type must be start, update, end or assess")
    ts = events.client_time("ts", head.ts, now)
    happened = events.own_time("ts", head.ts) or now
    if kind == ASSESS:
        made, identity = _assessed(learner, head, fields, now, reread)
        return Item(place, happened, kind, made.key, replace(made.end, identity=identity), made.attempts)
    verb = Verb(kind)
    given = to_input(fields, events.VERBS[verb])
    key = services.row_key(learner, given)
    identity = events.sync_identity(head.id, {**fields, "userId": key.user_id}, now)
    viewed = services.forced(events.view_event(verb, given, now, ts=ts))
    return Item(place, happened, kind, key, replace(viewed, identity=identity))


def _assessed(
    learner: Caller, head: EventHead, fields: dict[str, Any], now: datetime, reread: set[str]
) -> tuple[assessing.Submission, AppliedEvent]:
    """What an assess event submits, and its identity: a repetition without any time is told by its id."""
    given = to_input(fields, SubmitInput)
    assessing.check_size(given)
    identity = events.sync_identity(head.id, {**fields, "userId": learner.user_id}, now)
    ts = assessments.time("ts", head.ts) if head.ts is not None else None
    return assessing.submission(learner, given, assessing.Told(now, identity.id, ts, reread)), identity


def _without_conflicts(items: list[Item], results: list[dict[str, Any]], sent: list[dict[str, Any]]) -> list[Item]:
    """The items but those whose id an earlier item carries with other content; these are told so.

    Of assess items also those whose row remembers the id: what they bring must not be kept first and refused then.
    """
    hashes: dict[str, str] = {}
    kept: list[Item] = []
    known = _remembered([item.key for item in items if item.attempts])
    for item in items:
        identity = item.event.identity
        assert identity is not None
        told = hashes.setdefault(identity.id, identity.payload_hash)
        if item.attempts:
            told = known.get((item.key, identity.id), told)
        if told == identity.payload_hash:
            kept.append(item)
        else:
            results[item.place] = _rejected(sent[item.place], _conflict())
    return kept


def _remembered(keys: list[RowKey]) -> dict[tuple[RowKey, str], str]:
    """(row, event id) -> the hash of the content that these rows took in under this id."""
    rows = get_store().rows(sorted(set(keys))) if keys else []
    return {(row.key, event.id): event.payload_hash for row in rows for event in row.applied}


def _of_assess(outcome: Outcome, *, kept: bool) -> Outcome:
    """What became of an assess event: of its attempts (kept: some were new) and of the view it completes."""
    if outcome is Outcome.CONFLICT:
        return outcome
    return Outcome.APPLIED if kept or outcome is Outcome.APPLIED else Outcome.DUPLICATE


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
