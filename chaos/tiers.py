"""The three tiers, each with servers, web processes and workers of its own, and with the faults it is open to."""

import json
import random
import signal
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from chaos.backends import Cassandra, Postgres, RabbitMQ, Redis, purge
from chaos.course import catalogue
from chaos.faults import Fault
from chaos.service import Web, Worker, empty_folder_broker
from chaos.victims import Victim, send

KEYSPACE = "chaos"
SWEEP_SECONDS = 2
SERVICE = {"VIEWER_SWEEP_SECONDS": str(SWEEP_SECONDS), "VIEWER_LOG_LEVEL": "warning"}


class Waiting(ABC):
    """Looks into the learner tables behind the service's back: a question to the API would fold what waits."""

    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """How many contexts wait to be folded, and how many events to be published."""


class SqlWaiting(Waiting):
    """SQLite's file or PostgreSQL's database."""

    STATEMENTS = ("SELECT count(*) FROM stale_marks", "SELECT count(*) FROM outbox WHERE published_at IS NULL")

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect

    def counts(self) -> tuple[int, int]:
        """See Waiting."""
        connection = self._connect()
        try:
            marks, events = (connection.execute(text).fetchone()[0] for text in self.STATEMENTS)
        finally:
            connection.close()
        return marks, events


class CassandraWaiting(Waiting):
    """The keyspace: marks are a column of the learner's partition."""

    def __init__(self, port: int) -> None:
        self._port = port

    def counts(self) -> tuple[int, int]:
        """See Waiting."""
        from cassandra.cluster import Cluster  # noqa: PLC0415 - only this tier has the driver's threads

        with Cluster(["127.0.0.1"], port=self._port) as cluster, cluster.connect(KEYSPACE) as session:
            learners = session.execute("SELECT DISTINCT userid, marks FROM user_content_consumption", timeout=60)
            events = session.execute("SELECT count(*) FROM outbox_waiting", timeout=60)
            return sum(len(row.marks or ()) for row in learners), events.one()[0]


@dataclass
class World:
    """One tier that runs. data: the data folder of its processes."""

    name: str
    data: Path
    backends: list[Victim]
    webs: list[Web]
    waiting: Waiting
    faults: list[Fault]
    workers: list[Worker] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """Of the web processes."""
        return [web.url for web in self.webs]

    @property
    def service(self) -> list[Victim]:
        """The service's own processes."""
        return [*self.webs, *self.workers]

    @property
    def events(self) -> Iterator[dict[str, Any]]:
        """Every published event, repeats too."""
        for path in sorted((self.data / "events").glob("*.jsonl")):
            for line in path.read_text().splitlines():
                yield json.loads(line)


@dataclass(frozen=True)
class Plan:
    """What a tier is made of. faults: those of its servers and its queue; the service's own come to every tier."""

    settings: dict[str, str]
    backends: list[Victim]
    waiting: Waiting
    faults: list[Fault]
    workers: int


@contextmanager
def running(name: str, folder: Path, pause: tuple[float, float]) -> Iterator[World]:
    """The tier with everything up. pause: the shortest and the longest SIGSTOP, in seconds. Raises ChaosFailed."""
    folder.chmod(0o711)  # user postgres has to pass
    data = folder / "data"
    plan = TIERS[name](folder, data, pause)
    settings = {**SERVICE, **plan.settings, "VIEWER_DATA_DIR": str(data)}
    webs = [Web(f"web {number}", folder / f"web-{number}", settings) for number in range(2)]
    world = World(name, data, plan.backends, webs, plan.waiting, plan.faults)
    try:
        _at_once(plan.backends)
        _start_service(world, folder, plan.workers)
        world.faults += _service_faults(world, pause)
        yield world
    finally:
        for victim in [*world.service, *world.backends]:
            send(signal.SIGCONT, victim.pids())
            victim.clean_up()


def _start_service(world: World, folder: Path, workers: int) -> None:
    world.webs[0].start()  # alone: it makes the tables
    server = world.webs[0].server
    assert server is not None
    world.workers += [
        Worker(f"worker {number}", folder / f"worker-{number}.log", server.env) for number in range(workers)
    ]
    loading = [lambda: world.webs[0].manage("load_catalogue", "-", stdin=json.dumps(catalogue()))]
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(job) for job in [*loading, *(one.start for one in [*world.webs[1:], *world.workers])]]
        for job in jobs:
            job.result()


def _at_once(victims: Sequence[Victim]) -> None:
    """Starts all of them; raises what the first that failed raised."""
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(victim.start) for victim in victims]:
            started.result()


# --- faults ----------------------------------------------------------------------------------------------------------


def _paused(victim: Victim, pause: tuple[float, float]) -> Fault:
    return Fault(f"{victim.name} paused", victim.name, lambda rng: victim.pause(rng.uniform(*pause)))


def _killed(victim: Victim) -> Fault:
    return Fault(f"{victim.name} killed", victim.name, lambda _: victim.restart())


def _purged(target: str, strike: Callable[[], None]) -> Fault:
    return Fault("queue purged", target, lambda _: strike())


def _service_faults(world: World, pause: tuple[float, float]) -> list[Fault]:
    """On a web process or a worker, which the dice choose."""

    def one_of(victims: Sequence[Victim], strike: Callable[[Victim, random.Random], None]) -> Callable[..., None]:
        return lambda rng: strike(rng.choice(victims), rng)

    def paused(victim: Victim, rng: random.Random) -> None:
        victim.pause(rng.uniform(*pause))

    return [
        Fault("web process killed", "web", one_of(world.webs, lambda web, _: web.restart())),
        Fault("web process paused", "web", one_of(world.webs, paused)),
        Fault("worker killed", "worker", one_of(world.workers, lambda worker, _: worker.restart())),
        Fault("worker killed under its supervisor", "worker", lambda rng: rng.choice(world.workers).kill_inner()),
        Fault("worker paused", "worker", one_of(world.workers, paused)),
    ]


def _redis_faults(redis: Redis, pause: tuple[float, float]) -> list[Fault]:
    return [
        Fault("Redis killed, back with an old snapshot", redis.name, lambda _: redis.restart()),
        Fault("Redis killed, back empty", redis.name, lambda _: redis.restart_empty()),
        Fault("Redis wiped", redis.name, lambda _: redis.wipe()),
        _paused(redis, pause),
    ]


def _postgres_faults(postgres: Postgres, pause: tuple[float, float]) -> list[Fault]:
    session = Fault("PostgreSQL session killed", postgres.name, lambda _: postgres.kill_a_session())
    return [_killed(postgres), session, _paused(postgres, pause)]


# --- tiers -----------------------------------------------------------------------------------------------------------


def _embedded(_folder: Path, data: Path, _pause: tuple[float, float]) -> Plan:
    waiting = SqlWaiting(lambda: sqlite3.connect(data / "viewer.sqlite3", timeout=20))
    return Plan({}, [], waiting, [_purged("broker folder", lambda: empty_folder_broker(data))], workers=1)


def _single(folder: Path, _data: Path, pause: tuple[float, float]) -> Plan:
    postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
    settings = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.map_url, "CELERY_BROKER_URL": redis.broker_url}
    return Plan(
        settings,
        [postgres, redis],
        SqlWaiting(lambda: psycopg.connect(postgres.url)),
        [
            *_postgres_faults(postgres, pause),
            *_redis_faults(redis, pause),
            _purged(redis.name, lambda: purge(redis.broker_url)),
        ],
        workers=2,
    )


def _cluster(folder: Path, _data: Path, pause: tuple[float, float]) -> Plan:
    postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
    rabbitmq, cassandra = RabbitMQ(folder / "rabbitmq"), Cassandra(folder / "cassandra")
    settings = {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": redis.map_url,
        "CELERY_BROKER_URL": rabbitmq.url,
        "VIEWER_STORE": "cassandra",
        "VIEWER_CASSANDRA_PORT": str(cassandra.port),
        "VIEWER_CASSANDRA_KEYSPACE": KEYSPACE,
        "VIEWER_CASSANDRA_REPLICATION": "1",
    }
    faults = [
        *_postgres_faults(postgres, pause),
        *_redis_faults(redis, pause),
        _killed(rabbitmq),
        _paused(rabbitmq, pause),
        _purged(rabbitmq.name, lambda: purge(rabbitmq.url)),
        _killed(cassandra),
        _paused(cassandra, pause),
    ]
    return Plan(
        settings,
        [postgres, redis, rabbitmq, cassandra],
        CassandraWaiting(cassandra.port),
        faults,
        workers=2,
    )


TIERS: dict[str, Callable[[Path, Path, tuple[float, float]], Plan]] = {
    "embedded": _embedded,
    "single": _single,
    "cluster": _cluster,
}
