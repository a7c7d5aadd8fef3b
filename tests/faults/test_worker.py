"""What happens after the answer, with a real worker that is killed, cut off, or not there at all."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.services import POSTGRES_URL

PLACE = {"collectionId": "class-1-maths", "contextId": "batch-1"}
LEAVES = ("single-digit-addition", "double-digit-addition", "triple-digit-addition")
Learner = Callable[..., str]


@pytest.fixture(params=["sqlite", "postgres"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.Server]:
    """A service of the test's own, with its worker, sweeping every second."""
    if request.param == "sqlite":
        with servers.running(tmp_path, VIEWER_SWEEP_SECONDS="1") as running:
            yield running
        return
    database = servers.postgres_database(POSTGRES_URL, f"viewer_worker_{os.getpid()}")
    with database as url, servers.running(tmp_path, DATABASE_URL=url, VIEWER_SWEEP_SECONDS="1") as running:
        assert running.manage("load_catalogue", "catalogue/sample/catalogue.json").returncode == 0
        yield running


def asked(service: servers.Server, expression: str) -> Any:
    """What a Python expression says of the service's store, from a process of its own."""
    imports = "import json; from common.rows import ContextKey; from viewer.store import get_store"
    code = f"{imports}; print(json.dumps({expression}))"
    told = service.manage("shell", "-v0", "-c", code)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for `condition`, which has to hold within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)  # between two looks at a condition that has a deadline


def statuses(service: servers.Server, user: str) -> dict[str, int]:
    """content_status as the aggregate has it: {} while nothing was folded."""
    told = asked(
        service,
        f"[agg.content_status for agg in get_store().aggs([ContextKey('{user}', *{tuple(PLACE.values())})]).values()]",
    )
    return told[0] if told else {}


def marked(service: servers.Server, user: str) -> bool:
    return bool(asked(service, f"len(get_store().marks('{user}'))"))


def end(service: servers.Server, user: str, content: str) -> None:
    service.result("/v1/view/end", {"userId": user, "contentId": content, "force": True, **PLACE})


def worker_of(service: servers.Server) -> int:
    """The process id of the running Celery worker."""
    for pid in servers.family(service.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"worker" in command and b"celery" in command:
            return pid
    raise AssertionError("no worker")


def runs(service: servers.Server) -> int:
    """How often the worker's task ran, by its log lines."""
    lines = service.log.read_text().splitlines()
    return sum(json.loads(line).get("message") == "aggregate" for line in lines if line.startswith("{"))


def test_the_worker_folds_what_was_written(service: servers.Server, learner: Learner) -> None:
    user = learner()
    end(service, user, LEAVES[0])
    eventually(lambda: statuses(service, user) == {LEAVES[0]: 2} and not marked(service, user))


def test_1000_ends_of_one_learner_cause_few_runs(
    service: servers.Server, learner: Learner, capsys: pytest.CaptureFixture[str]
) -> None:
    user = learner()
    before = runs(service)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: end(service, user, f"do_{number}"), range(1000)))
    eventually(lambda: not marked(service, user))
    count = runs(service) - before
    with capsys.disabled():
        print(f" 1000 ends of one learner: {count} runs ", end="")
    assert len(statuses(service, user)) == 1000
    assert 1 <= count <= 250


def test_a_killed_worker_comes_back_and_leaves_nothing_stale(service: servers.Server, learner: Learner) -> None:
    users = [learner() for _ in range(20)]
    killed = worker_of(service)
    for number, user in enumerate(users):
        end(service, user, LEAVES[0])
        if number == 10:
            os.kill(killed, signal.SIGKILL)
    eventually(lambda: not any(marked(service, user) for user in (users[0], users[10], users[-1])), 60)
    assert worker_of(service) != killed
    assert all(statuses(service, user) == {LEAVES[0]: 2} for user in (users[0], users[10], users[-1]))


def test_a_deleted_broker_folder_loses_messages_and_no_work(service: servers.Server, learner: Learner) -> None:
    users = [learner() for _ in range(10)]
    worker = worker_of(service)
    os.kill(worker, signal.SIGSTOP)
    for user in users:
        end(service, user, LEAVES[0])
    queue = Path(service.env["VIEWER_DATA_DIR"]) / "broker" / "queue"
    eventually(lambda: any(queue.iterdir()))  # the messages wait there
    for message in queue.iterdir():
        message.unlink()
    os.kill(worker, signal.SIGCONT)
    eventually(lambda: not marked(service, users[0]) and not marked(service, users[-1]))
    shutil.rmtree(queue.parent)
    end(service, users[0], LEAVES[1])
    assert service.manage("sweep").returncode == 0
    assert statuses(service, users[0]) == {LEAVES[0]: 2, LEAVES[1]: 2}


def test_without_worker_and_beat_reads_and_a_sweep_by_hand_stay_true(tmp_path: Path, learner: Learner) -> None:
    with servers.running(tmp_path, VIEWER_WORKER="off") as service:
        user, other = learner(), learner()
        end(service, user, LEAVES[0])
        end(service, other, LEAVES[0])
        assert marked(service, user)
        read = service.result("/v1/view/read", {"userId": user, **PLACE})
        assert [item["status"] for item in read["contents"]] == [2, 0, 0]  # type: ignore[attr-defined]
        assert not marked(service, user), "a read folds what is marked before it answers"
        assert marked(service, other)
        swept = service.manage("sweep")
        assert swept.returncode == 0, swept.stderr
        assert not marked(service, other)
        assert statuses(service, other) == {LEAVES[0]: 2}
