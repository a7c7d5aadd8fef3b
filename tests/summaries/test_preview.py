"""What a change of the mode would change, counted; and that it is what the change then changes."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from common.identity import Caller
from common.rows import Status
from modes import instance, switching
from modes.keys import Mode
from modes.models import ModeChange, Scope
from modes.rules import Kind, Rule, RuleSet
from summaries import reading
from summaries.inputs import SummaryReadInput
from summaries.preview import Preview, preview
from tests.modes.alone import BATCH, DOUBLE, MATHS, MONTHS, OTHER, SINGLE, begin, carry, complete, enrol, school
from tests.viewer.events import at

pytestmark = pytest.mark.django_db
NOW = at(600)
COUNTS = ("learners", "differing_learners", "enrolments", "differing_enrolments")
CONTENTS = ("completed", "uncompleted", "begun", "unbegun")


@pytest.fixture(autouse=True)
def _school(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with school(monkeypatch):
        yield


@pytest.fixture
def class_of_three() -> list[str]:
    """Alice completed a content by itself before she enrolled twice, Bob only within his batch, Charlie nothing."""
    complete("alice", SINGLE)
    enrol("alice")
    enrol("alice", OTHER)
    enrol("bob")
    complete("bob", DOUBLE, BATCH, minute=20)
    enrol("charlie")
    return ["alice", "bob", "charlie"]


def counts(told: Preview, names: tuple[str, ...] = COUNTS) -> tuple[int, ...]:
    return tuple(getattr(told, name) for name in names)


def dry_run(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("set_mode", *arguments, "--dry-run", stdout=out)
    return out.getvalue().splitlines()


def test_who_would_be_told_otherwise_is_counted(class_of_three: list[str]) -> None:
    told = preview(Mode.COPY_CONTENT, MONTHS, class_of_three, NOW)
    assert counts(told) == (3, 1, 4, 2)
    assert counts(told, CONTENTS) == (2, 0, 0, 0)
    assert [one.key for one in told.samples] == [("alice", MATHS, BATCH), ("alice", MATHS, OTHER)]
    sample = told.samples[0]
    assert sample.changes == {SINGLE: (Status.NOT_STARTED, Status.COMPLETED)}
    assert (sample.now.completion_percentage, sample.then.completion_percentage) == (0, 33)
    assert (sample.now.status, sample.then.status) == (Status.NOT_STARTED, Status.IN_PROGRESS)


def test_what_was_counted_is_what_the_change_changes(class_of_three: list[str]) -> None:
    told = preview(Mode.COPY_CONTENT, MONTHS, class_of_three, NOW)
    switching.switch(Mode.COPY_CONTENT, MONTHS, "alice", NOW)
    assert sum(carry(user, NOW) for user in class_of_three) == told.completed
    for one in told.samples:
        user, collection, context = one.key
        asked = SummaryReadInput(user_id=user, collection_id=collection, context_id=context)
        assert reading.read(Caller.operator(), asked, NOW)["completionPercentage"] == one.then.completion_percentage
    assert counts(preview(Mode.COPY_CONTENT, MONTHS, class_of_three, NOW)) == (3, 0, 4, 0)
    back = preview(Mode.STRICT, None, class_of_three, NOW)
    assert counts(back) == (3, 1, 4, 2)
    assert counts(back, CONTENTS) == (0, 2, 0, 0)


def test_nothing_is_changed_by_counting(class_of_three: list[str]) -> None:
    before = instance.read()
    for _ in range(2):
        assert preview(Mode.COPY_CONTENT, MONTHS, class_of_three, NOW).completed == 2
    assert instance.read() == before
    assert counts(preview(Mode.STRICT, None, class_of_three, NOW)) == (3, 0, 4, 0)


def test_without_rules_those_that_hold_are_gone_by(class_of_three: list[str]) -> None:
    assert preview(Mode.COPY_CONTENT, None, class_of_three, NOW).completed == 0
    switching.save_rules(Scope.INSTANCE, "", MONTHS, "alice", NOW)
    assert preview(Mode.COPY_CONTENT, None, class_of_three, NOW).completed == 2


def test_rules_of_a_narrower_place_hold_whatever_the_instance_is_given(class_of_three: list[str]) -> None:
    switching.save_rules(Scope.COLLECTION, MATHS, RuleSet(), "alice", NOW)
    assert preview(Mode.COPY_CONTENT, MONTHS, class_of_three, NOW).completed == 0
    switching.save_rules(Scope.COLLECTION, MATHS, None, "alice", NOW)
    assert preview(Mode.COPY_CONTENT, MONTHS, class_of_three, NOW).completed == 2


def test_rules_of_a_program_hold_in_its_batches_alone() -> None:
    complete("alice", SINGLE)
    enrol("alice")
    enrol("alice", "program-batch-1")
    always = RuleSet(rules=(Rule(Kind.ALWAYS),))
    switching.save_rules(Scope.PROGRAM, "program-abc", always, "alice", NOW)
    told = preview(Mode.COPY_CONTENT, RuleSet(), ["alice"], NOW)
    assert [one.key.context_id for one in told.samples] == ["program-batch-1"]


def test_what_is_begun_and_no_longer_begun_is_counted() -> None:
    enrol("alice")
    enrol("alice", OTHER)
    begin("alice", SINGLE, BATCH)
    told = preview(Mode.NO_CONTEXT_COLLECTION, None, ["alice"], NOW)
    assert counts(told, CONTENTS) == (0, 0, 1, 0)
    assert [one.key.context_id for one in told.samples] == [OTHER]


def test_what_no_longer_counts_as_begun_is_counted() -> None:
    switching.switch(Mode.NO_CONTEXT_COLLECTION, None, "alice", NOW)
    enrol("alice")
    begin("alice", SINGLE, MATHS)
    told = preview(Mode.STRICT, None, ["alice"], NOW)
    assert counts(told, CONTENTS) == (0, 0, 0, 1)


def test_samples_are_as_many_as_are_asked_for(class_of_three: list[str]) -> None:
    told = preview(Mode.COPY_CONTENT, MONTHS, class_of_three, NOW, samples=1)
    assert len(told.samples) == 1
    assert told.differing_enrolments == 2


def test_a_dry_run_tells_the_counts_and_samples(class_of_three: list[str], tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(MONTHS.as_json()))
    told = dry_run("copy_content", "--rules", str(rules))
    assert told[0].startswith("Now: strict. To be: copy_content.")
    assert told[2].startswith("Dry run, nothing changed: 3 learners looked at, 1 of them would be told otherwise")
    assert told[2].endswith("in 2 of 4 enrolments")
    assert told[3] == ("Contents: 2 become complete, 0 are no longer complete, 0 are begun, 0 are no longer begun")
    assert told[4] == f"alice: {MATHS}, {BATCH}: 0 % to 33 %, status 0 to 1; {SINGLE} 0 to 2"
    assert instance.read().mode is Mode.STRICT
    assert not ModeChange.objects.exists()


def test_a_dry_run_of_a_sample_looks_at_no_more(class_of_three: list[str]) -> None:
    assert any("1 learners looked at" in line for line in dry_run("copy_content", "--sample", "1"))


@pytest.mark.parametrize(
    "arguments", [("--sample", "0", "--dry-run"), ("--sample", "x", "--dry-run"), ("--sample", "5")]
)
def test_a_sample_that_means_nothing_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("set_mode", "copy_content", *arguments)
    assert not ModeChange.objects.exists()


def test_a_dry_run_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch, class_of_three: list[str]) -> None:
    monkeypatch.setattr("summaries.management.commands.set_mode.TOLD_EVERY", 2)
    told: list[Any] = [line for line in dry_run("copy_content") if "last" in line]
    assert told == ["2 learners looked at, last bob"]
