"""What a learner's progress would be under another mode or other rules. Reads, decides and adds up; writes nothing."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from catalogue import api as catalogue
from common.errors import InvalidField
from common.identity import Caller
from common.rows import Consumption, ContextKey, Enrolment, RowKey, Status
from modes import explaining as words
from modes import instance, keys
from modes.carry import Decision
from modes.keys import Mode
from modes.models import Scope
from modes.move import MoveDecision, in_order
from modes.rules import RuleError, RuleSet, parse
from summaries.inputs import WhatIfInput
from viewer import aggregator, carrying, counting, moves, progress, rebuilding, rekeying, transfers
from viewer.carrying import Learner
from viewer.merging import merge_consumption
from viewer.progress import Sources
from viewer.store import get_store

Rows = Mapping[RowKey, Consumption]
Places = Collection[tuple[str, str]]
"""Programs and collections by their scope and id, as `CarryRules` has them."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """How far an enrolment is. progress: of the leaves that count; completed: of all its contents."""

    status: Status
    progress: int
    completion_percentage: int
    completed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One enrolment as it is, and as it would be. changes: content -> now and then, of those told otherwise."""

    key: ContextKey
    now: Numbers
    then: Numbers
    changes: Mapping[str, tuple[Status, Status]]

    @property
    def differs(self) -> bool:
        """True where anything would be told otherwise."""
        return bool(self.changes) or self.now != self.then


def what_if(caller: Caller, given: WhatIfInput, now: datetime) -> dict[str, Any]:
    """The result of summary/whatif: each enrolment's numbers as they are, and as they would be.

    changes: which of its contents would be told otherwise. What was viewed in a mode that ignores contexts is in none
    under another one: where it was viewed is not known. Raises InvalidField. Cost: the learner's own partitions.
    """
    user_id = caller.acts_for(given.user_id)
    mode, rules = _mode(given.mode), _rules(given.rules)
    return {
        "userId": user_id,
        "mode": {"now": str(instance.current().mode), "then": str(mode)},
        "enrolments": [_item(one) for one in compare(user_id, mode, rules, now)],
        "sentences": [f"{words.MODES[mode]} (mode {mode}).", *([words.rules_sentence(rules)] if rules else [])],
    }


def compare(user_id: str, mode: Mode, rules: RuleSet | None, now: datetime, own: Places = ()) -> list[Comparison]:
    """Each active enrolment of one learner, as it is and as it would be. Only what is pending is folded before.

    rules: instead of those that hold; None: those. own: the places whose rules would hold all the same. Cost: the
    learner's own partitions.
    """
    store = get_store()
    aggregator.fold_pending([one.key for one in store.enrolments(user_id)], now)
    learner = carrying.read_learner(user_id)
    rows = rebuilding.own_rows(learner.rows, rekeying.images_of(learner.records))
    sides = store.sources_of([one.key for one in learner.enrolments if one.active])
    if not keys.same_rows(instance.current().mode, mode):
        sides = rekeying.as_before(sides, rekeying.standing(learner.records), mode)
    keeping = {one.key for one in learner.enrolments if rules and _has_own_rules(one, learner, own)}
    moved = _moved(learner, {side.key: side for side in sides}, rows, _moves(learner, mode, rules, now, keeping), now)
    taken = [one for one in _decisions(learner, mode, rules, now, keeping) if one.taken]
    rows |= {one.key: carrying.carried_row(one, rows.get(one.key), now) for one in taken}
    stored = {one.key: one for one in learner.enrolments}
    return [_compared(stored[key], side, mode, learner, rows, now) for key, side in moved.items()]


def _decisions(
    learner: Learner, mode: Mode, rules: RuleSet | None, now: datetime, keeping: Collection[ContextKey]
) -> Iterator[Decision]:
    """What would be decided about copying into the learner's enrolments; those in `keeping` go by their own rules."""
    for one in carrying.decisions(learner, mode, now, rules):
        if one.key.context not in keeping:
            yield one
    if keeping:
        yield from (one for one in carrying.decisions(learner, mode, now) if one.key.context in keeping)


def _moves(
    learner: Learner, mode: Mode, rules: RuleSet | None, now: datetime, keeping: Collection[ContextKey]
) -> list[MoveDecision]:
    """What would be moved, in order."""
    given = (one for one in moves.decisions(learner, mode, now, rules=rules) if one.target not in keeping)
    own = (one for one in moves.decisions(learner, mode, now) if one.target in keeping) if keeping else ()
    return in_order([*given, *own], learner.enrolled)


def _moved(
    learner: Learner,
    sides: dict[ContextKey, Sources],
    rows: dict[RowKey, Consumption],
    decisions: Iterable[MoveDecision],
    now: datetime,
) -> dict[ContextKey, Sources]:
    """The contexts as they would be after these moves; `rows` follow."""
    for one in decisions:
        source, target = (
            replace(sides[key], rows=[row for row in rows.values() if row.key.context == key])
            for key in (one.source, one.target)
        )
        transfer = transfers.forth(source, target, {}, now)
        for key, _ in transfer.rows.gone:
            del rows[key]
        rows |= {row.key: row for row, _ in transfer.rows.rows}
        for side in (transfer.receiving, transfer.giving):
            if side is not None:
                sides[side.before.key] = replace(side.before, agg=side.after.agg, enrolment=side.after.enrolment)
    return sides


def _has_own_rules(enrolment: Enrolment, learner: Learner, own: Places) -> bool:
    batch = learner.batches.get(enrolment.context_id)
    program = (Scope.PROGRAM.value, batch.program_id or "") if batch else None
    return program in own or (Scope.COLLECTION.value, enrolment.collection_id) in own


def _compared(
    enrolment: Enrolment, side: Sources, mode: Mode, learner: Learner, rows: Rows, now: datetime
) -> Comparison:
    """One enrolment, now and then. side: what a fold would start from then."""
    then = _then(side, mode, learner, rows, now)
    before, after = enrolment.content_status, then.content_status
    contents = {content: (before.get(content, 0), after.get(content, 0)) for content in sorted({*before, *after})}
    return Comparison(
        enrolment.key,
        _numbers(enrolment),
        _numbers(then),
        {content: (Status(was), Status(will)) for content, (was, will) in contents.items() if was != will},
    )


def _then(side: Sources, mode: Mode, learner: Learner, rows: Rows, now: datetime) -> Enrolment:
    """The enrolment as the rows that would count add it up."""
    hierarchy = catalogue.hierarchy(side.key.collection_id)
    places = keys.counted(mode, side.key, hierarchy.leaves if hierarchy else ())
    then = replace(
        side,
        rows=_rows_under(mode, rows.values(), set(places)),
        hierarchy=hierarchy,
        kept_elsewhere=counting.kept_in([key for key in places if key != side.key]),
        lost=counting.lost(side, mode, learner.records),
    )
    folded = progress.fold(then, now).enrolment
    assert folded is not None
    return folded


def _rows_under(mode: Mode, rows: Iterable[Consumption], places: set[ContextKey]) -> list[Consumption]:
    """The rows that this mode would keep in these places, had everything been viewed under it."""
    found: dict[RowKey, Consumption] = {}
    for row in keys.visible(mode, rows):
        key = keys.write_key(mode, keys.viewed(row.key))
        if key.context in places:
            moved = replace(row, key=key)
            found[key] = merge_consumption(found[key], moved) if key in found else moved
    return list(found.values())


def _numbers(enrolment: Enrolment) -> Numbers:
    completed = sum(status == Status.COMPLETED for status in enrolment.content_status.values())
    return Numbers(enrolment.status, enrolment.progress, enrolment.completion_percentage, completed)


def _item(one: Comparison) -> dict[str, Any]:
    return {
        "collectionId": one.key.collection_id,
        "contextId": one.key.context_id,
        "now": _numbers_item(one.now),
        "then": _numbers_item(one.then),
        "changes": {content: {"now": int(was), "then": int(will)} for content, (was, will) in one.changes.items()},
    }


def _numbers_item(numbers: Numbers) -> dict[str, int]:
    return {
        "status": int(numbers.status),
        "progress": numbers.progress,
        "completionPercentage": numbers.completion_percentage,
        "completed": numbers.completed,
    }


def _mode(given: str) -> Mode:
    if given not in set(Mode):
        raise InvalidField("mode", f"mode must be one of: {', '.join(Mode)}")
    return Mode(given)


def _rules(given: Mapping[str, Any] | None) -> RuleSet | None:
    try:
        return None if given is None else parse(given)
    except RuleError as error:
        raise InvalidField("rules", f"rules: {error}") from None
