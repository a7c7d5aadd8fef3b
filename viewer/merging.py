"""What two accounts of the same thing say together: pure merges for imports and migrations.

The greater wins, column by column, and the earliest completion; so importing a file twice, or two files in either
order and in any batches, ends the same (`version` aside, which counts writes). For that every merge is commutative,
associative and idempotent: no rule may let the account that came first win, or the one that came last.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeVar

from common.rows import ActivityAgg, Attempt, Consumption, Enrolment, Status

_NEVER = datetime.min.replace(tzinfo=UTC)
_NO_SCORE = float("-inf")
ValueT = TypeVar("ValueT", bound=float)
# The entry of what is kept that tells of the whole context: no content has a blank id.
WHOLE_CONTEXT = ""
MAX_JOINED = 500  # events a joined row knows again: as many as a sync may bring
IMPORT = "import"
ARCHIVE = "archive"


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


def greatest_scores(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """As `greatest`, but a content's `max_score:` is that of its best `score:`: 4 of 10 beats 3 of 30."""
    merged = greatest(one, other)
    for content in {name.split(":", 1)[1] for name in merged if name.startswith(("score:", "max_score:"))}:
        names = (f"score:{content}", f"max_score:{content}")
        _set_best(merged, one, other, names)
    return merged


def _set_best(merged: dict[str, Any], one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str]) -> None:
    """Puts the better of two (score, maximum) pairs into `merged`. A pair stays together, or it was nobody's."""

    def pair(known: Mapping[str, Any]) -> tuple[float, float]:
        score, maximum = known.get(names[0]), known.get(names[1])
        return (_NO_SCORE if score is None else score, _NO_SCORE if maximum is None else maximum)

    for name, value in zip(names, max(pair(one), pair(other)), strict=True):
        if value != _NO_SCORE:
            merged[name] = value
        elif merged.get(name) is not None:
            del merged[name]


def merge_consumption(stored: Consumption, given: Consumption) -> Consumption:
    """One row from two accounts of it; `stored` itself when `given` adds nothing."""
    merged = replace(
        stored,
        status=max(stored.status, given.status),
        progress=max(stored.progress, given.progress),
        progress_details=merge_details(stored.progress_details, given.progress_details),
        timespent=max(stored.timespent, given.timespent),
        view_count=max(stored.view_count, given.view_count),
        last_access_time=later(stored.last_access_time, given.last_access_time),
        last_completed_time=earlier(stored.last_completed_time, given.last_completed_time),
        last_updated_time=_last_updated(stored, given),
        own_completed_time=earlier(stored.own_completed_time, given.own_completed_time),
        origin=_origin(stored, given),
    )
    # Python holds False and 0, 1 and 1.0 for equal; a player's details may not.
    same = merged == stored and _canonical(merged.progress_details) == _canonical(stored.progress_details)
    return stored if same else replace(merged, version=stored.version + 1)


def joined(one: Consumption, other: Consumption) -> Consumption:
    """One row of two that told of different views of one content: what each adds counts, and `one` says where it is.

    The greater status and progress, the earliest completion, summed timespent and views (DESIGN "Modes": move).
    """
    applied = {event.id: event for event in sorted((*one.applied, *other.applied), key=lambda event: event.at)}
    return replace(
        one,
        status=max(one.status, other.status),
        progress=max(one.progress, other.progress),
        progress_details=merge_details(one.progress_details, other.progress_details),
        timespent=one.timespent + other.timespent,
        view_count=one.view_count + other.view_count,
        last_access_time=later(one.last_access_time, other.last_access_time),
        last_updated_time=max(one.last_updated_time, other.last_updated_time),
        last_completed_time=earlier(one.last_completed_time, other.last_completed_time),
        own_completed_time=earlier(one.own_completed_time, other.own_completed_time),
        applied=tuple(applied.values())[-MAX_JOINED:],
    )


def merge_details(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both details' keys, each with its greater value: numbers by size, above all else, the rest by their JSON.

    Not the later access's value: a merged row keeps one access time for keys of many, so a third account would be
    compared with the wrong one, and the order of imports would decide.
    """
    return {**one, **other} | {key: max(one[key], other[key], key=_rank) for key in one.keys() & other.keys()}


def _rank(value: Any) -> tuple[bool, float, bytes]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number, value if number else 0, _canonical(value)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _last_updated(stored: Consumption, given: Consumption) -> datetime:
    """The later update. A row that knows no other time bears that of its import: of these the first counts."""
    one, other = stored.last_updated_time, given.last_updated_time
    one_told, other_told = (bool(row.last_access_time or row.last_completed_time) for row in (stored, given))
    if one_told and other_told:
        return max(one, other)
    if one_told or other_told:
        return one if one_told else other
    return min(one, other)


def _origin(stored: Consumption, given: Consumption) -> str | None:
    """None once the learner completed it here himself, by either account; else what brought it. Rebuilt stays."""
    if rebuilt := max((row.origin or "" for row in (stored, given) if row.rebuilt), default=""):
        return rebuilt
    for row in (stored, given):
        if row.own_completed_time or (row.status is Status.COMPLETED and row.origin is None):
            return None
    return max(stored.origin or "", given.origin or "") or None


def merge_attempt(stored: Attempt, given: Attempt) -> Attempt:
    """The newer account of one attempt; of equally old ones the higher total. The first `created_on` stays.

    `stored` itself when `given` adds nothing.
    """
    winner = max(stored, given, key=_attempt_rank)
    merged = replace(winner, created_on=min(stored.created_on, given.created_on))
    return stored if merged == stored else merged


def _attempt_rank(attempt: Attempt) -> tuple[Any, ...]:
    questions = _canonical([asdict(question) for question in attempt.questions])
    # When it was stored comes last: a replay is stored later than what it replays and must not win by that.
    told = (attempt.total_max_score, attempt.grand_total, questions, attempt.updated_on)
    return (attempt.last_attempted_on, attempt.total_score, *told)


def merge_enrolment(stored: Enrolment, given: Enrolment) -> Enrolment:
    """One enrolment from two accounts of it, `stored` itself if nothing is new.

    active and moved_to are those of the account that was written last.
    """
    written_last = max(stored, given, key=_written)
    read_last = max(stored, given, key=_read)
    merged = replace(
        stored,
        active=written_last.active,
        moved_to=written_last.moved_to,
        added_by=max(stored.added_by or "", given.added_by or "") or None,
        enrolled_date=earlier(stored.enrolled_date, given.enrolled_date),
        status=max(stored.status, given.status),
        progress=max(stored.progress, given.progress),
        completion_percentage=max(stored.completion_percentage, given.completion_percentage),
        completed_on=earlier(stored.completed_on, given.completed_on),
        content_status=greatest(stored.content_status, given.content_status),
        issued_certificates=certificates(stored.issued_certificates, given.issued_certificates),
        last_read_content_id=read_last.last_read_content_id,
        last_read_content_status=read_last.last_read_content_status,
        last_content_access_time=read_last.last_content_access_time,
        updated_at=later(stored.updated_at, given.updated_at),
    )
    return stored if merged == stored else replace(merged, version=stored.version + 1)


def _written(enrolment: Enrolment) -> tuple[datetime, bool, str]:
    """What was written last is greatest; of two at one time the one that ended the enrolment, then the one that moved.

    Of two that moved to different contexts at one time the greater id wins: any order does, so long as it is one.
    """
    return enrolment.updated_at or _NEVER, not enrolment.active, enrolment.moved_to or ""


def _read(enrolment: Enrolment) -> tuple[datetime, str, int]:
    status = enrolment.last_read_content_status
    accessed = enrolment.last_content_access_time or _NEVER
    return accessed, enrolment.last_read_content_id or "", -1 if status is None else status


def certificates(*accounts: Iterable[Mapping[str, str]]) -> tuple[Mapping[str, str], ...]:
    """Each certificate once, by its identifier; of two accounts of one the newer issue. Sorted by identifier."""
    known: dict[str, Mapping[str, str]] = {}
    for certificate in chain(*accounts):
        named = certificate.get("identifier") or certificate.get("id") or certificate.get("name")
        name = str(named) if named else _canonical(certificate).decode()
        known[name] = max(known.get(name, certificate), certificate, key=_issue)
    return tuple(known[name] for name in sorted(known))


def _issue(certificate: Mapping[str, str]) -> tuple[str, bytes]:
    return str(certificate.get("lastIssuedOn") or ""), _canonical(certificate)


def merge_agg(stored: ActivityAgg, given: ActivityAgg) -> ActivityAgg:
    """One aggregate from two accounts of it, with what either keeps that no row tells; `stored` if nothing is new."""
    kept = dict(stored.kept)
    for content, facts in given.kept.items():
        kept[content] = merge_kept(kept[content], facts) if content in kept else facts
    merged = replace(
        stored,
        content_status=greatest(stored.content_status, given.content_status),
        agg={name: int(value) for name, value in greatest_scores(stored.agg, given.agg).items()},
        aggregates=greatest_scores(stored.aggregates, given.aggregates),
        agg_details={**given.agg_details, **stored.agg_details},
        kept=kept,
        agg_last_updated=greatest(stored.agg_last_updated, given.agg_last_updated),
    )
    return stored if merged == stored else replace(merged, version=stored.version + 1)


def kept_of(enrolment: Enrolment) -> ActivityAgg | None:
    """What an imported enrolment tells of its context without any row; None when it tells nothing."""
    kept: dict[str, dict[str, Any]] = {
        content: {"by": IMPORT, "status": int(status_of(status)), "progress": 100 if status >= Status.COMPLETED else 0}
        for content, status in enrolment.content_status.items()
        if status
    }
    if enrolment.progress or enrolment.status:
        whole = {"by": IMPORT, "status": int(enrolment.status), "completedCount": enrolment.progress}
        kept[WHOLE_CONTEXT] = whole
    return ActivityAgg(enrolment.key, kept=kept, version=1) if kept else None


def merge_kept(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What two accounts keep of one content: the stored one's facts, raised by what `given` keeps."""
    merged = {**given, **stored}
    for name in ("status", "progress", "attempts", "completedCount", "viewCount", "timespent", "lastAccessTime"):
        values = [facts[name] for facts in (stored, given) if facts.get(name) is not None]
        if values:
            merged[name] = max(values)
    _set_best(merged, stored, given, ("score", "max_score"))
    completions = [facts["lastCompletedTime"] for facts in (stored, given) if facts.get("lastCompletedTime")]
    if completions:
        merged["lastCompletedTime"] = min(completions)
    if "origin" in merged:
        merged["origin"] = _kept_origin(stored, given)
    return merged


def _kept_origin(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """As `_origin`, of two entries: an own completion is one without origin."""
    if any(facts.get("status") == Status.COMPLETED and not facts.get("origin") for facts in (stored, given)):
        return None
    return max(stored.get("origin") or "", given.get("origin") or "") or None


def status_of(value: int) -> Status:
    """0, 1 or 2: larger numbers of old rows mean completed, smaller ones not started."""
    return Status(min(max(value, 0), 2))
