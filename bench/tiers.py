"""The three tiers as the bench starts them: the service by environment alone, the floors beside it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import kombu
import psycopg
import redis
from amqp.exceptions import ChannelError

from bench.inside import CassandraInside, Inside, PostgresInside, SqliteInside
from bench.load import BenchFailed, Target
from tests import servers

POSTGRES = os.environ.get("VIEWER_TEST_POSTGRES_URL", "postgres://viewer:viewer@127.0.0.1:15432/viewer")
REDIS = os.environ.get("VIEWER_TEST_REDIS_URL", "redis://127.0.0.1:16380").rstrip("/")
RABBITMQ = os.environ.get("VIEWER_TEST_AMQP_URL", "amqp://viewer:viewer@127.0.0.1:16672//")
CASSANDRA_PORT = int(os.environ.get("VIEWER_TEST_CASSANDRA_PORT", "19042"))
MAP_DB, BROKER_DB, FLOOR_DB = 13, 14, 15  # Redis databases of the bench, emptied before and after
QUEUES = ("viewer", "celery")
THREADS = 8
QUIET_SECONDS = 7  # longer than the sweep's interval
PATIENCE_SECONDS = 240


@dataclass
class Tier:
    """One tier.

    settings: the service's environment; floor: the floors'; processes: of either server, each with THREADS threads;
    rate: ends a second of the aggregator's load; inside: opens the learner tables, once the service has made them.
    """

    name: str
    folder: Path
    settings: dict[str, str]
    floor: dict[str, str]
    processes: int
    rate: int
    inside: Callable[[], Inside]

    @contextmanager
    def service(self, *, worker: bool) -> Iterator[servers.Server]:
        """The service, as `make run` starts it. Raises BenchFailed when this tier is not available."""
        own = {
            "VIEWER_WORKER": "on" if worker else "off",
            "VIEWER_SERVER_PROCESSES": str(self.processes),
            "VIEWER_SERVER_THREADS": str(THREADS),
        }
        try:
            server = servers.start(self.folder, **self.settings, **own)
        except AssertionError as error:
            raise BenchFailed(f"not available. {error}") from None
        try:
            yield server
        finally:
            server.stop()

    @contextmanager
    def floors(self) -> Iterator[tuple[Target, int]]:
        """The floor server, with the status map where the service has filled its own; its address and process id."""
        port = servers.free_port()
        floor = self.floor | ({"FLOOR_REDIS": f"{REDIS}/{FLOOR_DB}"} if self.has_map else {})
        command = [str(Path(sys.executable).with_name("granian")), "--interface", "wsgi", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", str(self.processes), "--blocking-threads", str(THREADS)]
        command += ["--log-level", "error", "bench.floors:application"]
        with (self.folder / "floors.log").open("ab") as log:
            env = {**os.environ, **floor, "FLOOR_THREADS": str(THREADS)}
            process = subprocess.Popen(command, cwd=servers.ROOT, env=env, stdout=log, stderr=log)  # noqa: S603
        try:
            _wait_for(port, self.folder / "floors.log")
            yield Target("127.0.0.1", port), process.pid
        finally:
            process.terminate()
            process.wait(30)

    @property
    def has_map(self) -> bool:
        """True where the service keeps a status map: its Redis database holds something."""
        if "REDIS_URL" not in self.settings:
            return False
        return bool(redis.Redis.from_url(self.settings["REDIS_URL"]).dbsize())

    def wait_for_map(self) -> None:
        """Returns once the sweep of a worker has switched the status map on; at once where there is none."""
        if "REDIS_URL" not in self.settings:
            return
        with psycopg.connect(self.settings["DATABASE_URL"], autocommit=True) as database:
            _until(lambda: database.execute("SELECT 1 FROM status_map WHERE phase = 'on'").fetchone() is not None)

    def wait_for_worker(self) -> None:
        """Returns once nothing was marked for longer than a sweep takes: a new catalogue marks every enrolment."""
        inside, quiet_since = self.inside(), time.monotonic()

        def quiet() -> bool:
            nonlocal quiet_since
            if inside.marks():
                quiet_since = time.monotonic()
            return time.monotonic() - quiet_since > QUIET_SECONDS

        _until(quiet)

    def forget_messages(self) -> None:
        """Empties the broker: what a service without a worker has left there."""
        url = self.settings.get("CELERY_BROKER_URL")
        if url is None:
            for message in (self.folder / "broker" / "queue").glob("*.msg"):
                message.unlink(missing_ok=True)
            return
        with kombu.Connection(url) as connection:
            for name in QUEUES:
                with suppress(ChannelError):  # RabbitMQ's word for a queue that was never made
                    channel: Any = connection.channel()
                    channel.queue_purge(name)


def _until(condition: Callable[[], bool]) -> None:
    """Raises BenchFailed where it does not come true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise BenchFailed("the service did not come to rest")
        time.sleep(0.1)


def _wait_for(port: int, log: Path) -> None:
    """Returns when somebody listens. Raises BenchFailed after 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)  # between two polls of a condition that has a deadline
        else:
            return
    raise BenchFailed(f"the floors did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def embedded(folder: Path) -> Iterator[Tier]:
    """SQLite and a broker of files; no map. One process, as the default has."""
    file = str(folder / "viewer.sqlite3")
    yield Tier(
        name="embedded",
        folder=folder,
        settings={},
        floor={"FLOOR_DATABASE": f"sqlite:///{folder / 'floor.sqlite3'}"},
        processes=1,
        rate=100,
        inside=lambda: SqliteInside(file),
    )


@contextmanager
def single(folder: Path) -> Iterator[Tier]:
    """PostgreSQL, Redis for the map and as broker; a server process for each core."""
    name = f"viewer_bench_{os.getpid()}"
    with _clean_redis(), _database(name) as url:
        yield Tier(
            name="single",
            folder=folder,
            settings={
                "DATABASE_URL": url,
                "REDIS_URL": f"{REDIS}/{MAP_DB}",
                "CELERY_BROKER_URL": f"{REDIS}/{BROKER_DB}",
            },
            floor={"FLOOR_DATABASE": url},
            processes=os.cpu_count() or 1,
            rate=500,
            inside=lambda: PostgresInside(url),
        )


@contextmanager
def cluster(folder: Path) -> Iterator[Tier]:
    """Cassandra for learners, PostgreSQL for the rest, Redis for the map, RabbitMQ as broker."""
    keyspace = f"bench_{os.getpid()}"
    with _clean_redis(), _database(f"viewer_bench_{os.getpid()}") as url, _keyspace(keyspace):
        yield Tier(
            name="cluster",
            folder=folder,
            settings={
                "DATABASE_URL": url,
                "REDIS_URL": f"{REDIS}/{MAP_DB}",
                "CELERY_BROKER_URL": RABBITMQ,
                "VIEWER_STORE": "cassandra",
                "VIEWER_CASSANDRA_HOSTS": "127.0.0.1",
                "VIEWER_CASSANDRA_PORT": str(CASSANDRA_PORT),
                "VIEWER_CASSANDRA_KEYSPACE": keyspace,
                "VIEWER_CASSANDRA_REPLICATION": "1",
            },
            floor={"FLOOR_DATABASE": f"cassandra://127.0.0.1:{CASSANDRA_PORT}/{keyspace}"},
            processes=os.cpu_count() or 1,
            rate=200,
            inside=lambda: CassandraInside(CASSANDRA_PORT, keyspace),
        )


TIERS: dict[str, Callable[[Path], AbstractContextManager[Tier]]] = {
    "embedded": embedded,
    "single": single,
    "cluster": cluster,
}


@contextmanager
def _database(name: str) -> Iterator[str]:
    """A PostgreSQL database of the bench's own. Raises BenchFailed where there is no server."""
    try:
        psycopg.connect(POSTGRES, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        raise BenchFailed(f"not available: PostgreSQL does not answer ({error})") from None
    with servers.postgres_database(POSTGRES, name) as url:
        yield url


@contextmanager
def _clean_redis() -> Iterator[None]:
    """Empties the bench's own Redis databases around a block. Raises BenchFailed where there is no server."""
    try:
        _flush()
    except redis.RedisError as error:
        raise BenchFailed(f"not available: Redis does not answer ({error})") from None
    yield
    _flush()


def _flush() -> None:
    for number in (MAP_DB, BROKER_DB, FLOOR_DB):
        redis.Redis.from_url(f"{REDIS}/{number}").flushdb()


@contextmanager
def _keyspace(name: str) -> Iterator[None]:
    """A keyspace of the bench's own. Raises BenchFailed where there is no Cassandra."""
    from cassandra.cluster import Cluster, NoHostAvailable  # noqa: PLC0415 - only this tier has it

    cluster = Cluster(["127.0.0.1"], port=CASSANDRA_PORT)
    try:
        session = cluster.connect()
    except NoHostAvailable as error:
        raise BenchFailed(f"not available: Cassandra does not answer ({error})") from None
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    session.execute(f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {replication}")
    yield
    session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)
    cluster.shutdown()
