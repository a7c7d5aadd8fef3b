"""Brings a learner's rows to where the mode keeps them, the first time anybody comes to him after the mode changed.

A change that gives rows other places does not wait for all learners. Until a walk has come to everybody, whoever reads
or writes a learner's rows brings him in line first, so every answer after the change is the new mode's. What is rebuilt
keeps in a record what was there before; the next change starts from that.
"""

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from common import timestamps
from common.errors import Unavailable
from common.rows import (
    REBUILT,
    REBUILT_FOR,
    ActivityAgg,
    Attempt,
    Consumption,
    ContextKey,
    Enrolment,
    Provenance,
    RowKey,
)
from common.timestamps import to_epoch_ms
from modes import instance, keys
from modes.instance import InstanceSettings
from viewer import merging, rebuilding, statusmap
from viewer.images import image, row_of
from viewer.merging import WHOLE_CONTEXT
from viewer.progress import Sources
from viewer.rebuilding import Images, Rebuilt, reshaped
from viewer.sides import holding, progress_of, side_of, told_of, told_stamps
from viewer.store import MovedRows, get_store
from viewer.store.batch import thawed

logger = logging.getLogger("viewer.rekeying")
SETTLE = timedelta(seconds=5)  # so long after a change somebody may still write as before
DONE, PLANNED = "done", "planned"
FIRST = "first"
FOLDED = frozenset({"progress", "contents", "certificates"})
"""Of what an enrolment tells: what a fold makes anew from rows, or never touches."""
Left = Mapping[str, Sequence[Mapping[str, Any]]]
MAX_TRIES = 8
MAX_KNOWN = 100_000
_known: set[tuple[str, int]] = set()


def mode_for(user_id: str) -> keys.Mode:
    """The instance's mode, once the learner's rows are where it keeps them. Free where everybody's are."""
    chosen = instance.current()
    return chosen.mode if chosen.rows_settled else _bring(user_id, chosen).mode


def bring(user_ids: Iterable[str]) -> None:
    """Has these learners' rows where the mode keeps them."""
    chosen = instance.current()
    if not chosen.rows_settled:
        for user_id in sorted(set(user_ids)):
            _bring(user_id, chosen)


def is_quiet(chosen: InstanceSettings, now: datetime) -> bool:
    """True once nobody can be writing any more as it was before the mode changed."""
    return chosen.mode_since is None or now - chosen.mode_since > SETTLE


def _bring(user_id: str, chosen: InstanceSettings) -> InstanceSettings:
    """Brings one learner in line; the settings by which that was done: newer ones, where `chosen` were outdated."""
    if (user_id, chosen.rows_epoch) in _known:
        return chosen
    now = timestamps.now()
    learner = _read(user_id)
    if any(record.facts["epoch"] > chosen.rows_epoch for record in learner.records):
        instance.forget()  # somebody has seen a change that this process has not
        chosen = instance.current()
    for _ in range(MAX_TRIES):
        if _reshape(learner, chosen, now):
            break
        learner = _read(user_id)
    else:
        raise Unavailable("Too many writers on the same rows; try again")
    if is_quiet(chosen, now):
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known.add((user_id, chosen.rows_epoch))
    return chosen


# --- one learner -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Learner:
    """Everything of one learner that has a place. records: of rebuilds that hold. sides: where he is enrolled."""

    user_id: str
    records: Sequence[Provenance]
    rows: Sequence[Consumption]
    kept: Sequence[Consumption]
    attempts: Sequence[Attempt]
    sides: Sequence[Sources]

    def brought(self, records: Iterable[Provenance]) -> set[tuple[RowKey, str]]:
        """The attempts that these records brought, without those of which he gave a newer account where they came."""
        accounts = {tuple(told) for record in records for told in record.facts["attempts"]}
        return {(one.key, one.attempt_id) for one in self.attempts if tuple(_account(one)) in accounts}


def standing(records: Iterable[Provenance]) -> list[Provenance]:
    """Those of rebuilds that hold."""
    return [one for one in records if one.action == REBUILT_FOR and one.undone_at is None]


def images_of(records: Iterable[Provenance]) -> dict[str, Images]:
    """Record -> what it keeps of each row it rebuilt."""
    return {
        record.id: {
            RowKey(record.user_id, *told["place"]): Rebuilt(
                row_of(told["before"]) if told["before"] else None, row_of(told["after"])
            )
            for told in record.facts["rows"]
        }
        for record in standing(records)
    }


def _read(user_id: str) -> _Learner:
    """A fixed number of partition reads; records after rows, so that no row bears one that is not known."""
    store = get_store()
    enrolled = {one.key: one for one in store.enrolments(user_id)}
    contexts = sorted({*store.contexts(user_id), *enrolled})
    aggs = store.aggs(contexts)
    rows = store.all_rows(user_id)
    records = store.provenance(user_id)
    there = {row.key for row in rows}
    places = [RowKey(*key, content) for key, agg in aggs.items() for content in agg.kept if content]
    return _Learner(
        user_id,
        standing(records),
        rows,
        [thawed(place, aggs[place.context]) for place in places if place not in there],
        store.attempts_in(contexts),
        [Sources(aggs.get(key, ActivityAgg(key)), enrolment=one) for key, one in enrolled.items()],
    )


def _reshape(learner: _Learner, chosen: InstanceSettings, now: datetime) -> bool:
    """Brings the learner in line; False where another writer was in between. Nothing is written where he is."""
    store = get_store()
    mine = [record for record in learner.records if record.facts["epoch"] == chosen.rows_epoch]
    older = [record for record in learner.records if record.facts["epoch"] != chosen.rows_epoch]
    tag = f"{REBUILT}{chosen.rows_epoch}:{secrets.token_hex(8)}"
    known = {record.id for record in mine}
    shape = reshaped(chosen.mode, tag, known, learner.rows, images_of(learner.records), learner.kept)
    moved = MovedRows(shape.rows, shape.gone)
    coming, going = _attempts(learner, chosen.mode, mine, older)
    # Once more when it is quiet: who had not seen the change may have folded as before.
    quiet = is_quiet(chosen, now)
    is_line = any(record.state == DONE and (record.facts["quiet"] or not quiet) for record in mine)
    if is_line and not (moved.expected or coming or going or older):
        return True
    left = _as_left(learner.sides, mine, older)
    facts = {
        "mode": str(chosen.mode),
        "epoch": chosen.rows_epoch,
        "quiet": quiet,
        "rows": [_image(key, one) for key, one in shape.images.items()],
        "attempts": [_account(one) for one in coming],
        "enrolments": left,
    }
    record = Provenance(learner.user_id, tag, REBUILT_FOR, PLANNED, now, facts=facts)
    store.keep_record(record)
    contexts = sorted({*(side.key for side in learner.sides), *moved.contexts})
    _mark(contexts, now)
    if not _stored(learner, moved, coming, going, _restored(learner.sides, left, chosen.mode), now):
        return False
    for one in older:
        store.keep_record(replace(one, undone_at=now))
    store.keep_record(replace(record, state=DONE))
    _mark(contexts, now)  # for a fold that came in between
    logger.info("rows rebuilt", extra={"record": tag, "rows": len(moved.expected)})
    return True


def _stored(
    learner: _Learner,
    moved: MovedRows,
    coming: Sequence[Attempt],
    going: Sequence[Attempt],
    restored: Sequence[Sources],
    now: datetime,
) -> bool:
    """One step after the other; False where another writer was in between."""
    store = get_store()
    with statusmap.writing([learner.user_id]) as written:
        store.save_attempts(coming, now)
        done = (not moved.expected or store.move_rows(moved, now)) and _saved(learner.sides, restored, now)
        if done:
            store.remove_attempts(going, now)
        written.forget()
    return done


def _mark(contexts: Iterable[ContextKey], now: datetime) -> None:
    for key in contexts:
        get_store().mark(key, now)


def _image(key: RowKey, rebuilt: Rebuilt) -> dict[str, Any]:
    before = image(rebuilt.before) if rebuilt.before is not None else None
    return {"place": list(key[1:]), "before": before, "after": image(rebuilt.after)}


def _attempts(
    learner: _Learner, mode: keys.Mode, mine: Sequence[Provenance], older: Sequence[Provenance]
) -> tuple[list[Attempt], list[Attempt]]:
    """The attempts to bring to where the mode keeps them, and those to take away, which older rebuilds brought."""
    brought = learner.brought([*mine, *older])
    own = [one for one in learner.attempts if (one.key, one.attempt_id) not in brought]
    here = {(one.key, one.attempt_id) for one in own}
    wanted = {place: one for place, one in rebuilding.elsewhere(mode, own).items() if place not in here}
    stored = {(one.key, one.attempt_id): one for one in learner.attempts}
    coming = [one for place, one in wanted.items() if place not in stored or _is_newer(one, stored[place])]
    stale = learner.brought(older) - learner.brought(mine) - wanted.keys()
    return coming, [stored[place] for place in sorted(stale)]


def _account(one: Attempt) -> list[Any]:
    """Where an attempt is, and which account of it; a newer one is another."""
    return [*one.key[1:], one.attempt_id, to_epoch_ms(one.last_attempted_on), one.total_score]


def _is_newer(one: Attempt, stored: Attempt) -> bool:
    return merging.merge_attempt(stored, one) is not stored


# --- his enrolments --------------------------------------------------------------------------------------------------


def as_before(sides: Sequence[Sources], records: Sequence[Provenance], mode: keys.Mode | None = None) -> list[Sources]:
    """Each of these contexts of one learner as `mode` left it, else as it was before all changes.

    A fold adds up anew from there. mode: None for what was before all changes. records: of the rebuilds that hold
    (`standing`).
    """
    newest = max(records, key=_epoch, default=None)
    return list(sides) if newest is None else _restored(sides, newest.facts["enrolments"], mode)


def _as_left(sides: Sequence[Sources], mine: Sequence[Provenance], older: Sequence[Provenance]) -> Left:
    """Mode -> the enrolments as it left them last; FIRST: as they were before all changes.

    What a fold never takes back (that one was complete, and since when) rests on the mode of the moment.
    """
    if mine:
        known: Left = mine[0].facts["enrolments"]
        return known
    newest = max(older, key=_epoch, default=None)
    facts = [_facts_of(side) for side in sides]
    if newest is None:
        return {FIRST: facts}
    return {**newest.facts["enrolments"], _kind(keys.Mode(newest.facts["mode"])): facts}


def _epoch(record: Provenance) -> int:
    return int(record.facts["epoch"])


def _kind(mode: keys.Mode) -> str:
    """One name for all modes that keep rows in the same places."""
    return next(str(one) for one in keys.Mode if keys.same_rows(one, mode))


def _restored(sides: Sequence[Sources], left: Left, mode: keys.Mode | None) -> list[Sources]:
    first = left[FIRST]
    known = {tuple(told["context"]): told for told in (left.get(_kind(mode), first) if mode else first)}
    return [_as_before(side, known.get(side.key[1:]) or _begun(side)) for side in sides]


def _begun(side: Sources) -> Mapping[str, Any]:
    """The facts of one that began later: those of a new enrolment. What was imported is no mode's, and stays."""
    if WHOLE_CONTEXT in side.agg.kept:
        return _facts_of(side)
    return _facts_of(Sources(ActivityAgg(side.key), enrolment=Enrolment(*side.key)))


def _as_before(side: Sources, told: Mapping[str, Any]) -> Sources:
    stored = side.enrolment
    assert stored is not None
    agg = replace(side.agg, agg_last_updated=told_stamps(side.agg, told["told"]))
    return replace(side, agg=agg, enrolment=holding(stored, {**progress_of(stored), **told}))


def _facts_of(side: Sources) -> dict[str, Any]:
    """What a fold changes of an enrolment, and would not change back."""
    told = {name: value for name, value in told_of(side).items() if name not in FOLDED}
    return {"context": list(side.key[1:]), **told}


def _saved(sides: Sequence[Sources], restored: Sequence[Sources], now: datetime) -> bool:
    """Stores the enrolments that are another; False where one was changed since it was read."""
    wanted = (side_of(before, after.agg, after.enrolment, now) for before, after in zip(sides, restored, strict=True))
    return all(get_store().save_fold(side.before, side.after, ()) for side in wanted if side is not None)
