"""Carries that follow each other, that happen at once, and that are explained before they happen: in one process."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catalogue import api as catalogue
from catalogue.loader import load
from catalogue.models import Batch, Collection, Program
from catalogue.reading import read
from common import timestamps
from common.identity import Caller
from common.rows import MOVED, Consumption, ContextKey, Enrolment, Provenance, RowKey, Status
from modes import instance
from modes.keys import Mode
from modes.models import Instance, Scope
from modes.rules import Kind, Match, Rule, RuleSet, TargetKind
from modes.switching import save_rules
from tests.contract.store_contract import together
from tests.modes import live
from tests.modes.alone import MONTHS, complete, enrol
from tests.modes.live import ALWAYS, BATCH, DOUBLE, LEAVES, MATHS, OTHER, SINGLE, TRIPLE, Learner
from tests.modes.live import BATCH_2 as CLASS_2_BATCH
from tests.modes.live import MATHS_2 as CLASS_2
from tests.viewer.events import at, view
from viewer import aggregator, explaining, moves
from viewer.inputs import ReadInput
from viewer.lifecycle import Verb
from viewer.store import get_store
from viewer.store.port import Store

THIRD, SHORT = "batch-3", "batch-short"
ABC, XYZ, WHOLE = ("program-abc", "program-batch-1"), ("program-xyz", "program-batch-x"), ("program-whole", "whole-1")
PRIMARY, QUADRUPLE = "primary-maths", "quadruple-digit-addition"
OPEN = {"enrollmentType": "open", "startDate": "2026-01-05", "endDate": "2035-12-31"}
MORE: dict[str, list[dict[str, Any]]] = {
    "collections": [
        {
            "identifier": PRIMARY,
            "name": "Primary Maths",
            "contentType": "Course",
            "children": [
                {
                    "identifier": MATHS,
                    "name": "Class 1 Maths",
                    "contentType": "Course",
                    "children": [{"identifier": leaf, "contentType": "Resource"} for leaf in LEAVES],
                },
                {"identifier": QUADRUPLE, "contentType": "Resource"},
            ],
        }
    ],
    "batches": [
        {**OPEN, "batchId": THIRD, "courseId": MATHS},
        {**OPEN, "batchId": SHORT, "courseId": MATHS, "startDate": "2026-03-01", "endDate": "2026-03-02"},
        {**OPEN, "batchId": XYZ[1], "programId": XYZ[0]},
        {**OPEN, "batchId": WHOLE[1], "programId": WHOLE[0]},
    ],
    "programs": [
        {"programId": XYZ[0], "name": "Program XYZ", "collections": [MATHS]},
        {"programId": WHOLE[0], "name": "The whole of it", "collections": [PRIMARY]},
    ],
}
"""Beside the sample: a third batch and one of two days, a second program with class-1-maths, and a program with a
collection in which class-1-maths is a course, as program-abc has it."""
COPIES = [Mode.COPY_CONTENT, Mode.COPY_COLLECTION]
ROUNDS = 4  # how often a race is run
DAY = 24 * 60  # in minutes
Place = tuple[str, str, str]


@pytest.fixture(autouse=True)
def _instance(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with live.instance_on(store, monkeypatch):
        load(read(json.dumps(MORE)))
        yield
        Batch.objects.filter(pk__in=[one["batchId"] for one in MORE["batches"]]).delete()
        Program.objects.filter(pk__in=[one["programId"] for one in MORE["programs"]]).delete()
        Collection.objects.filter(pk=PRIMARY).delete()


@pytest.fixture
def rahul(learner: Callable[..., str]) -> Learner:
    return Learner(learner())


def carries_by(mode: Mode, rules: RuleSet) -> None:
    live.change_to(mode)
    set_rules(Scope.INSTANCE, "", rules)


def set_rules(scope: Scope, scope_id: str, rules: RuleSet | None) -> None:
    save_rules(scope, scope_id, rules, "alice", timestamps.now())


def join(learner: Learner, program: tuple[str, str]) -> None:
    learner.ask("/v1/program/enroll", programId=program[0], batchId=program[1])


def done_records(user: str) -> list[Provenance]:
    """Without those that the loser of a race has only planned, as may be on Cassandra."""
    return [record for record in get_store().provenance(user) if record.state == "done"]


def copies(user: str) -> dict[Place, Place]:
    """Where something was copied to -> where from, as the records tell it: one for each place, or it fails."""
    told = [(tuple(record.facts["target"]), tuple(record.facts["source"])) for record in done_records(user)]
    assert len(dict(told)) == len(told), "a place has one record"
    return dict(told)


def shown(user: str, context: str, collection: str = MATHS) -> dict[str, bool]:
    """The completed contents of the place, and whether each is a copy."""
    rows = get_store().sources(ContextKey(user, collection, context)).rows
    return {row.key.content_id: row.origin is not None for row in rows if row.status is Status.COMPLETED}


def numbers(learner: Learner, context: str, collection: str = MATHS) -> tuple[int, int, int]:
    found = learner.summary(context, collection)
    return found["status"], found["progress"], found["completionPercentage"]


# --- one after the other ---------------------------------------------------------------------------------------------


def test_a_copy_is_not_copied_even_where_what_it_was_copied_from_may_not_come(rahul: Learner) -> None:
    """Copy collection: what was done alone came into batch-1 after he joined it, and was before he joined class 2."""
    carries_by(Mode.COPY_COLLECTION, ALWAYS)
    user = rahul.user_id
    enrol(user, BATCH, minute=0)
    complete(user, SINGLE, minute=10)
    aggregator.fold_learner(user, at(11))
    enrol(user, CLASS_2_BATCH, CLASS_2, minute=20)
    aggregator.fold_learner(user, at(21))
    assert (shown(user, BATCH), shown(user, CLASS_2_BATCH, CLASS_2)) == ({SINGLE: True}, {})
    assert copies(user) == {(MATHS, BATCH, SINGLE): (SINGLE, SINGLE, SINGLE)}


@pytest.mark.parametrize("mode", COPIES)
def test_of_three_batches_in_a_row_each_is_judged_by_what_he_completed_himself(mode: Mode, rahul: Learner) -> None:
    """Within 3 months of the completion is the second, and not the third, though the copy in the second is young."""
    carries_by(mode, MONTHS)
    user = rahul.user_id
    enrol(user, BATCH, minute=0)
    complete(user, SINGLE, BATCH, minute=10)
    aggregator.fold_learner(user, at(11))
    enrol(user, OTHER, minute=80 * DAY)
    aggregator.fold_learner(user, at(80 * DAY + 1))
    assert shown(user, OTHER) == {SINGLE: True}
    complete(user, DOUBLE, OTHER, minute=81 * DAY)
    enrol(user, THIRD, minute=100 * DAY)
    aggregator.fold_learner(user, at(100 * DAY + 1))
    assert shown(user, BATCH) == {SINGLE: False, DOUBLE: True}
    assert shown(user, OTHER) == {SINGLE: True, DOUBLE: False}
    assert shown(user, THIRD) == {DOUBLE: True}
    assert copies(user) == {
        (MATHS, OTHER, SINGLE): (MATHS, BATCH, SINGLE),
        (MATHS, BATCH, DOUBLE): (MATHS, OTHER, DOUBLE),
        (MATHS, THIRD, DOUBLE): (MATHS, OTHER, DOUBLE),
    }


# --- programs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", COPIES)
def test_what_is_completed_in_one_program_counts_in_the_other_that_has_the_collection(
    mode: Mode, rahul: Learner
) -> None:
    carries_by(mode, ALWAYS)
    join(rahul, ABC)
    rahul.end(SINGLE, ABC[1])
    join(rahul, XYZ)
    rahul.end(DOUBLE, XYZ[1])
    assert numbers(rahul, ABC[1]) == numbers(rahul, XYZ[1]) == (1, 2, 66)
    assert shown(rahul.user_id, ABC[1]) == {SINGLE: False, DOUBLE: True}
    assert shown(rahul.user_id, XYZ[1]) == {SINGLE: True, DOUBLE: False}
    rahul.end(TRIPLE, ABC[1])
    assert numbers(rahul, ABC[1]) == numbers(rahul, XYZ[1]) == (2, 3, 100)
    assert copies(rahul.user_id) == {
        (MATHS, XYZ[1], SINGLE): (MATHS, ABC[1], SINGLE),
        (MATHS, ABC[1], DOUBLE): (MATHS, XYZ[1], DOUBLE),
        (MATHS, XYZ[1], TRIPLE): (MATHS, ABC[1], TRIPLE),
    }


def test_a_program_that_takes_nothing_gives_to_the_other_all_the_same(rahul: Learner) -> None:
    carries_by(Mode.COPY_CONTENT, ALWAYS)
    set_rules(Scope.PROGRAM, XYZ[0], replace(ALWAYS, target=TargetKind.COLLECTION))
    join(rahul, ABC)
    join(rahul, XYZ)
    rahul.end(SINGLE, ABC[1])
    rahul.end(DOUBLE, XYZ[1])
    assert (numbers(rahul, ABC[1]), numbers(rahul, XYZ[1])) == ((1, 2, 66), (1, 1, 33))
    assert copies(rahul.user_id) == {(MATHS, ABC[1], DOUBLE): (MATHS, XYZ[1], DOUBLE)}


@pytest.mark.parametrize("mode", COPIES)
def test_what_is_completed_in_a_program_within_a_program_counts_in_both(mode: Mode, rahul: Learner) -> None:
    carries_by(mode, ALWAYS)
    assert catalogue.hierarchy(PRIMARY).leaves == (*LEAVES, QUADRUPLE)
    join(rahul, WHOLE)
    rahul.end(SINGLE, WHOLE[1], PRIMARY)
    join(rahul, ABC)
    rahul.end(DOUBLE, ABC[1])
    rahul.end(QUADRUPLE, WHOLE[1], PRIMARY)
    assert numbers(rahul, WHOLE[1], PRIMARY) == (1, 3, 75)
    assert numbers(rahul, ABC[1]) == (1, 2, 66)
    assert shown(rahul.user_id, WHOLE[1], PRIMARY) == {SINGLE: False, DOUBLE: True, QUADRUPLE: False}
    assert shown(rahul.user_id, ABC[1]) == {SINGLE: True, DOUBLE: False}
    assert copies(rahul.user_id) == {
        (MATHS, ABC[1], SINGLE): (PRIMARY, WHOLE[1], SINGLE),
        (PRIMARY, WHOLE[1], DOUBLE): (MATHS, ABC[1], DOUBLE),
    }


# --- at the same moment ----------------------------------------------------------------------------------------------


def served(user: str, call: Callable[[Learner], None]) -> Callable[[], None]:
    """A call of the learner's app, and the worker that it wakes."""

    def run() -> None:
        call(Learner(user))
        aggregator.fold_learner(user, timestamps.now())

    return run


RACES: dict[str, tuple[list[Callable[[Learner], None]], list[Callable[[Learner], None]], set[Place]]] = {
    "enrolling while completing": (
        [lambda one: one.end(TRIPLE)],
        [lambda one: one.enrol(BATCH), lambda one: one.end(SINGLE), lambda one: one.end(DOUBLE, OTHER)],
        {(MATHS, BATCH, SINGLE), (MATHS, BATCH, DOUBLE), (MATHS, BATCH, TRIPLE)},
    ),
    "enrolling twice": (
        [lambda one: one.end(SINGLE), lambda one: one.end(DOUBLE, THIRD)],
        [lambda one: one.enrol(BATCH), lambda one: one.enrol(OTHER)],
        {(MATHS, context, content) for context in (BATCH, OTHER) for content in (SINGLE, DOUBLE)},
    ),
    "completing in two places": (
        [lambda one: one.enrol(BATCH), lambda one: one.start(SINGLE, BATCH)],
        [lambda one: one.end(SINGLE), lambda one: one.end(SINGLE, OTHER)],
        {(MATHS, BATCH, SINGLE)},
    ),
}
"""What he did before, what is done at once, and the places that the rules then allow."""


@pytest.mark.parametrize("race", RACES)
def test_at_the_end_each_place_that_may_be_is_complete_once(race: str, learner: Callable[..., str]) -> None:
    carries_by(Mode.COPY_CONTENT, ALWAYS)
    before, at_once, places = RACES[race]
    for _ in range(ROUNDS):
        user = learner()
        for call in before:
            call(Learner(user))
        together(*[served(user, call) for call in at_once])
        aggregator.fold_learner(user, timestamps.now())
        assert set(copies(user)) == places
        rows = get_store().rows([RowKey(user, *place) for place in places])
        assert [row.status for row in rows] == [Status.COMPLETED] * len(places)
        assert {row.origin for row in rows} == {record.id for record in done_records(user)}
        assert not get_store().marks(user)
        assert [key for key, tally in aggregator.recompute(user_id=user, dry_run=True) if tally.saved] == []


# --- told before it happens ------------------------------------------------------------------------------------------

NOW = at(60 * DAY)
BATCHES, PROGRAMS = (BATCH, OTHER, SHORT), (ABC[1], XYZ[1])
CONTENTS = (SINGLE, DOUBLE)
RULES = [
    RuleSet(rules=(Rule(Kind.ONGOING_BATCH),)),
    RuleSet(rules=(Rule(Kind.COMPLETED_WITHIN, "days", 1),)),
    RuleSet(Match.ALL, (Rule(Kind.ONGOING_BATCH), Rule(Kind.WITHIN_CONTEXT)), TargetKind.PROGRAM),
    replace(ALWAYS, target=TargetKind.COLLECTION),
]
Move = tuple[str, str]


@dataclass(frozen=True)
class Act:
    """Something done in a batch or program of the course. kind: enrol, leave, or the verb of a view."""

    kind: str | Verb
    context: str
    content: str = SINGLE
    minute: int = 0


contexts, contents = st.sampled_from([*BATCHES, *PROGRAMS]), st.sampled_from(CONTENTS)
minutes = st.sampled_from([0, 10, 100, DAY, DAY + 100, 4 * DAY])
enrolments = st.builds(Act, st.just("enrol"), contexts, minute=minutes)
views = st.builds(Act, st.sampled_from([Verb.START, Verb.END]), contexts, contents, minutes)
acts = st.tuples(
    st.lists(enrolments, min_size=3, max_size=5, unique_by=lambda one: one.context),
    st.lists(views, min_size=3, max_size=8),
    st.lists(st.builds(Act, st.just("leave"), contexts, minute=st.just(5 * DAY)), max_size=1),
).map(lambda parts: [act for part in parts for act in part])


@dataclass(frozen=True)
class Term:
    """What a learner does before rules are given, whether an operator takes the first move back, and the rules."""

    acts: list[Act]
    rules: RuleSet
    undoes: bool = False


terms = st.builds(Term, acts, st.sampled_from(RULES), st.booleans())
ENROLLED = [Act("enrol", BATCH), Act("enrol", ABC[1], minute=10), Act("enrol", XYZ[1], minute=100)]
DONE = [Act(Verb.END, BATCH), Act(Verb.START, BATCH, DOUBLE), Act(Verb.END, ABC[1], DOUBLE)]


@dataclass
class Mover:
    """A learner whose moves are foretold by what is explained.

    told: context and content -> the records that have to be told there.
    """

    user_id: str
    told: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def do(self, act: Act) -> None:
        key, when = self.key(act.context), at(act.minute)
        stored = get_store().enrolment(key)
        if isinstance(act.kind, Verb):
            get_store().apply(RowKey(*key, act.content), view(act.kind, act.minute, force=True))
        elif stored is not None:
            changed = replace(stored, active=act.kind == "enrol", updated_at=when, version=stored.version + 1)
            assert get_store().save_enrolment(changed, stored.version, when)
        elif act.kind == "enrol":
            assert get_store().save_enrolment(Enrolment(*key, enrolled_date=when, updated_at=when), 0, when)

    def key(self, context: str) -> ContextKey:
        return ContextKey(self.user_id, MATHS, context)

    def fold(self) -> None:
        """A worker comes to every place of his."""
        for context in (*BATCHES, *PROGRAMS):
            get_store().mark(self.key(context), NOW)
        aggregator.fold_learner(self.user_id, NOW)

    def rows(self) -> dict[tuple[str, str], Consumption]:
        """Context and content -> the row."""
        return {(row.key.context_id, row.key.content_id): row for row in get_store().all_rows(self.user_id)}

    def moved(self) -> dict[Move, str]:
        """Program and batch -> the record that is done."""
        records = [one for one in get_store().provenance(self.user_id) if one.action == MOVED]
        assert {one.state for one in records} <= {"done"}
        return {(moves.target_of(one).context_id, moves.source_of(one).context_id): one.id for one in records}

    def explain(self, context: str, content: str = SINGLE) -> dict[str, Any]:
        asked = ReadInput(user_id=self.user_id, collection_id=MATHS, context_id=context, content_id=content)
        return explaining.explain(Caller.operator(), asked, NOW)

    def verdicts(self) -> dict[Move, str]:
        """Program and batch -> what is said of moving between them, which is the same in both places."""
        found: dict[Move, str] = {}
        for context in (*BATCHES, *PROGRAMS):
            for one in self.explain(context)["moves"]:
                pair = (one["target"][1], one["source"][1])
                assert found.setdefault(pair, one["verdict"]) == one["verdict"]
        return found

    def takers(self, taken: set[Move]) -> dict[str, str]:
        """Batch -> the program that gets what it has: the one enrolled in first."""

        def rank(program: str) -> tuple[Any, str]:
            return get_store().enrolment(self.key(program)).enrolled_date, program

        return {batch: min((one for one, of in taken if of == batch), key=rank) for _, batch in taken}


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(terms, min_size=1, max_size=2), st.sampled_from([None, at(10), at(DAY)]))
@example([Term([*ENROLLED, *DONE], RULES[0]), Term([*DONE, Act("enrol", OTHER)], RULES[0], undoes=True)], None)
def test_what_is_said_to_be_moved_is_moved_and_nothing_else(
    learner: Callable[..., str], history: list[Term], since: Any
) -> None:
    live.change_to(Mode.MOVE)
    Instance.objects.update(mode_since=since)
    instance.forget()
    mover = Mover(learner())
    for term in history:
        set_rules(Scope.INSTANCE, "", None)
        for act in term.acts:
            mover.do(act)
        if term.undoes and (known := mover.moved()):
            moves.undo(mover.user_id, known[min(known)], NOW)
        mover.fold()
        set_rules(Scope.INSTANCE, "", term.rules)
        moved_as_told(mover)


def moved_as_told(mover: Mover) -> None:
    """Asks what will be moved, folds, and compares."""
    before, known = mover.rows(), mover.moved()
    taken = {pair for pair, verdict in mover.verdicts().items() if verdict == "taken"}
    takers = mover.takers(taken)
    mover.fold()
    after = mover.rows()
    made = {pair: record for pair, record in mover.moved().items() if pair not in known}
    assert set(made) == taken
    arrivals: set[tuple[str, str]] = set()
    for (context, content), row in before.items():
        if (taker := takers.get(context)) is not None:
            arrivals.add((taker, content))
            arrived = after[taker, content]
            assert (arrived.status, arrived.progress) >= (row.status, row.progress)
            for place in (context, taker):
                mover.told[place, content].add(made[taker, context])
    stayed = {place: row for place, row in before.items() if place not in arrivals and place[0] not in takers}
    assert {place: row for place, row in after.items() if place not in arrivals} == stayed
    assert "taken" not in mover.verdicts().values()
    for context in (*BATCHES, *PROGRAMS):
        for content in CONTENTS:
            found = {one["id"] for one in mover.explain(context, content)["moved"]}
            assert found == mover.told[context, content]
