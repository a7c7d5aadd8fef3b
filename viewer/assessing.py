"""What assessment submit and read do. Submit writes the attempt first, then completes the view; a replay redoes both.

A submission that died between its two steps is cured by sending it again: the attempt is known, the view completes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from catalogue import api as catalogue
from common.errors import ConflictingIds, MissingField, NoAnswers, TooMany
from common.identity import Caller
from common.ids import check_id
from common.rows import ActivityAgg, Attempt, ContextKey, Question, RowKey
from common.timestamps import to_epoch_ms
from common.wire import read_fields, to_input
from modes.keys import ReadScope
from viewer import (
    aggregator,
    assessments,
    carrying,
    counting,
    events,
    progress,
    services,
    statusmap,
    tasks,
)
from viewer.inputs import (
    MAX_ANSWERS,
    AssessmentReadInput,
    AttemptInput,
    EndInput,
    StartInput,
    SubmitInput,
)
from viewer.lifecycle import Outcome, Verb, ViewEvent
from viewer.store import get_store


@dataclass(frozen=True, slots=True)
class Submission:
    """The attempts of one call at one content, and the end of its view that they bring."""

    key: RowKey
    attempts: tuple[Attempt, ...]
    end: ViewEvent


@dataclass(frozen=True, slots=True)
class Told:
    """What the call around a submission knows of it.

    repeat: an id that a repetition of the same call has too, or None. ts: when it happened, not clamped, or None.
    reread: the collections whose trees this call has already read anew; shared by the events of a sync.
    """

    now: datetime
    repeat: str | None
    ts: datetime | None
    reread: set[str]


@dataclass(frozen=True, slots=True)
class _Answered:
    """One attempt as it was sent. at: when, as far as the client told it."""

    attempt_id: str | None
    at: datetime | None
    questions: tuple[Question, ...]


# --- submit --------------------------------------------------------------------------------------------------------


def submit(caller: Caller, given: SubmitInput, *, msgid: str | None, fields: dict[str, Any], now: datetime) -> RowKey:
    """Keeps the attempts and completes the view; the row it completed. Raises what `submission` raises."""
    check_size(given)
    repeat = events.call_identity(msgid, fields, now).id if msgid else None
    made = submission(caller, given, Told(now, repeat, None, set()))
    carrying.uncover([made.key], now)
    with statusmap.writing([made.key.user_id]) as written:
        kept = keep(made.attempts, now)
        ended = get_store().apply(made.key, made.end)
        written.forget()  # also where nothing was new: what kept it may have died before it told the map
    if kept or ended.new_mark:
        tasks.wake(made.key.user_id)
    return made.key


def keep(attempts: Sequence[Attempt], now: datetime) -> bool:
    """Stores one learner's attempts; False when every one was there already, or a newer account of it was."""
    return Outcome.APPLIED in get_store().save_attempts(attempts, now)


def check_size(given: SubmitInput) -> None:
    """Raises InvalidField for what is nested too deeply to be hashed or written, before anybody tries."""
    assessments.check_depth("assessments", given.assessments)
    assessments.check_depth("events", given.events)


def submission(caller: Caller, given: SubmitInput, told: Told) -> Submission:
    """What a submit says, validated. `check_size` has looked at `given` before. Writes nothing.

    Raises Forbidden, MissingField, InvalidField, InvalidId, InvalidTime, ConflictingIds, ContextWithoutCollection,
    TooMany, NoAnswers, NotInCollection and TooManyQuestions.
    """
    name, sent = _sent(given)
    entries = _entries(name, sent)
    place = _place(caller, given, [entry for _, entry in entries])
    key = services.row_key(Caller(place.user_id), place)
    answered = [_answered(at, entry, given) for at, entry in entries]
    _check_tree(place.collection_id, key.content_id, answered, told.reread)
    attempts = tuple(_attempt(key, number, one, told) for number, one in enumerate(answered))
    return Submission(key, attempts, _end(place, answered, told))


def _sent(given: SubmitInput) -> tuple[str, list[dict[str, Any]]]:
    """What was sent, and under which of its two names."""
    if given.assessments is None:
        if given.events is None:
            raise MissingField("assessments", "assessments is required")
        return "events", given.events
    if given.events is not None and given.events != given.assessments:
        raise ConflictingIds("events", "events contradicts assessments in the same request")
    return "assessments", given.assessments


def _entries(name: str, sent: list[dict[str, Any]]) -> list[tuple[str, AttemptInput]]:
    """The attempts sent, each with the place of its events: raw events are one, the legacy shape nests several."""
    nested = [any(field.lower() == "events" for field in item) for item in sent]
    if not any(nested):
        entries = [(name, AttemptInput(events=sent))]
    elif all(nested):
        entries = [
            (f"{name}[{number}].events", to_input(read_fields(item.items()), AttemptInput))
            for number, item in enumerate(sent)
        ]
    else:
        odd = nested.index(not nested[0])
        raise ConflictingIds(name, f"{name}[{odd}] and {name}[0] differ: send events, or attempts with events in them")
    if sum(len(entry.events) for _, entry in entries) > MAX_ANSWERS:
        raise TooMany(name, f"{name} lists more than {MAX_ANSWERS} events; send each attempt by itself")
    return entries


def _place(caller: Caller, given: SubmitInput, entries: Sequence[AttemptInput]) -> EndInput:
    """Who and where, as the request or the attempts inside it say: they must agree."""
    user_id = caller.acts_for(next((one.user_id for one in (given, *entries) if one.user_id), None))
    for entry in entries:
        Caller(user_id).acts_for(entry.user_id)
    return EndInput(
        user_id=user_id,
        content_id=_agreed("contentId", (given.content_id, *(entry.content_id for entry in entries))) or "",
        collection_id=_agreed("collectionId", (given.collection_id, *(entry.collection_id for entry in entries))),
        context_id=_agreed("contextId", (given.context_id, *(entry.context_id for entry in entries))),
        force=True,
    )


def _agreed(field: str, values: Iterable[str | None]) -> str | None:
    named = dict.fromkeys(value for value in values if value is not None)
    if len(named) > 1:
        raise ConflictingIds(field, f"the assessments contradict the request's {field}, or one another")
    return next(iter(named), None)


def _answered(place: str, entry: AttemptInput, given: SubmitInput) -> _Answered:
    """One attempt; id and time are its own or the request's."""
    questions = assessments.questions_of(place, entry.events)
    if not questions:
        raise NoAnswers("assessments", f"{place} holds no {assessments.EID} event: there is nothing to score")
    written = given.assessment_ts if entry.assessment_ts is None else entry.assessment_ts
    return _Answered(
        attempt_id=check_id("attemptId", _agreed("attemptId", (given.attempt_id, entry.attempt_id))),
        at=assessments.newest(questions) if written is None else assessments.time("assessmentTs", written),
        questions=questions,
    )


def _attempt(key: RowKey, number: int, one: _Answered, told: Told) -> Attempt:
    """The attempt to store. One that names neither itself nor any time is told apart by the call it came with."""
    at = one.at or told.ts
    own = f"{told.repeat or to_epoch_ms(told.now)}#{number}"
    attempt_id = one.attempt_id or assessments.derived_id(key, own if at is None else str(to_epoch_ms(at)))
    return assessments.attempt_of(key, attempt_id, one.questions, at or told.now, told.now)


def _end(place: StartInput, answered: Sequence[_Answered], told: Told) -> ViewEvent:
    """The end of the view: completed by the first of these attempts, last seen at the last. Clamped as any view is."""
    times = [to_epoch_ms(at) for at in (one.at or told.ts for one in answered) if at is not None]
    end = EndInput(
        content_id=place.content_id,
        last_completed_time=min(times, default=None),
        last_access_time=max(times, default=None),
        force=True,
    )
    return events.view_event(Verb.END, end, told.now)


def _check_tree(collection_id: str | None, content_id: str, answered: Sequence[_Answered], reread: set[str]) -> None:
    """Raises NotInCollection or TooManyQuestions. A tree is read anew before it refuses: it may just have changed."""
    if collection_id is None:
        return
    asked = max(len(one.questions) for one in answered)
    refused = assessments.refusal(catalogue.hierarchy(collection_id), content_id, asked)
    if refused and collection_id not in reread:
        reread.add(collection_id)
        catalogue.forget_hierarchies()
        refused = assessments.refusal(catalogue.hierarchy(collection_id), content_id, asked)
    if refused:
        raise refused


# --- read ------------------------------------------------------------------------------------------------------------


def read(caller: Caller, given: AssessmentReadInput, now: datetime) -> dict[str, Any]:
    """The result of assessment/read: the best of each content, and one page of the attempts, newest first.

    The best scores are those of view/read and of the aggregates, imported ones too; an import without attempts has a
    score here and nothing under `assessments`. A pending context is folded first. Cost: three partition reads, four
    for a whole collection.
    """
    user_id, scope = services.read_scope(caller, given, now)
    if scope.keys is None and scope.context:
        contents, attempts = _whole_context(scope.context, now)
    else:
        contents, attempts = _contents(scope, now)
    attempts.sort(key=lambda one: (one.last_attempted_on, one.attempt_id, one.key), reverse=True)
    page = attempts[given.offset : given.offset + given.limit]
    return {
        "userId": user_id,
        "collectionId": scope.context.collection_id if scope.context else None,
        "contextId": scope.context.context_id if scope.context else None,
        "contents": contents,
        "assessments": [_attempt_item(attempt) for attempt in page],
        "count": len(attempts),
    }


def _contents(scope: ReadScope, now: datetime) -> tuple[list[dict[str, Any]], list[Attempt]]:
    """Exactly these contents, in this order, tried or not, told for the place that was asked about; all attempts."""
    asked = scope.keys or ()
    contexts = sorted({key.context for key in asked})
    aggregator.fold_pending(contexts, now)
    attempts = list(counting.own_attempts(get_store().attempts(asked)))
    aggs = get_store().aggs(contexts)
    facts: dict[ContextKey, dict[str, dict[str, Any]]] = {}
    for context in contexts:
        here = [attempt for attempt in attempts if attempt.key.context == context]
        facts[context] = progress.content_facts(
            progress.Sources(aggs.get(context) or ActivityAgg(context), attempts=here)
        )
    return [_content_item(scope.place(key), facts[key.context].get(key.content_id, {})) for key in asked], attempts


def _whole_context(context: ContextKey, now: datetime) -> tuple[list[dict[str, Any]], list[Attempt]]:
    """The contents that were tried, in course order, then those beside the course; and all attempts."""
    aggregator.fold_pending([context], now)
    sources = counting.shown(get_store().sources(context))
    facts = progress.content_facts(sources)
    hierarchy = catalogue.hierarchy(context.collection_id)
    order = dict.fromkeys([*(hierarchy.leaves if hierarchy else ()), *facts])
    tried = [content for content in order if "score" in facts.get(content, {})]
    return [_content_item(RowKey(*context, content), facts[content]) for content in tried], list(sources.attempts)


def _content_item(key: RowKey, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "identifier": key.content_id,
        "contentId": key.content_id,
        "collectionId": key.collection_id,
        "contextId": key.context_id,
        "score": facts.get("score"),
        "max_score": facts.get("max_score"),
        "attempts": facts.get("attempts", 0),
    }


def _attempt_item(attempt: Attempt) -> dict[str, Any]:
    return {
        "identifier": attempt.key.content_id,
        "contentId": attempt.key.content_id,
        "collectionId": attempt.key.collection_id,
        "contextId": attempt.key.context_id,
        "attemptId": attempt.attempt_id,
        "score": attempt.total_score,
        "max_score": attempt.total_max_score,
        "grandTotal": attempt.grand_total,
        "lastAttemptedOn": to_epoch_ms(attempt.last_attempted_on),
        "createdOn": to_epoch_ms(attempt.created_on),
    }
