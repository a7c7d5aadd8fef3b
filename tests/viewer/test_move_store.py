"""A site moved between two real stores: everything arrives, whatever happens on the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from common.rows import ContextKey, Enrolment, RowKey
from tests.contract import whole_learners
from tests.servers import ROOT
from tests.viewer.events import at, view
from viewer.lifecycle import Verb
from viewer.moving import Difference, Mismatch, Move, Phase, canonical, keep_position, kept_position
from viewer.store.orm import OrmStore
from viewer.store.port import LearnerDump, OutboxEntry, Store

LEARNERS = 11
PAGE = 3
TABLES = (
    "user_content_consumption",
    "assessment_aggregator",
    "user_activity_agg",
    "user_enrolments",
    "enrolments_by_batch",
    "user_contexts",
    "stale_marks",
    "provenance",
    "outbox",
    "watermarks",
)
IN_A_PROCESS = """
import sys
from pathlib import Path
import django
from django.conf import settings
sqlite, postgres, path = sys.argv[1:]
settings.DATABASES["default"]["NAME"] = sqlite
settings.DATABASES["postgres"]["NAME"] = postgres
django.setup()
from viewer.moving import Move, keep_position
from viewer.store.orm import OrmStore
move = Move(OrmStore("default"), OrmStore("postgres"), page=2)
for _ in move.run():
    keep_position(Path(path), "sqlite", "postgres", move.position)
    print(move.position.seen, flush=True)
    sys.stdin.readline()
"""


class Site(NamedTuple):
    """A store, and the alias of its database."""

    store: Store
    alias: str

    def execute(self, statement: str, *values: str) -> None:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(statement, values)


@pytest.fixture
def sqlite(_databases: None) -> Site:
    return _emptied("default")


@pytest.fixture
def postgres(_databases: None) -> Site:
    return _emptied("postgres")


@pytest.fixture(params=["sqlite to postgres", "postgres to sqlite"])
def sites(request: pytest.FixtureRequest, sqlite: Site, postgres: Site) -> tuple[Site, Site]:
    """The source, with a few learners, and the empty target."""
    source, target = (sqlite, postgres) if request.param == "sqlite to postgres" else (postgres, sqlite)
    _fill(source)
    return source, target


def _emptied(alias: str) -> Site:
    """A move takes all there is, so here learners of other tests have to go."""
    site = Site(OrmStore(alias), alias)
    for table in TABLES:
        site.execute(f"DELETE FROM {table}")
    return site


def _fill(site: Site, learners: int = LEARNERS) -> None:
    random = Random(7)
    for number in range(learners):
        site.store.load(_learner(number))
    site.store.load_outbox(whole_learners.outbox(random, "certificate:é"))
    site.store.load_watermarks({"republished": at(3), "swept": at(5)})


def _learner(number: int, seed: int | None = None) -> LearnerDump:
    name = f"{whole_learners.ODD[number % len(whole_learners.ODD)]}-{number}"
    return whole_learners.learner(Random(number if seed is None else seed), name)


def everything(site: Site) -> tuple[dict[str, LearnerDump], dict[str, OutboxEntry], dict[str, Any], list[Enrolment]]:
    """All a store holds: learners, events, watermarks and the batches' lists."""
    store = site.store
    learners = {user_id: store.dump(user_id) for user_id in store.learners_after(None, 10_000)}
    events = {entry[0].id: entry for entry in store.outbox_after(None, 10_000)}
    batches = {enrolment.context_id for dump in learners.values() for enrolment in dump.enrolments}
    listed = [enrolment for batch in sorted(batches) for enrolment in store.batch_enrolments(batch)]
    return learners, events, store.watermarks(), sorted(listed, key=lambda enrolment: enrolment.key)


def moved(source: Site, target: Site, **options: Any) -> Move:
    """A move from the beginning to the end."""
    move = Move(source.store, target.store, page=PAGE, **options)
    list(move.run())
    return move


def differences(move: Move) -> list[Difference]:
    return [difference for page in move.run() for difference in page]


def test_everything_arrives_exactly_as_it_was(sites: tuple[Site, Site]) -> None:
    source, target = sites
    before = everything(source)
    position = moved(source, target).position
    assert everything(source) == before
    assert everything(target) == before
    assert position.equal
    assert position.source.counts["learners"] == LEARNERS
    assert position.source.counts["user_enrolments"] == sum(len(dump.enrolments) for dump in before[0].values())
    assert (position.source.counts["outbox"], position.source.counts["watermarks"]) == (7, 2)
    assert (position.moved, position.removed, position.changed) == (LEARNERS + 7, 0, 0)


def test_the_way_back_brings_what_was_done_there(sites: tuple[Site, Site]) -> None:
    source, target = sites
    moved(source, target)
    dump = _learner(3)
    target.store.load(replace(dump, rows=dump.rows[1:], marks=()))
    target.store.load(_learner(LEARNERS))
    target.store.set_watermark("republished", at(30))
    target.store.mark_published([event.id for event in target.store.unpublished(10)], at(60))
    there = everything(target)
    assert moved(target, source).position.equal
    assert everything(source) == there
    assert everything(target) == there


@pytest.mark.parametrize("workers", [1, 3, 9])
def test_any_number_of_threads_moves_the_same(sqlite: Site, postgres: Site, workers: int) -> None:
    _fill(sqlite)
    assert moved(sqlite, postgres, workers=workers).position.equal
    assert everything(postgres) == everything(sqlite)


def test_a_second_run_writes_nothing(sites: tuple[Site, Site]) -> None:
    source, target = sites
    first = moved(source, target).position
    second = moved(source, target).position
    assert (second.moved, second.removed, second.changed) == (0, 0, 0)
    assert second.source == second.target == first.source


def test_empty_stores_are_equal(sqlite: Site, postgres: Site) -> None:
    assert moved(sqlite, postgres).position.equal


@pytest.mark.parametrize("steps", [1, 4, 6, 9, 11, 12, 14, 15])
def test_a_move_stopped_anywhere_goes_on_there(sqlite: Site, postgres: Site, tmp_path: Path, steps: int) -> None:
    _fill(sqlite)
    path = tmp_path / "move_store.json"
    first = Move(sqlite.store, postgres.store, page=PAGE)
    for step, _ in enumerate(first.run(), 1):
        keep_position(path, "sqlite", "postgres", first.position)
        if step == steps:
            break
    position = kept_position(path, "sqlite", "postgres")
    assert position == first.position
    second = Move(sqlite.store, postgres.store, position=position, page=PAGE)
    list(second.run())
    assert second.position.equal
    counts = second.position.source.counts
    assert (counts["learners"], counts["outbox"], counts["watermarks"]) == (LEARNERS, 7, 2)
    assert second.position.moved == LEARNERS + 7
    assert everything(postgres) == everything(sqlite)


def test_a_killed_process_leaves_a_move_that_goes_on(sqlite: Site, postgres: Site, tmp_path: Path) -> None:
    _fill(sqlite)
    path = tmp_path / "move_store.json"
    names = [str(connections[site.alias].settings_dict["NAME"]) for site in (sqlite, postgres)]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_PROCESS, *names, str(path)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    with process:
        for seen in (2, 4, 6):
            assert process.stdout.readline() == f"{seen}\n"
            process.stdin.write("go on\n")
        process.kill()  # somewhere in the fourth page
    assert process.returncode == -signal.SIGKILL
    position = kept_position(path, "sqlite", "postgres")
    assert position.phase is Phase.LEARNERS
    assert position.seen in (6, 8)
    move = Move(sqlite.store, postgres.store, position=position, page=PAGE)
    list(move.run())
    assert move.position.equal
    assert move.position.source.counts["learners"] == LEARNERS
    assert everything(postgres) == everything(sqlite)


def test_what_is_written_meanwhile_is_seen_and_the_last_run_brings_it(sites: tuple[Site, Site]) -> None:
    source, target = sites
    move = Move(source.store, target.store, page=PAGE)
    running = move.run()
    passed = source.store.learners_after(None, PAGE)[0]
    next(running)
    source.store.apply(RowKey(passed, "class-1-maths", "batch-9", "late"), view(Verb.START, 9))
    list(running)
    assert move.position.changed == 1
    assert not move.position.equal
    last = moved(source, target).position
    assert last.equal
    assert (last.moved, last.changed) == (0, 0)
    source.store.apply(RowKey("new", "class-1-maths", "batch-9", "late"), view(Verb.START, 9))
    assert moved(source, target).position.moved == 1
    assert everything(target) == everything(source)


def test_who_was_deleted_in_the_source_is_removed(sites: tuple[Site, Site]) -> None:
    source, target = sites
    moved(source, target)
    for number in (0, 8, 10):
        source.store.load(LearnerDump(_learner(number).user_id))
    position = moved(source, target).position
    assert (position.moved, position.removed, position.equal) == (0, 3, True)
    assert everything(target) == everything(source)


def test_events_and_jobs_of_the_target_alone_are_removed(sites: tuple[Site, Site]) -> None:
    source, target = sites
    target.store.load_outbox(whole_learners.outbox(Random(3), "stray"))
    target.store.set_watermark("stray", at(1))
    position = moved(source, target).position
    assert (position.removed, position.equal) == (7, True)
    assert everything(target) == everything(source)


def test_a_dry_run_tells_what_would_move_and_writes_nothing(sites: tuple[Site, Site]) -> None:
    source, target = sites
    moved(source, target)
    changed, gone, event = _learner(4), _learner(5), source.store.outbox_after(None, 1)[0][0]
    target.execute("UPDATE user_enrolments SET progress = progress + 1 WHERE userid = %s", changed.user_id)
    source.store.load(LearnerDump(gone.user_id))
    source.store.mark_published([event.id], at(99))
    before = everything(target)
    move = Move(source.store, target.store, page=PAGE, dry_run=True)
    found = differences(move)
    assert found[0] == Difference(changed.user_id, ("user_enrolments",))
    assert found[1].owner == gone.user_id
    assert found[2] == Difference(event.id, ("outbox",))
    assert len(found) == 3
    assert not move.position.equal
    assert everything(target) == before


@pytest.mark.parametrize(
    ("table", "owner", "change"),
    [
        ("user_content_consumption", "userid", "version = version + 1"),
        ("assessment_aggregator", "user_id", "total_score = total_score + 0.001"),
        ("user_activity_agg", "user_id", 'kept = \'{"x": {"status": 1}}\''),
        ("user_enrolments", "userid", "datetime = '2031-01-01 00:00:00.001'"),
        ("user_enrolments", "userid", "moved_to = 'elsewhere'"),
        ("user_contexts", "userid", "contextid = 'elsewhere'"),
        ("stale_marks", "userid", "token = 5"),
        ("provenance", "userid", "state = 'lost'"),
    ],
)
def test_a_corrupted_target_is_named_and_mended(
    sqlite: Site, postgres: Site, table: str, owner: str, change: str
) -> None:
    source, target = sqlite, postgres
    _fill(source, 8)
    single = LearnerDump("single", contexts=(ContextKey("single", "class-1-maths", "batch-1"),))
    victim = single if table == "user_contexts" else _learner(7)
    source.store.load(single)
    moved(source, target)
    target.execute(f"UPDATE {table} SET {change} WHERE {owner} = %s", victim.user_id)
    assert differences(Move(source.store, target.store, dry_run=True)) == [Difference(victim.user_id, (table,))]
    move = Move(source.store, target.store)
    assert differences(move) == [Difference(victim.user_id, (table,))]
    assert move.position.equal
    assert everything(target) == everything(source)


@pytest.fixture
def forgetful(postgres: Site) -> Iterator[Site]:
    """A database that keeps another time spent of one learner than it was given."""
    postgres.execute(
        "CREATE FUNCTION forget() RETURNS trigger AS"
        " $$ BEGIN NEW.timespent := NEW.timespent + 1; RETURN NEW; END $$ LANGUAGE plpgsql"
    )
    postgres.execute(
        "CREATE TRIGGER forget BEFORE INSERT ON user_content_consumption FOR EACH ROW"
        f" WHEN (NEW.userid = '{_learner(6).user_id}') EXECUTE FUNCTION forget()"
    )
    yield postgres
    postgres.execute("DROP FUNCTION IF EXISTS forget CASCADE")


def test_a_target_that_does_not_keep_what_it_is_given_stops_the_move(sqlite: Site, forgetful: Site) -> None:
    _fill(sqlite)
    move = Move(sqlite.store, forgetful.store, page=PAGE)
    with pytest.raises(Mismatch) as caught:
        list(move.run())
    assert (caught.value.owner, caught.value.table) == (_learner(6).user_id, "user_content_consumption")
    assert _learner(6).user_id in str(caught.value)
    forgetful.execute("DROP FUNCTION forget CASCADE")
    second = Move(sqlite.store, forgetful.store, page=PAGE, position=move.position)
    list(second.run())
    assert second.position.equal
    assert everything(forgetful) == everything(sqlite)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ([-0.0], [0]),
        (1e17, 10**17),
        (2**60 + 1, float(2**60)),
        ((1, 2), [1, 2]),
    ],
)
def test_equal_values_have_one_spelling(one: Any, other: Any) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, None), ("1", 1), ([1, 2], [2, 1]), (at(0), at(1 / 60_000)), ({}, []), ("é", "e\u0301"), (0.1, 0.2)],
)
def test_different_values_have_different_spellings(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


def test_a_position_of_another_way_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "move_store.json"
    assert kept_position(path, "orm", "cassandra") is None
    keep_position(path, "orm", "cassandra", Move(OrmStore(), OrmStore()).position)
    assert kept_position(path, "cassandra", "orm") is None
    path.write_text("{half")
    assert kept_position(path, "orm", "cassandra") is None


@pytest.mark.parametrize("wrong", [["--to", "orm"], ["--to", "cassandra", "--batch", "0"], ["--to", "elsewhere"]])
def test_the_command_refuses_what_it_cannot_do(wrong: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("move_store", "--from", "orm", *wrong)
