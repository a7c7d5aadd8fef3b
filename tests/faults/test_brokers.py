"""Triggers on real brokers, Redis and RabbitMQ, with workers of their own: what is lost, doubled, poisoned or killed.

Each broker is an instance of the tests' own, because it is stopped and killed here. The service itself runs no worker.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery
from kombu import Connection

from tests import servers
from tests.config.test_run import lives
from tests.services import POSTGRES_URL

COURSE = "class-1-maths"
FIRST = "single-digit-addition"
SWEEP_SECONDS = 2
SHORT = {"VIEWER_TASK_SECONDS": "1"}
NO_BEAT = {"VIEWER_BEAT": "off"}
Learner = Callable[..., str]
Worker = subprocess.Popen[bytes]


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    """Waits for `condition`, which has to hold within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)  # between two looks at a condition that has a deadline


@dataclass
class Broker:
    """One instance that scripts/services.sh started. kind: redis or rabbitmq."""

    kind: str
    folder: Path
    port: int

    @property
    def url(self) -> str:
        user = "" if self.kind == "redis" else "viewer:viewer@"
        return f"{'redis' if self.kind == 'redis' else 'amqp'}://{user}127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        return int((self.folder / f"viewertest-{self.kind}" / "pid").read_text())

    def start(self) -> None:
        own = {"VIEWER_TEST_DIR": str(self.folder), f"VIEWER_TEST_{self.kind.upper()}_PORT": str(self.port)}
        subprocess.run(
            ["scripts/services.sh", self.kind], cwd=servers.ROOT, env={**os.environ, **own},
            check=True, stdout=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip

    def kill(self) -> None:
        """Ends it without a chance to save anything."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not lives(pid))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stops it from answering; connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def clean_up(self) -> None:
        self.kill()
        own = f"HOME={self.folder}/viewertest-{self.kind}".encode()  # RabbitMQ's name server outlives it
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if own in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGTERM)


@dataclass
class World:
    """A service on PostgreSQL, its broker, and the one file into which the service and every worker write."""

    service: servers.Server
    broker: Broker
    database: str

    def end(self, user: str, content: str = FIRST, context: str = "batch-1") -> None:
        place = {"collectionId": COURSE, "contextId": context}
        self.service.result("/v1/view/end", {"userId": user, "contentId": content, "force": True, **place})

    def timed_end(self, user: str, content: str) -> float:
        """How long the answer took, in seconds."""
        began = time.perf_counter()
        self.end(user, content)
        return time.perf_counter() - began

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, values).fetchall()

    def folded(self, *users: str) -> set[str]:
        """The contents that the aggregates of these learners tell of."""
        found = self.rows("SELECT content_status FROM user_activity_agg WHERE user_id = ANY(%s)", list(users))
        return {content for (statuses,) in found for content in statuses}

    def marks(self, *users: str) -> int:
        (count,) = self.rows("SELECT count(*) FROM stale_marks WHERE userid = ANY(%s)", list(users))[0]
        return int(count)

    def lines(self, message: str, **fields: object) -> list[dict[str, Any]]:
        """The log lines with this message and these fields, in the order in which they were written."""
        text = self.service.log.read_text().splitlines()
        logged = [json.loads(line) for line in text if line.startswith("{") and message in line]
        return [line for line in logged if message in line["message"] and fields.items() <= line.items()]

    @contextmanager
    def worker(self, **settings: str) -> Iterator[Worker]:
        """`python -m config.worker` for the length of a block; it has to end in order."""
        with self.service.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "config.worker"], cwd=servers.ROOT,
                env={**self.service.env, **settings}, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            eventually(lambda: len(servers.family(process.pid)) >= 3, 60)  # this one, the main one, one that folds
            yield process
        finally:
            process.terminate()
            code = process.wait(45)
        assert code == 0

    @contextmanager
    def held_up(self, user: str) -> Iterator[None]:
        """The learner's aggregate is locked: whoever folds it waits while the block lasts."""
        with psycopg.connect(self.database) as connection:
            query = "SELECT 1 FROM user_activity_agg WHERE user_id = %s FOR UPDATE"
            assert connection.execute(query, [user]).fetchall()
            yield

    def waits(self) -> bool:
        """True while somebody waits for such a lock."""
        return bool(self.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def celery(worker: Worker) -> list[int]:
    """The Celery processes of a worker: the main one first, then those it forked."""
    return servers.family(worker.pid)[1:]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Every world's turns are in it, and one world's messages."""
    made = Broker("redis", tmp_path_factory.mktemp("redis"), servers.free_port())
    made.start()
    yield made
    made.clean_up()


@pytest.fixture(scope="module", params=["redis", "amqp"])
def world(request: pytest.FixtureRequest, redis: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp(request.param)
    broker = redis if request.param == "redis" else Broker("rabbitmq", folder, servers.free_port())
    broker.start()
    settings = {
        "CELERY_BROKER_URL": broker.url, "REDIS_URL": redis.url, "VIEWER_WORKER": "off", "VIEWER_LOG_LEVEL": "debug",
        "VIEWER_SWEEP_SECONDS": str(SWEEP_SECONDS),
    }  # fmt: skip
    database = servers.postgres_database(POSTGRES_URL, f"viewer_broker_{os.getpid()}")
    with database as url, servers.running(folder / "service", DATABASE_URL=url, **settings) as service:
        assert service.manage("load_catalogue", "catalogue/sample/catalogue.json").returncode == 0
        yield World(service, broker, url)
    if broker is not redis:
        broker.clean_up()


def quick(world: World, user: str) -> bool:
    """True where a message, and not the sweep, brought this learner's fold: it comes before any sweep may."""
    world.end(user)
    deadline = time.monotonic() + SWEEP_SECONDS / 2
    while not world.folded(user):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # between two looks at a condition that has a deadline
    return True


class TestMessagesAlone:
    """A worker without beat: what is done was not the sweep's work."""

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, world: World) -> Iterator[Worker]:
        with world.worker(**NO_BEAT) as started:
            yield started

    def test_1000_ends_of_one_learner_cause_few_runs(
        self, world: World, worker: Worker, learner: Learner, capsys: pytest.CaptureFixture[str]
    ) -> None:
        user = learner()
        before = len(world.lines("aggregate"))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: world.end(user, f"do_{number}"), range(1000)))
        eventually(lambda: not world.marks(user))
        count = len(world.lines("aggregate")) - before
        with capsys.disabled():
            print(f" 1000 ends of one learner: {count} runs ", end="")
        assert len(world.folded(user)) == 1000
        assert 1 <= count <= 250

    def test_two_workers_never_fold_one_learner_at_the_same_time(
        self, world: World, worker: Worker, learner: Learner
    ) -> None:
        """Many messages for him alone while he goes on: turns begin and end in turn, and nothing stays behind."""
        user = learner()
        sender = Celery(broker=world.broker.url, set_as_current=False)
        with world.worker(**NO_BEAT):
            for number in range(150):
                world.end(user, context=f"batch-{number}")
                sender.send_task("viewer.aggregate", args=([user],), queue="viewer")
            eventually(lambda: not world.marks(user))
        turns = [line["message"] for line in world.lines("turn ", user_id=user)]
        assert len(turns) >= 4
        assert turns == ["turn begins", "turn ends"] * (len(turns) // 2)
        assert sum(line["left"] for line in world.lines("aggregate")) >= 1, (
            "nobody was ever sent away: it proves nothing"
        )

    def test_garbage_and_unknown_messages_leave_the_worker_working(
        self, world: World, worker: Worker, learner: Learner
    ) -> None:
        user = learner()
        tell: dict[str, Any] = {"exchange": "", "routing_key": "viewer"}
        task = {"task": "viewer.aggregate", "id": "an-id", "lang": "py"}
        with Connection(world.broker.url) as connection:
            queue = connection.SimpleQueue("viewer")
            producer = queue.producer
            producer.publish(b"\x00\xff garbage", content_type="application/json", content_encoding="utf-8", **tell)
            producer.publish(b"garbage", content_type="application/x-python-serialize", **tell)
            producer.publish({"neither": "task nor id"}, serializer="json", **tell)
            producer.publish([[], {}, {}], serializer="json", headers={**task, "task": "viewer.no_such_task"}, **tell)
            for args in ([], [5], [[5, None, "\x00"]], ["nobody"], [[user], 6]):
                producer.publish([args, {}, {}], serializer="json", headers=task, **tell)
            queue.close()
        before = celery(worker)[0]
        world.end(user)
        eventually(lambda: world.folded(user) == {FIRST})
        assert celery(worker)[0] == before, "the worker did not even start again"

    def test_a_run_that_kills_its_process_is_not_delivered_again(
        self, world: World, worker: Worker, learner: Learner
    ) -> None:
        user, other = learner(), learner()
        world.end(user)
        eventually(lambda: world.folded(user) == {FIRST})
        with world.held_up(user):
            world.end(user, "another")
            eventually(world.waits)
            main, process, *_ = celery(worker)
            os.kill(process, signal.SIGKILL)
            world.end(other)
            eventually(lambda: world.folded(other) == {FIRST})
            assert len(world.lines("turn begins", user_id=user)) == 2, "his first fold, and the one that was killed"
        assert celery(worker)[0] == main
        assert world.marks(user) == 1, "and his mark is there for the sweep"

    def test_what_is_no_message_at_all_costs_the_worker_a_start_at_most(
        self, world: World, worker: Worker, learner: Learner
    ) -> None:
        """On Redis kombu gives up over it; it is gone from the queue by then, and the worker is started again."""
        user = learner()
        with Connection(world.broker.url) as connection:
            channel: Any = connection.default_channel
            if world.broker.kind == "redis":
                channel.client.lpush("viewer", "garbage")
            else:
                channel.basic_publish(channel.prepare_message(b"garbage"), "", "viewer")
        world.end(user)
        eventually(lambda: world.folded(user) == {FIRST})


class TestTimeLimits:
    """A worker whose tasks may run for a second."""

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, world: World) -> Iterator[Worker]:
        with world.worker(**NO_BEAT, **SHORT) as started:
            yield started

    def test_a_task_over_its_time_is_interrupted_and_the_worker_lives_on(
        self, world: World, worker: Worker, learner: Learner
    ) -> None:
        user, other = learner(), learner()
        world.end(user)
        eventually(lambda: world.folded(user) == {FIRST})
        processes = celery(worker)
        with world.held_up(user):
            world.end(user, "another")
            world.end(other)
            eventually(lambda: world.folded(other))
            (failed,) = world.lines("work on one context failed", collection_id=COURSE)
            assert "SoftTimeLimitExceeded" in failed["traceback"]
            assert world.marks(user) == 1, "put off, not forgotten"
        assert celery(worker) == processes

    def test_a_process_that_does_not_heed_its_time_is_replaced(
        self, world: World, worker: Worker, learner: Learner
    ) -> None:
        user = learner()
        world.end(user)
        eventually(lambda: world.folded(user) == {FIRST})
        with world.held_up(user):
            world.end(user, "another")
            eventually(world.waits)
            main, process, *_ = celery(worker)
            os.kill(process, signal.SIGSTOP)
            eventually(lambda: not lives(process))
        eventually(lambda: quick(world, learner()))
        assert celery(worker)[0] == main


class TestBrokerAway:
    """A worker with beat, and a broker that goes and comes back."""

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, world: World) -> Iterator[Worker]:
        with world.worker() as started:
            yield started

    @pytest.mark.parametrize("how", ["paused", "killed"])
    def test_writes_are_quick_without_a_broker_and_the_aggregates_are_right_once_it_is_back(
        self, world: World, worker: Worker, learner: Learner, how: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        users = [learner() for _ in range(40)]
        world.end(users[0])
        eventually(lambda: world.folded(users[0]))
        main = celery(worker)[0]
        if how == "paused":
            with world.broker.paused():
                slowest = max(world.timed_end(user, "later") for user in users)
        else:
            world.broker.kill()
            slowest = max(world.timed_end(user, "later") for user in users)
            world.broker.start()
        began = time.monotonic()
        eventually(lambda: not world.marks(*users), 60)
        took = time.monotonic() - began
        eventually(lambda: quick(world, learner()), 30)
        assert celery(worker)[0] == main, "it came back by itself"
        with capsys.disabled():
            print(f" slowest write {slowest * 1000:.0f} ms, right again after {took:.1f} s ", end="")
        assert slowest < 3
        assert world.folded(*users[1:]) == {"later"}


def test_what_a_killed_worker_had_in_hand_is_done_by_another(world: World, learner: Learner) -> None:
    user = learner()
    world.end(user)
    with world.worker(**NO_BEAT) as killed:
        eventually(lambda: world.folded(user) == {FIRST})
        with world.held_up(user):
            world.end(user, "another")
            eventually(world.waits)
            for pid in celery(killed):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed.send_signal(signal.SIGTERM)
            killed.wait(45)
    with world.worker():
        # Unless Redis was told otherwise, the dead one's turn lasts for its minute.
        with Connection(world.service.env["REDIS_URL"]) as connection:
            connection.default_channel.client.delete(f"viewer:turn:{user}")  # type: ignore[attr-defined]
        eventually(lambda: world.folded(user) == {FIRST, "another"} and not world.marks(user))


def test_a_purged_queue_loses_messages_and_no_work(world: World, learner: Learner) -> None:
    users = [learner() for _ in range(10)]
    for user in users:
        world.end(user)
    with Connection(world.broker.url) as connection:
        channel: Any = connection.default_channel
        eventually(lambda: channel.queue_purge("viewer"))
    with world.worker():
        eventually(lambda: not world.marks(*users))
    assert world.folded(*users) == {FIRST}
