"""Contexts that cannot be folded: one learner's bad data stops no other learner's progress, no event and no read."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from catalogue import api as catalogue
from catalogue.cache import HierarchyCache
from catalogue.local import OrmCatalogue
from catalogue.source import Tree
from common import timestamps
from common.identity import Caller
from common.rows import ActivityAgg, ContextKey, Enrolment, RowKey, Status
from tests.viewer.events import at, view
from viewer import aggregator, reading, tasks
from viewer.inputs import ReadInput
from viewer.lifecycle import Verb
from viewer.store import get_store
from viewer.store.port import ImportBatch

Learner = Callable[..., str]
LONG_AGO = -9e6  # minutes: before what any other test of this database marks, so that a sweep starts here


class Poisoned(OrmCatalogue):
    """The catalogue with one course whose tree nobody can read."""

    poison = ""

    def tree(self, collection_id: str) -> Tree | None:
        if collection_id == self.poison:
            raise ValueError("this tree cannot be read")
        return super().tree(collection_id)


@pytest.fixture(autouse=True)
def source(_databases: None, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[Poisoned]:
    settings.VIEWER_EVENTS_DIR = tmp_path / "events"
    found = Poisoned()
    monkeypatch.setattr(catalogue, "_hierarchies", HierarchyCache(found))
    yield found
    catalogue.forget_hierarchies()


@pytest.fixture
def course(learner: Learner, tmp_path: Path) -> str:
    """A course of one leaf, a."""
    identifier = learner("course")
    tree = {"identifier": identifier, "mimeType": "application/vnd.ekstep.content-collection", "status": "Live",
            "children": [{"identifier": "a", "mimeType": "video/mp4"}]}  # fmt: skip
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"collections": [tree]}))
    call_command("load_catalogue", str(file), verbosity=0)
    return identifier


@pytest.fixture(params=["tree", "facts"])
def bad(request: pytest.FixtureRequest, learner: Learner, course: str, source: Poisoned) -> Iterator[ContextKey]:
    """A context whose fold raises: for its tree, or for what an import of long ago kept of it. Marked first of all."""
    key = ContextKey(learner("bad"), learner("unreadable") if request.param == "tree" else course, learner("batch"))
    if request.param == "tree":
        source.poison = key.collection_id
    else:
        kept = {"b": {"by": "import", "status": "two"}}
        get_store().import_rows(ImportBatch(at=at(LONG_AGO), aggs=[ActivityAgg(key, kept=kept, version=1)]))
    end(key, LONG_AGO)
    yield key
    mend(key, source)
    for mark in get_store().marks(key.user_id):
        assert get_store().clear_mark(mark)


def mend(key: ContextKey, source: Poisoned) -> None:
    """Whoever mends it has to do so in the tables: no import can make the store forget."""
    source.poison = ""
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM user_activity_agg WHERE user_id = %s", [key.user_id])


@pytest.fixture
def good(learner: Learner, course: str) -> ContextKey:
    """An enrolled learner who has just finished the course; marked a minute after `bad`."""
    key = ContextKey(learner("good"), course, learner("batch"))
    assert get_store().save_enrolment(Enrolment(*key, enrolled_date=at(LONG_AGO)), 0, at(LONG_AGO + 1))
    end(key, LONG_AGO + 1)
    return key


def end(key: ContextKey, minute: float, content: str = "a") -> None:
    get_store().apply(RowKey(*key, content), view(Verb.END, minute, force=True))


def is_complete(key: ContextKey) -> bool:
    enrolment = get_store().enrolment(key)
    return enrolment is not None and enrolment.status is Status.COMPLETED and get_store().marks(key.user_id) == []


def published(folder: Path, key: ContextKey) -> int:
    """How many events about this learner."""
    return sum(file.read_text().count(f'"userIds": ["{key.user_id}"]') for file in folder.glob("events/*.jsonl"))


def test_a_sweep_serves_and_publishes_the_others_and_counts_what_failed(
    bad: ContextKey, good: ContextKey, tmp_path: Path
) -> None:
    out = StringIO()
    call_command("sweep", stdout=out)
    assert is_complete(good)
    assert published(tmp_path, good) == 1
    assert "failed 1" in out.getvalue()
    assert [mark.key for mark in get_store().marks(bad.user_id)] == [bad], "it is still to be done"


def test_the_workers_sweep_serves_and_publishes_the_others_too(
    bad: ContextKey, good: ContextKey, tmp_path: Path
) -> None:
    tasks.sweep()
    assert is_complete(good)
    assert published(tmp_path, good) == 1
    assert get_store().marks(bad.user_id) != []


def test_a_context_that_failed_is_put_off_and_tried_again_later(
    bad: ContextKey, good: ContextKey, settings: Any
) -> None:
    tally = aggregator.sweep(1, older_than=timedelta(0))
    assert (tally.failed, tally.saved) == (1, 0)
    tally = aggregator.sweep(1, older_than=timedelta(0))
    assert (tally.failed, tally.saved, tally.completed) == (0, 1, 1), "the next sweep is not held up by it"
    now = timestamps.now()
    later = now + timedelta(seconds=settings.VIEWER_UNKNOWN_TREE_SECONDS + 5)
    assert bad not in [mark.key for mark in get_store().oldest_marks(100_000, before=now, now=now)]
    assert bad in [mark.key for mark in get_store().oldest_marks(100_000, before=now, now=later)]


def test_a_failure_is_logged_with_its_traceback_and_without_the_learner(
    bad: ContextKey, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "viewer.aggregator"):
        aggregator.fold_learner(bad.user_id, at(0))
    (told,) = [record for record in caplog.records if record.name == "viewer.aggregator"]
    assert told.exc_info
    assert bad.user_id not in told.getMessage()


def test_the_task_of_a_learner_serves_his_other_courses_and_publishes(
    bad: ContextKey, course: str, learner: Learner, tmp_path: Path
) -> None:
    other = bad._replace(collection_id=course, context_id=learner("another-batch"))
    assert get_store().save_enrolment(Enrolment(*other, enrolled_date=at(0)), 0, at(0))
    end(other, 1)
    tasks.aggregate([bad.user_id])
    assert [mark.key for mark in get_store().marks(bad.user_id)] == [bad]
    assert published(tmp_path, other) == 1


def test_once_it_can_be_folded_it_is(bad: ContextKey, source: Poisoned) -> None:
    call_command("sweep", verbosity=0)
    mend(bad, source)
    assert aggregator.fold_learner(bad.user_id, at(0)).failed == 0
    assert get_store().aggs([bad])[bad].content_status == {"a": 2}


def test_a_read_of_what_cannot_be_folded_does_not_raise(bad: ContextKey) -> None:
    for _ in range(2):
        aggregator.fold_pending([bad], timestamps.now())
    assert [mark.key for mark in get_store().marks(bad.user_id)] == [bad]


@pytest.mark.parametrize("bad", ["tree"], indirect=True)
def test_a_read_answers_from_the_rows_where_the_tree_cannot_be_read(bad: ContextKey) -> None:
    given = ReadInput(content_id="a", collection_id=bad.collection_id, context_id=bad.context_id)
    for _ in range(2):
        answer = reading.read(Caller(bad.user_id), given, timestamps.now())
        assert [item["status"] for item in answer["contents"]] == [2]
