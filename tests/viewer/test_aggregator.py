"""Folding what is marked: marks, saves, deferral, races between folds, recompute equals incremental."""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from catalogue import api as catalogue
from catalogue.loader import load
from catalogue.reading import read as read_catalogue
from common import timestamps
from common.errors import Unavailable
from common.rows import ActivityAgg, Attempt, ContextKey, Enrolment, RowKey, Status
from tests.contract.store_contract import together
from tests.servers import ROOT
from tests.viewer.events import at, view
from viewer import aggregator, progress, publisher, tasks
from viewer.lifecycle import Verb
from viewer.store import get_store
from viewer.store.port import ImportBatch

LEAVES = ("single-digit-addition", "double-digit-addition", "triple-digit-addition")
Learner = Callable[..., str]


@pytest.fixture(autouse=True)
def _sample(_databases: None) -> Iterator[None]:
    load(read_catalogue((ROOT / "catalogue" / "sample" / "catalogue.json").read_text()))
    yield
    catalogue.forget_hierarchies()


@pytest.fixture
def rahul(learner: Learner) -> ContextKey:
    """Rahul, enrolled in batch-1 of class-1-maths, nothing waiting."""
    key = ContextKey(learner("rahul"), "class-1-maths", "batch-1")
    assert get_store().save_enrolment(Enrolment(*key, enrolled_date=at(0)), 0, at(0))
    aggregator.fold_learner(key.user_id, at(0))
    return key


def end(key: ContextKey, content: str, minute: float = 1) -> None:
    get_store().apply(RowKey(*key, content), view(Verb.END, minute, force=True))


def enrolment(key: ContextKey) -> Enrolment:
    found = get_store().enrolment(key)
    assert found is not None
    return found


def test_a_fold_saves_aggregate_and_enrolment_and_clears_the_mark(rahul: ContextKey) -> None:
    end(rahul, LEAVES[0])
    tally = aggregator.fold_learner(rahul.user_id, at(2))
    assert (tally.folded, tally.saved, tally.completed) == (1, 1, 0)
    assert get_store().marks(rahul.user_id) == []
    agg = get_store().aggs([rahul])[rahul]
    assert agg.content_status == {LEAVES[0]: 2}
    assert agg.aggregates["completedCount"] == 1
    assert (enrolment(rahul).status, enrolment(rahul).progress, enrolment(rahul).completion_percentage) == (1, 1, 33)


def test_a_fold_of_what_is_folded_saves_nothing(rahul: ContextKey) -> None:
    end(rahul, LEAVES[0])
    aggregator.fold_learner(rahul.user_id, at(2))
    version = get_store().aggs([rahul])[rahul].version
    get_store().mark(rahul, at(3))
    tally = aggregator.fold_learner(rahul.user_id, at(4))
    assert (tally.folded, tally.saved) == (1, 0)
    assert get_store().aggs([rahul])[rahul].version == version


def test_a_completion_writes_each_event_once(rahul: ContextKey) -> None:
    for leaf in LEAVES:
        end(rahul, leaf)
        aggregator.fold_learner(rahul.user_id, at(2))
    mine = [event for event in waiting() if rahul.user_id in str(event.payload)]
    assert sorted(event.topic for event in mine) == ["certificate.request", "telemetry.audit"]
    request = next(event.payload for event in mine if event.topic == "certificate.request")
    assert request["edata"] == {
        "userIds": [rahul.user_id], "action": "issue-certificate", "iteration": 1, "trigger": "auto-issue",
        "batchId": "batch-1", "reIssue": False, "courseId": "class-1-maths",
    }  # fmt: skip
    end(rahul, "an-extra")
    aggregator.fold_learner(rahul.user_id, at(9))
    assert len([event for event in waiting() if rahul.user_id in str(event.payload)]) == 2


def waiting() -> list[Any]:
    return get_store().unpublished(100_000)


def test_published_events_are_lines_of_a_file_and_leave_the_outbox(
    rahul: ContextKey, tmp_path: Any, settings: Any
) -> None:
    settings.VIEWER_EVENTS_DIR = tmp_path / "events"
    for leaf in LEAVES:
        end(rahul, leaf)
    aggregator.fold_learner(rahul.user_id, at(2))
    expected = {event.id for event in waiting()}
    assert publisher.publish_waiting() == len(expected)
    lines = "".join(file.read_text() for file in (tmp_path / "events").iterdir()).splitlines()
    assert len(lines) == len(expected)
    assert all(any(event_id in line for line in lines) for event_id in expected)
    assert waiting() == []


def test_an_unknown_collection_keeps_its_mark_and_waits_and_a_known_one_is_folded(learner: Learner) -> None:
    key = ContextKey(learner(), f"late-{learner('course')}", "batch-9")
    assert get_store().save_enrolment(Enrolment(*key, enrolled_date=at(0)), 0, at(0))
    end(key, "a")
    tally = aggregator.fold_learner(key.user_id, at(2))
    assert tally.waiting >= 1
    assert [mark.key for mark in get_store().marks(key.user_id)] == [key]
    assert get_store().aggs([key])[key].content_status == {"a": 2}
    assert enrolment(key).status is Status.NOT_STARTED
    assert key not in [mark.key for mark in get_store().oldest_marks(10_000, before=at(1e7), now=at(2.5))]
    assert key in [mark.key for mark in get_store().oldest_marks(10_000, before=at(1e7), now=at(60))]
    tree = {
        "identifier": key.collection_id, "mimeType": "application/vnd.ekstep.content-collection", "name": "Late",
        "children": [{"identifier": "a", "mimeType": "video/mp4"}],
    }  # fmt: skip
    load_json({"collections": [tree]})
    aggregator.fold_learner(key.user_id, at(61))
    assert get_store().marks(key.user_id) == []
    assert (enrolment(key).status, enrolment(key).completion_percentage) == (Status.COMPLETED, 100)


def load_json(document: dict[str, Any]) -> None:

    load(read_catalogue(json.dumps(document)))


def test_a_retired_collection_without_a_tree_drops_its_mark(learner: Learner) -> None:
    retired = f"retired-{learner('course')}"
    load_json(
        {"collections": [{"identifier": retired, "mimeType": "application/vnd.ekstep.content-collection",
                          "name": "Old", "status": "Retired"}]}
    )  # fmt: skip
    key = ContextKey(learner(), retired, "batch-1")
    end(key, "a")
    aggregator.fold_learner(key.user_id, at(2))
    assert get_store().marks(key.user_id) == []


def test_an_organic_content_is_folded_and_not_retried(learner: Learner) -> None:
    key = ContextKey(learner(), "some-video", "some-video")
    end(key, "some-video")
    tally = aggregator.fold_learner(key.user_id, at(2))
    assert (tally.saved, tally.waiting) == (1, 0)
    assert get_store().marks(key.user_id) == []


def test_many_folds_and_writes_at_once_end_as_one_fold_of_the_rows(rahul: ContextKey) -> None:
    leaves = [f"extra-{number}" for number in range(30)] + list(LEAVES)

    def writes() -> None:
        for leaf in leaves:
            end(rahul, leaf)

    def folds() -> None:
        for _ in range(25):
            aggregator.fold_learner(rahul.user_id, at(5))

    together(writes, folds, folds, folds)
    aggregator.fold_learner(rahul.user_id, at(6))
    agg = get_store().aggs([rahul])[rahul]
    assert set(agg.content_status) == set(leaves)
    assert enrolment(rahul).status is Status.COMPLETED
    assert len([event for event in waiting() if rahul.user_id in str(event.payload)]) == 2


def settled(agg: ActivityAgg) -> ActivityAgg:
    """Without stamps, and without what an update moves in a content in progress: updates do not mark (DESIGN)."""
    stamps = {"version", "storedTime"}
    moving = {"progress", "timespent", "lastAccessTime"}
    details = {
        content: {
            name: fact
            for name, fact in facts.items()
            if name not in stamps and not (name in moving and facts["status"] < Status.COMPLETED)
        }
        for content, facts in agg.agg_details.items()
    }
    return replace(agg, agg_details=details, version=0, agg_last_updated={})


def outcome(enrolled: Enrolment) -> tuple[Any, ...]:
    facts = (enrolled.status, enrolled.progress, enrolled.completion_percentage, enrolled.completed_on)
    return (*facts, enrolled.content_status)


def test_recompute_equals_incremental_on_random_histories(learner: Learner) -> None:
    dice = random.Random(20261122)
    for _ in range(12):
        key = ContextKey(learner(), "class-1-maths", "batch-1")
        assert get_store().save_enrolment(Enrolment(*key, enrolled_date=at(0)), 0, at(0))
        for minute in range(dice.randint(1, 12)):
            content = dice.choice([*LEAVES, "elsewhere"])
            verb = dice.choice(list(Verb))
            get_store().apply(RowKey(*key, content), view(verb, minute, client=dice.randint(0, 9), force=True))
            if dice.random() < 0.3:
                tried = Attempt(RowKey(*key, content), f"a-{dice.randint(1, 3)}", dice.randint(0, 9), 10, "",
                                at(minute), at(dice.randint(0, 9)), at(minute))  # fmt: skip
                get_store().save_attempts([tried], at(minute))
            if dice.random() < 0.5:
                aggregator.fold_learner(key.user_id, at(minute))
        aggregator.fold_learner(key.user_id, at(99))
        incremental, enrolled = get_store().aggs([key])[key], enrolment(key)
        sources = get_store().sources(key)
        fresh = progress.fold(
            progress.Sources(
                ActivityAgg(key), sources.rows, sources.attempts, enrolled, catalogue.hierarchy("class-1-maths")
            ),
            at(100),
        )
        assert settled(fresh.agg) == settled(incremental)
        assert fresh.enrolment is not None
        assert outcome(fresh.enrolment) == outcome(enrolled)
        list(aggregator.recompute(user_id=key.user_id))
        assert settled(get_store().aggs([key])[key]) == settled(incremental)


def test_recompute_command_mends_a_wrong_aggregate_and_dry_run_only_tells(rahul: ContextKey) -> None:
    end(rahul, LEAVES[0])
    aggregator.fold_learner(rahul.user_id, at(2))
    wrong = ActivityAgg(rahul, content_status={LEAVES[1]: 2}, aggregates={"completedCount": 3.0}, version=9)
    get_store().import_rows(ImportBatch(at=at(3), aggs=[wrong]))
    out = StringIO()
    call_command("recompute", "--user", rahul.user_id, "--dry-run", stdout=out)
    assert "saved 1" in out.getvalue()
    assert get_store().aggs([rahul])[rahul].aggregates["completedCount"] == 3
    call_command("recompute", "--user", rahul.user_id, stdout=out)
    assert get_store().aggs([rahul])[rahul].content_status == {LEAVES[0]: 2}
    out = StringIO()
    call_command("recompute", "--user", rahul.user_id, stdout=out)
    assert "folded 1, saved 0" in out.getvalue()


def test_recompute_of_everybody_pages_through_all_contexts(rahul: ContextKey) -> None:
    end(rahul, LEAVES[0])
    keys = [key for key, _ in aggregator.recompute(page=3)]
    assert len(keys) == len(set(keys))
    assert rahul in keys
    assert get_store().aggs([rahul])[rahul].content_status == {LEAVES[0]: 2}


def test_the_sweep_serves_the_oldest_marks_first_and_stops_at_its_limit(learner: Learner) -> None:
    keys = [ContextKey(learner(), "class-1-maths", "batch-1") for _ in range(3)]
    for age, key in zip((-5e6, -7e6, -6e6), keys, strict=True):
        end(key, LEAVES[0], minute=age)
    tally = aggregator.sweep(2, older_than=timestamps.now() - at(-5.5e6))
    assert tally.folded == 2
    assert [bool(get_store().marks(key.user_id)) for key in keys] == [True, False, False]


def test_a_run_out_of_time_names_whom_it_did_not_come_to(learner: Learner) -> None:
    keys = [ContextKey(learner(), "class-1-maths", "batch-1") for _ in range(3)]
    for key in keys:
        end(key, LEAVES[0])
    users = [key.user_id for key in keys]
    assert aggregator.fold_learners(users, until=time.monotonic() - 1) == (aggregator.Tally(), users)
    tally, later = aggregator.fold_learners(users, until=time.monotonic() + 60)
    assert (tally.saved, later) == (3, [])


def test_a_learner_with_new_marks_all_the_time_needs_another_run(
    rahul: ContextKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Restless:
        """The store, with a learner who goes on while a fold saves."""

        def __getattr__(self, name: str) -> Any:
            return getattr(get_store(), name)

        def save_folds(self, *given: Any) -> bool:
            saved = get_store().save_folds(*given)
            end(rahul, f"do_{next(numbers)}")
            return saved

    numbers = itertools.count()
    end(rahul, LEAVES[0])
    with monkeypatch.context() as patched:
        patched.setattr(aggregator, "get_store", Restless)
        tally, later = aggregator.fold_learners([rahul.user_id], until=time.monotonic() + 60)
    assert (tally.again, later) == (1, [rahul.user_id])
    assert tally.folded == aggregator.MAX_TRIES
    assert aggregator.fold_learners([rahul.user_id], until=time.monotonic() + 60)[1] == []


def test_a_worker_that_is_behind_takes_up_who_has_waited_longest(learner: Learner) -> None:
    asked, waits = (ContextKey(learner(), "class-1-maths", "batch-1") for _ in range(2))
    end(waits, LEAVES[0], minute=-5_000_000)  # longer than anybody else in these tests
    end(asked, LEAVES[0])
    tasks.aggregate([asked.user_id], asked_at=time.time())
    assert get_store().marks(asked.user_id) == []
    assert get_store().marks(waits.user_id) != []
    end(asked, LEAVES[1])
    tasks.aggregate([asked.user_id], asked_at=time.time() - 60)
    assert [get_store().marks(key.user_id) for key in (asked, waits)] == [[], []]


def test_a_catalogue_that_does_not_answer_puts_no_mark_off(learner: Learner) -> None:
    key = ContextKey(learner(), "class-1-maths", "batch-1")
    end(key, LEAVES[0])
    catalogue.forget_hierarchies()
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE catalogue_collection RENAME TO catalogue_collection_away")
        try:
            with pytest.raises(Unavailable):
                aggregator.fold_learner(key.user_id, at(2))
            with pytest.raises(Unavailable):
                aggregator.fold_pending([key], at(2))
        finally:
            cursor.execute("ALTER TABLE catalogue_collection_away RENAME TO catalogue_collection")
    (mark,) = get_store().marks(key.user_id)
    assert mark.not_before is None
    assert aggregator.fold_learner(key.user_id, at(3)).saved == 1
