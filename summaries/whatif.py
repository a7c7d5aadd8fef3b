"""What a learner's progress would be under another mode or other rules. Reads, decides and adds up; writes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from catalogue import api as catalogue
from common.errors import InvalidField
from common.identity import Caller
from common.rows import Consumption, ContextKey, Enrolment, RowKey, Status
from modes import explaining as words
from modes import instance, keys
from modes.keys import Mode
from modes.rules import RuleError, RuleSet, parse
from summaries.inputs import WhatIfInput
from viewer import aggregator, carrying, counting, progress
from viewer.carrying import Learner
from viewer.merging import merge_consumption
from viewer.store import get_store

Rows = Mapping[RowKey, Consumption]
PLAYABLE = tuple(mode for mode in Mode if mode.is_built)


def what_if(caller: Caller, given: WhatIfInput, now: datetime) -> dict[str, Any]:
    """The result of summary/whatif: each enrolment's numbers as they are, and as they would be.

    changes: which of its contents would be told otherwise. A change back from a mode that ignores contexts finds
    nothing in them: where a view was made is no longer known. Raises InvalidField. Cost: the learner's own partitions.
    """
    user_id = caller.acts_for(given.user_id)
    mode, rules = _mode(given.mode), _rules(given.rules)
    store = get_store()
    aggregator.fold_pending([one.key for one in store.enrolments(user_id)], now)
    learner = carrying.read_learner(user_id)
    stored = {row.key: row for row in learner.rows}
    taken = [one for one in carrying.decisions(learner, mode, now, rules) if one.taken]
    rows = {**stored, **{one.key: carrying.carried_row(one, stored.get(one.key), now) for one in taken}}
    return {
        "userId": user_id,
        "mode": {"now": str(instance.current().mode), "then": str(mode)},
        "enrolments": [_compared(one, mode, learner, rows, now) for one in learner.enrolments if one.active],
        "sentences": [f"{words.MODES[mode]} (mode {mode}).", *([words.rules_sentence(rules)] if rules else [])],
    }


def _compared(enrolment: Enrolment, mode: Mode, learner: Learner, rows: Rows, now: datetime) -> dict[str, Any]:
    """One enrolment, now and then."""
    then = _then(enrolment, mode, learner, rows, now)
    before, after = enrolment.content_status, then.content_status
    contents = sorted({*before, *after})
    return {
        "collectionId": enrolment.collection_id,
        "contextId": enrolment.context_id,
        "now": _numbers(enrolment),
        "then": _numbers(then),
        "changes": {
            content: {"now": before.get(content, 0), "then": after.get(content, 0)}
            for content in contents
            if before.get(content, 0) != after.get(content, 0)
        },
    }


def _then(enrolment: Enrolment, mode: Mode, learner: Learner, rows: Rows, now: datetime) -> Enrolment:
    """The enrolment as the rows that would count add it up."""
    sources = get_store().sources(enrolment.key)
    hierarchy = catalogue.hierarchy(enrolment.collection_id)
    places = keys.counted(mode, enrolment.key, hierarchy.leaves if hierarchy else ())
    then = replace(
        sources,
        rows=_rows_under(mode, rows.values(), set(places)),
        hierarchy=hierarchy,
        enrolment=enrolment,
        kept_elsewhere=counting.kept_in([key for key in places if key != enrolment.key]),
        lost=counting.lost(sources, mode, learner.records),
    )
    return progress.fold(then, now).enrolment or enrolment


def _rows_under(mode: Mode, rows: Iterable[Consumption], places: set[ContextKey]) -> list[Consumption]:
    """The rows that this mode would keep in these places, had everything been viewed under it."""
    found: dict[RowKey, Consumption] = {}
    for row in keys.visible(mode, rows):
        key = keys.write_key(mode, keys.viewed(row.key))
        if key.context in places:
            moved = replace(row, key=key)
            found[key] = merge_consumption(found[key], moved) if key in found else moved
    return list(found.values())


def _numbers(enrolment: Enrolment) -> dict[str, int]:
    return {
        "status": int(enrolment.status),
        "progress": enrolment.progress,
        "completionPercentage": enrolment.completion_percentage,
        "completed": sum(status == Status.COMPLETED for status in enrolment.content_status.values()),
    }


def _mode(given: str) -> Mode:
    if given not in PLAYABLE:
        raise InvalidField("mode", f"mode must be one of: {', '.join(PLAYABLE)}")
    return Mode(given)


def _rules(given: Mapping[str, Any] | None) -> RuleSet | None:
    try:
        return None if given is None else parse(given)
    except RuleError as error:
        raise InvalidField("rules", f"rules: {error}") from None
