"""What a move plans, and its undoing: nothing is lost or doubled, wherever somebody is killed in between."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import ActivityAgg, AppliedEvent, Attempt, Consumption, ContextKey, Enrolment, RowKey, Status
from tests.viewer.events import at
from viewer import transfers
from viewer.merging import merge_attempt
from viewer.progress import COMPLETION_TOLD, Sources
from viewer.sides import Side
from viewer.transfers import Transfer

BATCH = ContextKey("rahul", "class-1-maths", "batch-1")
PROGRAM = ContextKey("rahul", "class-1-maths", "program-batch-1")
CONTENTS = ("do_1", "do_2", "do_3")
NOW, LATER = at(600), at(700)
STEPS = 5  # attempts, receiving, rows, giving, attempts that go


@dataclass
class Learner:
    """Two contexts of one learner as a store keeps them, and the facts of his one record."""

    sides: dict[ContextKey, Sources]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def forth(self, steps: int = STEPS, at_time: datetime = NOW) -> None:
        """Plans a move and stores so many of its steps, after the claim that comes before all of them."""
        self._save(transfers.claim(self.sides[BATCH], PROGRAM, at_time))
        planned = transfers.forth(self.sides[BATCH], self.sides[PROGRAM], self.facts, at_time)
        self.facts = {**self.facts, **planned.facts}
        self._store(planned, steps)

    def back(self, steps: int = STEPS, at_time: datetime = LATER) -> None:
        """Plans its undoing and stores so many of the steps."""
        self._store(transfers.back(self.sides[BATCH], self.sides[PROGRAM], self.facts, at_time), steps)

    def _store(self, transfer: Transfer, steps: int) -> None:
        stored = (
            lambda: self._keep(transfer.attempts),
            lambda: self._save(transfer.receiving),
            lambda: self._move(transfer),
            lambda: self._save(transfer.giving),
            lambda: self._remove(transfer.attempts_gone),
        )
        for step in stored[:steps]:
            step()

    def _save(self, side: Side | None) -> None:
        if side is None:
            return
        known = self.sides[side.before.key]
        assert (known.agg, known.enrolment) == (side.before.agg, side.before.enrolment)
        assert side.after.agg.version == known.agg.version + 1
        self.sides[known.key] = replace(known, agg=side.after.agg, enrolment=side.after.enrolment)

    def _move(self, transfer: Transfer) -> None:
        rows = {row.key: row for side in self.sides.values() for row in side.rows}
        expected = transfer.rows.expected
        assert {key: rows[key].version if key in rows else 0 for key in expected} == expected
        for key, _ in transfer.rows.gone:
            del rows[key]
        rows |= {row.key: row for row in transfer.rows.written}
        for context, side in self.sides.items():
            own = [row for row in rows.values() if row.key.context == context]
            self.sides[context] = replace(side, rows=sorted(own, key=lambda row: row.key))

    def _keep(self, attempts: Any) -> None:
        for one in attempts:
            known = {(each.key, each.attempt_id): each for each in self.sides[one.key.context].attempts}
            place = (one.key, one.attempt_id)
            known[place] = merge_attempt(known[place], one) if place in known else one
            self._put_attempts(one.key.context, known)

    def _remove(self, attempts: Any) -> None:
        for one in attempts:
            known = {(each.key, each.attempt_id): each for each in self.sides[one.key.context].attempts}
            assert known.pop((one.key, one.attempt_id)) == one
            self._put_attempts(one.key.context, known)

    def _put_attempts(self, key: ContextKey, known: Mapping[tuple[RowKey, str], Attempt]) -> None:
        self.sides[key] = replace(self.sides[key], attempts=[known[place] for place in sorted(known)])

    def touch(self, key: RowKey, seconds: float = 5.0) -> None:
        """A view of this content in this place: of a new row, or of the one there is."""
        side = self.sides[key.context]
        rows = {row.key: row for row in side.rows}
        row = rows.get(key)
        rows[key] = (
            replace(row, timespent=row.timespent + seconds, version=row.version + 1, last_updated_time=LATER)
            if row
            else Consumption(key, Status.IN_PROGRESS, 0, NOW, NOW, timespent=seconds)
        )
        self.sides[key.context] = replace(side, rows=[rows[place] for place in sorted(rows)])

    def enrolment(self, context: ContextKey) -> Enrolment:
        found = self.sides[context].enrolment
        assert found is not None
        return found

    def enrol(self, context: ContextKey, **facts: Any) -> None:
        """Gives the enrolment these facts."""
        self.sides[context] = replace(self.sides[context], enrolment=replace(self.enrolment(context), **facts))

    def row(self, context: ContextKey, content: str) -> Consumption | None:
        return next((row for row in self.sides[context].rows if row.key.content_id == content), None)

    @property
    def told(self) -> tuple[object, ...]:
        """Everything that is stored, but for how often and when it was written."""
        return tuple(
            (*_told(self.sides[key]), replace(self.enrolment(key), version=0, updated_at=None))
            for key in (BATCH, PROGRAM)
        )

    @property
    def totals(self) -> dict[str, Any]:
        """What there is of each content in both places together, and of what no row tells."""
        sides = list(self.sides.values())
        found: dict[str, Any] = {}
        for row in (row for side in sides for row in side.rows):
            status, progress, spent, views, done, events = found.get(row.key.content_id, (0, 0, 0.0, 0, None, set()))
            times = [time for time in (done, row.last_completed_time) if time]
            found[row.key.content_id] = (
                max(status, row.status),
                max(progress, row.progress),
                spent + row.timespent,
                views + row.view_count,
                min(times, default=None),
                events | {event.id for event in row.applied},
            )
        attempts = {(one.key.content_id, one.attempt_id) for side in sides for one in side.attempts}
        certified = {one["identifier"] for side in sides for one in side.enrolment.issued_certificates}
        kept = {content: max(side.agg.kept.get(content, {}).get("status", 0) for side in sides) for content in CONTENTS}
        done = max(side.enrolment.status == Status.COMPLETED for side in sides)
        return {"rows": found, "attempts": attempts, "certificates": certified, "kept": kept, "done": done}


def _told(side: Sources) -> tuple[object, ...]:
    stamps = {name: time for name, time in side.agg.agg_last_updated.items() if name == COMPLETION_TOLD}
    return (
        [replace(row, version=0) for row in side.rows],
        list(side.attempts),
        (dict(side.agg.kept), stamps),
    )


# --- what there may be -----------------------------------------------------------------------------------------------

minutes = st.integers(0, 50).map(at)


@st.composite
def rows(draw: st.DrawFn, context: ContextKey, content: str) -> Consumption:
    done = draw(st.none() | minutes)
    return Consumption(
        RowKey(*context, content),
        Status.COMPLETED if done else Status.IN_PROGRESS,
        100 if done else draw(st.integers(0, 99)),
        draw(st.none() | minutes),
        draw(minutes),
        done,
        done,
        draw(st.dictionaries(st.sampled_from(["page", "url"]), st.integers(0, 9))),
        float(draw(st.integers(0, 500))),
        draw(st.integers(1, 5)),
        applied=tuple(
            AppliedEvent(f"{context.context_id}:{number}", "hash", at(number))
            for number in range(draw(st.integers(0, 2)))
        ),
        version=draw(st.integers(1, 4)),
    )


def attempt(context: ContextKey, content: str, number: int, minute: float = 1) -> Attempt:
    name = f"{context.context_id}-{number}"
    return Attempt(RowKey(*context, content), name, float(number), 9.0, "", at(0), at(minute), at(minute))


@st.composite
def sides(draw: st.DrawFn, context: ContextKey) -> Sources:
    """One context with anything in it: rows, attempts, kept facts, certificates, a completion."""
    contents = draw(st.sets(st.sampled_from(CONTENTS)))
    tried = draw(st.sets(st.tuples(st.sampled_from(CONTENTS), st.integers(1, 2))))
    kept = {
        content: {"by": "import", "status": draw(st.integers(1, 2)), "timespent": draw(st.integers(0, 9))}
        for content in sorted(draw(st.sets(st.sampled_from(CONTENTS))))
    }
    status = draw(st.sampled_from(Status))
    done = status is Status.COMPLETED
    stamps = {"content_status": 5, **({COMPLETION_TOLD: draw(st.integers(1, 9))} if done else {})}
    certified = [{"identifier": f"{context.context_id}-c{number}"} for number in range(draw(st.integers(0, 2)))]
    enrolment = Enrolment(
        *context,
        enrolled_date=at(0),
        status=status,
        progress=len(contents) if status else 0,
        completion_percentage=100 if done else 40 if status else 0,
        completed_on=draw(minutes) if done else None,
        content_status=dict.fromkeys(sorted(contents), 1) if status else {},
        issued_certificates=tuple(certified),
        last_read_content_id=draw(st.sampled_from([None, *CONTENTS])) if status else None,
        updated_at=at(0),
        version=draw(st.integers(1, 3)),
    )
    return Sources(
        ActivityAgg(context, kept=kept, agg_last_updated=stamps, version=draw(st.integers(0, 3))),
        [draw(rows(context, content)) for content in sorted(contents)],
        [attempt(context, *one) for one in sorted(tried)],
        enrolment,
    )


@st.composite
def learners(draw: st.DrawFn) -> Learner:
    return Learner({BATCH: draw(sides(BATCH)), PROGRAM: draw(sides(PROGRAM))})


def copy(of: Learner) -> Learner:
    return Learner(dict(of.sides), dict(of.facts))


# --- whatever there is -----------------------------------------------------------------------------------------------


@given(learner=learners())
def test_nothing_is_lost_and_nothing_counts_twice(learner: Learner) -> None:
    before = learner.totals
    learner.forth()
    assert learner.totals == before
    left = learner.sides[BATCH]
    assert (list(left.rows), list(left.attempts), left.agg.kept) == ([], [], {})
    assert COMPLETION_TOLD not in left.agg.agg_last_updated
    assert (left.enrolment.status, left.enrolment.issued_certificates) == (Status.NOT_STARTED, ())
    assert left.enrolment.moved_to == PROGRAM.context_id


@given(learner=learners(), steps=st.lists(st.integers(0, STEPS), max_size=3))
def test_a_move_that_was_stored_in_part_ends_as_one_that_was_not(learner: Learner, steps: list[int]) -> None:
    whole = copy(learner)
    whole.forth()
    for stored in steps:
        learner.forth(stored)
    learner.forth()
    assert learner.told == whole.told
    assert learner.facts == whole.facts


@given(learner=learners(), steps=st.lists(st.integers(0, STEPS), max_size=3))
def test_taken_back_at_once_everything_is_as_it_was(learner: Learner, steps: list[int]) -> None:
    before = learner.told
    learner.forth()
    for stored in steps:
        learner.back(stored)
    learner.back()
    assert learner.told == before


@given(learner=learners())
def test_planned_again_there_is_nothing_left_to_do(learner: Learner) -> None:
    learner.forth()
    assert transfers.forth(learner.sides[BATCH], learner.sides[PROGRAM], learner.facts, LATER).is_nothing
    learner.back()
    assert transfers.back(learner.sides[BATCH], learner.sides[PROGRAM], learner.facts, LATER).is_nothing


@given(
    learner=learners(),
    steps=st.integers(0, 2),
    touched=st.lists(st.tuples(st.sampled_from([BATCH, PROGRAM]), st.sampled_from(CONTENTS)), min_size=1, max_size=4),
)
def test_views_between_a_plan_and_its_rows_are_kept_and_come_back(
    learner: Learner, steps: int, touched: list[tuple[ContextKey, str]]
) -> None:
    learner.forth(steps)
    for context, content in touched:
        learner.touch(RowKey(*context, content))
    before = learner.totals["rows"]
    here = {content: learner.row(BATCH, content) for content in CONTENTS}
    there = {content: learner.row(PROGRAM, content) for content in CONTENTS}
    learner.forth()
    assert learner.totals["rows"] == before
    learner.back()
    for content in CONTENTS:
        for context, was in ((BATCH, here[content]), (PROGRAM, there[content])):
            row = learner.row(context, content)
            assert (row and replace(row, version=0)) == (was and replace(was, version=0))


# --- one by one ------------------------------------------------------------------------------------------------------


def blank(context: ContextKey, **facts: Any) -> Sources:
    return Sources(ActivityAgg(context), enrolment=Enrolment(*context, enrolled_date=at(0)), **facts)


def begun(context: ContextKey, content: str = "do_1", seconds: float = 30.0) -> Consumption:
    return Consumption(RowKey(*context, content), Status.IN_PROGRESS, 40, NOW, NOW, timespent=seconds)


@pytest.fixture
def rahul() -> Learner:
    """Half an hour in the batch, nothing in the program."""
    return Learner({BATCH: blank(BATCH, rows=[begun(BATCH)]), PROGRAM: blank(PROGRAM)})


def test_what_was_begun_anew_and_moved_too_comes_back_as_one(rahul: Learner) -> None:
    rahul.forth()
    rahul.facts = transfers.anew(rahul.facts)
    rahul.touch(RowKey(*BATCH, "do_1"), 7)
    rahul.forth(2)
    rahul.touch(RowKey(*BATCH, "do_1"), 3)
    rahul.forth()
    assert rahul.row(PROGRAM, "do_1").timespent == 40
    rahul.back()
    assert (rahul.row(BATCH, "do_1").timespent, rahul.row(PROGRAM, "do_1")) == (40, None)


def test_a_completion_and_certificates_of_a_second_move_come_back_too(rahul: Learner) -> None:
    rahul.forth()
    rahul.facts = transfers.anew(rahul.facts)
    rahul.touch(RowKey(*BATCH, "do_1"))
    certified = ({"identifier": "c-1"},)
    rahul.enrol(BATCH, status=Status.COMPLETED, completed_on=at(9), issued_certificates=certified)
    rahul.forth()
    rahul.back()
    home = rahul.enrolment(BATCH)
    assert (home.status, home.completed_on, home.issued_certificates) == (Status.COMPLETED, at(9), certified)
    assert rahul.enrolment(PROGRAM).issued_certificates == ()


def test_what_was_viewed_in_the_program_since_stays_there(rahul: Learner) -> None:
    rahul.forth()
    rahul.touch(RowKey(*PROGRAM, "do_1"))
    rahul.touch(RowKey(*PROGRAM, "do_2"))
    rahul.back()
    assert [rahul.row(PROGRAM, content).timespent for content in ("do_1", "do_2")] == [35, 5]
    assert rahul.row(BATCH, "do_1").timespent == 30


def test_an_attempt_that_was_made_again_in_the_program_since_stays_there(rahul: Learner) -> None:
    tried = attempt(BATCH, "do_1", 1)
    rahul.sides[BATCH] = replace(rahul.sides[BATCH], attempts=[tried])
    rahul.forth()
    (moved,) = rahul.sides[PROGRAM].attempts
    again = replace(moved, total_score=5.0, last_attempted_on=at(30), updated_on=at(30))
    rahul.sides[PROGRAM] = replace(rahul.sides[PROGRAM], attempts=[again])
    rahul.back()
    assert list(rahul.sides[PROGRAM].attempts) == [again]
    assert [one.attempt_id for one in rahul.sides[BATCH].attempts] == [tried.attempt_id]


def test_an_attempt_that_the_batch_has_an_older_account_of_comes_back_as_the_newer_one(rahul: Learner) -> None:
    tried = attempt(BATCH, "do_1", 1, minute=20)
    rahul.sides[BATCH] = replace(rahul.sides[BATCH], attempts=[tried])
    rahul.forth()
    rahul.sides[BATCH] = replace(rahul.sides[BATCH], attempts=[attempt(BATCH, "do_1", 1, minute=10)])
    rahul.back()
    assert list(rahul.sides[BATCH].attempts) == [tried]
    assert list(rahul.sides[PROGRAM].attempts) == []


def test_two_moves_into_one_program_are_undone_the_last_one_first(rahul: Learner) -> None:
    second = Learner({BATCH: blank(BATCH, rows=[begun(BATCH, seconds=4)]), PROGRAM: blank(PROGRAM)})
    rahul.forth()
    second.sides = {BATCH: second.sides[BATCH], PROGRAM: rahul.sides[PROGRAM]}
    second.forth()
    assert second.row(PROGRAM, "do_1").timespent == 34
    second.back()
    rahul.sides[PROGRAM] = second.sides[PROGRAM]
    rahul.back()
    assert (rahul.row(PROGRAM, "do_1"), rahul.row(BATCH, "do_1").timespent) == (None, 30)
    assert second.row(BATCH, "do_1").timespent == 4


def test_an_undoing_leaves_the_mark_of_another_program(rahul: Learner) -> None:
    rahul.forth()
    rahul.enrol(BATCH, moved_to="program-batch-2")
    rahul.back()
    assert rahul.enrolment(BATCH).moved_to == "program-batch-2"
    assert rahul.row(BATCH, "do_1").timespent == 30


def test_a_row_that_a_carry_brought_stays_where_it_is(rahul: Learner) -> None:
    carried = replace(begun(BATCH, "do_2"), status=Status.COMPLETED, origin="record-1")
    rahul.sides[BATCH] = replace(rahul.sides[BATCH], rows=[begun(BATCH), carried])
    rahul.forth()
    assert list(rahul.sides[BATCH].rows) == [carried]
    assert rahul.row(PROGRAM, "do_2") is None


def test_where_nothing_was_done_there_is_nothing_to_move() -> None:
    assert not transfers.has_progress(blank(BATCH))
    assert not transfers.has_begun({"rows": [], "attempts": []})
    assert transfers.has_progress(blank(BATCH, rows=[begun(BATCH)]))
    assert transfers.has_progress(blank(BATCH, attempts=[attempt(BATCH, "do_1", 1)]))
