"""Carries a learner's completions into his other enrolments, as the mode and its rules decide, with a record of why.

Runs when he enrols, whenever a context of his is folded, and by command. Doing it again changes nothing: what was
carried is there, and what was refused is refused for the same reasons.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from catalogue import api as catalogue
from catalogue.days import BatchStatus, status_on
from catalogue.facts import BatchFacts
from common.errors import Conflict, NotFound
from common.rows import COPIED, ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, Provenance, RowKey, Status
from common.timestamps import to_epoch_ms
from modes import carry as deciding
from modes import instance, keys, policy
from modes.carry import Candidate, Decision, Policy, Target
from modes.rules import RuleSet
from viewer import counting, rekeying, statusmap
from viewer.store import Carry, TakenBack, get_store
from viewer.store.batch import kept_status, thawed

logger = logging.getLogger("viewer.carrying")
MAX_TRIES = 3


@dataclass(frozen=True)
class Learner:
    """What the decisions about one learner are made of, read at one time.

    aggs: of his enrolments, for completions that only they keep. batches: those he was in.
    """

    rows: Sequence[Consumption]
    enrolments: Sequence[Enrolment]
    records: Sequence[Provenance]
    aggs: Mapping[ContextKey, ActivityAgg] = field(default_factory=dict)
    batches: Mapping[str, BatchFacts] = field(default_factory=dict)

    def at(self, key: RowKey) -> Consumption | None:
        """What he did in this place, also where only the aggregate keeps that he completed it."""
        row, agg = self._rows.get(key), self.aggs.get(key.context)
        if row is None and agg is not None and kept_status(agg, key) is Status.COMPLETED:
            return thawed(key, agg)
        return row

    @cached_property
    def _rows(self) -> dict[RowKey, Consumption]:
        return {row.key: row for row in self.rows}

    @cached_property
    def enrolled(self) -> dict[ContextKey, Enrolment]:
        """His enrolments by their context."""
        return {one.key: one for one in self.enrolments}

    @cached_property
    def undone(self) -> set[RowKey]:
        """The places from which an operator took a carried completion back."""
        undone = [record for record in self.records if record.undone_at is not None and record.action == COPIED]
        return {RowKey(record.user_id, *record.facts["target"]) for record in undone}


def read_learner(user_id: str) -> Learner:
    """Everything about one learner that a decision may need. Five reads, of nobody else's rows."""
    rekeying.bring([user_id])
    store = get_store()
    enrolments = store.enrolments(user_id)
    rows = store.all_rows(user_id)
    aggs = store.aggs([one.key for one in enrolments if one.active])
    batches = catalogue.batches(sorted({one.context_id for one in enrolments} | {row.key.context_id for row in rows}))
    return Learner(rows, enrolments, store.provenance(user_id), aggs, batches)


def carry(user_id: str, now: datetime, *, trigger: str = "", dry_run: bool = False) -> list[Decision]:
    """Carries what may be carried for one learner; the decisions that were acted on, or with dry_run would be.

    trigger: who asked for it, kept in the record; "": nobody, it is the enrolment or the completion that did.
    """
    mode = instance.current().mode
    if not mode.copies:
        return []
    for _ in range(MAX_TRIES):
        learner = read_learner(user_id)
        wanted = [one for one in decisions(learner, mode, now) if one.taken]
        if not wanted or dry_run:
            return wanted
        done = _write(learner, wanted, now, trigger)
        if all(done):
            return wanted
    logger.warning("learner is too busy to carry", extra={"trigger": trigger})
    return [decision for decision, stored in zip(wanted, done, strict=True) if stored]


def decisions(learner: Learner, mode: keys.Mode, now: datetime, rules: RuleSet | None = None) -> Iterator[Decision]:
    """One decision for each content of each enrolment for which there is a candidate.

    rules: instead of those that hold, for who asks what would be.
    """
    for enrolment in learner.enrolments:
        chosen = policy_of(mode, learner, enrolment)
        yield from _decisions_for(learner, enrolment, chosen if rules is None else replace(chosen, rules=rules), now)


def decide_one(learner: Learner, mode: keys.Mode, key: RowKey, now: datetime) -> Decision | None:
    """The decision about one content of one enrolment, candidates or none; None where nobody is enrolled."""
    enrolment = learner.enrolled.get(key.context)
    if enrolment is None:
        return None
    chosen = policy_of(mode, learner, enrolment)
    found = deciding.candidates_of(enrolment, learner.rows).get(key.content_id, [])
    return _decision(learner, enrolment, chosen, key.content_id, found, now)


def _decisions_for(learner: Learner, enrolment: Enrolment, chosen: Policy, now: datetime) -> Iterator[Decision]:
    candidates = deciding.candidates_of(enrolment, learner.rows)
    for content in counting.leaves_of(enrolment.collection_id):
        if content in candidates:
            yield _decision(learner, enrolment, chosen, content, candidates[content], now)


def _decision(
    learner: Learner, enrolment: Enrolment, chosen: Policy, content: str, found: Iterable[Consumption], now: datetime
) -> Decision:
    target = target_of(learner, enrolment, chosen.zone, now)
    key = RowKey(*enrolment.key, content)
    candidates = [
        Candidate(row, learner.enrolled.get(row.key.context), learner.batches.get(row.key.context_id)) for row in found
    ]
    return deciding.decide(chosen, target, content, learner.at(key), candidates, learner.undone)


def target_of(learner: Learner, enrolment: Enrolment, zone: ZoneInfo, now: datetime) -> Target:
    """The enrolment as a place to which something may come."""
    batch = learner.batches.get(enrolment.context_id)
    ended = batch is not None and status_on(batch, now.astimezone(zone).date()) is BatchStatus.ENDED
    return Target(enrolment, batch, ended=ended)


def policy_of(mode: keys.Mode, learner: Learner, enrolment: Enrolment) -> Policy:
    """What this mode carries there."""
    batch = learner.batches.get(enrolment.context_id)
    chosen = policy.policy_for(batch.program_id if batch else None, enrolment.collection_id)
    return replace(chosen, mode=mode)


# --- writing ---------------------------------------------------------------------------------------------------------


def _write(learner: Learner, wanted: Sequence[Decision], now: datetime, trigger: str) -> list[bool]:
    """Stores what was decided; for each whether it is there."""
    sources = [decision.taken.candidate.row.key for decision in wanted if decision.taken]
    attempts: dict[RowKey, list[Attempt]] = defaultdict(list)
    for attempt in get_store().attempts([*sources, *(decision.key for decision in wanted)]):
        attempts[attempt.key].append(attempt)
    stored = {row.key: row for row in learner.rows}
    brought = {record.id: set(record.facts.get("attempts", ())) for record in learner.records if not record.undone_at}
    carries = [_carry(one, stored.get(one.key), attempts, brought, now, trigger) for one in wanted]
    with statusmap.writing([wanted[0].key.user_id]) as written:
        done = get_store().carry(carries, now)
        written.forget()
    for one in carries:
        logger.info("carried", extra={"collection_id": one.row.key.collection_id, "record": one.record.id})
    return done


def _carry(
    decision: Decision,
    own: Consumption | None,
    attempts: Mapping[RowKey, Sequence[Attempt]],
    brought: Mapping[str, set[str]],
    now: datetime,
    trigger: str,
) -> Carry:
    """brought: record -> the attempts it brought before: they came along, and are not the learner's own here."""
    taken = decision.taken
    assert taken is not None
    source = taken.candidate
    own_id = record_id(decision.key, source.row.key)
    here = {one.attempt_id for one in attempts.get(decision.key, ())} - brought.get(own_id, set())
    following = tuple(
        replace(one, key=decision.key) for one in attempts.get(source.row.key, ()) if one.attempt_id not in here
    )
    record = Provenance(
        user_id=decision.key.user_id,
        id=own_id,
        action=COPIED,
        state="done",
        recorded_at=now,
        facts=_facts(decision, following, trigger),
    )
    return Carry(record, carried_row(decision, own, now), own.version if own else 0, following)


def carried_row(decision: Decision, own: Consumption | None, now: datetime) -> Consumption:
    """The row that acting on the decision leaves: completed when what it took was. It must have taken something.

    What the learner did here himself stays in it.
    """
    assert decision.taken is not None
    source = decision.taken.candidate
    origin = record_id(decision.key, source.row.key)
    if own is None:
        return Consumption(decision.key, Status.COMPLETED, 0, None, now, source.completed, view_count=0, origin=origin)
    return replace(
        own,
        status=Status.COMPLETED,
        last_completed_time=source.completed,
        last_updated_time=now,
        origin=origin,
        version=own.version + 1,
    )


def record_id(target: RowKey, source: RowKey) -> str:
    """The id of the record that says this source came to this target: always the same, so that a repeat is one."""
    told = "\x00".join((*target, *source))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _facts(decision: Decision, attempts: Sequence[Attempt], trigger: str) -> dict[str, Any]:
    """What it was decided on, as an explanation tells it later."""
    taken = decision.taken
    assert taken is not None
    source, completed, evaluated = taken.candidate.row, taken.candidate.completed, taken.evaluated_at
    return {
        "mode": str(decision.mode),
        "rules": decision.rules.as_json(),
        "rulesVersion": decision.rules.version,
        "held": [check.rule.as_json() for check in taken.checks if check.holds],
        "target": list(decision.key[1:]),
        "source": list(source.key[1:]),
        "completedTime": to_epoch_ms(completed) if completed else None,
        "evaluatedTime": to_epoch_ms(evaluated) if evaluated else None,
        "attempts": [attempt.attempt_id for attempt in attempts],
        # What came last caused it: the completion, or the enrolment that found it.
        "trigger": trigger or ("completion" if completed == evaluated else "enrolment"),
    }


# --- taking back -----------------------------------------------------------------------------------------------------


def undo(user_id: str, record_id: str, now: datetime) -> RowKey:
    """Takes one carry back, for good: its place is as the learner left it, and no later run carries there again.

    The place. Doing it again changes nothing. The context is marked, and whoever folds it next gives up a completion of
    the enrolment that rested on the carry. Raises NotFound for no such record, and Conflict where the learner has made
    the completion his own meanwhile.
    """
    store = get_store()
    record = next((one for one in store.provenance(user_id) if one.id == record_id and one.action == COPIED), None)
    if record is None:
        raise NotFound(f"{user_id} has no carry {record_id}")
    key = RowKey(user_id, *record.facts["target"])
    if record.undone_at is not None:
        return key
    row = next(iter(store.rows([key])), None)
    if row is None or row.origin != record_id:
        raise Conflict(f"{key.content_id} is no longer as carry {record_id} left it")
    attempts = tuple(record.facts["attempts"])
    undone = replace(record, undone_at=now)
    with statusmap.writing([user_id]) as written:
        done = store.take_back(TakenBack(undone, key, keys.own_part(row), row.version, attempts), now)
        written.forget()
    if not done:
        raise Conflict(f"{key.content_id} was written just now; try again")
    logger.info("carry taken back", extra={"collection_id": key.collection_id, "record": record_id})
    return key


def uncover(places: Iterable[RowKey], now: datetime) -> None:
    """Before a write of one learner: leaves of a carried completion that this mode hides only what is his own.

    A write meets the row as it is shown, or it would be answered as a revisit of what nobody sees. The record stays as
    it is: under a mode that copies the completion comes again. Cost: nothing where the mode copies or never changed.
    """
    chosen, asked = instance.current(), sorted(set(places))
    if chosen.mode.copies or not chosen.was_changed or not asked:
        return
    store = get_store()
    hidden = [row for row in store.rows(asked) if row.origin is not None and not row.rebuilt]
    if not hidden:
        return
    records = {record.id: record for record in store.provenance(asked[0].user_id)}
    with statusmap.writing([asked[0].user_id]) as written:
        for row in hidden:
            if row.origin in records:
                store.take_back(TakenBack(records[row.origin], row.key, keys.own_part(row), row.version), now)
        written.forget()
