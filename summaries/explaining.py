"""Why an enrolment is as far as it is ("why 83 %?"): what counts, what is missing and what was carried, in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from catalogue import api as catalogue
from catalogue.hierarchy import Hierarchy
from common.identity import Caller
from common.rows import Status
from modes import explaining as words
from modes import instance
from summaries import reading
from summaries.inputs import SummaryInput, SummaryReadInput
from viewer.store import get_store

NAMED = 20  # contents a sentence names before it only counts them
Facts = Mapping[str, Mapping[str, Any]]


def explain(caller: Caller, given: SummaryInput, now: datetime) -> dict[str, Any]:
    """The result of summary/explain: the numbers of summary/read, and what they are made of.

    required: how many contents count; completed, inProgress and notStarted: which of them; optional: contents that need
    not be done; carried: content -> the record of what brought it; sentences: all of it in words. Raises what
    summary/read raises. Cost: one more than summary/read.
    """
    asked = SummaryReadInput(user_id=given.user_id, collection_id=given.collection_id, context_id=given.context_id)
    record = reading.read(caller, asked, now)
    key = reading.key_of(caller, given)
    agg = get_store().aggs([key]).get(key)
    facts: Facts = agg.agg_details if agg else {}
    hierarchy = catalogue.hierarchy(key.collection_id)
    required = [leaf for leaf in hierarchy.leaves if leaf in hierarchy.required] if hierarchy else []
    by_status = {
        status: [leaf for leaf in required if facts.get(leaf, {}).get("status", 0) == status] for status in Status
    }
    carried = {content: told["origin"] for content, told in facts.items() if told.get("origin")}
    return {
        "userId": key.user_id,
        "collectionId": key.collection_id,
        "contextId": key.context_id,
        **{name: record[name] for name in ("status", "progress", "completionPercentage", "completedOn")},
        "mode": str(instance.current().mode),
        "required": len(required),
        "completed": by_status[Status.COMPLETED],
        "inProgress": by_status[Status.IN_PROGRESS],
        "notStarted": by_status[Status.NOT_STARTED],
        "optional": [leaf for leaf in hierarchy.leaves if leaf in hierarchy.optional] if hierarchy else [],
        "carried": carried,
        "sentences": _sentences(record, hierarchy, by_status, carried),
    }


def _sentences(
    record: Mapping[str, Any],
    hierarchy: Hierarchy | None,
    by_status: Mapping[Status, Sequence[str]],
    carried: Mapping[str, str],
) -> list[str]:
    mode, done = instance.current().mode, by_status[Status.COMPLETED]
    total = sum(map(len, by_status.values()))
    share = f"{len(done)} of {total} contents that count are done"
    told = [f"The enrolment is at {record['completionPercentage']} %: {share}."]
    if hierarchy is None:
        told = ["The contents of this collection are not known, so nothing is counted yet."]
    elif not total:
        told = ["Nothing in this collection has to be done; the first completed content completes it."]
    if record["status"] == Status.COMPLETED and len(done) < total:
        told.append("It was completed before, and stays so although not all that counts now is done.")
    if record["movedTo"] is not None:
        told.append(f"The progress here was moved to {record['movedTo']}.")
    told += [
        f"{label}: {_listed(contents)}."
        for label, contents in (
            ("In progress", by_status[Status.IN_PROGRESS]),
            ("Not started", by_status[Status.NOT_STARTED]),
            ("Need not be done", sorted(hierarchy.optional) if hierarchy else []),
            ("Carried here from elsewhere", sorted(carried)),
        )
        if contents
    ]
    return [*told, f"{words.MODES[mode]} (mode {mode})."]


def _listed(contents: Sequence[str]) -> str:
    named = ", ".join(contents[:NAMED])
    return f"{named} and {len(contents) - NAMED} more" if len(contents) > NAMED else named
