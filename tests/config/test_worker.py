"""`python -m config.worker`, what a worker's command says, where tasks go, and what a forked child leaves alone."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery.fixups import django as fixups

from config import settings as ours
from config.celery import app
from tests import servers
from tests.config.test_run import lives
from tests.services import POSTGRES_URL, REDIS_PORT

REDIS_URL = f"redis://127.0.0.1:{REDIS_PORT}/13"
FORKED = """
import os, django
django.setup()
from django.db import connections
from celery.signals import worker_process_init
import config.celery
def one():
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()[0]
assert one() == 1
child = os.fork()
if child == 0:
    worker_process_init.send(sender="a child")
    os._exit(0 if one() == 1 else 1)
_, status = os.waitpid(child, 0)
print(status, one())
"""


def environment(folder: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return {**kept, "VIEWER_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings", **settings}


def command(folder: Path, **settings: str) -> str:
    """What worker_command gives in this environment, in one line."""
    code = "import django; django.setup(); from config.run import worker_command as c; print(*c())"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=servers.ROOT, env=environment(folder, **settings), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ran.stdout.strip()


def test_a_broker_of_files_has_one_process_for_everything(tmp_path: Path) -> None:
    told = command(tmp_path, VIEWER_WORKER_PROCESSES="4")
    assert "--pool solo --concurrency 1 " in told
    assert "--queues viewer,exhaust " in told
    assert " --beat " in told
    assert (tmp_path / "broker" / "queue").is_dir()


def test_a_real_broker_has_processes_that_can_be_ended(tmp_path: Path) -> None:
    told = command(
        tmp_path, CELERY_BROKER_URL=REDIS_URL, VIEWER_WORKER_PROCESSES="3", VIEWER_WORKER_QUEUES="exhaust",
        VIEWER_BEAT="off",
    )  # fmt: skip
    assert "--pool prefork --concurrency 3 " in told
    assert "--queues exhaust " in told
    assert "--beat" not in told
    assert not (tmp_path / "broker").exists()


def test_two_workers_of_one_host_have_names_of_their_own(tmp_path: Path) -> None:
    one, other = (command(tmp_path, CELERY_BROKER_URL=REDIS_URL) for _ in range(2))
    assert re.findall(r"--hostname (\S+)", one) != re.findall(r"--hostname (\S+)", other)


def test_reports_go_to_a_queue_of_their_own_and_everything_else_to_the_default() -> None:
    def queue(task: str) -> str:
        routed = app.amqp.router.route({}, task)
        name: str = routed["queue"].name
        return name

    assert (queue("exhaust.run"), queue("viewer.aggregate"), queue("viewer.sweep")) == ("exhaust", "viewer", "viewer")


def test_every_broker_is_waited_for_only_so_long() -> None:
    assert ours.broker_options("redis://host/")["socket_timeout"] <= 5
    assert ours.broker_options("rediss://host/")["socket_connect_timeout"] <= 5
    assert ours.broker_options("amqp://host//")["write_timeout"] <= 5
    assert ours.broker_options("sqs://") == {}


def test_a_refused_configuration_is_told_and_ends_with_2(tmp_path: Path) -> None:
    env = environment(tmp_path, VIEWER_AUTH="off", VIEWER_HOST="0.0.0.0")
    ran = subprocess.run(
        [sys.executable, "-m", "config.worker"],
        cwd=servers.ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "viewer.E001" in ran.stderr


@pytest.mark.parametrize("broker", ["filesystem://", REDIS_URL])
def test_a_worker_alone_ends_in_order(tmp_path: Path, broker: str) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "config.worker"],
            cwd=servers.ROOT, env=environment(tmp_path, CELERY_BROKER_URL=broker), stdout=output, stderr=output,
        )  # fmt: skip
    deadline = time.monotonic() + 60
    while (
        len(family := servers.family(worker.pid)) < 3
    ):  # this one, the one that folds, and beat or the one that forked
        assert time.monotonic() < deadline, log.read_text()
        assert worker.poll() is None, log.read_text()
        time.sleep(0.1)  # between two looks at a condition that has a deadline
    worker.terminate()
    assert worker.wait(45) == 0
    assert log.read_text().endswith("Stopped.\n")
    assert not any(map(lives, family))


@pytest.mark.parametrize("tier", ["sqlite", "postgres"])
def test_a_forked_child_makes_its_own_connection_and_the_parents_lives_on(tier: str, tmp_path: Path) -> None:
    settings = {} if tier == "sqlite" else {"DATABASE_URL": POSTGRES_URL}
    ran = subprocess.run(
        [sys.executable, "-c", FORKED],
        cwd=servers.ROOT, env=environment(tmp_path, **settings), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.stdout, ran.returncode) == ("0 1\n", 0), ran.stderr


def test_tasks_keep_their_connections_between_them() -> None:
    """Celery reads this by a name of its own: an upgrade that renames it would make every task connect anew."""
    assert vars(fixups)["DjangoWorkerFixup"](app).db_reuse_max == sys.maxsize
