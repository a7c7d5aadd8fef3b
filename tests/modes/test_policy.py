"""Whose rules an enrolment goes by, and how old they may be."""

import logging
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from common import timestamps
from modes import instance, policy, switching
from modes.carry import Policy
from modes.instance import MAX_AGE_SECONDS, Cached
from modes.keys import Mode
from modes.models import CarryRules, Instance, Scope
from modes.policy import Reader, policy_for
from modes.rules import Kind, Match, Rule, RuleSet, TargetKind
from tests.modes.clocks import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("forgotten")]
ALWAYS = RuleSet(rules=(Rule(Kind.ALWAYS),))
MONTHS = RuleSet(rules=(Rule(Kind.COMPLETED_WITHIN, "months", 3), Rule(Kind.WITHIN_CONTEXT)))
DAYS = RuleSet(Match.ALL, (Rule(Kind.COMPLETED_WITHIN, "days", 30), Rule(Kind.ONGOING_BATCH)), TargetKind.PROGRAM)
PROGRAM, MATHS = "class-1", "class-1-maths"
SOMETIMES = f"The type of rule 1 must be one of: {', '.join(Kind)}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of both the mode and the rules."""
    standing = Clock()
    monkeypatch.setattr(instance, "_cached", Cached(instance.read, standing))
    monkeypatch.setattr(policy, "_cached", Cached(Reader(), standing))
    return standing


def save(scope: Scope, scope_id: str, rules: RuleSet | None) -> CarryRules:
    return switching.save_rules(scope, scope_id, rules, "alice", timestamps.now())


def by_another_process(scope: Scope, scope_id: str, rules: RuleSet) -> None:
    """Writes the row without this process noticing."""
    CarryRules.objects.update_or_create(
        scope=scope,
        scope_id=scope_id,
        defaults={"rules": rules.as_json(), "version": 7, "updated_by": "bob", "updated_at": timestamps.now()},
    )


def rules_for(program_id: str | None, collection_id: str = MATHS) -> tuple[tuple[Rule, ...], int]:
    chosen = policy_for(program_id, collection_id).rules
    return chosen.rules, chosen.version


def test_without_rules_nothing_is_carried() -> None:
    assert policy_for(PROGRAM, MATHS) == Policy(Mode.STRICT, RuleSet(), ZoneInfo("Asia/Kolkata"))


def test_the_zone_and_the_mode_are_the_instances(settings) -> None:
    settings.VIEWER_TIME_ZONE = "America/Chicago"
    Instance.objects.create(pk=Instance.ONLY, mode=Mode.COPY_COLLECTION, epoch=2)
    chosen = policy_for(None, MATHS)
    assert (chosen.mode, chosen.zone) == (Mode.COPY_COLLECTION, ZoneInfo("America/Chicago"))


def test_rules_come_back_as_they_were_saved_with_their_version() -> None:
    save(Scope.INSTANCE, "", ALWAYS)
    save(Scope.INSTANCE, "", DAYS)
    assert policy_for(None, MATHS).rules == RuleSet(DAYS.match, DAYS.rules, DAYS.target, version=2)


@pytest.mark.parametrize(
    ("saved", "program_id", "expected"),
    [
        pytest.param([Scope.INSTANCE], PROGRAM, ALWAYS, id="the instance's where nobody has others"),
        pytest.param([Scope.INSTANCE, Scope.COLLECTION], None, MONTHS, id="a collection's over the instance's"),
        pytest.param([Scope.INSTANCE, Scope.COLLECTION], PROGRAM, MONTHS, id="in a program too"),
        pytest.param([*Scope], PROGRAM, DAYS, id="a program's over both"),
        pytest.param([*Scope], None, MONTHS, id="a program's for its own batches only"),
        pytest.param([*Scope], "class-2", MONTHS, id="a program's not for another"),
        pytest.param([Scope.PROGRAM], None, RuleSet(), id="a program's alone, elsewhere"),
    ],
)
def test_the_narrowest_rules_win(saved: list[Scope], program_id: str | None, expected: RuleSet) -> None:
    places = {
        Scope.INSTANCE: ("", ALWAYS),
        Scope.COLLECTION: (MATHS, MONTHS),
        Scope.PROGRAM: (PROGRAM, DAYS),
    }
    for scope in saved:
        save(scope, *places[scope])
    assert policy_for(program_id, MATHS).rules.rules == expected.rules


def test_a_collections_rules_are_not_anothers() -> None:
    save(Scope.COLLECTION, MATHS, ALWAYS)
    assert rules_for(None, "class-1-english") == ((), 0)


def test_a_program_and_a_collection_of_the_same_id_are_two_places() -> None:
    save(Scope.PROGRAM, MATHS, ALWAYS)
    assert rules_for(None, MATHS) == ((), 0)
    assert rules_for(MATHS, MATHS) == (ALWAYS.rules, 1)


def test_a_place_whose_set_has_no_rule_carries_nothing() -> None:
    save(Scope.INSTANCE, "", ALWAYS)
    save(Scope.COLLECTION, MATHS, RuleSet())
    assert rules_for(None) == ((), 1)


def test_withdrawn_rules_leave_the_place_to_the_wider_ones() -> None:
    save(Scope.INSTANCE, "", ALWAYS)
    save(Scope.COLLECTION, MATHS, MONTHS)
    save(Scope.COLLECTION, MATHS, None)
    assert rules_for(None) == (ALWAYS.rules, 1)
    save(Scope.INSTANCE, "", None)
    assert rules_for(None) == ((), 0)


def test_all_rules_are_read_with_one_query_a_second_however_many_calls(clock: Clock) -> None:
    for number in range(20):
        save(Scope.COLLECTION, f"class-{number}-maths", MONTHS)

    def queries() -> list[str]:
        with CaptureQueriesContext(connections["default"]) as caught:
            for number in range(20):
                assert policy_for(PROGRAM, f"class-{number}-maths").rules.rules == MONTHS.rules
        return [one["sql"].split(' FROM "')[1].split('"')[0] for one in caught]

    both = ["modes_instance", "modes_carryrules"]  # the mode; the rules of all places
    assert sorted(queries()) == sorted(both)
    clock.time += MAX_AGE_SECONDS - 0.001
    assert queries() == []
    clock.time += 0.001
    assert sorted(queries()) == sorted(both)


def test_rules_of_another_process_are_seen_after_a_second(clock: Clock) -> None:
    assert rules_for(None) == ((), 0)
    by_another_process(Scope.INSTANCE, "", MONTHS)
    clock.time += MAX_AGE_SECONDS - 0.001
    assert rules_for(None) == ((), 0)
    clock.time += 0.001
    assert rules_for(None) == (MONTHS.rules, 7)


def test_a_new_mode_never_carries_by_the_rules_of_the_old_one(clock: Clock) -> None:
    save(Scope.INSTANCE, "", ALWAYS)
    Instance.objects.create(pk=Instance.ONLY)
    instance.current()
    clock.time += MAX_AGE_SECONDS / 2
    assert rules_for(None) == (ALWAYS.rules, 1)  # good for half a second more than the mode
    by_another_process(Scope.INSTANCE, "", MONTHS)
    Instance.objects.update(mode=Mode.COPY_CONTENT, epoch=2)
    clock.time += MAX_AGE_SECONDS / 2
    chosen = policy_for(None, MATHS)
    assert (chosen.mode, chosen.rules.rules) == (Mode.COPY_CONTENT, MONTHS.rules)


@pytest.mark.usefixtures("clock")
def test_the_process_that_made_the_change_sees_it_at_once() -> None:
    assert rules_for(None) == ((), 0)
    save(Scope.INSTANCE, "", ALWAYS)
    assert rules_for(None) == (ALWAYS.rules, 1)
    switching.switch(Mode.COPY_CONTENT, MONTHS, "alice", timestamps.now())
    assert policy_for(None, MATHS).mode is Mode.COPY_CONTENT
    assert rules_for(None) == (MONTHS.rules, 2)


def test_rules_that_cannot_be_read_carry_nothing_and_are_logged_once(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    save(Scope.INSTANCE, "", ALWAYS)
    save(Scope.PROGRAM, PROGRAM, MONTHS)
    broken = CarryRules.objects.filter(scope=Scope.PROGRAM)
    broken.update(rules={"rules": [{"type": "sometimes"}]})
    with caplog.at_level(logging.ERROR, "viewer.modes"):
        for _ in range(3):
            clock.time += MAX_AGE_SECONDS
            assert rules_for(PROGRAM) == ((), 1)  # not the instance's, which the program did not want
            assert rules_for(None) == (ALWAYS.rules, 1)
        broken.update(rules="always", version=2)
        clock.time += MAX_AGE_SECONDS
        assert rules_for(PROGRAM) == ((), 2)
    told = [vars(one) for one in caplog.records]
    assert [(one["msg"], one["scope"], one["scope_id"], one["version"], one["error"]) for one in told] == [
        ("carry rules cannot be read", "program", PROGRAM, 1, SOMETIMES),
        ("carry rules cannot be read", "program", PROGRAM, 2, "A rule set must be an object"),
    ]
