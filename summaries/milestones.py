"""What a client shows beside the numbers: where to go on, what was read last, how far each unit is. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from catalogue.hierarchy import Hierarchy
from common.rows import ActivityAgg, Status
from common.timestamps import epoch_ms_of


def milestones(
    statuses: Mapping[str, int],
    agg: ActivityAgg | None,
    hierarchy: Hierarchy | None,
    *,
    last_read: tuple[str | None, int | None, datetime | None],
) -> dict[str, Any]:
    """The record's milestones.

    statuses: content -> 0, 1 or 2. last_read: the content accessed last, its status and when. hierarchy: None where no
    tree is known: then there are no units, and nobody knows what comes next.
    """
    content, status, at = last_read
    return {
        "nextContent": next((leaf for leaf in hierarchy.leaves if _is_open(statuses, leaf)), None)
        if hierarchy
        else None,
        "lastRead": {"contentId": content, "status": status, "time": epoch_ms_of(at)} if content else None,
        "timespent": timespent(agg),
        "units": units(statuses, hierarchy) if hierarchy else [],
    }


def timespent(agg: ActivityAgg | None) -> float:
    """Seconds spent in all contents together, rounded to thousandths."""
    facts = agg.agg_details.values() if agg else ()
    return round(sum(float(one.get("timespent") or 0) for one in facts), 3)


def units(statuses: Mapping[str, int], hierarchy: Hierarchy) -> list[dict[str, Any]]:
    """How far each nested collection is, in course order.

    progress, leafNodesCount: its completed and all its required contents. One of which nothing is required is complete
    with its first completed content, as a collection is.
    """
    return [
        {"identifier": unit.id, "name": unit.name or None, **_counted(statuses, hierarchy, unit.id)}
        for unit in hierarchy.units
    ]


def _counted(statuses: Mapping[str, int], hierarchy: Hierarchy, unit_id: str) -> dict[str, int]:
    required, leaves = hierarchy.required_of(unit_id), hierarchy.leaves_of(unit_id)
    completed = {leaf for leaf in leaves if not _is_open(statuses, leaf)}
    done = len(required & completed)
    is_complete = done == len(required) if required else bool(completed)
    is_touched = any(statuses.get(leaf) for leaf in leaves)
    return {
        "progress": done,
        "leafNodesCount": len(required),
        "completionPercentage": 100 if is_complete else 100 * done // len(required) if required else 0,
        "status": int(Status.COMPLETED if is_complete else Status.IN_PROGRESS if is_touched else Status.NOT_STARTED),
    }


def _is_open(statuses: Mapping[str, int], leaf: str) -> bool:
    return statuses.get(leaf, 0) != Status.COMPLETED
