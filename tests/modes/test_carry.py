"""Which completions come into an enrolment: the stories of the seeds, each reason, and what holds whatever the data."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.facts import BatchFacts
from common.rows import Consumption, Enrolment, RowKey, Status
from modes.carry import Candidate, Decision, Policy, Reason, Target, candidates_of, decide
from modes.keys import Mode
from modes.rules import Kind, Match, Rule, RuleSet, TargetKind

KOLKATA = ZoneInfo("Asia/Kolkata")
SINGLE, DOUBLE, TRIPLE = "single-digit-addition", "double-digit-addition", "triple-digit-addition"
CLASS_1, CLASS_2, PROGRAM = "class-1-maths", "class-2-maths", "program-1"
ALWAYS, IN_CONTEXT, ONGOING = Rule(Kind.ALWAYS), Rule(Kind.WITHIN_CONTEXT), Rule(Kind.ONGOING_BATCH)
RECENT = Rule(Kind.COMPLETED_WITHIN, "months", 3)
WHOLE_RECENT = Rule(Kind.COLLECTION_COMPLETED_WITHIN, "months", 3)
SEED = RuleSet(Match.ANY, (RECENT, IN_CONTEXT))  # seed: Copy Mode, the business rule assumed


def on(month: int, day: int, hour: int = 12, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=KOLKATA).astimezone(UTC)


def any_of(*rules: Rule, target: TargetKind = TargetKind.ANY) -> RuleSet:
    return RuleSet(Match.ANY, rules, target)


def all_of(*rules: Rule) -> RuleSet:
    return RuleSet(Match.ALL, rules)


def policy(rules: RuleSet = SEED, mode: Mode = Mode.COPY_CONTENT) -> Policy:
    return Policy(mode, rules, KOLKATA)


def done(content: str, at: datetime | None, *place: str, **facts: Any) -> Consumption:
    """A completed row: in (collection, context), or by itself where no place is given."""
    collection, context = place or (content, content)
    key = RowKey("rahul", collection, context, content)
    told = {"last_completed_time": at, "own_completed_time": at, **facts}
    return Consumption(key, Status.COMPLETED, 100, at, on(12, 31), **told)


def batch(first: date | None, last: date | None, name: str = "batch-1", program: str | None = None) -> BatchFacts:
    owner = None if program else CLASS_1
    return BatchFacts(name, owner, program, name, None, "open", first, last, None, ())


def target(activated: datetime | None, of: BatchFacts | None, collection: str = CLASS_1, **facts: Any) -> Target:
    context = of.batch_id if of else collection
    enrolment = Enrolment("rahul", collection, context, enrolled_date=activated, **facts)
    return Target(enrolment, of, ended=False)


def source(decision: Decision) -> RowKey | None:
    return decision.taken.candidate.row.key if decision.taken else None


def reasons(decision: Decision) -> list[Reason]:
    return [judgement.reason for judgement in decision.judgements]


# --- the stories -----------------------------------------------------------------------------------------------------

BATCH_1 = batch(date(2026, 1, 12), date(2026, 1, 31))
BATCH_2 = batch(date(2026, 2, 1), date(2026, 12, 31), "batch-2")
IN_BATCH_1 = target(on(1, 15), BATCH_1)
IN_CLASS_2 = target(on(1, 20), BATCH_1, CLASS_2)
SINGLE_ALONE = done(SINGLE, on(1, 10))
DOUBLE_IN_CLASS_1 = done(DOUBLE, on(1, 16), CLASS_1, "batch-1")
TRIPLE_ALONE = done(TRIPLE, on(1, 25))
HISTORY = [SINGLE_ALONE, DOUBLE_IN_CLASS_1, TRIPLE_ALONE]


def told(mode: Mode, place: Target, content: str) -> Decision:
    """What Rahul's history brings to this content of this enrolment."""
    own = next((row for row in HISTORY if row.key == RowKey(*place.enrolment.key, content)), None)
    found = [Candidate(row) for row in candidates_of(place.enrolment, HISTORY).get(content, [])]
    return decide(policy(mode=mode), place, content, own, found)


@pytest.mark.parametrize(
    ("place", "content", "came_from"),
    [
        pytest.param(IN_BATCH_1, SINGLE, SINGLE_ALONE, id="1 done alone before he joined"),
        pytest.param(target(None, None, SINGLE), SINGLE, None, id="2 by itself it is his own"),
        pytest.param(target(on(2, 10), BATCH_2), SINGLE, SINGLE_ALONE, id="3 rejoined after a month"),
        pytest.param(target(on(4, 10), BATCH_2), SINGLE, None, id="4 rejoined after three months"),
        pytest.param(target(on(1, 20), None, DOUBLE), DOUBLE, None, id="5 nothing is carried out of a course"),
        pytest.param(IN_BATCH_1, TRIPLE, TRIPLE_ALONE, id="6 done alone after he joined"),
    ],
)
def test_the_story_of_copy_content(place: Target, content: str, came_from: Consumption | None) -> None:
    assert source(told(Mode.COPY_CONTENT, place, content)) == (came_from.key if came_from else None)


@pytest.mark.parametrize(
    ("place", "content", "came_from"),
    [
        pytest.param(IN_BATCH_1, SINGLE, None, id="1 done alone before he joined"),
        pytest.param(target(None, None, SINGLE), SINGLE, None, id="2 by itself it is his own"),
        pytest.param(target(on(2, 16), BATCH_2), DOUBLE, DOUBLE_IN_CLASS_1, id="3 rejoined after a month"),
        pytest.param(target(on(4, 16), BATCH_2), DOUBLE, None, id="4 rejoined after three months"),
        pytest.param(target(on(1, 20), None, DOUBLE), DOUBLE, None, id="5 nothing is carried out of a course"),
        pytest.param(IN_BATCH_1, TRIPLE, TRIPLE_ALONE, id="6 done alone after he joined"),
        pytest.param(IN_CLASS_2, DOUBLE, DOUBLE_IN_CLASS_1, id="7 done in another course"),
        pytest.param(IN_CLASS_2, SINGLE, None, id="entry: not in class 2 either"),
    ],
)
def test_the_story_of_copy_collection(place: Target, content: str, came_from: Consumption | None) -> None:
    assert source(told(Mode.COPY_COLLECTION, place, content)) == (came_from.key if came_from else None)


def test_what_was_done_alone_counts_from_the_moment_of_joining() -> None:
    joined = on(1, 15)
    for moment, reason in [(joined - timedelta(milliseconds=1), Reason.ORGANIC_BEFORE), (joined, Reason.TAKEN)]:
        decision = decide(
            policy(mode=Mode.COPY_COLLECTION), IN_BATCH_1, SINGLE, None, [Candidate(done(SINGLE, moment))]
        )
        assert reasons(decision) == [reason]


def test_a_course_seen_without_a_batch_is_a_course_all_the_same() -> None:
    alone = Candidate(done(SINGLE, on(1, 10), CLASS_2, CLASS_2))
    assert decide(policy(mode=Mode.COPY_COLLECTION), IN_BATCH_1, SINGLE, None, [alone]).taken


# --- each reason -----------------------------------------------------------------------------------------------------

PLACE = target(on(2, 1), BATCH_2)
OWN = done(SINGLE, on(2, 3), CLASS_1, "batch-2")
CARRIED = replace(OWN, own_completed_time=None, origin="record-1", view_count=0)
GOOD = Candidate(SINGLE_ALONE)
TO_PROGRAMS, TO_COLLECTIONS = any_of(ALWAYS, target=TargetKind.PROGRAM), any_of(ALWAYS, target=TargetKind.COLLECTION)


def asked(
    rules: RuleSet = SEED,
    mode: Mode = Mode.COPY_CONTENT,
    place: Target = PLACE,
    own: Consumption | None = None,
    undone: Iterable[RowKey] = (),
    candidates: Iterable[Candidate] = (GOOD,),
) -> Decision:
    return decide(policy(rules, mode), place, SINGLE, own, candidates, set(undone))


REFUSED: dict[Reason, Callable[[], Decision]] = {
    Reason.MODE: lambda: asked(mode=Mode.STRICT),
    Reason.NOT_ENROLLED: lambda: asked(place=target(on(2, 1), BATCH_2, active=False)),
    Reason.NO_ACTIVATION: lambda: asked(place=target(None, BATCH_2)),
    Reason.UNKNOWN_BATCH: lambda: asked(place=target(on(2, 1), None)),
    Reason.BATCH_ENDED: lambda: asked(place=replace(PLACE, ended=True)),
    Reason.OWN_COMPLETION: lambda: asked(own=OWN),
    Reason.CARRIED: lambda: asked(own=CARRIED),
    Reason.UNDONE: lambda: asked(undone=[OWN.key]),
    Reason.NO_RULES: lambda: asked(rules=RuleSet(Match.ALL)),
    Reason.OTHER_TARGET: lambda: asked(rules=TO_PROGRAMS),
}
JUDGED: dict[Reason, Callable[[], Decision]] = {
    Reason.NO_TIME: lambda: asked(rules=any_of(ALWAYS), candidates=[Candidate(done(SINGLE, None))]),
    Reason.ORGANIC_BEFORE: lambda: asked(mode=Mode.COPY_COLLECTION),
    Reason.RULES: lambda: asked(candidates=[Candidate(done(SINGLE, on(10, 1, year=2025)))]),
    Reason.TAKEN: asked,
    Reason.NOT_FIRST: lambda: asked(candidates=[GOOD, Candidate(done(SINGLE, on(1, 11), CLASS_2, "batch-1"))]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_place_that_may_not_receive_receives_nothing_and_says_why(reason: Reason) -> None:
    decision = REFUSED[reason]()
    assert (decision.refusal, decision.taken) == (reason, None)
    assert [judgement.candidate for judgement in decision.judgements] == [GOOD]


@pytest.mark.parametrize("reason", JUDGED)
def test_each_candidate_is_told_what_became_of_it(reason: Reason) -> None:
    decision = JUDGED[reason]()
    assert decision.refusal is None
    assert reasons(decision)[-1] is reason


def test_there_is_no_reason_but_these() -> None:
    assert {*REFUSED, *JUDGED} == set(Reason)


@pytest.mark.parametrize("mode", Mode)
def test_only_the_copy_modes_carry(mode: Mode) -> None:
    in_course = Candidate(done(SINGLE, on(1, 10), CLASS_2, "batch-1"))
    assert (asked(mode=mode, candidates=[in_course]).taken is not None) == mode.copies


def test_the_first_refusal_is_the_one_that_is_told() -> None:
    place = replace(target(None, None, active=False), ended=True)
    assert asked(RuleSet(), Mode.STRICT, place, OWN, [OWN.key]).refusal is Reason.MODE
    assert asked(RuleSet(), place=place, own=OWN, undone=[OWN.key]).refusal is Reason.NOT_ENROLLED
    assert asked(RuleSet(), own=OWN, undone=[OWN.key]).refusal is Reason.OWN_COMPLETION


def test_an_own_row_in_progress_may_be_completed() -> None:
    begun = replace(OWN, status=Status.IN_PROGRESS, progress=40, last_completed_time=None, own_completed_time=None)
    assert source(asked(own=begun)) == SINGLE_ALONE.key


def test_what_was_undone_elsewhere_is_no_refusal_here() -> None:
    assert asked(undone=[OWN.key._replace(content_id=DOUBLE), SINGLE_ALONE.key]).taken


def test_nothing_to_carry_is_a_decision_too() -> None:
    decision = asked(candidates=[])
    assert (decision.key, decision.refusal, decision.taken, decision.judgements) == (OWN.key, None, None, ())


# --- rules -----------------------------------------------------------------------------------------------------------

YES, NO = ALWAYS, ONGOING  # of something done by itself


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        (any_of(YES), True),
        (any_of(NO), False),
        (any_of(NO, YES), True),
        (any_of(NO, WHOLE_RECENT), False),
        (all_of(YES), True),
        (all_of(YES, RECENT), True),
        (all_of(YES, NO), False),
        (all_of(NO, YES, RECENT), False),
    ],
)
def test_any_rule_is_enough_or_all_are_needed(rules: RuleSet, taken: bool) -> None:
    decision = asked(rules)
    assert (decision.taken is not None) == taken
    assert [check.rule for check in decision.judgements[0].checks] == list(rules.rules)


@pytest.mark.parametrize(
    ("rules", "program", "collection"),
    [(any_of(ALWAYS), True, True), (TO_PROGRAMS, True, False), (TO_COLLECTIONS, False, True)],
)
def test_a_set_is_for_programs_or_for_collections_or_for_both(rules: RuleSet, program: bool, collection: bool) -> None:
    in_program = target(on(2, 1), batch(None, None, "program-batch-1", PROGRAM))
    assert (asked(rules, place=in_program).taken is not None) == program
    assert (asked(rules, place=PLACE).taken is not None) == collection


@pytest.mark.parametrize(("first", "last"), [(None, None), (date(2026, 1, 1), None), (None, date(2026, 3, 1))])
def test_a_day_that_is_missing_fails_the_rule_that_needs_it_and_no_other(first: date | None, last: date | None) -> None:
    place = target(on(2, 1), batch(first, last, "batch-2"))
    holds = {check.rule: check.holds for check in asked(SEED, place=place).judgements[0].checks}
    assert holds == {RECENT: True, IN_CONTEXT: False}
    assert asked(SEED, place=place).taken
    assert not asked(all_of(*SEED.rules), place=place).taken


def test_within_the_days_of_the_batch_however_long_ago() -> None:
    place = target(on(11, 1), BATCH_2)
    first, before = Candidate(done(SINGLE, on(2, 1, 0))), Candidate(done(SINGLE, on(1, 31, 23)))
    assert asked(any_of(IN_CONTEXT), place=place, candidates=[first]).taken
    assert not asked(any_of(IN_CONTEXT), place=place, candidates=[before]).taken


def in_class_2(at: datetime, whole: datetime | None = None, of: BatchFacts | None = None) -> Candidate:
    row = done(SINGLE, at, CLASS_2, "batch-1")
    return Candidate(row, Enrolment(*row.key.context, enrolled_date=on(1, 1), completed_on=whole), of)


@pytest.mark.parametrize(
    ("whole", "holds"),
    [(None, False), (on(11, 1, 11, 2025), False), (on(11, 1, 12, 2025), False), (on(11, 1, 13, 2025), True)],
)
def test_it_is_the_completion_of_the_whole_collection_that_is_within(whole: datetime | None, holds: bool) -> None:
    decision = asked(any_of(WHOLE_RECENT), candidates=[in_class_2(on(10, 1, year=2025), whole)])
    assert (decision.taken is not None) == holds


def test_what_was_done_by_itself_was_in_no_collection_that_was_completed() -> None:
    assert reasons(asked(any_of(WHOLE_RECENT))) == [Reason.RULES]


@pytest.mark.parametrize(
    ("of", "holds"),
    [
        pytest.param(batch(date(2026, 1, 1), date(2026, 2, 1)), True, id="its last day is the day of joining"),
        pytest.param(batch(date(2026, 1, 1), date(2026, 1, 31)), False, id="over the day before"),
        pytest.param(batch(date(2026, 1, 1), None), True, id="without an end"),
        pytest.param(replace(batch(date(2026, 1, 1), date(2026, 3, 1)), status=2), True, id="ended by hand since"),
        pytest.param(None, False, id="unknown"),
    ],
)
def test_a_batch_is_ongoing_by_its_days_when_it_is_judged(of: BatchFacts | None, holds: bool) -> None:
    decision = asked(any_of(ONGOING), candidates=[in_class_2(on(1, 10), of=of)])
    assert (decision.taken is not None) == holds


# --- when ------------------------------------------------------------------------------------------------------------


def test_what_came_before_joining_is_judged_as_of_joining_and_what_came_after_as_of_itself() -> None:
    before, after = Candidate(done(SINGLE, on(1, 10))), in_class_2(on(5, 5))
    decision = asked(candidates=[before, after])
    assert [(one.candidate, one.evaluated_at) for one in decision.judgements] == [(before, on(2, 1)), (after, on(5, 5))]


def test_what_was_fresh_when_it_was_done_stays_fresh() -> None:
    years_later = Candidate(done(SINGLE, on(2, 1, year=2029)))
    assert asked(any_of(RECENT), candidates=[years_later]).taken


def test_the_window_of_a_completion_before_joining_ends_with_the_third_month() -> None:
    joined = on(2, 1)
    for completed, reason in [(on(11, 1, year=2025), Reason.RULES), (on(11, 1, 13, 2025), Reason.TAKEN)]:
        decision = asked(any_of(RECENT), candidates=[Candidate(done(SINGLE, completed))])
        assert reasons(decision) == [reason]
        assert decision.judgements[0].evaluated_at == joined


def test_the_first_that_passes_is_taken_and_what_fails_before_it_is_not() -> None:
    too_old, first = Candidate(done(SINGLE, on(8, 1, year=2025))), in_class_2(on(1, 5))
    second = Candidate(done(SINGLE, on(1, 6), "class-3-maths", "batch-1"))
    decision = asked(any_of(RECENT), candidates=[second, first, too_old])
    assert [one.candidate for one in decision.judgements] == [too_old, first, second]
    assert reasons(decision) == [Reason.RULES, Reason.TAKEN, Reason.NOT_FIRST]


def test_of_two_at_the_same_moment_it_is_always_the_same() -> None:
    one, other = (Candidate(done(SINGLE, on(1, 5), CLASS_2, name)) for name in ("batch-1", "batch-2"))
    assert source(asked(candidates=[one, other])) == source(asked(candidates=[other, one])) == one.row.key


def test_the_same_candidate_twice_is_taken_once() -> None:
    assert reasons(asked(candidates=[GOOD, GOOD])) == [Reason.TAKEN, Reason.NOT_FIRST]


def test_a_completion_of_his_own_counts_as_of_itself_whatever_was_carried_there_before_it() -> None:
    """Else the answer would depend on whether the carry came before he completed it."""
    row = done(SINGLE, on(3, 1, year=2025), CLASS_2, "batch-1", own_completed_time=on(1, 10))
    assert reasons(asked(any_of(RECENT), candidates=[Candidate(row)])) == [Reason.TAKEN]


def test_an_imported_completion_without_an_own_time_counts_as_of_the_time_it_has() -> None:
    imported = Candidate(done(SINGLE, on(1, 10), own_completed_time=None))
    assert asked(candidates=[imported]).taken


def test_a_collection_completed_later_does_not_overtake_what_could_come_before() -> None:
    waits = in_class_2(on(1, 5), whole=on(9, 1))
    soon = Candidate(done(SINGLE, on(3, 1), "class-3-maths", "batch-1"))
    soon = replace(soon, enrolment=Enrolment(*soon.row.key.context, completed_on=on(3, 1)))
    decision = asked(any_of(WHOLE_RECENT), candidates=[waits, soon])
    assert reasons(decision) == [Reason.NOT_FIRST, Reason.TAKEN]
    either = asked(any_of(RECENT, WHOLE_RECENT), candidates=[waits, soon])
    assert reasons(either) == [Reason.TAKEN, Reason.NOT_FIRST]  # it need not wait


# --- candidates ------------------------------------------------------------------------------------------------------


def test_candidates_are_the_learners_own_completions_outside_the_context() -> None:
    elsewhere, alone = done(SINGLE, on(1, 5), CLASS_2, "batch-1"), done(SINGLE, on(1, 6))
    same_course = done(DOUBLE, None, CLASS_1, "batch-1")
    here = done(SINGLE, on(1, 7), CLASS_1, "batch-2")
    copied = done(SINGLE, on(1, 8), CLASS_2, "batch-3", own_completed_time=None, origin="record-1")
    begun = replace(done(TRIPLE, None), status=Status.IN_PROGRESS)
    found = candidates_of(PLACE.enrolment, [elsewhere, alone, same_course, here, copied, begun])
    assert found == {SINGLE: [elsewhere, alone], DOUBLE: [same_course]}


# --- whatever the data -----------------------------------------------------------------------------------------------

JOINED = on(2, 1)
near = st.integers(-400 * 24, 400 * 24).map(lambda hours: JOINED + timedelta(hours=hours))
few = st.sampled_from([JOINED + timedelta(days=days) for days in (-100, -20, -1, 0, 1, 20, 100)])
moments = near | few
spans = st.sampled_from([("days", 1), ("days", 30), ("months", 1), ("months", 3), ("months", 12)])
rules_of_any_kind = st.sampled_from([ALWAYS, IN_CONTEXT, ONGOING]) | st.builds(
    lambda kind, span: Rule(kind, *span),
    st.sampled_from([Kind.COMPLETED_WITHIN, Kind.COLLECTION_COMPLETED_WITHIN]),
    spans,
)
rule_sets = st.builds(
    RuleSet,
    st.sampled_from(Match),
    st.lists(rules_of_any_kind, unique=True, min_size=1, max_size=4).map(tuple),
    st.just(TargetKind.ANY),
)
days = st.none() | few.map(lambda moment: moment.astimezone(KOLKATA).date())
batches = st.builds(batch, days, days, st.just("batch-2"), st.none() | st.just(PROGRAM))
policies = st.builds(policy, rule_sets, st.sampled_from([Mode.COPY_CONTENT, Mode.COPY_COLLECTION]))


def candidate(place: int, at: datetime | None, whole: datetime | None, of: BatchFacts | None) -> Candidate:
    """The learner's row of the place with this number: 0 is the content by itself."""
    if place == 0:
        return Candidate(done(SINGLE, at))
    row = done(SINGLE, at, f"class-{place}", "batch-1")
    return Candidate(row, Enrolment(*row.key.context, completed_on=whole), of)


some_candidates = st.lists(
    st.tuples(st.integers(0, 6), st.none() | moments, st.none() | moments, st.none() | batches),
    unique_by=lambda told: told[0],
    max_size=6,
).map(lambda told: [candidate(*one) for one in told])
places = batches.map(lambda of: target(JOINED, of))


def known_at(moment: datetime, candidates: Iterable[Candidate]) -> list[Candidate]:
    """What could be known of them at that time: a completion that is to come is not."""
    known = []
    for one in candidates:
        if one.completed is None or one.completed <= moment:
            whole = one.enrolment.completed_on if one.enrolment else None
            if one.enrolment and whole and whole > moment:
                known.append(replace(one, enrolment=replace(one.enrolment, completed_on=None)))
            else:
                known.append(one)
    return known


@given(policies, places, some_candidates)
def test_deciding_after_each_completion_or_once_at_the_end_carries_the_same(
    chosen: Policy, place: Target, candidates: list[Candidate]
) -> None:
    happened = {moment for one in candidates for moment in (one.completed, one.collection_completed) if moment}
    runs = [JOINED, *sorted(moment for moment in happened if moment > JOINED)]
    as_it_happened = (decide(chosen, place, SINGLE, None, known_at(moment, candidates)) for moment in runs)
    first = next((source(decision) for decision in as_it_happened if decision.taken), None)
    assert first == source(decide(chosen, place, SINGLE, None, candidates))


@given(policies, places, some_candidates, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_changes_nothing(
    chosen: Policy, place: Target, candidates: list[Candidate], random: Any
) -> None:
    shuffled = random.sample(candidates, len(candidates))
    assert decide(chosen, place, SINGLE, None, shuffled) == decide(chosen, place, SINGLE, None, candidates)


@given(policies, places, some_candidates)
def test_every_candidate_is_judged_once_and_one_is_taken_if_any_passes(
    chosen: Policy, place: Target, candidates: list[Candidate]
) -> None:
    decision = decide(chosen, place, SINGLE, None, candidates)
    assert {one.candidate.row.key for one in decision.judgements} == {one.row.key for one in candidates}
    assert len(decision.judgements) == len(candidates)
    passing = [one for one in decision.judgements if one.reason in {Reason.TAKEN, Reason.NOT_FIRST}]
    assert [one.reason for one in decision.judgements].count(Reason.TAKEN) == min(1, len(passing))
    assert {one.candidate.row.key for one in passing} == alone(chosen, place, candidates)


def alone(chosen: Policy, place: Target, candidates: Iterable[Candidate]) -> set[RowKey]:
    """Those that would be taken if there were no other."""
    return {one.row.key for one in candidates if decide(chosen, place, SINGLE, None, [one]).taken}


@st.composite
def tightened(draw: st.DrawFn) -> tuple[RuleSet, RuleSet]:
    """A set, and one that asks strictly more."""
    loose = draw(rule_sets)
    place = draw(st.integers(0, len(loose.rules) - 1))
    rule = loose.rules[place]
    others = loose.rules[:place] + loose.rules[place + 1 :]
    ways = [
        replace(loose, target=TargetKind.PROGRAM),
        replace(loose, target=TargetKind.COLLECTION),
        replace(loose, match=Match.ALL),
        replace(loose, rules=others)
        if loose.match is Match.ANY
        else replace(loose, rules=(*loose.rules, draw(rules_of_any_kind))),
    ]
    if rule.value is not None and rule.value > 1:
        shorter = replace(rule, value=draw(st.integers(1, rule.value - 1)))
        ways.append(replace(loose, rules=(*loose.rules[:place], shorter, *loose.rules[place + 1 :])))
    return loose, draw(st.sampled_from(ways))


@given(tightened(), st.sampled_from([Mode.COPY_CONTENT, Mode.COPY_COLLECTION]), places, some_candidates)
def test_rules_that_ask_more_never_carry_more(
    sets: tuple[RuleSet, RuleSet], mode: Mode, place: Target, candidates: list[Candidate]
) -> None:
    loose, tight = (alone(policy(rules, mode), place, candidates) for rules in sets)
    assert tight <= loose
