"""What two accounts of the same thing say together: pure merges for imports and migrations.

The greater wins, column by column, and the earliest completion; so importing a file twice, or two files in either
order, ends the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, TypeVar

from common.rows import ActivityAgg, Attempt, Consumption, Enrolment, Status

_NEVER = datetime.min.replace(tzinfo=UTC)
ValueT = TypeVar("ValueT", bound=float)
# The entry of agg_details that holds what is kept about the whole context: no content has a blank id.
WHOLE_CONTEXT = ""


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two times, either of which may be unknown."""
    return max(one, other) if one and other else one or other


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two times, either of which may be unknown."""
    return min(one, other) if one and other else one or other


def greatest(one: Mapping[str, ValueT], other: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """Both maps' keys, each with its greater value."""
    return {key: max(one.get(key, value), value) for key, value in other.items()} | {
        key: max(other.get(key, value), value) for key, value in one.items()
    }


def merge_consumption(stored: Consumption, given: Consumption) -> Consumption:
    """One row from two accounts of it; `stored` itself when `given` adds nothing."""
    newer = (given.last_access_time or _NEVER) > (stored.last_access_time or _NEVER)
    old, new = (stored, given) if newer else (given, stored)
    own = earlier(stored.own_completed_time, given.own_completed_time)
    merged = replace(
        stored,
        status=max(stored.status, given.status),
        progress=max(stored.progress, given.progress),
        progress_details={**old.progress_details, **new.progress_details},
        timespent=max(stored.timespent, given.timespent),
        view_count=max(stored.view_count, given.view_count),
        last_access_time=later(stored.last_access_time, given.last_access_time),
        last_completed_time=earlier(stored.last_completed_time, given.last_completed_time),
        own_completed_time=own,
        origin=None if own else stored.origin,
    )
    if merged == stored:
        return stored
    updated = max(stored.last_updated_time, given.last_updated_time)
    return replace(merged, last_updated_time=updated, version=stored.version + 1)


def merge_attempt(stored: Attempt, given: Attempt) -> Attempt:
    """The newer account of one attempt; of equally old ones the higher total. The first `created_on` stays."""
    ranks = [(attempt.last_attempted_on, attempt.total_score) for attempt in (stored, given)]
    winner = given if ranks[1] > ranks[0] else stored
    return replace(winner, created_on=min(stored.created_on, given.created_on))


def merge_enrolment(stored: Enrolment, given: Enrolment) -> Enrolment:
    """One enrolment from two accounts of it, `stored` itself if nothing is new. Active is what was written last."""
    written_last = given if (given.updated_at or _NEVER) > (stored.updated_at or _NEVER) else stored
    read_given = (given.last_content_access_time or _NEVER) > (stored.last_content_access_time or _NEVER)
    read_last = given if read_given else stored
    certificates = {
        str(certificate.get("identifier") or certificate.get("id") or certificate.get("name")): certificate
        for certificate in (*given.issued_certificates, *stored.issued_certificates)
    }
    merged = replace(
        stored,
        active=written_last.active,
        added_by=stored.added_by or given.added_by,
        enrolled_date=earlier(stored.enrolled_date, given.enrolled_date),
        status=max(stored.status, given.status),
        progress=max(stored.progress, given.progress),
        completion_percentage=max(stored.completion_percentage, given.completion_percentage),
        completed_on=earlier(stored.completed_on, given.completed_on),
        content_status=greatest(stored.content_status, given.content_status),
        issued_certificates=tuple(certificates[name] for name in sorted(certificates)),
        last_read_content_id=read_last.last_read_content_id,
        last_read_content_status=read_last.last_read_content_status,
        last_content_access_time=read_last.last_content_access_time,
        updated_at=later(stored.updated_at, given.updated_at),
    )
    return stored if merged == stored else replace(merged, version=stored.version + 1)


def merge_agg(stored: ActivityAgg, given: ActivityAgg) -> ActivityAgg:
    """One aggregate from two accounts of it, with what either keeps that no row tells; `stored` if nothing is new."""
    aggregates = greatest(stored.aggregates, given.aggregates)
    for content in [key[len("score:") :] for key in aggregates if key.startswith("score:")]:
        accounts = ((known.get(f"score:{content}", -1.0), known) for known in (given.aggregates, stored.aggregates))
        _, best = max(accounts, key=itemgetter(0))
        if f"max_score:{content}" in best:
            aggregates[f"max_score:{content}"] = best[f"max_score:{content}"]
    details = dict(stored.agg_details)
    for content, facts in given.agg_details.items():
        details[content] = merge_kept(details[content], facts) if content in details else facts
    merged = replace(
        stored,
        content_status=greatest(stored.content_status, given.content_status),
        agg=greatest(stored.agg, given.agg),
        aggregates=aggregates,
        agg_details=details,
        agg_last_updated=greatest(stored.agg_last_updated, given.agg_last_updated),
    )
    return stored if merged == stored else replace(merged, version=stored.version + 1)


def merge_kept(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Two entries of agg_details for one content: the stored one's facts, raised by what `given` keeps."""
    merged = {**given, **stored}
    for name in ("status", "progress", "attempts", "completedCount", "viewCount", "timespent", "lastAccessTime"):
        values = [facts[name] for facts in (stored, given) if facts.get(name) is not None]
        if values:
            merged[name] = max(values)
    best = max((stored, given), key=lambda facts: facts["score"] if facts.get("score") is not None else -1.0)
    for name in ("score", "max_score"):
        if best.get(name) is not None:
            merged[name] = best[name]
    completions = [facts["lastCompletedTime"] for facts in (stored, given) if facts.get("lastCompletedTime")]
    if completions:
        merged["lastCompletedTime"] = min(completions)
    return merged


def status_of(value: int) -> Status:
    """0, 1 or 2: larger numbers of old rows mean completed, smaller ones not started."""
    return Status(min(max(value, 0), 2))
