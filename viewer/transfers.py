"""What goes where when a context's progress is moved, and when a move is taken back. Pure.

Each plan is made of what is there now, so that one which was stored in part is made anew of what is left. What is kept
in the record is what taking back needs: the rows as they were on both sides, the attempts, and what the enrolments had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from common.rows import Attempt, Consumption, ContextKey, Enrolment, RowKey, Status
from common.timestamps import to_epoch_ms
from viewer.images import image, row_of
from viewer.merging import certificates, earlier, joined, merge_attempt, merge_consumption, merge_enrolment, merge_kept
from viewer.progress import COMPLETION_TOLD, Sources
from viewer.sides import NOTHING, Side, changed, holding, progress_of, side_of, told_of, told_stamps
from viewer.store import MovedRows

KEPT = ("rows", "attempts", "kept", "before")
"""The names under which a record's facts say what has gone over."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What is to be stored, in this order: attempts, the receiving side, the rows, the giving side, attempts that go.

    facts: what the record has to know before.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    attempts: Sequence[Attempt] = ()
    receiving: Side | None = None
    rows: MovedRows = field(default_factory=MovedRows)
    giving: Side | None = None
    attempts_gone: Sequence[Attempt] = ()

    @property
    def moves_rows(self) -> bool:
        """True where any row changes its place."""
        return bool(self.rows.rows or self.rows.gone)

    @property
    def is_nothing(self) -> bool:
        """True where all of it is as it should be already."""
        return not (self.attempts or self.receiving or self.moves_rows or self.giving or self.attempts_gone)


# --- forth -----------------------------------------------------------------------------------------------------------


def has_progress(side: Sources) -> bool:
    """True where anything is there that a move would take along."""
    enrolment = side.enrolment
    reached = enrolment is not None and (
        enrolment.status is not Status.NOT_STARTED or bool(enrolment.issued_certificates)
    )
    return bool(_own_rows(side) or side.attempts or side.agg.kept or reached)


def has_begun(facts: Mapping[str, Any]) -> bool:
    """True where a record says that something goes over, or has."""
    return any(facts.get(name) for name in KEPT)


def anew(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a move that is done, for one that takes along what the learner began anew since."""
    return {**facts, "rows": [{**told, "gone": told["row"]} for told in facts.get("rows", ())]}


def claim(source: Sources, target: ContextKey, now: datetime) -> Side:
    """What says, before anything goes, that it goes to `target`: of two moves of one context one is told to wait.

    It is always a write, so that who has read the source before cannot make a claim of his own.
    """
    stored = source.enrolment
    return changed(source, source.agg, replace(stored, moved_to=target.context_id) if stored else None, now)


def forth(source: Sources, target: Sources, facts: Mapping[str, Any], now: datetime) -> Transfer:
    """Everything the learner did in `source` goes to `target`. facts: of the record, with what has gone before."""
    rows = _own_rows(source)
    there = {row.key.content_id: row for row in target.rows}
    moved = MovedRows(
        rows=tuple(_arrival(row, there.get(row.key.content_id), target.key) for row in rows),
        gone=tuple((row.key, row.version) for row in rows),
    )
    kept = facts.get("kept") or [{}, target.agg.kept]
    before = facts.get("before")
    return Transfer(
        facts={
            "rows": _images(rows, there, facts.get("rows", ())),
            "attempts": _brought(source.attempts, target.attempts, facts.get("attempts", ())),
            "kept": [_merged(kept[0], source.agg.kept), kept[1]],
            "before": [_raised(before[0], source), before[1]] if before else [told_of(source), told_of(target)],
        },
        attempts=[replace(one, key=RowKey(*target.key, one.key.content_id)) for one in source.attempts],
        receiving=_receiving(source, target, now),
        rows=moved,
        giving=_giving(source, target.key, now),
        attempts_gone=source.attempts,
    )


def _own_rows(side: Sources) -> list[Consumption]:
    return [row for row in side.rows if row.origin is None]


def _arrival(row: Consumption, there: Consumption | None, place: ContextKey) -> tuple[Consumption, int]:
    """The row as it is to be in the other place, and the version of the one it replaces."""
    moved = replace(row, key=RowKey(*place, row.key.content_id))
    return (moved, 0) if there is None else (joined(there, moved), there.version)


def _images(
    rows: Sequence[Consumption], there: Mapping[str, Consumption], known: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What is known of each content: its row in the source, the one that was in the target, and the version it gets.

    Of a content that went over before and was begun anew, both are one row; "gone" is the part that went.
    """
    found = {told["content"]: dict(told) for told in known}
    for row in rows:
        content = row.key.content_id
        found[content] = _image(row, there.get(content), found.get(content))
    return [found[content] for content in sorted(found)]


def _image(row: Consumption, there: Consumption | None, known: Mapping[str, Any] | None) -> dict[str, Any]:
    told = {"content": row.key.content_id, "version": (there.version if there else 0) + 1}
    gone = _gone(known, row, there) if known is not None and there is not None else None
    if known is None or gone is None:
        return {**told, "row": image(row), "before": image(there) if there else None}
    return {**told, "row": image(joined(row, row_of(gone))), "before": known["before"], "gone": gone}


def _gone(known: Mapping[str, Any], row: Consumption, there: Consumption) -> Mapping[str, Any] | None:
    """What of this content has gone over before; None: nothing, it was only planned.

    The row that was planned has gone where the target has it and the source a younger one.
    """
    if there.version >= known["version"] and row.version < row_of(known["row"]).version:
        arrived: Mapping[str, Any] = known["row"]
        return arrived
    return known.get("gone")


def _brought(attempts: Sequence[Attempt], there: Sequence[Attempt], known: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Of each attempt that goes over or has gone: content, attempt, whether the target had it, when it was stored."""
    found = {(content, attempt): (had, stored) for content, attempt, had, stored in known}
    stored_there = {_place(one): one for one in there}
    for one in attempts:
        own = stored_there.get(_place(one))
        arrived = one if own is None else merge_attempt(own, replace(one, key=own.key))
        had, _ = found.get(_place(one), (own is not None, 0))
        found[_place(one)] = (had, to_epoch_ms(arrived.updated_on))
    return [[*place, *found[place]] for place in sorted(found)]


def _place(attempt: Attempt) -> tuple[str, str]:
    return attempt.key.content_id, attempt.attempt_id


def _receiving(source: Sources, target: Sources, now: datetime) -> Side | None:
    """Certificates and a completion go along, without a second event; so do facts that no row tells."""
    told = source.agg.agg_last_updated.get(COMPLETION_TOLD)
    stamps = dict(target.agg.agg_last_updated)
    if told is not None:
        stamps.setdefault(COMPLETION_TOLD, told)
    agg = replace(target.agg, kept=_merged(target.agg.kept, source.agg.kept), agg_last_updated=stamps)
    return side_of(target, agg, _completed_with(target.enrolment, source.enrolment), now)


def _completed_with(own: Enrolment | None, other: Enrolment | None) -> Enrolment | None:
    """The enrolment with what the other one had: its completion and its certificates."""
    if own is None or other is None:
        return own
    given = replace(own, issued_certificates=certificates(own.issued_certificates, other.issued_certificates))
    if other.status is not Status.COMPLETED:
        return given
    return replace(
        given,
        status=Status.COMPLETED,
        completion_percentage=100,
        completed_on=earlier(own.completed_on, other.completed_on),
    )


def _giving(source: Sources, target: ContextKey, now: datetime) -> Side | None:
    """The enrolment is not started, and says where its progress went."""
    agg = replace(source.agg, kept={}, agg_last_updated=told_stamps(source.agg, None))
    stored = source.enrolment
    left = stored and replace(holding(stored, NOTHING), moved_to=target.context_id)
    return side_of(source, agg, left, now)


# --- back ------------------------------------------------------------------------------------------------------------


def back(source: Sources, target: Sources, facts: Mapping[str, Any], now: datetime) -> Transfer:
    """What the record says went from `source` to `target` goes back; what the learner did since stays where it is.

    A row or an attempt of the program that he touched since stays there as it is. In the batch the greater of what he
    did there meanwhile and what comes back counts, so that a plan made anew adds nothing twice.
    """
    here = {row.key.content_id: row for row in source.rows}
    there = {row.key.content_id: row for row in target.rows}
    rows: list[tuple[Consumption, int]] = []
    gone: list[tuple[RowKey, int]] = []
    for told in facts.get("rows", ()):
        content, returned = told["content"], row_of(told["row"])
        own, moved = here.get(content), there.get(content)
        if own is None or merge_consumption(own, returned) is not own:
            rows.append((merge_consumption(own, returned), own.version) if own else (returned, 0))
        if moved is not None and _is_untouched(moved, told):
            if told["before"] is None:
                gone.append((moved.key, moved.version))
            else:
                rows.append((row_of(told["before"]), moved.version))
    brought = {(content, attempt): (had, stored) for content, attempt, had, stored in facts.get("attempts", ())}
    returning = [one for one in target.attempts if _place(one) in brought]
    return Transfer(
        attempts=_coming_home(source, returning),
        receiving=_back_home(source, target.key, facts, now),
        rows=MovedRows(tuple(rows), tuple(gone)),
        giving=_given_back(target, facts, now),
        attempts_gone=[one for one in returning if brought[_place(one)] == (False, to_epoch_ms(one.updated_on))],
    )


def _is_untouched(moved: Consumption, told: Mapping[str, Any]) -> bool:
    """True where the row is as the move left it, or as the undoing of a later one did."""
    if moved.version == told["version"]:
        return True
    before = row_of(told["before"]) if told["before"] is not None else None
    left, _ = _arrival(row_of(told["row"]), before, moved.key.context)
    return replace(left, version=moved.version) == moved


def _coming_home(source: Sources, returning: Sequence[Attempt]) -> list[Attempt]:
    """Those of which the source does not know as much."""
    here = {_place(one): one for one in source.attempts}
    coming = [replace(one, key=RowKey(*source.key, one.key.content_id)) for one in returning]
    return [one for one in coming if (own := here.get(_place(one))) is None or merge_attempt(own, one) is not own]


def _back_home(source: Sources, target: ContextKey, facts: Mapping[str, Any], now: datetime) -> Side | None:
    """The batch's enrolment has again what it had, and what the learner reached there since."""
    before, kept = facts.get("before"), facts.get("kept")
    if not before or not kept:
        return None
    had, stored = before[0], source.enrolment
    told = had["told"] or source.agg.agg_last_updated.get(COMPLETION_TOLD)
    agg = replace(source.agg, kept=_merged(source.agg.kept, kept[0]), agg_last_updated=told_stamps(source.agg, told))
    if stored is None:
        return side_of(source, agg, None, now)
    moved_to = None if stored.moved_to == target.context_id else stored.moved_to
    home = replace(merge_enrolment(stored, holding(stored, had)), moved_to=moved_to, version=stored.version)
    return side_of(source, agg, home, now)


def _given_back(target: Sources, facts: Mapping[str, Any], now: datetime) -> Side | None:
    """The program's enrolment has what it had, and is added up anew from what is left."""
    before, kept = facts.get("before"), facts.get("kept")
    if not before or not kept:
        return None
    came, had = before
    same_kept = target.agg.kept == _merged(kept[1], kept[0])
    told = target.agg.agg_last_updated.get(COMPLETION_TOLD)
    agg = replace(
        target.agg,
        kept=kept[1] if same_kept else target.agg.kept,
        agg_last_updated=told_stamps(target.agg, had["told"] if told == came["told"] else told),
    )
    enrolment = target.enrolment
    if enrolment is not None:
        own = [one for one in enrolment.issued_certificates if one not in came["certificates"]]
        certified = certificates(own, had["certificates"])
        enrolment = replace(holding(enrolment, had), issued_certificates=certified)
    return side_of(target, agg, enrolment, now)


# --- both ------------------------------------------------------------------------------------------------------------


def _raised(known: Mapping[str, Any], side: Sources) -> dict[str, Any]:
    """What was known before and what is to be told now, as one."""
    now = told_of(side)
    told = known["told"] if known["told"] is not None else now["told"]
    if side.enrolment is None:
        return {**known, "told": told}
    merged = merge_enrolment(holding(side.enrolment, known), side.enrolment)
    return {**progress_of(merged), "told": told}


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two contexts keep, as one context's."""
    merged = {**one, **other}
    for content in one.keys() & other.keys():
        merged[content] = merge_kept(one[content], other[content])
    return {content: merged[content] for content in sorted(merged)}
