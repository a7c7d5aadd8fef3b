"""The summary record: what one learner's enrolment, or viewing without one, looks like on the wire. Pure.

The one place it is built: the list, the single read, the recomputation and the download answer the same record, from
values alone. Times are epoch milliseconds.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalogue.facts import CollectionFacts
from catalogue.hierarchy import Hierarchy
from common.rows import ActivityAgg, ContextKey, Enrolment, Status
from common.timestamps import epoch_ms_of, from_epoch_ms
from summaries.milestones import milestones
from viewer import progress


def summary(
    key: ContextKey,
    enrolment: Enrolment | None,
    agg: ActivityAgg | None,
    hierarchy: Hierarchy | None,
    collection: CollectionFacts | None,
) -> dict[str, Any]:
    """The record of `key`: the seeds' fields, and those live clients look for.

    enrolment: None for what was viewed without one. agg: None while nothing was folded. hierarchy and collection:
    None where the catalogue knows none, as of a content viewed by itself.
    """
    known = enrolment or organic(key, agg or ActivityAgg(key), hierarchy)
    statuses = _content_status(known, agg, hierarchy)
    read_last = (known.last_read_content_id, known.last_read_content_status, known.last_content_access_time)
    return {
        "userId": key.user_id,
        "collectionId": key.collection_id,
        "contextId": key.context_id,
        "enrolledDate": epoch_ms_of(known.enrolled_date),
        "active": known.active,
        "contentStatus": statuses,
        "assessmentStatus": _assessment_status(agg),
        "collection": _collection(key, hierarchy, collection),
        "issuedCertificates": [_certificate(one) for one in known.issued_certificates],
        "completedOn": epoch_ms_of(known.completed_on),
        "progress": known.progress,
        "status": int(known.status),
        "completionPercentage": known.completion_percentage,
        "optional_nodes": _optional_nodes(hierarchy),
        "lastReadContentId": known.last_read_content_id,
        "lastReadContentStatus": known.last_read_content_status,
        "lastContentAccessTime": epoch_ms_of(known.last_content_access_time),
        "movedTo": known.moved_to,
        **milestones(statuses, agg, hierarchy, last_read=read_last),
    }


def organic(key: ContextKey, agg: ActivityAgg, hierarchy: Hierarchy | None) -> Enrolment:
    """What was viewed without an enrolment, in an enrolment's terms: enrolled never, and as far as the views say.

    In a known collection counts are the collection's. A content viewed by itself is as far as its own view. In a
    collection nobody knows the tree of there is only started or not, as in an enrolment there.
    """
    details = agg.agg_details
    blank = replace(Enrolment(*key), **last_read(agg))
    count = progress.count_of(progress.Sources(agg, hierarchy=hierarchy), details)
    if count is not None:
        status = Status.COMPLETED if count.complete else Status.IN_PROGRESS if count.touched else Status.NOT_STARTED
        return replace(
            blank,
            status=status,
            progress=count.done,
            completion_percentage=count.percentage,
            completed_on=count.completed_on,
        )
    if is_content(key, agg):
        own = details.get(key.collection_id, {})
        status = Status(own.get("status", 0))
        completed = own.get("lastCompletedTime") if status is Status.COMPLETED else None
        return replace(
            blank,
            status=status,
            progress=int(status is Status.COMPLETED),
            completion_percentage=own.get("progress", 0),
            completed_on=from_epoch_ms(completed) if completed else None,
        )
    touched = any(agg.content_status.values())
    return replace(blank, status=Status.IN_PROGRESS if touched else Status.NOT_STARTED)


def is_content(key: ContextKey, agg: ActivityAgg) -> bool:
    """True where a content was viewed by itself: it is its own collection and context, and all there is in it."""
    return key.collection_id == key.context_id and not set(agg.agg_details) - {key.collection_id}


def last_read(agg: ActivityAgg | None) -> dict[str, Any]:
    """The content accessed last, its status and when, as an enrolment's columns; nothing where nothing was accessed."""
    details = agg.agg_details if agg else {}
    accessed = [(facts["lastAccessTime"], content) for content, facts in details.items() if facts.get("lastAccessTime")]
    if not accessed:
        return {}
    at, content = max(accessed)
    return {
        "last_read_content_id": content,
        "last_read_content_status": details[content]["status"],
        "last_content_access_time": from_epoch_ms(at),
    }


def _content_status(known: Enrolment, agg: ActivityAgg | None, hierarchy: Hierarchy | None) -> dict[str, int]:
    """Every leaf in course order, 0 where untouched, then what was touched beside them."""
    untouched = dict.fromkeys(hierarchy.leaves if hierarchy else (), 0)
    return untouched | dict(agg.content_status if agg else known.content_status)


def _assessment_status(agg: ActivityAgg | None) -> dict[str, dict[str, Any]]:
    """The best attempt of each content that was tried, and how many there were."""
    details = agg.agg_details if agg else {}
    return {
        content: {"score": facts["score"], "max_score": facts["max_score"], "attempts": facts["attempts"]}
        for content, facts in details.items()
        if "score" in facts
    }


def _collection(key: ContextKey, hierarchy: Hierarchy | None, facts: CollectionFacts | None) -> dict[str, Any]:
    """What is known of the collection, null where nothing is: a retired one keeps its place in the list."""
    if facts is None:
        facts_known: dict[str, Any] = dict.fromkeys(("name", "logo", "leafNodesCount", "description"))
        return {"identifier": key.collection_id} | facts_known
    leaves = facts.leaf_nodes_count
    if leaves is None and hierarchy is not None and hierarchy.complete:
        leaves = len(hierarchy.leaves)
    return {
        "identifier": key.collection_id,
        "name": facts.name or None,
        "logo": facts.logo or None,
        "leafNodesCount": leaves,
        "description": facts.description or None,
    }


def _certificate(stored: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": stored.get("name"),
        "id": stored.get("identifier") or stored.get("id"),
        "token": stored.get("token"),
        "lastIssuedOn": stored.get("lastIssuedOn"),
    }


def _optional_nodes(hierarchy: Hierarchy | None) -> list[str]:
    """What need not be completed, in course order: units of which nothing must be, then the contents."""
    if hierarchy is None:
        return []
    units = [unit.id for unit in hierarchy.units if _is_optional(hierarchy, unit.id)]
    return [*units, *(leaf for leaf in hierarchy.leaves if leaf in hierarchy.optional)]


def _is_optional(hierarchy: Hierarchy, unit: str) -> bool:
    leaves = hierarchy.leaves_of(unit)
    return bool(leaves) and hierarchy.optional.issuperset(leaves)
