"""Why a content is as far as it is for one learner: the decision that was acted on, as data and in sentences."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from common.errors import MissingField
from common.identity import Caller
from common.ids import check_id
from common.rows import MOVED, Consumption, ContextKey, Provenance, RowKey, Status
from common.timestamps import from_epoch_ms, to_epoch_ms
from modes import explaining as words
from modes import keys
from modes.carry import Decision, Judgement
from modes.move import MoveDecision
from viewer import carrying, moves, reading, rekeying, services
from viewer.inputs import ReadInput
from viewer.store import get_store

HIDDEN = "A completion was carried here, which is hidden in this mode."
REBUILT = "It was put together when the mode changed, of what the learner did here and where the mode kept rows before."
STATUSES = {Status.NOT_STARTED: "not started", Status.IN_PROGRESS: "in progress", Status.COMPLETED: "complete"}


def explain(caller: Caller, given: ReadInput, now: datetime) -> dict[str, Any]:
    """The result of view/explain: what view/read answers for one content, and why.

    status, progress, origin: as view/read; mode; row: where the answer stands (null: there is no row); carried: the
    record of what brought it (null: nothing did); decision: what is decided about carrying to this place now, with
    every candidate (null where the learner is not enrolled); moved: records of what was moved here or from here with
    this content in it; moves: what is decided about moving between this context and others now; sentences: all of it in
    words. Nothing is changed but what a read changes too. Cost: a read, and the learner's own partition once.
    """
    content_id = check_id("contentId", given.content_id)
    if content_id is None:
        raise MissingField("contentId", "contentId is required, and one only")
    answer = reading.read(caller, given, now)
    (item,) = answer["contents"]
    user_id, scope = services.read_scope(caller, given, now)
    learner = carrying.read_learner(user_id)
    mode = rekeying.mode_for(user_id)
    asked = RowKey(user_id, item["collectionId"], item["contextId"], content_id)
    key = scope.keys[0] if scope.keys else asked
    stored = get_store().rows([key])
    row = next(iter(keys.visible(mode, stored)), None)
    decision = carrying.decide_one(learner, mode, asked, now)
    record = _record(learner, row)
    moved = _moved(learner, asked)
    moving = [one for one in moves.decisions(learner, mode, now) if asked.context in {one.target, one.source}]
    zone = ZoneInfo(settings.VIEWER_TIME_ZONE)
    sentences = [
        f"{content_id} is {STATUSES[Status(item['status'])]} {words.place(asked)}.",
        f"{words.MODES[mode]} (mode {mode}).",
        _row_sentence(key, row is not None),
        *([HIDDEN] if stored and row != stored[0] else []),
        *([REBUILT] if row is not None and row.rebuilt else []),
        *([_record_sentence(record, zone)] if record else []),
        *(_moved_sentence(one, asked.context, zone) for one in moved),
        *(words.moves_sentences(moving, zone) if mode.moves else _copying(decision, zone)),
    ]
    return {
        "userId": user_id,
        **{name: item[name] for name in ("collectionId", "contextId", "contentId", "status", "progress", "origin")},
        "mode": str(mode),
        "row": dict(zip(("collectionId", "contextId", "contentId"), key[1:], strict=True)) if row else None,
        "carried": _record_item(record) if record else None,
        "decision": _decision_item(decision) if decision else None,
        "moved": [_move_record_item(one) for one in moved],
        "moves": [_move_item(one) for one in moving] if mode.moves else [],
        "sentences": sentences,
    }


def _record(learner: carrying.Learner, row: Consumption | None) -> Provenance | None:
    """What carried the row here, if anything did."""
    if row is None or row.rebuilt:
        return None
    return next((one for one in learner.records if one.id == row.origin), None)


def _copying(decision: Decision | None, zone: ZoneInfo) -> list[str]:
    return words.decision_sentences(decision, zone) if decision else ["The learner is not enrolled here."]


def _moved(learner: carrying.Learner, asked: RowKey) -> list[Provenance]:
    """The moves from or to this context that took the content along, the earliest first."""
    found = [
        record
        for record in learner.records
        if record.action == MOVED
        and asked.context in {moves.source_of(record), moves.target_of(record)}
        and any(told["content"] == asked.content_id for told in record.facts.get("rows", ()))
    ]
    return sorted(found, key=lambda record: (record.recorded_at, record.id))


def _moved_sentence(record: Provenance, here: ContextKey, zone: ZoneInfo) -> str:
    source, target = moves.source_of(record), moves.target_of(record)
    from_to = f"to {target.context_id}" if source == here else f"here from {source.context_id}"
    told = (
        f"What was done with it was moved {from_to} on {words.moment(record.recorded_at, zone)}, by rules version "
        f"{record.facts['rulesVersion']}, because of the {record.facts['trigger']} (record {record.id})"
    )
    if record.undone_at is None:
        return f"{told}."
    return f"{told}; an operator took that back on {words.moment(record.undone_at, zone)}."


def _row_sentence(key: RowKey, is_there: bool) -> str:
    if is_there:
        return f"The answer is the learner's row {words.place(key)}."
    return f"The learner has no row {words.place(key)}."


def _record_sentence(record: Provenance, zone: ZoneInfo) -> str:
    facts = record.facts
    source = RowKey(record.user_id, *facts["source"])
    completed, evaluated = (_moment(facts, name, zone) for name in ("completedTime", "evaluatedTime"))
    return (
        f"It was carried from what was completed {words.place(source)} on {completed}, judged as of {evaluated}, by "
        f"rules version {facts['rulesVersion']} in mode {facts['mode']}, because of the {facts['trigger']} "
        f"(record {record.id})."
    )


def _moment(facts: Mapping[str, Any], name: str, zone: ZoneInfo) -> str:
    return words.moment(from_epoch_ms(facts[name]) if facts.get(name) else None, zone)


def _record_item(record: Provenance) -> dict[str, Any]:
    return {
        "id": record.id,
        "action": record.action,
        "recordedAt": to_epoch_ms(record.recorded_at),
        "undoneAt": to_epoch_ms(record.undone_at) if record.undone_at else None,
        **record.facts,
    }


def _move_record_item(record: Provenance) -> dict[str, Any]:
    """The record without the rows as they were: those are for taking back."""
    item = _record_item(record)
    return {name: told for name, told in item.items() if name not in {"rows", "kept", "before", "attempts"}}


def _move_item(decision: MoveDecision) -> dict[str, Any]:
    return {
        "source": list(decision.source[1:]),
        "target": list(decision.target[1:]),
        "verdict": str(decision.reason),
        "evaluatedTime": to_epoch_ms(decision.evaluated_at) if decision.evaluated_at else None,
        "rulesVersion": decision.policy.rules.version,
        "checks": [{"rule": check.rule.as_json(), "holds": check.holds} for check in decision.checks],
    }


def _decision_item(decision: Decision) -> dict[str, Any]:
    return {
        "refusal": decision.refusal,
        "rules": decision.rules.as_json(),
        "rulesVersion": decision.rules.version,
        "candidates": [_judgement_item(one) for one in decision.judgements],
    }


def _judgement_item(judgement: Judgement) -> dict[str, Any]:
    row, completed, evaluated = judgement.candidate.row, judgement.candidate.completed, judgement.evaluated_at
    return {
        "collectionId": row.key.collection_id,
        "contextId": row.key.context_id,
        "completedTime": to_epoch_ms(completed) if completed else None,
        "evaluatedTime": to_epoch_ms(evaluated) if evaluated else None,
        "verdict": str(judgement.reason),
        "checks": [{"rule": check.rule.as_json(), "holds": check.holds} for check in judgement.checks],
    }
