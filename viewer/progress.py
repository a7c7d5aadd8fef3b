"""What one learner's rows in one context add up to: statuses, counts, scores, completion. Pure.

Everything is computed anew from rows, attempts and what is kept without rows, never from the last result; so a fold
that runs twice, late or after another gives the same. The one thing that is remembered is that an enrolment was
completed: completion is sticky (DESIGN "Aggregation").
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from catalogue.hierarchy import Hierarchy
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, Status
from common.timestamps import epoch_ms_of, from_epoch_ms, to_epoch_ms
from viewer.merging import ARCHIVE, WHOLE_CONTEXT, earlier, later, merge_kept
from viewer.scoring import Best, best_scores

# The stamp in agg_last_updated that says that the events of the completion were written.
COMPLETION_TOLD = "completionTold"
UNDER_WAY = timedelta(minutes=1)  # so long after its own time a call may carry, or fold what another call carried
_NOTHING: Mapping[str, Any] = {
    "status": 0,
    "progress": 0,
    "lastAccessTime": None,
    "lastCompletedTime": None,
    "viewCount": 0,
    "timespent": 0.0,
    "origin": None,
}
ROW_FACTS = (*_NOTHING, "version", "storedTime", "ownCompletedTime")


@dataclass(frozen=True, slots=True)
class Lost:
    """A carried completion that no longer counts: it is hidden (until: None), or was taken back then.

    An enrolment whose completion was told meanwhile may rest on it, and is complete only as far as the rest goes.
    """

    since: datetime
    until: datetime | None = None

    def covers(self, told: int) -> bool:
        """True for a moment (epoch ms) at which it counted, as a fold tells it: that of the call it belongs to."""
        since = to_epoch_ms(self.since - UNDER_WAY)
        return since <= told and (self.until is None or told <= to_epoch_ms(self.until))


@dataclass(frozen=True, slots=True)
class Sources:
    """What a fold starts from, read in this order: the stored aggregate, then rows and attempts, then the rest.

    agg: the stored aggregate, a blank one of version 0 where there is none; only its version, its stamps and what it
    keeps are used. hierarchy: None while the collection's tree is not known. kept_elsewhere: what aggregates of other
    contexts that count here keep, by content; it is theirs and is not stored here. lost: carried
    completions that count no longer.
    """

    agg: ActivityAgg
    rows: Sequence[Consumption] = ()
    attempts: Sequence[Attempt] = ()
    enrolment: Enrolment | None = None
    hierarchy: Hierarchy | None = None
    kept_elsewhere: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lost: Sequence["Lost"] = ()

    @property
    def key(self) -> ContextKey:
        """The context that is folded."""
        return self.agg.key

    @property
    def organic(self) -> bool:
        """True for a content viewed by itself: there is no collection to be how far in."""
        return self.key.collection_id == self.key.context_id and self.hierarchy is None and not self._others()

    def _others(self) -> bool:
        contents = {row.key.content_id for row in self.rows} | {one.key.content_id for one in self.attempts}
        return bool((contents | set(self.agg.kept)) - {self.key.collection_id})


@dataclass(frozen=True, slots=True)
class Folded:
    """What a fold says should be stored. completed: the enrolment is complete, active, and nobody was told yet.

    enrolment: None where there is none; the stored one itself where nothing changes.
    """

    agg: ActivityAgg
    enrolment: Enrolment | None
    completed: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How far: `done` of `total` contents that count. touched: anything was started. complete: all that count are done.

    completed_on: when the last of them was done. all_known: False while some leaves of the collection are not known.
    """

    done: int
    total: int
    touched: bool = False
    complete: bool = False
    completed_on: datetime | None = None
    by_unit: Mapping[str, int] = field(default_factory=dict)
    all_known: bool = True

    @property
    def percentage(self) -> int:
        """Whole percent, rounded down; 100 only when every content that counts is done.

        While not all leaves are known the total is what the collection declares, and the share is only shown.
        """
        if self.complete:
            return 100
        return min(100 * self.done // self.total, 99 if self.all_known else 100) if self.total else 0


def fold(sources: Sources, now: datetime, *, reopen: bool = False) -> Folded:
    """The aggregate and the enrolment that `sources` add up to.

    reopen: a completed enrolment whose collection got new contents is in progress again (the instance's setting).
    """
    details = content_facts(sources)
    statuses = {content: facts["status"] for content, facts in sorted(details.items()) if facts["status"]}
    count = count_of(sources, details)
    aggregates = _aggregates(details, count)
    enrolment, completed = _enrolment(sources, count, statuses, details, now, reopen=reopen)
    told = completed or _stays_told(sources, enrolment)
    agg = ActivityAgg(
        key=sources.key,
        content_status=statuses,
        agg={name: round(value) for name, value in aggregates.items()},
        aggregates=aggregates,
        agg_details=details,
        kept=sources.agg.kept,
        agg_last_updated=_stamps(sources.agg, aggregates, statuses, now, told=told),
        version=sources.agg.version + 1,
    )
    return Folded(agg, enrolment, completed)


def same_facts(one: ActivityAgg, other: ActivityAgg) -> bool:
    """True when two aggregates differ in nothing but their write stamps."""
    blank: dict[str, int] = {}
    return replace(one, version=0, agg_last_updated=blank) == replace(other, version=0, agg_last_updated=blank)


# --- contents --------------------------------------------------------------------------------------------------------


def content_facts(sources: Sources) -> dict[str, dict[str, Any]]:
    """Content -> its facts, from its row, its attempts and what is kept of it; the greater counts.

    status, progress, times (epoch ms), viewCount, timespent (s), origin; for a content that was tried also score,
    max_score, attempts (how many) and tries (each); version of its row, if there is one. Every answer is made of this.
    """
    rows = {row.key.content_id: row for row in sources.rows}
    tries: dict[str, list[Attempt]] = {}
    for attempt in sources.attempts:
        tries.setdefault(attempt.key.content_id, []).append(attempt)
    kept = dict(sources.agg.kept)
    for content, told in sources.kept_elsewhere.items():
        kept[content] = merge_kept(kept[content], told) if content in kept else told
    contents = sorted({*rows, *tries, *kept} - {WHOLE_CONTEXT})
    return {content: _facts(rows.get(content), tries.get(content, []), kept.get(content, {})) for content in contents}


def row_facts(row: Consumption) -> dict[str, Any]:
    """The facts that a row alone tells, by the names of ROW_FACTS and in their order."""
    return {
        "status": int(row.status),
        "progress": 100 if row.status is Status.COMPLETED else row.progress,
        "lastAccessTime": epoch_ms_of(row.last_access_time),
        "lastCompletedTime": epoch_ms_of(row.last_completed_time),
        "viewCount": row.view_count,
        "timespent": row.timespent,
        "origin": None if row.rebuilt else row.origin,
        "version": row.version,
        "storedTime": to_epoch_ms(row.last_updated_time),
        "ownCompletedTime": epoch_ms_of(row.own_completed_time),
    }


def merged_facts(row: Mapping[str, Any] | None, best: Best | None, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of one content but for its tries.

    From what its row tells (`row_facts`), the best of its attempts and what is kept of it.
    """
    if not kept:
        return {**(row or _NOTHING), **_scores(best, kept)}
    own = row or _NOTHING
    status = max(own["status"], int(kept.get("status") or 0))
    facts: dict[str, Any] = {
        **own,
        "status": status,
        "progress": 100 if status == Status.COMPLETED else max(own["progress"], int(kept.get("progress") or 0)),
        "lastAccessTime": _one_of(max, own["lastAccessTime"], kept.get("lastAccessTime")),
        "lastCompletedTime": _one_of(min, own["lastCompletedTime"], kept.get("lastCompletedTime")),
        "viewCount": max(own["viewCount"], int(kept.get("viewCount") or 0)),
        "timespent": max(own["timespent"], float(kept.get("timespent") or 0.0)),
        "origin": own["origin"] if row else kept.get("origin"),
    }
    if row is None and kept.get("by") == ARCHIVE:
        facts["archived"] = True
    return facts | _scores(best, kept)


def _one_of(choose: Callable[..., int], own: int | None, kept: Any) -> int | None:
    """Which of two times counts, in epoch ms; a kept 0 is none."""
    told = [time for time in (own, int(kept) if kept else None) if time is not None]
    return choose(told) if told else None


def _facts(row: Consumption | None, tries: Sequence[Attempt], kept: Mapping[str, Any]) -> dict[str, Any]:
    best = max(best_scores(tries).values(), default=None, key=lambda one: one.score)
    facts = merged_facts(row_facts(row) if row else None, best, kept)
    return {**facts, "tries": _tries(tries)} if "score" in facts else facts


def _scores(best: Best | None, kept: Mapping[str, Any]) -> dict[str, Any]:
    """score, max_score and attempts; nothing for a content that was never tried."""
    kept_score = kept.get("score")
    score, max_score = (best.score, best.max_score) if best else (None, None)
    if kept_score is not None and (score is None or kept_score > score):
        score, max_score = float(kept_score), float(kept.get("max_score") or 0.0)
    if score is None:
        return {}
    attempts = max(best.attempts if best else 0, int(kept.get("attempts") or 0))
    return {"score": score, "max_score": max_score, "attempts": attempts}


def _tries(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Each attempt, the earliest first."""
    return [
        {
            "attemptId": attempt.attempt_id,
            "lastAttemptedOn": to_epoch_ms(attempt.last_attempted_on),
            "score": attempt.total_score,
            "max_score": attempt.total_max_score,
        }
        for attempt in sorted(attempts, key=lambda attempt: (attempt.last_attempted_on, attempt.attempt_id))
    ]


# --- counts --------------------------------------------------------------------------------------------------------


def count_of(sources: Sources, details: Mapping[str, Mapping[str, Any]]) -> Count | None:
    """How far the learner is in the collection; None while its tree is not known."""
    hierarchy = sources.hierarchy
    if hierarchy is None:
        return None
    leaves = set(hierarchy.leaves)
    within = {content for content in details if content in leaves or not hierarchy.complete}
    done = {content for content in within if details[content]["status"] == Status.COMPLETED} - hierarchy.optional
    touched = any(details[content]["status"] for content in within)
    by_unit = _by_unit(hierarchy, details)
    if not hierarchy.complete:
        total = max(hierarchy.declared_leaf_count or 0, len(hierarchy.required))
        shown = min(len(done), total) if total else len(done)
        return Count(shown, total, touched, by_unit=by_unit, all_known=False)
    if not hierarchy.required:
        return _all_optional(hierarchy, details, touched=touched, by_unit=by_unit)
    required = hierarchy.required
    whole = sources.agg.kept.get(WHOLE_CONTEXT, {})
    told = int(whole.get("completedCount") or 0)
    complete = len(done) == len(required)
    return Count(
        done=max(len(done), min(told, len(required))),
        total=len(required),
        touched=touched or told > 0 or bool(whole.get("status")),
        complete=complete,
        completed_on=max(_completions(details, required), default=None) if complete else None,
        by_unit=by_unit,
    )


def _all_optional(
    hierarchy: Hierarchy, details: Mapping[str, Mapping[str, Any]], *, touched: bool, by_unit: Mapping[str, int]
) -> Count:
    """Nothing is required: the first completed leaf completes; a collection without leaves never is complete."""
    done = [leaf for leaf in hierarchy.leaves if leaf in details and details[leaf]["status"] == Status.COMPLETED]
    return Count(0, 0, touched, bool(done), min(_completions(details, done), default=None), by_unit)


def _by_unit(hierarchy: Hierarchy, details: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Unit -> its completed required leaves, for every unit that holds a content the learner touched."""
    units = dict.fromkeys(
        node for content in details for node in hierarchy.ancestors(content) if node != hierarchy.collection_id
    )
    completed = {content for content, facts in details.items() if facts["status"] == Status.COMPLETED}
    return {unit: len(hierarchy.required_of(unit) & completed) for unit in sorted(units)}


def _completions(details: Mapping[str, Mapping[str, Any]], contents: Iterable[str]) -> list[datetime]:
    """When these contents were completed: a row without a time, when it was stored; unknown times are left out."""
    known = (details[content]["lastCompletedTime"] or details[content].get("storedTime") for content in contents)
    return [from_epoch_ms(time) for time in known if time]


def _aggregates(details: Mapping[str, Mapping[str, Any]], count: Count | None) -> dict[str, float]:
    """The double map, in the order of its keys."""
    found: dict[str, float] = {}
    if count is not None:
        found["completedCount"] = float(count.done)
        found |= {f"completedCount:{unit}": float(done) for unit, done in count.by_unit.items()}
    for content, facts in details.items():
        if "score" in facts:
            found[f"score:{content}"] = float(facts["score"])
            found[f"max_score:{content}"] = float(facts["max_score"])
            found[f"attempts_count:{content}"] = float(facts["attempts"])
    return dict(sorted(found.items()))


def _stamps(
    before: ActivityAgg, aggregates: Mapping[str, float], statuses: Mapping[str, int], now: datetime, *, told: bool
) -> dict[str, int]:
    """When each number last changed, epoch ms, and when the completion was told."""
    stamp = to_epoch_ms(now)
    stamps = {
        name: before.agg_last_updated.get(name, stamp) if before.aggregates.get(name) == value else stamp
        for name, value in aggregates.items()
    }
    unchanged = before.content_status == statuses
    if told:
        stamps[COMPLETION_TOLD] = before.agg_last_updated.get(COMPLETION_TOLD, stamp)
    stamps["content_status"] = before.agg_last_updated.get("content_status", stamp) if unchanged else stamp
    return stamps


# --- the enrolment -------------------------------------------------------------------------------------------------


def _enrolment(
    sources: Sources,
    count: Count | None,
    statuses: Mapping[str, int],
    details: Mapping[str, Mapping[str, Any]],
    now: datetime,
    *,
    reopen: bool,
) -> tuple[Enrolment | None, bool]:
    """The enrolment after this fold, and whether this fold completes it."""
    stored = sources.enrolment
    if stored is None or count is None:
        return stored, False
    completes = count.complete and _done_here(sources)
    lost = _rests_on_lost(sources)
    sticky = stored.status is Status.COMPLETED and not (lost or (reopen and stored.completed_on is not None))
    begun = count.touched or (stored.status is not Status.NOT_STARTED and not lost)  # stays so when its leaf goes
    status = Status.COMPLETED if count.complete or sticky else Status.IN_PROGRESS if begun else Status.NOT_STARTED
    done = status is Status.COMPLETED
    folded = replace(
        stored,
        status=status,
        progress=count.done,
        completion_percentage=100 if done else count.percentage,
        completed_on=_completed_on(stored, count) if completes else None if lost and not done else stored.completed_on,
        content_status=statuses,
        **_last_read(stored, details),
    )
    told = COMPLETION_TOLD in sources.agg.agg_last_updated or _imported_complete(sources)
    completed = completes and stored.active and not told
    if folded == stored:
        return stored, completed
    return replace(folded, updated_at=now, version=stored.version + 1), completed


def _done_here(sources: Sources) -> bool:
    """True where something that counts was completed here, by a row or by one that was archived.

    Imported facts alone complete without a date and without an event: the system they come from has sent it.
    """
    hierarchy = sources.hierarchy
    counted = hierarchy.required or frozenset(hierarchy.leaves) if hierarchy else frozenset()
    done = {row.key.content_id for row in sources.rows if row.status is Status.COMPLETED}
    done |= {
        content
        for content, facts in sources.agg.kept.items()
        if facts.get("by") == ARCHIVE and facts.get("status") == Status.COMPLETED
    }
    return bool(done & counted)


def _stays_told(sources: Sources, after: Enrolment | None) -> bool:
    """True where a completion that was told stays so; one that rested on what is lost may come again.

    Its events have the ids of before and are not sent twice.
    """
    given_up = _rests_on_lost(sources) and after is not None and after.status is not Status.COMPLETED
    return COMPLETION_TOLD in sources.agg.agg_last_updated and not given_up


def _rests_on_lost(sources: Sources) -> bool:
    """True where what was told of the enrolment may rest on a carried completion that no longer counts."""
    told = sources.agg.agg_last_updated.get(COMPLETION_TOLD)
    if _imported_complete(sources):
        return False
    return any(told is None or one.covers(told) for one in sources.lost)


def _imported_complete(sources: Sources) -> bool:
    return sources.agg.kept.get(WHOLE_CONTEXT, {}).get("status") == Status.COMPLETED


def _completed_on(stored: Enrolment, count: Count) -> datetime | None:
    """The newest completion among what was required, never before the enrolment; corrections only move it earlier.

    Unchanged where no completion has a known time.
    """
    if count.completed_on is None:
        return stored.completed_on
    completed_on = later(count.completed_on, stored.enrolled_date)
    return earlier(stored.completed_on, completed_on)


def _last_read(stored: Enrolment, details: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content accessed last and its status; what the enrolment already knew, if that was later."""
    accessed = [(facts["lastAccessTime"], content) for content, facts in details.items() if facts["lastAccessTime"]]
    if not accessed:
        return {}
    at, content = max(accessed)
    time = from_epoch_ms(at)
    if stored.last_content_access_time is not None and stored.last_content_access_time > time:
        return {}
    return {
        "last_read_content_id": content,
        "last_read_content_status": details[content]["status"],
        "last_content_access_time": time,
    }
