"""What view/read answers: how far a learner is with each content asked for. Reads never write."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from catalogue import api as catalogue
from common.identity import Caller
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, RowKey
from modes import instance
from modes.keys import ReadScope
from viewer import aggregator, counting, services, statusmap
from viewer.inputs import ReadInput
from viewer.progress import Sources
from viewer.statusmap import Found, Wanted
from viewer.store import get_store

KeyedT = TypeVar("KeyedT", Consumption, Attempt)


def read(caller: Caller, given: ReadInput, now: datetime) -> dict[str, Any]:
    """The result of view/read, shaped as the seeds show it and with every field live clients read.

    A context that is read from the store and whose mark is pending is folded first, so that this answer and every
    other one say the same. Cost: one round trip to Redis where the status map knows it all; else four partition
    reads; for a whole collection also its hierarchy, which is cached.
    """
    user_id, scope = services.read_scope(caller, given, now)
    return {
        "userId": user_id,
        "collectionId": scope.context.collection_id if scope.context else None,
        "contextId": scope.context.context_id if scope.context else None,
        "contents": _whole_context(scope.context, now)
        if scope.keys is None and scope.context
        else _contents(scope, now),
    }


def _contents(scope: ReadScope, now: datetime) -> list[dict[str, Any]]:
    """Exactly these contents, in this order, told for the place that was asked about; no row: not started."""
    asked = scope.keys or ()
    wanted: dict[ContextKey, list[str]] = {context: [] for context in sorted({key.context for key in asked})}
    for key in asked:
        wanted[key.context].append(key.content_id)
    known = _known(wanted, asked, now)
    return [_item(scope.place(key), known[key.context]) for key in asked]


def _whole_context(context: ContextKey, now: datetime) -> list[dict[str, Any]]:
    """Every leaf of the collection in course order, then what the learner did beside them."""
    known = _known({context: None}, None, now)[context]
    hierarchy = catalogue.hierarchy(context.collection_id)
    contents = dict.fromkeys([*(hierarchy.leaves if hierarchy else ()), *known.facts])
    return [_item(RowKey(*context, content), known) for content in contents]


def _known(wanted: Wanted, asked: Sequence[RowKey] | None, now: datetime) -> dict[ContextKey, Found]:
    """What the status map knows of these contexts, and the store of the others. asked: these rows; None: all.

    Where the map knows, nothing is folded before: an answer is made of rows, attempts and kept facts, and a fold
    changes none of them.
    """
    # The map knows no marks: where another context's may change this one, they are asked for first.
    carries = instance.current().mode.carries
    if carries:
        aggregator.fold_pending(wanted, now)
    seen = statusmap.look(wanted)
    missed = [context for context in wanted if context not in seen.found]
    if not missed:
        return seen.found
    if not carries:
        aggregator.fold_pending(missed, now)
    reserved = statusmap.begin_fill(seen, missed)
    if asked is None or reserved is not None:
        sources = [counting.shown(get_store().sources(context)) for context in missed]
    else:
        found = _sources_of([key for key in asked if key.context in set(missed)], missed)
        sources = [counting.shown(one) for one in found]
    if reserved is not None:
        statusmap.fill(reserved, sources)
    return seen.found | {one.key: statusmap.found_in(one) for one in sources}


def _sources_of(asked: Sequence[RowKey], contexts: Sequence[ContextKey]) -> list[Sources]:
    """What the store says of these contents alone; a number of queries that does not grow with the contexts."""
    store = get_store()
    rows, attempts = _by_context(store.rows(asked)), _by_context(store.attempts(asked))
    aggs = store.aggs(contexts)
    return [
        Sources(aggs.get(context) or ActivityAgg(context), rows[context], attempts[context]) for context in contexts
    ]


def _by_context(found: Sequence[KeyedT]) -> dict[ContextKey, list[KeyedT]]:
    grouped: dict[ContextKey, list[KeyedT]] = defaultdict(list)
    for one in found:
        grouped[one.key.context].append(one)
    return grouped


def _item(key: RowKey, found: Found) -> dict[str, Any]:
    """One content of an answer, zeros and nulls where nothing is known."""
    details, known = found.details.get(key.content_id), found.facts.get(key.content_id, {})
    archived = details is None and known.get("archived", False)
    item = {
        "identifier": key.content_id,
        "contentId": key.content_id,
        "collectionId": key.collection_id,
        "contextId": key.context_id,
        "status": known.get("status", 0),
        "progress": known.get("progress", 0),
        "score": known.get("score"),
        "max_score": known.get("max_score"),
        "progressDetails": None if archived else details or {},
        "lastAccessTime": known.get("lastAccessTime"),
        "lastCompletedTime": known.get("lastCompletedTime"),
        "viewCount": known.get("viewCount", 0),
        "timespent": known.get("timespent", 0.0),
        "origin": known.get("origin"),
    }
    return {**item, "archived": True} if archived else item
