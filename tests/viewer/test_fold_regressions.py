"""Folds that went wrong once: dates and events of kept facts, re-published trees, deferred reads, lost enrolments."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from catalogue import api as catalogue
from catalogue.hierarchy import Hierarchy
from catalogue.models import Collection
from common import timestamps
from common.identity import Caller
from common.rows import ActivityAgg, Consumption, ContextKey, Enrolment, RowKey, Status
from common.timestamps import to_epoch_ms
from tests.contract.store_contract import together
from tests.servers import ROOT
from tests.viewer.events import at, view
from tests.viewer.test_progress_fold import (
    MATHS,
    NAMES,
    ROWS,
    enrolled,
    folded,
    leaf,
    node,
    row,
    shown,
    trees,
)
from viewer import aggregator, reading
from viewer.inputs import ReadInput
from viewer.lifecycle import Verb
from viewer.progress import Folded
from viewer.store import get_store
from viewer.store.orm import OrmStore
from viewer.store.port import ImportBatch

Learner = Callable[..., str]
Kept = Mapping[str, dict[str, Any]]


def ms(minute: float) -> int:
    return to_epoch_ms(at(minute))


def imported(*contents: str) -> dict[str, dict[str, Any]]:
    """Completed elsewhere, nobody knows when."""
    return {content: {"by": "import", "status": 2} for content in contents}


def archived(**minutes: float | None) -> dict[str, dict[str, Any]]:
    """Completed here at these minutes (None: unknown), and archived since."""
    return {
        content: {"by": "archive", "status": 2, "lastCompletedTime": None if minute is None else ms(minute)}
        for content, minute in minutes.items()
    }


def enrolment_of(result: Folded) -> Enrolment:
    assert result.enrolment is not None
    return result.enrolment


# --- kept facts: dates and events ------------------------------------------------------------------------------------

OPTIONAL = Hierarchy.from_node(node("class-1-maths", leaf("a", optional=True), leaf("b", optional=True)))


@pytest.mark.parametrize(
    ("kept", "hierarchy"), [(imported("a", "b", "c"), MATHS), (imported("a"), OPTIONAL)], ids=["required", "optional"]
)
def test_a_row_outside_the_tree_does_not_date_or_tell_an_imported_completion(kept: Kept, hierarchy: Hierarchy) -> None:
    result = folded(row("elsewhere", completed=7), kept=kept, hierarchy=hierarchy)
    assert shown(result)[0::2] == (2, 100)
    assert (result.completed, enrolment_of(result).completed_on) == (False, None)


def test_an_optional_row_does_not_date_or_tell_an_imported_completion_of_what_is_required() -> None:
    tree = Hierarchy.from_node(node("class-1-maths", leaf("a"), leaf("b", optional=True)))
    result = folded(row("b", completed=7), kept=imported("a"), hierarchy=tree)
    assert shown(result) == (2, 1, 100)
    assert (result.completed, enrolment_of(result).completed_on) == (False, None)


@pytest.mark.parametrize(
    ("kept", "hierarchy", "expected"),
    [
        (archived(a=3, b=9, c=6), MATHS, 9),
        (archived(a=3, b=None, c=6), MATHS, 6),
        (archived(a=3, b=9), OPTIONAL, 3),
        (archived(a=None, b=9), OPTIONAL, 9),
        (imported("a", "b") | archived(c=6), MATHS, 6),
    ],
    ids=["all times", "one unknown", "optional", "optional, one unknown", "imported and archived"],
)
def test_what_was_completed_here_and_archived_completes_an_enrolment_made_afterwards(
    kept: Kept, hierarchy: Hierarchy, expected: float
) -> None:
    result = folded(kept=kept, hierarchy=hierarchy)
    assert shown(result)[0::2] == (2, 100)
    assert (result.completed, enrolment_of(result).completed_on) == (True, at(expected))
    late = folded(kept=kept, hierarchy=hierarchy, enrolment=enrolled(enrolled_date=at(20)))
    assert (late.completed, enrolment_of(late).completed_on) == (True, at(20))


@pytest.mark.parametrize("kept", [imported("a", "b"), archived(a=None, b=None)], ids=["import", "archive"])
def test_times_that_nobody_knows_do_not_date_a_completion(kept: Kept) -> None:
    result = folded(row("c", completed=9), kept=kept)
    assert (result.completed, enrolment_of(result).completed_on) == (True, at(9))
    stored = folded(row("c", completed=None), kept=kept)
    assert enrolment_of(stored).completed_on == at(50)
    optional = folded(row("b", completed=9), kept={"a": kept["a"]}, hierarchy=OPTIONAL)
    assert (optional.completed, enrolment_of(optional).completed_on) == (True, at(9))


def test_a_completion_of_which_no_time_is_known_has_no_date() -> None:
    result = folded(kept=archived(a=None, b=None, c=None))
    assert shown(result) == (2, 3, 100)
    assert enrolment_of(result).completed_on is None


def test_a_completion_that_got_its_first_date_late_is_told_once() -> None:
    """Imported complete, then a required content is done here: from then on there is a date, and one event at most."""
    first = folded(kept=imported("a", "b", "c"))
    assert not first.completed
    again = folded(row("a", completed=5), kept=imported("a", "b", "c"), enrolment=first.enrolment)
    assert enrolment_of(again).completed_on in {None, at(5)}
    assert enrolment_of(again).status is Status.COMPLETED


KEPT = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {"by": st.sampled_from(["import", "archive"]), "status": st.sampled_from([1, 2])},
        optional={"lastCompletedTime": st.none() | st.just(0) | st.integers(0, 60).map(ms)},
    ),
    max_size=8,
)


@given(trees(), ROWS, KEPT, st.booleans())
def test_no_completion_is_dated_before_the_enrolment_and_none_is_told_without_being_complete(
    tree: Hierarchy, rows: list[Consumption], kept: Kept, active: bool
) -> None:
    result = folded(*rows, hierarchy=tree, kept=kept, enrolment=enrolled(active=active))
    enrolment = enrolment_of(result)
    assert enrolment.completed_on is None or enrolment.completed_on >= at(0)
    undated = enrolment_of(folded(*rows, hierarchy=tree, kept=kept, enrolment=enrolled(enrolled_date=None)))
    assert undated.completed_on is None or undated.completed_on >= at(0)
    if result.completed:
        assert active
        assert enrolment.status is Status.COMPLETED
    if enrolment.completed_on is not None:
        assert enrolment.status is Status.COMPLETED


# --- statuses never fall back ----------------------------------------------------------------------------------------


def test_an_enrolment_in_progress_stays_so_when_the_touched_leaf_is_gone() -> None:
    three, two = (Hierarchy.from_node(node("class-1-maths", *map(leaf, leaves))) for leaves in ("abc", "bc"))
    before = folded(row("a", 1), hierarchy=three)
    assert shown(before) == (1, 0, 0)
    assert shown(folded(row("a", 1), hierarchy=two, enrolment=before.enrolment)) == (1, 0, 0)
    done = folded(row("a"), hierarchy=three)
    assert shown(done) == (1, 1, 33)
    assert shown(folded(row("a"), hierarchy=two, enrolment=done.enrolment)) == (1, 0, 0)


@given(trees(), trees(), ROWS)
def test_no_republished_tree_lowers_the_status_of_an_enrolment(
    before: Hierarchy, after: Hierarchy, rows: list[Consumption]
) -> None:
    first = folded(*rows, hierarchy=before)
    second = folded(*rows, hierarchy=after, enrolment=first.enrolment)
    assert shown(second)[0] >= shown(first)[0]


# --- inactive enrolments ---------------------------------------------------------------------------------------------


def test_an_inactive_enrolment_is_not_told_complete() -> None:
    assert not folded(*map(row, "abc"), enrolment=enrolled(active=False)).completed


# --- with a store and a catalogue ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _own_catalogue(_databases: None, tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.VIEWER_EVENTS_DIR = tmp_path / "events"
    yield
    catalogue.forget_hierarchies()


@pytest.fixture
def key(learner: Learner) -> ContextKey:
    """A learner's place in a course of the test's own, which nobody has loaded yet."""
    return ContextKey(learner(), learner("course"), learner("batch"))


def load(tmp_path: Path, key: ContextKey, *leaves: str, program: str | None = None) -> None:
    """`manage.py load_catalogue` of the course with these leaves, and of its batch."""
    course = node(key.collection_id, *map(leaf, leaves), status="Live", name="A course")
    batch: dict[str, Any] = {"batchId": key.context_id, "enrollmentType": "open", "name": "A batch", "status": 1}
    document: dict[str, Any] = {"collections": [course] if leaves else [], "batches": [batch]}
    if program:
        batch["programId"] = program
        document["programs"] = [{"programId": program, "name": "Two", "collections": ["another", key.collection_id]}]
    else:
        batch["courseId"] = key.collection_id
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(document))
    call_command("load_catalogue", str(file), verbosity=0)


def enrol(key: ContextKey, **facts: Any) -> None:
    assert get_store().save_enrolment(Enrolment(*key, **{"enrolled_date": at(0), **facts}), 0, at(0))


def end(key: ContextKey, content: str, minute: float = 1) -> None:
    get_store().apply(RowKey(*key, content), view(Verb.END, minute, force=True))


def sweep() -> None:
    call_command("sweep", verbosity=0)


def stored(key: ContextKey) -> Enrolment:
    found = get_store().enrolment(key)
    assert found is not None
    return found


def far(key: ContextKey) -> tuple[int, int, int]:
    enrolment = stored(key)
    return int(enrolment.status), enrolment.progress, enrolment.completion_percentage


def published(key: ContextKey, tmp_path: Path) -> list[str]:
    """Topics of what was published about this learner."""
    files = sorted((tmp_path / "events").glob("*.jsonl")) if (tmp_path / "events").exists() else []
    told = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return sorted(one["topic"] for one in told if key.user_id in json.dumps(one["event"]))


BOTH = ["certificate.request", "telemetry.audit"]


@pytest.mark.parametrize("program", [False, True], ids=["course batch", "program batch"])
def test_a_sweep_folds_the_enrolments_of_a_course_that_lost_a_leaf(
    key: ContextKey, learner: Learner, tmp_path: Path, program: bool
) -> None:
    through = learner("program") if program else None
    load(tmp_path, key, "a", "b", program=through)
    enrol(key)
    end(key, "a")
    sweep()
    assert far(key) == (1, 1, 50)
    load(tmp_path, key, "a", program=through)
    sweep()
    assert far(key) == (2, 1, 100)
    assert published(key, tmp_path) == BOTH
    sweep()
    assert published(key, tmp_path) == BOTH
    assert get_store().marks(key.user_id) == []


@pytest.mark.parametrize("program", [False, True], ids=["course batch", "program batch"])
def test_a_sweep_folds_the_enrolments_of_a_course_that_got_a_leaf(
    key: ContextKey, learner: Learner, tmp_path: Path, program: bool
) -> None:
    through = learner("program") if program else None
    load(tmp_path, key, "a", "b", program=through)
    enrol(key)
    end(key, "a")
    sweep()
    load(tmp_path, key, "a", "b", "c", "d", program=through)
    sweep()
    assert far(key) == (1, 1, 25)
    load(tmp_path, key, "b", "c", program=through)
    sweep()
    assert far(key) == (1, 0, 0)


def test_a_sweep_folds_every_active_and_inactive_enrolment_of_the_batch_and_no_other_courses(
    key: ContextKey, learner: Learner, tmp_path: Path
) -> None:
    load(tmp_path, key, "a", "b")
    others = [key._replace(user_id=learner(f"learner-{number}")) for number in range(4)]
    elsewhere = key._replace(collection_id="class-2-maths")
    for one in (key, *others, elsewhere):
        enrol(one, active=one is not others[0])
        end(one, "a")
    sweep()
    before = stored(elsewhere)
    load(tmp_path, key, "a")
    sweep()
    assert [far(one) for one in (key, *others)] == [(2, 1, 100)] * 5
    assert stored(elsewhere) == before
    assert published(others[0], tmp_path) == []
    assert published(others[1], tmp_path) == BOTH


def test_a_course_loaded_by_another_process_is_folded_with_its_new_tree(key: ContextKey, tmp_path: Path) -> None:
    """This process's parsed tree may be a second old: a fold that clears the mark must not be made of it."""
    load(tmp_path, key, "a", "b")
    enrol(key)
    end(key, "a")
    sweep()
    assert far(key) == (1, 1, 50)
    new = node(key.collection_id, leaf("a"))
    Collection.objects.filter(pk=key.collection_id).update(hierarchy=new, updated_at=timestamps.now())
    sweep()
    assert far(key) == (2, 1, 100)


@pytest.mark.parametrize("program", [False, True], ids=["course batch", "program batch"])
def test_a_course_that_was_unknown_is_folded_by_the_first_sweep_after_its_load(
    key: ContextKey, learner: Learner, tmp_path: Path, program: bool
) -> None:
    through = learner("program") if program else None
    load(tmp_path, key, program=through)
    enrol(key)
    end(key, "a")
    sweep()
    assert far(key) == (0, 0, 0)
    now = timestamps.now()
    assert key not in [due.key for due in get_store().oldest_marks(100_000, before=now, now=now)], "it is deferred"
    assert [mark.key for mark in get_store().marks(key.user_id)] == [key]
    load(tmp_path, key, "a", "b", program=through)
    sweep()
    assert far(key) == (1, 1, 50)
    assert get_store().marks(key.user_id) == []


def test_views_without_an_enrolment_are_folded_too_by_the_first_sweep_after_the_load(
    key: ContextKey, tmp_path: Path
) -> None:
    end(key, "a")
    sweep()
    assert "completedCount" not in get_store().aggs([key])[key].aggregates
    load(tmp_path, key, "a", "b")
    sweep()
    assert get_store().aggs([key])[key].aggregates["completedCount"] == 1


def test_a_republished_tree_marks_every_enrolment_of_a_large_batch_on_each_database(
    sql_store: OrmStore, key: ContextKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are fetched at once: marks are written while the batch's list is still being read."""
    monkeypatch.setattr(aggregator, "get_store", lambda: sql_store)
    load(tmp_path, key, "a", "b")
    aggregator.mark_republished(timestamps.now())
    people = [key._replace(user_id=f"{key.user_id}-{number}") for number in range(1100)]
    sql_store.import_rows(ImportBatch(at=at(0), enrolments=[Enrolment(*one, enrolled_date=at(0)) for one in people]))
    with connections[sql_store._db.using].cursor() as cursor:
        cursor.execute("DELETE FROM stale_marks WHERE contextid = %s", [key.context_id])
        load(tmp_path, key, "a")
        assert aggregator.mark_republished(timestamps.now()) == len(people)
        assert aggregator.mark_republished(timestamps.now()) == 0
        cursor.execute("DELETE FROM stale_marks WHERE contextid = %s", [key.context_id])
        assert cursor.rowcount == len(people)


# --- inactive, kept and archived, through the store ------------------------------------------------------------------


def test_an_inactive_enrolment_is_told_complete_once_after_the_learner_is_back(key: ContextKey, tmp_path: Path) -> None:
    load(tmp_path, key, "a", "b")
    enrol(key, active=False)
    end(key, "a")
    end(key, "b", 2)
    sweep()
    assert published(key, tmp_path) == []
    known = stored(key)
    assert not known.active
    assert get_store().save_enrolment(
        replace(known, active=True, version=known.version + 1), known.version, timestamps.now()
    )
    sweep()
    assert published(key, tmp_path) == BOTH
    assert (stored(key).active, *far(key), stored(key).completed_on) == (True, 2, 2, 100, at(2))
    for _ in range(2):
        get_store().mark(key, at(9))
        sweep()
        list(aggregator.recompute(user_id=key.user_id))
    assert published(key, tmp_path) == BOTH


def test_a_learner_who_leaves_and_comes_back_is_told_complete_once(key: ContextKey, tmp_path: Path) -> None:
    load(tmp_path, key, "a")
    enrol(key)
    end(key, "a")
    sweep()
    for active in (False, True):
        known = stored(key)
        turned = replace(known, active=active, version=known.version + 1)
        assert get_store().save_enrolment(turned, known.version, timestamps.now())
        sweep()
    assert published(key, tmp_path) == BOTH


def test_archived_completions_complete_a_later_enrolment_with_date_and_event(key: ContextKey, tmp_path: Path) -> None:
    load(tmp_path, key, "a", "b")
    kept = archived(a=3, b=9)
    get_store().import_rows(ImportBatch(at=at(20), aggs=[ActivityAgg(key, kept=kept, version=1)]))
    sweep()
    enrol(key, enrolled_date=at(1))
    sweep()
    assert (*far(key), stored(key).completed_on) == (2, 2, 100, at(9))
    assert published(key, tmp_path) == BOTH


def test_imported_completions_and_a_row_elsewhere_tell_nobody(key: ContextKey, tmp_path: Path) -> None:
    load(tmp_path, key, "a", "b")
    get_store().import_rows(ImportBatch(at=at(20), aggs=[ActivityAgg(key, kept=imported("a", "b"), version=1)]))
    enrol(key)
    end(key, "elsewhere")
    sweep()
    assert (*far(key), stored(key).completed_on) == (2, 2, 100, None)
    assert published(key, tmp_path) == []


def test_an_imported_completed_enrolment_tells_nobody_whatever_is_done_after(key: ContextKey, tmp_path: Path) -> None:
    load(tmp_path, key, "a", "b")
    done = Enrolment(*key, enrolled_date=at(0), status=Status.COMPLETED, progress=2, completion_percentage=100)
    get_store().import_rows(ImportBatch(at=at(20), enrolments=[replace(done, completed_on=at(5))]))
    sweep()
    end(key, "a", 30)
    end(key, "b", 31)
    sweep()
    assert (*far(key), stored(key).completed_on) == (2, 2, 100, at(5))
    assert published(key, tmp_path) == []


# --- reads of what is deferred ---------------------------------------------------------------------------------------


def read(key: ContextKey, *contents: str) -> tuple[list[int], list[str]]:
    """The statuses a read answers, and the statements with which it wrote."""
    given = ReadInput(content_id=list(contents) or None, collection_id=key.collection_id, context_id=key.context_id)
    with CaptureQueriesContext(connections["default"]) as caught:
        answer = reading.read(Caller(key.user_id), given, timestamps.now())
    statements = [one["sql"] for one in caught]
    return [item["status"] for item in answer["contents"]], [
        sql for sql in statements if sql.split()[0] in {"INSERT", "UPDATE", "DELETE", "WITH"}
    ]


@pytest.mark.parametrize("contents", [("a",), ()], ids=["one content", "whole context"])
def test_a_read_of_an_unknown_course_does_not_write_again(key: ContextKey, contents: tuple[str, ...]) -> None:
    end(key, "a")
    connections["default"].ensure_connection()
    assert read(key, *contents)[0] == [2]
    for _ in range(3):
        assert read(key, *contents) == ([2], [])


def test_a_new_event_in_an_unknown_course_is_folded_by_the_next_read(key: ContextKey) -> None:
    end(key, "a")
    read(key)
    end(key, "b", 2)
    assert read(key)[0] == [2, 2]
    assert get_store().aggs([key])[key].content_status == {"a": 2, "b": 2}
    assert read(key) == ([2, 2], [])


def test_a_read_after_the_load_of_an_unknown_course_and_a_sweep_knows_its_leaves(
    key: ContextKey, tmp_path: Path
) -> None:
    end(key, "a")
    read(key)
    load(tmp_path, key, "b", "a")
    sweep()
    assert read(key) == ([0, 2], [])


def test_reads_beside_a_writer_leave_no_completed_row_unfolded_without_a_mark(learner: Learner) -> None:
    deadline = time.monotonic() + 2.5
    lost = []
    while time.monotonic() < deadline:
        one = RowKey(learner(), *[learner("content")] * 3)
        written = threading.Event()

        def writes(one: RowKey = one, written: threading.Event = written) -> None:
            get_store().apply(one, view(Verb.START))
            while get_store().marks(one.user_id):
                pass  # the moment the first mark is gone is the moment another reader may still hold it
            get_store().apply(one, view(Verb.END, 1))
            written.set()

        def reads(one: RowKey = one, written: threading.Event = written) -> None:
            while not written.is_set():
                aggregator.fold_pending([one.context], at(2))

        together(writes, reads, reads, reads)
        agg = get_store().aggs([one.context]).get(one.context)
        if not get_store().marks(one.user_id) and (agg is None or agg.content_status != {one.content_id: 2}):
            lost.append(agg)
    assert lost == []


# --- a connection older than the store --------------------------------------------------------------------------------

LATE_IMPORT = """
from modes import instance; instance.current()
from django.db import connection; assert connection.connection is not None
from common import timestamps
from common.rows import RowKey
from viewer.store import get_store
from viewer.lifecycle import Verb, ViewEvent
now, key, store = timestamps.now(), RowKey({user!r}, "c", "c", "c"), get_store()
store.apply(key, ViewEvent(Verb.START, now, now, now, details={{"b": 2}}))
store.apply(key, ViewEvent(Verb.UPDATE, now, now, now, details={{"a": 1}}))
import json; print(json.dumps(store.rows([key])[0].progress_details))
"""


def test_details_are_merged_on_a_connection_that_is_older_than_the_store(learner: Learner, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("VIEWER_", "DJANGO_"))}
    env |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"sqlite:///{connections['default'].settings_dict['NAME']}",
        "VIEWER_DATA_DIR": str(tmp_path),
    }
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", LATE_IMPORT.format(user=learner())]
    told = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"a": 1, "b": 2}
