"""What view/read answers: how far a learner is with each content asked for. Reads never write."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from catalogue import api as catalogue
from common.identity import Caller
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, RowKey
from viewer import aggregator, progress, services
from viewer.inputs import ReadInput
from viewer.store import get_store

KeyedT = TypeVar("KeyedT", Consumption, Attempt)


def read(caller: Caller, given: ReadInput, now: datetime) -> dict[str, Any]:
    """The result of view/read, shaped as the seeds show it and with every field live clients read.

    A context whose mark is pending is folded first, so that this answer and every other one say the same.
    Cost: four partition reads; for a whole collection also its hierarchy, which is cached.
    """
    user_id, scope = services.read_scope(caller, given)
    return {
        "userId": user_id,
        "collectionId": scope.context.collection_id if scope.context else None,
        "contextId": scope.context.context_id if scope.context else None,
        "contents": _whole_context(scope.context, now)
        if scope.keys is None and scope.context
        else _contents(scope.keys or (), now),
    }


def _contents(keys: Sequence[RowKey], now: datetime) -> list[dict[str, Any]]:
    """Exactly these contents, in this order; what has no row is not started."""
    contexts = sorted({key.context for key in keys})
    aggregator.fold_pending(contexts, now)
    store = get_store()
    rows, attempts = _by_context(store.rows(keys)), _by_context(store.attempts(keys))
    aggs = store.aggs(contexts)
    details = {
        context: progress.content_facts(
            progress.Sources(aggs.get(context) or ActivityAgg(context), rows[context], attempts[context])
        )
        for context in contexts
    }
    by_key = {row.key: row for found in rows.values() for row in found}
    return [_item(key, by_key.get(key), details[key.context].get(key.content_id)) for key in keys]


def _whole_context(context: ContextKey, now: datetime) -> list[dict[str, Any]]:
    """Every leaf of the collection in course order, then what the learner did beside them."""
    aggregator.fold_pending([context], now)
    sources = get_store().sources(context)
    details = progress.content_facts(sources)
    rows = {row.key.content_id: row for row in sources.rows}
    hierarchy = catalogue.hierarchy(context.collection_id)
    contents = dict.fromkeys([*(hierarchy.leaves if hierarchy else ()), *details])
    return [_item(RowKey(*context, content), rows.get(content), details.get(content)) for content in contents]


def _by_context(found: Sequence[KeyedT]) -> dict[ContextKey, list[KeyedT]]:
    grouped: dict[ContextKey, list[KeyedT]] = defaultdict(list)
    for one in found:
        grouped[one.key.context].append(one)
    return grouped


def _item(key: RowKey, row: Consumption | None, facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """One content of an answer, zeros and nulls where nothing is known."""
    known = facts or {}
    archived = row is None and known.get("archived", False)
    item = {
        "identifier": key.content_id,
        "contentId": key.content_id,
        "collectionId": key.collection_id,
        "contextId": key.context_id,
        "status": known.get("status", 0),
        "progress": known.get("progress", 0),
        "score": known.get("score"),
        "max_score": known.get("max_score"),
        "progressDetails": row.progress_details if row else None if archived else {},
        "lastAccessTime": known.get("lastAccessTime"),
        "lastCompletedTime": known.get("lastCompletedTime"),
        "viewCount": known.get("viewCount", 0),
        "timespent": known.get("timespent", 0.0),
        "origin": known.get("origin"),
    }
    return {**item, "archived": True} if archived else item
