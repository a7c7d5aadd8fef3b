"""The service on Cassandra: start, readiness, durability, processes that fork, and a site that moves there and back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import cassandra
from tests import servers
from tests.services import POSTGRES_URL
from viewer.cassandra_tables import schema
from viewer.store.cassandra import session

CONTEXT = {"collectionId": "class-1-maths", "contextId": "batch-1"}
FORKS = """
import os, sys, django
django.setup()
from common.rows import RowKey
from viewer.store import get_store
from viewer.lifecycle import Verb, ViewEvent
from common import timestamps

def start(name):
    now = timestamps.now()
    outcome = get_store().apply(RowKey(name, "c", "b", "x"), ViewEvent(Verb.START, now, now, now)).outcome
    assert outcome == "applied", outcome

start("parent-before")
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        start(f"child-{number}")
        os._exit(0)
    children.append(pid)
start("parent-after")
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""


@pytest.fixture(scope="module")
def tier() -> Iterator[dict[str, str]]:
    """The environment of a cluster tier of its own."""
    made = servers.cluster(f"viewer_tier_{os.getpid()}")
    yield made
    servers.forget(made)


def manage(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs manage.py; the caller looks at the exit code."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "VIEWER_DATA_DIR": str(folder), **environment}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=servers.ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)


def read(server: servers.Server, user_id: str) -> Any:
    return server.result("/v1/view/read", {"userId": user_id, **CONTEXT})["contents"]


def summary(server: servers.Server, user_id: str) -> Any:
    """The learner's records; the time of the last fold is a write stamp."""
    found = server.client.get(f"/v1/summary/list/{user_id}").json()["result"]["summary"]
    return json.loads(json.dumps(found))


def test_a_site_moves_to_cassandra_and_back_without_loss(tmp_path: Path, tier: dict[str, str]) -> None:
    with servers.postgres_database(POSTGRES_URL, f"viewer_move_{os.getpid()}") as url:
        with servers.running(tmp_path / "data", DATABASE_URL=url) as server:
            server.manage("load_catalogue", servers.SAMPLE)
            learners = [f"learner-{number}" for number in range(20)]
            for number, user_id in enumerate(learners):
                view = {"userId": user_id, **CONTEXT, "contentId": "single-digit-addition"}
                server.result(
                    "/v1/course/enroll", {"userId": user_id, "courseId": "class-1-maths", "batchId": "batch-1"}
                )
                server.result("/v1/view/start", view)
                if number % 2:
                    server.result("/v1/view/end", view)
            before = {user_id: (read(server, user_id), summary(server, user_id)) for user_id in learners}
        moved = {"DATABASE_URL": url, **tier}
        assert manage(tmp_path / "data", "sync_cassandra", **moved).returncode == 0
        assert (
            manage(tmp_path / "data", "move_store", "--from=orm", "--to=cassandra", "--dry-run", **moved).returncode
            == 1
        )
        ran = manage(tmp_path / "data", "move_store", "--from=orm", "--to=cassandra", **moved)
        assert (ran.returncode, "Equal" in ran.stdout) == (0, True), ran.stdout + ran.stderr
        with servers.running(tmp_path / "data", **moved) as server:
            assert {user_id: (read(server, user_id), summary(server, user_id)) for user_id in learners} == before
            server.result("/v1/view/end", {"userId": learners[0], **CONTEXT, "contentId": "single-digit-addition"})
            after = read(server, learners[0]), summary(server, learners[0])
        ran = manage(tmp_path / "data", "move_store", "--from=cassandra", "--to=orm", **moved)
        assert (ran.returncode, "Equal" in ran.stdout) == (0, True), ran.stdout + ran.stderr
        with servers.running(tmp_path / "data", DATABASE_URL=url) as server:
            before[learners[0]] = after
            assert {user_id: (read(server, user_id), summary(server, user_id)) for user_id in learners} == before


def test_processes_that_fork_use_the_store_and_so_does_their_parent(tmp_path: Path, tier: dict[str, str]) -> None:
    assert manage(tmp_path, "sync_cassandra", **tier).returncode == 0
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "VIEWER_DATA_DIR": str(tmp_path), **tier}
    ran = subprocess.run(
        [sys.executable, "-c", FORKS],
        cwd=servers.ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.strip() == "[0, 0, 0]", ran.stderr


def test_a_service_whose_cassandra_does_not_answer_says_so_and_ends(tmp_path: Path, tier: dict[str, str]) -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "VIEWER_DATA_DIR": str(tmp_path)}
    env |= {**tier, "VIEWER_CASSANDRA_PORT": str(servers.free_port()), "PORT": str(servers.free_port())}
    ran = subprocess.run(
        [sys.executable, "-m", "config.run"],
        cwd=servers.ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "Cassandra does not answer at 127.0.0.1" in ran.stderr


def test_commands_that_need_no_cassandra_work_without_it(tmp_path: Path, tier: dict[str, str]) -> None:
    down = {**tier, "VIEWER_CASSANDRA_PORT": str(servers.free_port())}
    for command in (["migrate", "-v0"], ["check"], ["makemigrations", "--check", "--dry-run"]):
        ran = manage(tmp_path, *command, **down)
        assert ran.returncode == 0, ran.stderr


def test_one_copy_with_a_commit_log_on_disk_keeps_what_it_acknowledges(tmp_path: Path, tier: dict[str, str]) -> None:
    assert manage(tmp_path, "sync_cassandra", **tier).returncode == 0
    ran = manage(tmp_path, "check", "--database", "cassandra", "--fail-level", "WARNING", **tier)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.usefixtures("_cassandra")
def test_every_numbered_file_was_run_once(settings: Any) -> None:
    assert schema.pending(session.session(), settings.CASSANDRA_KEYSPACE) == []
    assert list(schema.run(session.session(), settings.CASSANDRA_KEYSPACE)) == []
    options = session.session().execute(
        "SELECT gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 'stale_marks'",
        [settings.CASSANDRA_KEYSPACE],
    )
    assert options.one()["gc_grace_seconds"] == 3600


def test_a_keyspace_of_an_earlier_release_gets_the_new_column(tmp_path: Path, tier: dict[str, str]) -> None:
    assert manage(tmp_path, "sync_cassandra", **tier).returncode == 0
    table = f"{tier['VIEWER_CASSANDRA_KEYSPACE']}.user_enrolments"
    ask = session.session().execute
    ask(f"ALTER TABLE {table} DROP moved_to")
    ask(f"INSERT INTO {table} (userid, courseid, batchid, addedby) VALUES ('rahul', 'class-1-maths', 'b-1', 'asha')")
    for _ in range(2):
        ran = manage(tmp_path, "sync_cassandra", **tier)
        assert ran.returncode == 0, ran.stderr
    kept = ask(f"SELECT addedby, moved_to FROM {table} WHERE userid = 'rahul'").one()
    assert dict(kept) == {"addedby": "asha", "moved_to": None}


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ("1", {"strategy_class": "SimpleStrategy", "replication_factor": 1}),
        ("east:3, west:2", {"strategy_class": "NetworkTopologyStrategy", "east": 3, "west": 2}),
    ],
)
def test_replication_is_told_in_a_word(told: str, options: dict[str, Any]) -> None:
    assert cassandra.replication_options(told) == options


@pytest.mark.parametrize("told", ["", "three", "0", "east:", "east:3,west"])
def test_a_replication_nobody_understands_is_refused(told: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="VIEWER_CASSANDRA_REPLICATION"):
        cassandra.replication_options(told)
