"""Changing the mode and the rules: each change under a number of its own, on both databases and with real threads."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from django.core.exceptions import ValidationError
from django.db import connections, transaction

from modes import instance, policy
from modes.keys import Mode
from modes.models import CarryRules, Instance, ModeChange, Scope
from modes.rules import Kind, Rule, RuleSet
from modes.switching import save_rules, switch

ResultT = TypeVar("ResultT")
NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ALWAYS = RuleSet(rules=(Rule(Kind.ALWAYS),))
MONTHS = RuleSet(rules=(Rule(Kind.COMPLETED_WITHIN, "months", 3),))
UNEXPLAINABLE = RuleSet(rules=(Rule(Kind.ALWAYS), Rule(Kind.ONGOING_BATCH)))


class OneDatabase:
    """Sends every query to one database."""

    def __init__(self, using: str) -> None:
        self.using = using

    def db_for_read(self, model: object, **hints: object) -> str:
        return self.using

    db_for_write = db_for_read


@pytest.fixture(params=("default", "postgres"), ids=("sqlite", "postgres"), autouse=True)
def using(request: pytest.FixtureRequest, _databases: None, settings) -> Iterator[str]:
    """Each database, as this process's own; what is committed here is taken away again."""
    settings.DATABASE_ROUTERS = [OneDatabase(request.param)]
    _clear()
    yield request.param
    _clear()


def _clear() -> None:
    for model in (Instance, CarryRules, ModeChange):
        model.objects.all().delete()
    policy.forget()


def stored_rules(scope: str = Scope.INSTANCE, scope_id: str = "") -> tuple[object, int, str, datetime]:
    row = CarryRules.objects.get(scope=scope, scope_id=scope_id)
    return row.rules, row.version, row.updated_by, row.updated_at


def in_threads(*work: Callable[[], ResultT]) -> list[ResultT]:
    """What each gave; all begin together, each on a connection of its own."""
    together = threading.Barrier(len(work), timeout=20)

    def run(one: Callable[[], ResultT]) -> ResultT:
        together.wait()
        try:
            return one()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def test_a_switch_sets_the_mode_the_rules_and_the_audit_row() -> None:
    done = switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW, note="new school year")
    row = Instance.objects.get()
    assert (row.pk, row.mode, row.epoch) == (Instance.ONLY, "copy_content", 2)
    assert stored_rules() == (MONTHS.as_json(), 1, "alice", NOW)
    audit = ModeChange.objects.get()
    assert audit == done
    assert (audit.from_mode, audit.to_mode, audit.epoch, audit.rules) == ("strict", "copy_content", 2, MONTHS.as_json())
    assert (audit.changed_by, audit.changed_at, audit.note) == ("alice", NOW, "new school year")


def test_the_process_that_switched_sees_it_at_once() -> None:
    assert policy.policy_for(None, "class-1-maths").mode is Mode.STRICT
    switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
    assert (instance.current().mode, instance.current().epoch) == (Mode.COPY_CONTENT, 2)
    chosen = policy.policy_for(None, "class-1-maths")
    assert (chosen.mode, chosen.rules.rules, chosen.rules.version) == (Mode.COPY_CONTENT, MONTHS.rules, 1)


def test_a_switch_leaves_the_other_switches_alone() -> None:
    Instance.objects.create(pk=Instance.ONLY, force_view_end=True, epoch=5)
    switch(Mode.MOVE, None, "alice", NOW)
    row = Instance.objects.get()
    assert (row.mode, row.epoch, row.force_view_end) == ("move", 6, True)


def test_without_rules_they_stay_as_they_were() -> None:
    switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
    switch(Mode.COPY_COLLECTION, None, "bob", LATER)
    assert stored_rules() == (MONTHS.as_json(), 1, "alice", NOW)
    assert [one.rules for one in ModeChange.objects.all()] == [None, MONTHS.as_json()]


def test_the_same_rules_with_another_mode_keep_their_version() -> None:
    switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
    switch(Mode.COPY_COLLECTION, MONTHS, "bob", LATER)
    assert stored_rules() == (MONTHS.as_json(), 1, "alice", NOW)


def test_other_rules_in_the_same_mode_are_a_change() -> None:
    switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
    done = switch(Mode.COPY_CONTENT, ALWAYS, "bob", LATER)
    assert done is not None
    assert (done.from_mode, done.to_mode, done.epoch) == ("copy_content", "copy_content", 3)
    assert stored_rules() == (ALWAYS.as_json(), 2, "bob", LATER)


@pytest.mark.parametrize("again", [None, MONTHS], ids=["no rules", "the same rules"])
def test_what_holds_already_changes_nothing(again: RuleSet | None) -> None:
    switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
    assert switch(Mode.COPY_CONTENT, again, "bob", LATER) is None
    assert Instance.objects.get().epoch == 2
    assert ModeChange.objects.count() == 1
    assert stored_rules() == (MONTHS.as_json(), 1, "alice", NOW)


def test_no_rules_where_none_are_is_no_change() -> None:
    assert switch(Mode.STRICT, RuleSet(), "alice", NOW) is None
    assert not ModeChange.objects.exists()
    assert not CarryRules.objects.exists()


def test_a_switch_that_fails_leaves_everything_as_it_was() -> None:
    switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
    with pytest.raises(ValidationError, match="meaningless"):
        switch(Mode.MOVE, UNEXPLAINABLE, "bob", LATER)
    row = Instance.objects.get()
    assert (row.mode, row.epoch) == ("copy_content", 2)
    assert stored_rules() == (MONTHS.as_json(), 1, "alice", NOW)
    assert ModeChange.objects.count() == 1


@pytest.mark.parametrize("exists", [True, False], ids=["there is a row", "the first of all"])
def test_two_switches_at_once_are_two_changes(exists: bool) -> None:
    if exists:
        Instance.objects.create(pk=Instance.ONLY)
    done = in_threads(
        lambda: switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW), lambda: switch(Mode.MOVE, ALWAYS, "bob", LATER)
    )
    assert all(isinstance(one, ModeChange) for one in done)
    second, first = ModeChange.objects.all()
    assert (first.epoch, second.epoch) == (2, 3)
    assert (first.from_mode, second.from_mode) == ("strict", first.to_mode)
    row = Instance.objects.get()
    assert (row.mode, row.epoch) == (second.to_mode, 3)
    rules, version, by, _ = stored_rules()
    assert (rules, version, by) == (second.rules, 2, second.changed_by)


def test_of_eight_who_switch_to_the_same_one_does() -> None:
    done = in_threads(*[lambda: switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)] * 8)
    assert sum(one is not None for one in done) == 1
    assert Instance.objects.get().epoch == 2
    assert ModeChange.objects.count() == 1


def test_eight_who_save_other_rules_at_once_are_eight_versions() -> None:
    sets = [RuleSet(rules=(Rule(Kind.COMPLETED_WITHIN, "days", days),)) for days in range(1, 9)]
    saved = in_threads(
        *[lambda given=given: save_rules(Scope.PROGRAM, "class-1", given, "alice", NOW).version for given in sets]
    )
    assert sorted(saved) == list(range(1, 9))
    assert stored_rules(Scope.PROGRAM, "class-1")[1] == 8


@pytest.mark.parametrize(
    ("rules", "version"),
    [
        pytest.param(MONTHS, 1, id="the same"),
        pytest.param(RuleSet(rules=MONTHS.rules, version=9), 1, id="the same, whatever version they say"),
        pytest.param(ALWAYS, 2, id="others"),
        pytest.param(RuleSet(), 2, id="a set without a rule"),
        pytest.param(None, 2, id="withdrawn"),
    ],
)
def test_a_version_is_counted_for_each_change_and_only_then(rules: RuleSet | None, version: int) -> None:
    place = (Scope.COLLECTION, "class-1-maths")
    save_rules(*place, MONTHS, "alice", NOW)
    save_rules(*place, rules, "bob", LATER)
    who_and_when = ("alice", NOW) if version == 1 else ("bob", LATER)
    assert stored_rules(*place) == (None if rules is None else rules.as_json(), version, *who_and_when)


def test_rules_that_come_back_go_on_counting() -> None:
    for rules in (MONTHS, None, MONTHS):
        save_rules(Scope.COLLECTION, "class-1-maths", rules, "alice", NOW)
    assert stored_rules(Scope.COLLECTION, "class-1-maths")[:2] == (MONTHS.as_json(), 3)


def test_a_set_without_a_rule_is_stored_for_a_place() -> None:
    save_rules(Scope.COLLECTION, "class-1-maths", RuleSet(), "alice", NOW)
    assert stored_rules(Scope.COLLECTION, "class-1-maths")[:2] == (RuleSet().as_json(), 1)


@pytest.mark.parametrize(
    ("scope", "scope_id", "rules", "why"),
    [
        (Scope.INSTANCE, "class-1", MONTHS, "Rules of the whole instance have no id"),
        (Scope.PROGRAM, " ", MONTHS, "Rules of a program or collection need its id"),
        (Scope.COLLECTION, "a/b", MONTHS, "id has a character no id may have"),
        ("batch", "batch-1", MONTHS, "is not a valid choice"),
        (Scope.INSTANCE, "", UNEXPLAINABLE, '"always" beside other rules'),
    ],
)
def test_what_nobody_could_explain_is_not_saved(scope: str, scope_id: str, rules: RuleSet, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        save_rules(scope, scope_id, rules, "alice", NOW)
    assert not CarryRules.objects.exists()


def test_every_change_names_who_made_it() -> None:
    with pytest.raises(ValidationError, match="cannot be blank"):
        save_rules(Scope.INSTANCE, "", MONTHS, "", NOW)


def test_what_a_thread_read_before_the_end_of_the_transaction_is_forgotten_after_it(using: str) -> None:
    """The rules are kept for a second: the thread that reads too early must not make the change invisible so long."""

    def seen() -> tuple[Mode, int]:
        chosen = policy.policy_for(None, "class-1-maths")
        return chosen.mode, chosen.rules.version

    with transaction.atomic(using=using):
        switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
        assert in_threads(seen) == [(Mode.STRICT, 0)]
    assert seen() == (Mode.COPY_CONTENT, 1)


def test_an_audit_row_is_neither_rewritten_nor_deleted() -> None:
    done = switch(Mode.MOVE, None, "alice", NOW)
    assert done is not None
    done.changed_by = "bob"
    with pytest.raises(TypeError, match="never rewritten"):
        done.save()
    with pytest.raises(TypeError, match="never forgotten"):
        done.delete()
    assert ModeChange.objects.get().changed_by == "alice"
