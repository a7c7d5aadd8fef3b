"""What a batch of one learner's events does to his rows, worked out in memory: the part every adapter shares. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, RowKey, Status
from common.timestamps import from_epoch_ms
from viewer.lifecycle import Outcome, Verb, ViewEvent, fold
from viewer.merging import merge_attempt
from viewer.store.port import Applied


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be stored for a batch, and what its callers are told.

    told: one entry for each event; their `new_mark` is the store's to say. new: rows to insert; changed: rows to
    replace. marks: the contexts to mark, with the time of the latest reason; marked_by: which event was the first to
    ask for it.
    """

    told: list[Applied]
    new: list[Consumption]
    changed: list[Consumption]
    marks: dict[ContextKey, datetime] = field(default_factory=dict)
    marked_by: dict[ContextKey, int] = field(default_factory=dict)

    def answers(self, newly_marked: set[ContextKey]) -> list[Applied]:
        """What became of each event, once the store knows which contexts were not marked before."""
        answers = list(self.told)
        for context in newly_marked:
            place = self.marked_by[context]
            answers[place] = Applied(answers[place].outcome, new_mark=True, row=answers[place].row)
        return answers


def folded(
    events: Sequence[tuple[RowKey, ViewEvent]],
    stored: Mapping[RowKey, Consumption],
    aggs: Mapping[ContextKey, ActivityAgg],
) -> Batch:
    """`events` applied in their order to the stored rows; `aggs` tell what has no row and which rows they have seen."""
    known = dict(stored)
    for key in {key for key, _ in events} - set(stored):
        if kept_status(aggs.get(key.context), key) is not None:
            known[key] = thawed(key, aggs[key.context])
    told: list[Applied] = []
    marks: dict[ContextKey, datetime] = {}
    marked_by: dict[ContextKey, int] = {}
    for place, (key, event) in enumerate(events):
        after, outcome = fold(key, known.get(key), event)
        written = after if outcome is Outcome.APPLIED else None
        if written is not None:
            known[key] = written
        told.append(Applied(outcome, row=written))
        reason = written is not None and event.verb is not Verb.UPDATE
        if reason or (written is None and is_newer(known.get(key), aggs.get(key.context))):
            marks[key.context] = event.at
            marked_by.setdefault(key.context, place)
    rows = [row for key, row in sorted(known.items()) if row.version and row is not stored.get(key)]
    return Batch(
        told,
        new=[row for row in rows if row.key not in stored],
        changed=[row for row in rows if row.key in stored],
        marks=marks,
        marked_by=marked_by,
    )


def keep_attempts(
    stored: Mapping[tuple[str, ...], Attempt], attempts: Sequence[Attempt], *, imported: bool = False
) -> tuple[dict[tuple[str, ...], Attempt], list[Outcome]]:
    """(row key, attempt id) -> the attempt as it is to be stored, for those given; and what became of each given one.

    A replay is stored later than what it replays: that alone changes nothing, but in an import, where any order of the
    same accounts must leave the same.
    """
    known: dict[tuple[str, ...], Attempt] = {}
    outcomes = []
    for attempt in attempts:
        key = (*attempt.key, attempt.attempt_id)
        before = known.get(key, stored.get(key))
        after = attempt if before is None else merge_attempt(before, attempt)
        same = before is not None and (after if imported else replace(after, updated_on=before.updated_on)) == before
        known[key] = before if same and before is not None else after
        outcomes.append(Outcome.OLDER if same else Outcome.APPLIED)
    return known, outcomes


def kept_status(agg: ActivityAgg | None, key: RowKey) -> Status | None:
    """The status that only the aggregate keeps for this content, or None."""
    facts = agg.kept.get(key.content_id) if agg else None
    return Status(facts.get("status") or 0) or None if facts else None


def is_newer(row: Consumption | None, agg: ActivityAgg | None) -> bool:
    """True for a stored row that its aggregate has not seen."""
    if row is None or not row.version:
        return False
    facts = agg.agg_details.get(row.key.content_id) if agg else None
    return facts is None or facts.get("version") != row.version


def thawed(key: RowKey, agg: ActivityAgg) -> Consumption:
    """The row that only its aggregate keeps, as far as it is known there; version 0: it is not stored."""
    facts = agg.kept[key.content_id]
    status = Status(facts["status"])
    completed = facts.get("lastCompletedTime")
    accessed = facts.get("lastAccessTime")
    done = status is Status.COMPLETED
    # A completion without a time counts as the earliest there is: nothing a client sends can precede it.
    completed_at = from_epoch_ms(completed or 0) if done else None
    origin = facts.get("origin")
    return Consumption(
        key=key,
        status=status,
        progress=100 if done else int(facts.get("progress") or 0),
        last_access_time=from_epoch_ms(accessed) if accessed else None,
        last_updated_time=from_epoch_ms(accessed or 0),
        last_completed_time=completed_at,
        own_completed_time=None if origin else completed_at,
        origin=origin,
        view_count=int(facts.get("viewCount") or 1),
        timespent=float(facts.get("timespent") or 0.0),
        version=0,
    )
