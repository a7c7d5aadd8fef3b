"""What view/read answers: how far a learner is with each content asked for. Reads never write."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from catalogue import api as catalogue
from common import timestamps
from common.errors import NothingToRead, TooMany
from common.identity import Caller
from common.ids import check_id
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, RowKey, Status
from modes import instance, rules
from viewer.inputs import MAX_CONTENTS, ReadInput
from viewer.scoring import Best, best_scores
from viewer.services import check_place
from viewer.store import get_store


def read(caller: Caller, given: ReadInput) -> dict[str, Any]:
    """The result of view/read, shaped as the seeds show it and with every field live clients read.

    Cost: three partition reads; for a whole collection also its hierarchy, which is cached.
    """
    user_id = caller.acts_for(given.user_id)
    content_ids = _content_ids(given.content_id)
    check_place(given.collection_id, given.context_id)
    if not content_ids and given.collection_id is None:
        raise NothingToRead("contentId", "Name a contentId or a collectionId")
    mode = instance.current().mode
    scope = rules.read_scope(mode, user_id, content_ids, given.collection_id, given.context_id)
    return {
        "userId": user_id,
        "collectionId": scope.context.collection_id if scope.context else None,
        "contextId": scope.context.context_id if scope.context else None,
        "contents": _whole_context(scope.context) if scope.keys is None and scope.context else _rows(scope.keys or ()),
    }


def _content_ids(given: str | list[str] | None) -> list[str]:
    """The contents asked for, each once, in the order asked for. Raises InvalidId and TooMany."""
    asked = [given] if isinstance(given, str) else given or []
    if len(asked) > MAX_CONTENTS:
        raise TooMany("contentId", f"contentId lists more than {MAX_CONTENTS} contents")
    checked = (check_id("contentId", content_id) for content_id in asked)
    return list(dict.fromkeys(content_id for content_id in checked if content_id is not None))


def _rows(keys: Sequence[RowKey]) -> list[dict[str, Any]]:
    """Exactly these contents, in this order; what has no row is not started."""
    store = get_store()
    aggs = store.aggs(sorted({key.context for key in keys}))
    return _items(keys, store.rows(keys), store.attempts(keys), aggs)


def _whole_context(context: ContextKey) -> list[dict[str, Any]]:
    """Every leaf of the collection in course order, then what the learner did beside them."""
    found = get_store().context(context)
    hierarchy = catalogue.hierarchy(context.collection_id)
    kept = [content for content, facts in _details(found.agg).items() if content and facts.get("kept")]
    seen = {row.key.content_id for row in found.rows} | {attempt.key.content_id for attempt in found.attempts}
    contents = dict.fromkeys([*(hierarchy.leaves if hierarchy else ()), *sorted(seen.union(kept))])
    keys = [RowKey(*context, content) for content in contents]
    return _items(keys, found.rows, found.attempts, {context: found.agg} if found.agg else {})


def _items(
    keys: Sequence[RowKey],
    rows: Sequence[Consumption],
    attempts: Sequence[Attempt],
    aggs: Mapping[ContextKey, ActivityAgg],
) -> list[dict[str, Any]]:
    by_key = {row.key: row for row in rows}
    best = best_scores(attempts)
    return [
        _item(key, by_key.get(key), best.get(key), _details(aggs.get(key.context)).get(key.content_id, {}))
        for key in keys
    ]


def _details(agg: ActivityAgg | None) -> Mapping[str, Mapping[str, Any]]:
    return agg.agg_details if agg else {}


def _item(key: RowKey, row: Consumption | None, best: Best | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    """One content of an answer, from its row and from what only the aggregate keeps; the greater counts."""
    kept = facts if facts.get("kept") else {}
    status = max(row.status if row else Status.NOT_STARTED, Status(kept.get("status", 0)))
    archived = row is None and kept.get("kept") == "archive"
    kept_score = kept.get("score")
    if kept_score is not None and (best is None or kept_score > best.score):
        best = Best(kept_score, kept.get("max_score", 0.0), kept.get("attempts", 1))
    item = {
        "identifier": key.content_id,
        "contentId": key.content_id,
        "collectionId": key.collection_id,
        "contextId": key.context_id,
        "status": int(status),
        "progress": 100 if status is Status.COMPLETED else max(row.progress if row else 0, kept.get("progress", 0)),
        "score": best.score if best else None,
        "max_score": best.max_score if best else None,
        "progressDetails": row.progress_details if row else None if archived else {},
        "lastAccessTime": _ms(row.last_access_time) if row else kept.get("lastAccessTime"),
        "lastCompletedTime": _ms(row.last_completed_time) if row else kept.get("lastCompletedTime"),
        "viewCount": row.view_count if row else kept.get("viewCount", 0),
        "timespent": row.timespent if row else kept.get("timespent", 0.0),
        "origin": row.origin if row else kept.get("origin"),
    }
    return {**item, "archived": True} if archived else item


def _ms(value: datetime | None) -> int | None:
    return timestamps.to_epoch_ms(value) if value else None
