"""Which batches give their progress to a program: each reason, each side of each boundary, and what always holds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue.facts import BatchFacts
from common.rows import ContextKey, Enrolment, Provenance
from modes.carry import Policy, Target
from modes.keys import Mode
from modes.move import ASKED_FOR, History, MoveDecision, MoveReason, Source, decide_move, in_order
from modes.rules import Kind, Match, Rule, RuleSet, TargetKind
from modes.switching import switch
from tests.viewer.events import at
from viewer import moves
from viewer.carrying import Learner

KOLKATA, NEW_YORK = ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")
MATHS = "class-1-maths"
ALWAYS, IN_CONTEXT, ONGOING = Rule(Kind.ALWAYS), Rule(Kind.WITHIN_CONTEXT), Rule(Kind.ONGOING_BATCH)
RECENT = Rule(Kind.COMPLETED_WITHIN, "months", 3)
WHOLE_RECENT = Rule(Kind.COLLECTION_COMPLETED_WITHIN, "months", 3)
FIRST, LAST = date(2026, 1, 12), date(2026, 3, 31)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ENROLLED = datetime(2026, 3, 1, 6, tzinfo=UTC)
SAME_INSTANCE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def any_of(*rules: Rule, target: TargetKind = TargetKind.ANY) -> RuleSet:
    return RuleSet(Match.ANY, rules, target)


def all_of(*rules: Rule) -> RuleSet:
    return RuleSet(Match.ALL, rules)


def policy(rules: RuleSet, zone: ZoneInfo = KOLKATA, mode: Mode = Mode.MOVE) -> Policy:
    return Policy(mode, rules, zone)


def batch(
    name: str = "batch-1", program: str | None = None, first: date | None = FIRST, last: date | None = LAST
) -> BatchFacts:
    return BatchFacts(name, None if program else MATHS, program, name, 1, "open", first, last, None, ())


def enrolment(context: str, on: datetime | None, **facts: Any) -> Enrolment:
    return Enrolment("rahul", MATHS, context, enrolled_date=on, **facts)


def program(on: datetime | None = ENROLLED, **facts: Any) -> Target:
    return Target(enrolment("program-batch-1", on, **facts), batch("program-batch-1", "program-1"), ended=False)


def source(joined: datetime | None = ENROLLED - 30 * DAY, of: BatchFacts | None = None, **facts: Any) -> Source:
    known = of or batch()
    held = enrolment(known.batch_id, joined, **facts)
    return Source(held.key, held, known)


TARGET, SOURCE = program(), source()
PAIR = (TARGET.enrolment.key, SOURCE.key)


def decided(
    rules: RuleSet | None = None,
    target: Target = TARGET,
    given: Source = SOURCE,
    history: History | None = None,
    asked: bool = False,
    zone: ZoneInfo = KOLKATA,
    mode: Mode = Mode.MOVE,
) -> MoveDecision:
    return decide_move(policy(rules or any_of(ONGOING), zone, mode), target, given, history or History(), asked=asked)


# --- each reason -----------------------------------------------------------------------------------------------------

REASONS: dict[MoveReason, Callable[[], MoveDecision]] = {
    MoveReason.MODE: lambda: decided(mode=Mode.STRICT),
    MoveReason.NOT_ENROLLED: lambda: decided(target=program(active=False)),
    MoveReason.NO_ACTIVATION: lambda: decided(target=program(None)),
    MoveReason.UNKNOWN_BATCH: lambda: decided(target=replace(TARGET, batch=None)),
    MoveReason.NOT_PROGRAM: lambda: decided(target=replace(TARGET, batch=batch("batch-2"))),
    MoveReason.BATCH_ENDED: lambda: decided(target=replace(TARGET, ended=True)),
    MoveReason.NO_RULES: lambda: decided(RuleSet(Match.ALL)),
    MoveReason.OTHER_TARGET: lambda: decided(any_of(ALWAYS, target=TargetKind.COLLECTION)),
    MoveReason.LEFT: lambda: decided(given=source(active=False)),
    MoveReason.UNKNOWN_SOURCE: lambda: decided(given=replace(SOURCE, batch=None)),
    MoveReason.PROGRAM_SOURCE: lambda: decided(given=source(of=batch("program-batch-2", "program-2"))),
    MoveReason.NOT_ONGOING: lambda: decided(given=source(of=batch(last=date(2026, 2, 28)))),
    MoveReason.UNDONE: lambda: decided(history=History(moved=[PAIR], undone=[PAIR])),
    MoveReason.MOVED: lambda: decided(history=History(moved=[PAIR])),
    MoveReason.ENROLLED_BEFORE: lambda: decided(history=History(since=ENROLLED + DAY)),
    MoveReason.JOINED_LATER: lambda: decided(given=source(ENROLLED + DAY)),
    MoveReason.RULES: lambda: decided(any_of(RECENT)),
    MoveReason.TAKEN: decided,
}


@pytest.mark.parametrize("reason", MoveReason)
def test_each_decision_says_why(reason: MoveReason) -> None:
    decision = REASONS[reason]()
    assert decision.reason is reason
    assert decision.taken == (reason is MoveReason.TAKEN)
    assert decision.target == PAIR[0]


@pytest.mark.parametrize("mode", Mode)
def test_only_the_move_mode_moves(mode: Mode) -> None:
    assert decided(mode=mode).taken == mode.moves


def test_nobody_is_moved_from_where_he_never_enrolled() -> None:
    assert decided(given=Source(SOURCE.key, None, batch())).reason is MoveReason.LEFT


@pytest.mark.parametrize("reason", MoveReason)
def test_an_operator_gets_only_what_is_kept_back_for_him(reason: MoveReason) -> None:
    """Each history and each enrolment above, asked for."""
    asked = {
        MoveReason.UNDONE: decided(history=History(moved=[PAIR], undone=[PAIR]), asked=True),
        MoveReason.MOVED: decided(history=History(moved=[PAIR]), asked=True),
        MoveReason.ENROLLED_BEFORE: decided(history=History(since=ENROLLED + DAY), asked=True),
        MoveReason.JOINED_LATER: decided(given=source(ENROLLED + DAY), asked=True),
        MoveReason.NOT_ONGOING: decided(given=source(of=batch(last=date(2026, 2, 28))), asked=True),
        MoveReason.RULES: decided(any_of(RECENT), asked=True),
        MoveReason.LEFT: decided(given=source(active=False), asked=True),
    }
    if reason in asked:
        assert asked[reason].reason is (MoveReason.TAKEN if reason in ASKED_FOR else reason)
    else:
        assert reason not in ASKED_FOR


def test_what_was_moved_between_others_keeps_nothing_back() -> None:
    other = SOURCE.key._replace(context_id="batch-9")
    elsewhere = [(PAIR[0], other), (other, PAIR[1])]
    assert decided(history=History(moved=elsewhere, undone=elsewhere)).taken


# --- each side of each boundary --------------------------------------------------------------------------------------


def local(zone: ZoneInfo, day: date, hour: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize("zone", [KOLKATA, NEW_YORK], ids=str)
@pytest.mark.parametrize("asked", [False, True])
def test_a_batch_is_under_way_on_its_first_and_last_day_where_the_instance_is(zone: ZoneInfo, asked: bool) -> None:
    begins, ends = local(zone, FIRST), local(zone, LAST + DAY)
    for moment, taken in (
        (begins - SECOND, False),
        (begins, True),
        (begins + DAY, True),
        (ends - SECOND, True),
        (ends, False),
        (ends + DAY, False),
    ):
        decision = decided(any_of(ALWAYS), program(moment), source(moment - 9 * DAY), asked=asked, zone=zone)
        assert decision.reason is (MoveReason.TAKEN if taken else MoveReason.NOT_ONGOING)
        assert decision.evaluated_at == moment


def test_the_same_moment_is_another_day_elsewhere() -> None:
    moment = local(KOLKATA, LAST + DAY, 1)  # 31 March still in New York
    assert not decided(target=program(moment), zone=KOLKATA).taken
    assert decided(target=program(moment), zone=NEW_YORK).taken


def test_what_its_owner_says_of_a_batch_today_was_not_known_then() -> None:
    ended = replace(batch(), status=2)
    assert decided(given=source(of=ended)).taken


@pytest.mark.parametrize("zone", [KOLKATA, NEW_YORK], ids=str)
def test_within_the_days_of_the_program_when_it_was_completed(zone: ZoneInfo) -> None:
    begins, ends = local(zone, FIRST), local(zone, LAST + DAY)
    for moment, taken in ((begins - SECOND, False), (begins, True), (ends - SECOND, True), (ends, False)):
        given = source(completed_on=moment)
        assert decided(any_of(IN_CONTEXT), given=given, zone=zone).taken == taken


@pytest.mark.parametrize("zone", [KOLKATA, NEW_YORK], ids=str)
def test_within_the_days_of_the_program_when_it_is_not_complete_yet(zone: ZoneInfo) -> None:
    """Then the enrolment counts; the old batch is open on both sides."""
    always_open = source(None, batch(first=None, last=None))
    begins, ends = local(zone, FIRST), local(zone, LAST + DAY)
    for moment, taken in ((begins - SECOND, False), (begins, True), (ends - SECOND, True), (ends, False)):
        assert decided(any_of(IN_CONTEXT), program(moment), always_open, zone=zone).taken == taken


@pytest.mark.parametrize(("first", "last"), [(None, LAST), (FIRST, None)])
def test_a_program_without_a_day_has_no_duration(first: date | None, last: date | None) -> None:
    target = replace(TARGET, batch=batch("program-batch-1", "program-1", first, last))
    assert decided(any_of(IN_CONTEXT), target).reason is MoveReason.RULES
    assert decided(any_of(IN_CONTEXT, ONGOING), target).taken


@pytest.mark.parametrize("kind", [Kind.COMPLETED_WITHIN, Kind.COLLECTION_COMPLETED_WITHIN])
@pytest.mark.parametrize("zone", [KOLKATA, NEW_YORK], ids=str)
@pytest.mark.parametrize(
    ("completed", "unit", "value", "full"),
    [
        pytest.param((2026, 1, 15, 10), "months", 1, (2026, 2, 15, 10), id="the same day a month on"),
        pytest.param((2026, 1, 31, 10), "months", 1, (2026, 3, 1, 0), id="into a February without a 31st"),
        pytest.param((2028, 1, 30, 10), "months", 1, (2028, 3, 1, 0), id="into a leap February without a 30th"),
        pytest.param((2027, 11, 29, 10), "months", 3, (2028, 2, 29, 10), id="to a leap day"),
        pytest.param((2028, 2, 29, 10), "months", 12, (2029, 3, 1, 0), id="a year from a leap day"),
        pytest.param((2026, 2, 27, 10), "days", 2, (2026, 3, 1, 10), id="days over the end of a month"),
    ],
)
def test_the_collection_was_completed_within_a_window(
    kind: Kind, zone: ZoneInfo, completed: tuple[int, ...], unit: str, value: int, full: tuple[int, ...]
) -> None:
    done, end = (datetime(*moment, tzinfo=zone).astimezone(UTC) for moment in (completed, full))  # type: ignore[misc, arg-type]
    given = source(None, batch(first=None, last=None), completed_on=done)
    for moment, taken in ((done, True), (end - SECOND, True), (end, False), (end + DAY, False)):
        assert decided(any_of(Rule(kind, unit, value)), program(moment), given, zone=zone).taken == taken


def test_a_window_needs_a_completion() -> None:
    assert [decided(any_of(rule)).reason for rule in (RECENT, WHOLE_RECENT)] == [MoveReason.RULES] * 2


@pytest.mark.parametrize(("ago", "taken"), [(-SECOND, True), (timedelta(0), True), (SECOND, False)])
def test_who_enrolled_with_the_mode_or_after_it_is_moved(ago: timedelta, taken: bool) -> None:
    decision = decided(history=History(since=ENROLLED + ago))
    assert decision.reason is (MoveReason.TAKEN if taken else MoveReason.ENROLLED_BEFORE)


@pytest.mark.parametrize(("later", "taken"), [(-SECOND, True), (timedelta(0), True), (SECOND, False)])
def test_who_joined_the_batch_with_the_program_or_before_it_is_moved(later: timedelta, taken: bool) -> None:
    decision = decided(given=source(ENROLLED + later))
    assert decision.reason is (MoveReason.TAKEN if taken else MoveReason.JOINED_LATER)


def test_a_batch_that_was_joined_later_is_judged_as_of_then() -> None:
    ends = local(KOLKATA, LAST + DAY)
    for joined, reason in ((ends - SECOND, MoveReason.TAKEN), (ends, MoveReason.NOT_ONGOING)):
        decision = decided(given=source(joined), asked=True)
        assert (decision.reason, decision.evaluated_at) == (reason, joined)


def test_a_batch_joined_at_no_known_time_is_judged_as_of_the_program() -> None:
    decision = decided(given=source(None))
    assert (decision.taken, decision.evaluated_at) == (True, ENROLLED)


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        (any_of(ALWAYS), True),
        (any_of(RECENT), False),
        (any_of(RECENT, ONGOING), True),
        (any_of(RECENT, WHOLE_RECENT), False),
        (all_of(ALWAYS), True),
        (all_of(ALWAYS, ONGOING), True),
        (all_of(ALWAYS, RECENT), False),
        (all_of(ALWAYS, ONGOING, IN_CONTEXT), True),
        (any_of(ALWAYS, target=TargetKind.PROGRAM), True),
    ],
)
def test_any_rule_is_enough_or_all_are_needed(rules: RuleSet, taken: bool) -> None:
    decision = decided(rules)
    assert decision.reason is (MoveReason.TAKEN if taken else MoveReason.RULES)
    assert [check.rule for check in decision.checks] == list(rules.rules)


# --- whatever the learner has ----------------------------------------------------------------------------------------


def test_the_program_that_was_enrolled_in_first_comes_first() -> None:
    late, early = enrolment("program-batch-1", ENROLLED), enrolment("program-batch-2", ENROLLED - DAY)
    same = enrolment("program-batch-3", ENROLLED - DAY)
    targets = [Target(one, batch(one.context_id, "program-1"), ended=False) for one in (late, same, early)]
    given = [source(ENROLLED - 9 * DAY, batch(name)) for name in ("batch-2", "batch-1")]
    made = [decided(target=target, given=one) for target in targets for one in given]
    refused = decided(target=replace(targets[2], ended=True))
    ordered = in_order([refused, *made], {one.key: one for one in (late, early, same)})
    assert [(one.target.context_id, one.source.context_id) for one in ordered] == [
        (target, of) for target in (f"program-batch-{number}" for number in (2, 3, 1)) for of in ("batch-1", "batch-2")
    ]


CONTEXTS = ("batch-1", "batch-2", "program-batch-1", "program-batch-2", "unknown")
BATCHES = {
    name: batch(name, "program-1" if name.startswith("program") else None) for name in CONTEXTS if name != "unknown"
}
moments = st.integers(-40, 60).map(lambda days: ENROLLED + timedelta(days=days))
enrolments = st.lists(
    st.builds(
        enrolment,
        st.sampled_from(CONTEXTS),
        st.none() | moments,
        active=st.booleans(),
        completed_on=st.none() | moments,
    ),
    unique_by=lambda one: one.context_id,
)
unrelated = st.lists(
    st.builds(
        Enrolment,
        st.just("rahul"),
        st.sampled_from(["class-2-maths", "class-3-maths"]),
        st.sampled_from(CONTEXTS),
        enrolled_date=moments,
    ),
    unique_by=lambda one: one.key,
)


def moved(target: str, given: str, undone: bool) -> Provenance:
    """A record of a move that was made, or taken back."""
    places = {"target": [MATHS, target], "source": [MATHS, given]}
    return Provenance("rahul", f"{target}:{given}", "moved", "done", at(0), at(1) if undone else None, places)


records = st.lists(
    st.builds(moved, st.sampled_from(CONTEXTS[2:4]), st.sampled_from(CONTEXTS[:2]), st.booleans()),
    unique_by=lambda one: one.id,
)


@pytest.fixture(params=[any_of(ONGOING), all_of(ONGOING, RECENT)], ids=["any", "all"])
def _moving(request: pytest.FixtureRequest, db: None, forgotten: None) -> None:
    """An instance that has moved by these rules since five days before most enrolments."""
    switch(Mode.MOVE, request.param, "test", ENROLLED - 5 * DAY)


def all_decisions(
    held: list[Enrolment], told: list[Provenance], asked: bool = False
) -> dict[tuple[ContextKey, ContextKey], MoveDecision]:
    """What each pair of one learner's contexts in the collection comes to."""
    learner = Learner([], held, told, batches=BATCHES)
    found = moves.decisions(learner, Mode.MOVE, ENROLLED, asked=asked)
    return {(one.target, one.source): one for one in found if one.target.collection_id == MATHS}


@pytest.mark.usefixtures("_moving")
@SAME_INSTANCE
@given(held=enrolments, others=unrelated, told=records, data=st.data())
def test_neither_the_order_nor_other_enrolments_change_a_decision(
    held: list[Enrolment], others: list[Enrolment], told: list[Provenance], data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations([*held, *others]))
    alone, together = all_decisions(held, told), all_decisions(mixed, data.draw(st.permutations(told)))
    assert alone == together
    enrolled = {one.key: one for one in held}
    assert in_order(alone.values(), enrolled) == in_order(together.values(), enrolled)


@pytest.mark.usefixtures("_moving")
@SAME_INSTANCE
@given(held=enrolments, told=records)
def test_asking_only_ever_adds_to_what_is_moved(held: list[Enrolment], told: list[Provenance]) -> None:
    by_itself, asked = all_decisions(held, told), all_decisions(held, told, asked=True)
    for pair, decision in by_itself.items():
        if decision.reason in ASKED_FOR:
            assert asked[pair].reason in {MoveReason.TAKEN, MoveReason.RULES}
        else:
            assert asked[pair] == decision
