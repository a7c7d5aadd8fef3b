"""Moves a learner's progress from a running batch into the program he enrolled in, finishes what was begun, undoes it.

A move is a record, planned before anything is touched and done after everything is. Between the two come steps that may
be repeated: what has gone over already is not there to go again. The rows go in one write, so nobody sees a content in
neither place; whoever finds a planned record goes on where the one before him stopped. Before the first step the
batch's enrolment says where its progress goes: of two programs that could have it, one waits until the other has all.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from common.errors import NotFound, Unavailable
from common.rows import COPIED, MOVED, Attempt, ContextKey, Provenance, RowKey
from common.timestamps import to_epoch_ms
from modes import instance, keys
from modes.move import History, MoveDecision, Source, decide_move, in_order
from modes.rules import RuleSet
from viewer import carrying, counting, statusmap, transfers
from viewer.carrying import Learner
from viewer.progress import Sources
from viewer.sides import Side
from viewer.store import get_store
from viewer.transfers import Transfer

logger = logging.getLogger("viewer.moves")
DONE, PLANNED = "done", "planned"
MAX_TRIES = 8


def move(
    user_id: str, now: datetime, *, trigger: str = "", asked: bool = False, dry_run: bool = False
) -> list[MoveDecision]:
    """Moves what is to be moved for one learner, after what was begun before; the decisions that moved anything.

    asked: an operator asks for it, so that also goes what does not by itself. dry_run: only tells what would be moved.
    Raises Unavailable where other writers are at the same rows all the time; what was begun is finished later.
    """
    learner = carrying.read_learner(user_id)
    if not dry_run and finish(learner.records, now):
        learner = carrying.read_learner(user_id)
    mode = instance.current().mode
    wanted = in_order(decisions(learner, mode, now, asked=asked), learner.enrolled) if mode.moves else []
    moved: dict[ContextKey, MoveDecision] = {}
    for decision in wanted:
        is_something = decision.source not in moved and transfers.has_progress(_sources(decision.source))
        if is_something:
            moved[decision.source] = decision
        # One that moves nothing is kept all the same: what is done there from now on stays there.
        if not dry_run and (is_something or not asked):
            _finish(_record(decision, trigger or "enrolment", now), now, again=asked)
    return list(moved.values())


def finish(records: Iterable[Provenance], now: datetime) -> int:
    """Finishes the moves among these records that somebody began, in whatever mode; how many."""
    begun = [record for record in records if record.action == MOVED and record.state == PLANNED]
    for record in begun:
        _finish(record, now)
    return len(begun)


def decisions(
    learner: Learner, mode: keys.Mode, now: datetime, *, asked: bool = False, rules: RuleSet | None = None
) -> Iterator[MoveDecision]:
    """One decision for each enrolment and each other context of its collection where the learner is or was.

    mode, rules: those that hold, or others for who asks what would be: that mode would have been set now.
    """
    history = _history(learner, instance.current().since(mode, now))
    places = sorted({*learner.enrolled, *(row.key.context for row in learner.rows)})
    for enrolment in learner.enrolments:
        chosen = carrying.policy_of(mode, learner, enrolment)
        chosen = chosen if rules is None else replace(chosen, rules=rules)
        target = carrying.target_of(learner, enrolment, chosen.zone, now)
        for key in places:
            if key.collection_id == enrolment.collection_id and key != enrolment.key:
                yield decide_move(chosen, target, _source(learner, key), history, asked=asked)


def undo(user_id: str, record_id: str, now: datetime) -> ContextKey:
    """Takes one move back, for good: the batch has its progress again, and no later run moves it. The batch's context.

    What the learner did in the program since stays there. Doing it again changes nothing. Raises NotFound.
    """
    record = next((one for one in get_store().provenance(user_id) if one.id == record_id and one.action == MOVED), None)
    if record is None:
        raise NotFound(f"{user_id} has no move {record_id}")
    if record.undone_at is None:
        if record.state == PLANNED:
            record = _finish(record, now)
        record = _finish(replace(record, state=PLANNED, undone_at=now), now)
    elif record.state == PLANNED:
        _finish(record, now)
    return source_of(record)


def source_of(record: Provenance) -> ContextKey:
    """Where the progress came from."""
    return ContextKey(record.user_id, *record.facts["source"])


def target_of(record: Provenance) -> ContextKey:
    """Where it went."""
    return ContextKey(record.user_id, *record.facts["target"])


def record_id(target: ContextKey, source: ContextKey) -> str:
    """The id of the record that says that this batch's progress went to this program: always the same."""
    told = "\x00".join((MOVED, *target, *source))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


# --- deciding --------------------------------------------------------------------------------------------------------


def _source(learner: Learner, key: ContextKey) -> Source:
    return Source(key, learner.enrolled.get(key), learner.batches.get(key.context_id))


def _history(learner: Learner, since: datetime | None) -> History:
    records = [record for record in learner.records if record.action == MOVED]
    return History(
        moved={(target_of(record), source_of(record)) for record in records},
        undone={(target_of(record), source_of(record)) for record in records if record.undone_at is not None},
        since=since,
    )


def _record(decision: MoveDecision, trigger: str, now: datetime) -> Provenance:
    rules = decision.policy.rules
    facts = {
        "mode": str(decision.policy.mode),
        "rules": rules.as_json(),
        "rulesVersion": rules.version,
        "held": [check.rule.as_json() for check in decision.checks if check.holds],
        "target": list(decision.target[1:]),
        "source": list(decision.source[1:]),
        "evaluatedTime": to_epoch_ms(decision.evaluated_at) if decision.evaluated_at else None,
        "trigger": trigger,
    }
    own_id = record_id(decision.target, decision.source)
    return Provenance(decision.target.user_id, own_id, MOVED, PLANNED, now, facts=facts)


# --- doing -----------------------------------------------------------------------------------------------------------


def _finish(record: Provenance, now: datetime, *, again: bool = False) -> Provenance:
    """Does what the record plans, or goes on with it; the record as it is when that is done. Raises Unavailable.

    again: what was moved before is moved once more, with what the learner began anew since.
    """
    store, contexts = get_store(), [source_of(record), target_of(record)]
    is_claimed = False
    for _ in range(MAX_TRIES):
        carrying.uncover((row.key for one in store.sources_of(contexts) for row in one.rows), now)
        # In this order: what goes over meanwhile is then seen in neither place, and not in both as if it were there
        # twice; and whatever had gone before is told by the records.
        target, source = (_sources(key) for key in reversed(contexts))
        records = {one.id: one for one in store.provenance(record.user_id)}
        record = _gone_on(record, records.get(record.id), again=again)
        if record.state == DONE:
            return record  # by another one meanwhile
        if record.undone_at is None and not is_claimed:
            if not (transfers.has_begun(record.facts) or transfers.has_progress(source)):
                break
            if (holder := _holder(source, record, records.values())) is not None:
                _finish(holder, now)
            else:
                is_claimed = _claimed(source, record, records.get(record.id), now)
            continue
        plan = transfers.back if record.undone_at is not None else transfers.forth
        transfer = plan(source, target, record.facts, now)
        record = replace(record, facts={**record.facts, **transfer.facts})
        if transfer.is_nothing:
            break
        if _gone_over(record, transfer, contexts, now):
            break
    else:
        raise Unavailable("Too many writers on the same rows; try again")
    return _done(replace(record, state=DONE), again=again)


def _gone_over(record: Provenance, transfer: Transfer, contexts: Sequence[ContextKey], now: datetime) -> bool:
    """Keeps the record, then does what it plans; False where another writer was in between."""
    get_store().keep_record(record)
    _mark(contexts, now)  # who folds one of them meanwhile finds the planned record, and goes on with it
    with statusmap.writing([record.user_id]) as written:
        done = _stored(transfer, now)
        written.forget()
    if done:
        _mark(contexts, now)
    return done


def _done(record: Provenance, *, again: bool) -> Provenance:
    """Keeps the record as done; the stored one where another did that meanwhile, who may know of more."""
    store = get_store()
    known = next((one for one in store.provenance(record.user_id) if one.id == record.id), None)
    if known is not None and known.state == DONE and _gone_on(record, known, again=again) is known:
        return known
    store.keep_record(record)
    logger.info("moved", extra={"collection_id": source_of(record).collection_id, "record": record.id})
    return record


def _sources(key: ContextKey) -> Sources:
    """What this mode shows of the context."""
    found = get_store().sources(key)
    return replace(found, attempts=counting.own_attempts(found.attempts))


def _mark(contexts: Iterable[ContextKey], now: datetime) -> None:
    for key in contexts:
        get_store().mark(key, now)


def _gone_on(record: Provenance, stored: Provenance | None, *, again: bool) -> Provenance:
    """The record with what the stored one knows of what has gone over already; the stored one where that is done.

    Where an operator took the move back meanwhile, his is the one to go on with.
    """
    if stored is None:
        return record
    if record.undone_at is not None and stored.undone_at is None:
        return replace(record, facts={**record.facts, **_begun(stored)})
    if record.undone_at is None and stored.undone_at is not None:
        return stored
    if stored.state == PLANNED:
        return replace(record, facts={**stored.facts, **record.facts, **_begun(stored)})
    if again and record.recorded_at > stored.recorded_at:
        return replace(record, facts={**record.facts, **_begun(replace(stored, facts=transfers.anew(stored.facts)))})
    return stored


def _claimed(source: Sources, record: Provenance, stored: Provenance | None, now: datetime) -> bool:
    """Says in the source where its progress goes; False where another writer was in between.

    A new record is kept between two claims, of which the second holds only if nobody wrote after the first: so whoever
    finds a claim that holds finds its record too, and a record without facts never replaces one that has some.
    """
    target = target_of(record)
    side = transfers.claim(source, target, now)
    if not _saved(side):
        return False
    if stored is not None and stored.state == PLANNED:
        return True
    get_store().keep_record(record)
    _mark([source.key, target], now)
    claimed = replace(source, agg=side.after.agg, enrolment=side.after.enrolment)
    return _saved(transfers.claim(claimed, target, now))


def _holder(source: Sources, record: Provenance, records: Iterable[Provenance]) -> Provenance | None:
    """Another move of the same context that has claimed it and is not done: it comes first, or it is nobody's."""
    moved_to = source.enrolment.moved_to if source.enrolment is not None else None
    for one in records:
        is_begun = one.action == MOVED and one.state == PLANNED and one.undone_at is None and one.id != record.id
        if is_begun and source_of(one) == source.key and target_of(one).context_id == moved_to:
            return one
    return None


def _begun(stored: Provenance) -> dict[str, Any]:
    """What a planned record knows of what has gone over already."""
    return {name: stored.facts[name] for name in transfers.KEPT if name in stored.facts}


def _stored(transfer: Transfer, now: datetime) -> bool:
    """One step after the other; False where another writer was in between: plan anew from what is left."""
    store = get_store()
    _make_own(transfer.attempts)
    store.save_attempts(transfer.attempts, now)
    return (
        _saved(transfer.receiving)
        and (not transfer.moves_rows or store.move_rows(transfer.rows, now))
        and _saved(transfer.giving)
        and _removed_attempts(transfer, now)
    )


def _make_own(attempts: Sequence[Attempt]) -> None:
    """Takes these attempts from what carries of an earlier mode brought: here they are the learner's own from now on.

    As those of a carry they would be hidden.
    """
    if not attempts or not instance.current().was_changed:
        return
    arriving = {(one.key, one.attempt_id) for one in attempts}
    for record in get_store().provenance(attempts[0].key.user_id):
        if record.action != COPIED or record.undone_at is not None:
            continue
        place, brought = RowKey(record.user_id, *record.facts["target"]), record.facts.get("attempts", ())
        left = [attempt for attempt in brought if (place, attempt) not in arriving]
        if len(left) < len(brought):
            get_store().keep_record(replace(record, facts={**record.facts, "attempts": left}))


def _saved(side: Side | None) -> bool:
    return side is None or get_store().save_fold(side.before, side.after, ())


def _removed_attempts(transfer: Transfer, now: datetime) -> bool:
    """False where one was changed since it was read: it has to go over anew."""
    store = get_store()
    if not transfer.attempts_gone:
        return True
    store.remove_attempts(transfer.attempts_gone, now)
    left = {(one.key, one.attempt_id) for one in store.attempts([one.key for one in transfer.attempts_gone])}
    return not any((one.key, one.attempt_id) in left for one in transfer.attempts_gone)
