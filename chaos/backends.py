"""The suite's own servers: PostgreSQL, Redis, RabbitMQ and Cassandra, each on a port and a folder of its own."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import kombu
import psycopg
import redis
from amqp.exceptions import ChannelError

from chaos.victims import ChaosFailed, Child, Victim, free_port, send, until
from tests.servers import ROOT

START_SECONDS = 60
QUEUE = "viewer"
BASE, MAP_DB, BROKER_DB = "viewer", 1, 2


class Postgres(Child):
    """A cluster with fsync on, as user postgres where we are root, who may not run one."""

    def __init__(self, folder: Path) -> None:
        super().__init__("PostgreSQL")
        self._folder, self._port = folder, free_port()
        self._user = "postgres" if os.geteuid() == 0 else None
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        if not found:
            raise ChaosFailed("PostgreSQL is not installed: scripts/services.sh postgres")
        self._programs = found[-1]

    @property
    def url(self) -> str:
        """Of its one database."""
        return self._url(BASE)

    def start(self) -> None:
        """See Victim. The first start makes the cluster and its database."""
        if not self._folder.exists():
            self._create()
        command = [str(self._programs / "postgres"), "-D", "data", "-p", str(self._port), "-k", str(self._folder)]
        options = {"listen_addresses": "127.0.0.1", "max_connections": "200", "fsync": "on", "synchronous_commit": "on"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *settings], cwd=self._folder, stdout=log, stderr=log, user=self._user
            )
        until(self._answers, START_SECONDS, f"PostgreSQL did not start: {self._folder / 'log'}")

    def kill_a_session(self) -> None:
        """SIGKILL to one process that serves a client: the server ends all others and recovers by itself."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE client_port IS NOT NULL AND pid <> pg_backend_pid() LIMIT 1"
            send(signal.SIGKILL, [pid for (pid,) in connection.execute(query).fetchall()])
        until(self._answers, START_SECONDS, f"PostgreSQL did not recover: {self._folder / 'log'}")

    def _create(self) -> None:
        self._folder.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._folder, self._user)
        command = [str(self._programs / "initdb"), "-D", "data", "-U", "viewer", "-A", "trust", "-E", "UTF8"]
        made = subprocess.run(
            [*command, "--locale", "C.UTF-8"], cwd=self._folder, capture_output=True, text=True, user=self._user,
            check=False,
        )  # fmt: skip
        if made.returncode:
            raise ChaosFailed(f"initdb failed: {made.stderr}")

    def _answers(self) -> bool:
        try:
            self._make_base()
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, base: str) -> str:
        return f"postgres://viewer@127.0.0.1:{self._port}/{base}"

    def _make_base(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [BASE]).fetchone():
                connection.execute(f"CREATE DATABASE {BASE}")


class Redis(Child):
    """A redis-server that takes a snapshot every two seconds; after a kill it comes back with an old one, or empty."""

    def __init__(self, folder: Path) -> None:
        super().__init__("Redis")
        self._folder, self._port = folder, free_port()
        folder.mkdir()

    @property
    def map_url(self) -> str:
        """Of the status map's database."""
        return f"redis://127.0.0.1:{self._port}/{MAP_DB}"

    @property
    def broker_url(self) -> str:
        """Of the broker's database."""
        return f"redis://127.0.0.1:{self._port}/{BROKER_DB}"

    def start(self) -> None:
        """See Victim."""
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--save", "2 1", "--appendonly", "no"], stdout=log)
        until(self._answers, START_SECONDS, f"Redis did not start: {self._folder / 'log'}")

    def restart_empty(self) -> None:
        """Kills it and starts it without its snapshot."""
        self.kill()
        (self._folder / "dump.rdb").unlink(missing_ok=True)
        self.start()

    def wipe(self) -> None:
        """FLUSHALL."""
        redis.Redis(port=self._port, socket_timeout=10).flushall()

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(redis.Redis(port=self._port, socket_timeout=5).ping())
        return False


class Detached(Victim):
    """A server that a script starts apart from us and that tells its process id in a file."""

    def __init__(self, name: str, folder: Path, pid_file: Path) -> None:
        super().__init__(name)
        self.folder, self._pid_file = folder, pid_file

    @property
    def root(self) -> int | None:
        """As the file tells it."""
        return int(self._pid_file.read_text()) if self._pid_file.exists() else None

    def _run(self, *command: str, **settings: str) -> None:
        self.folder.mkdir(exist_ok=True)
        ran = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, timeout=240, check=False,
        )  # fmt: skip
        if ran.returncode:
            raise ChaosFailed(f"{self.name} did not start: {ran.stderr}")


class RabbitMQ(Detached):
    """A node that scripts/services.sh starts."""

    def __init__(self, folder: Path) -> None:
        super().__init__("RabbitMQ", folder, folder / "viewertest-rabbitmq" / "pid")
        self._port = free_port()

    @property
    def url(self) -> str:
        """For the broker's clients."""
        return f"amqp://viewer:viewer@127.0.0.1:{self._port}//"

    def start(self) -> None:
        """See Victim."""
        own = {"VIEWER_TEST_DIR": str(self.folder), "VIEWER_TEST_RABBITMQ_PORT": str(self._port)}
        self._run("scripts/services.sh", "rabbitmq", **own)

    def clean_up(self) -> None:
        """See Victim. Its name server outlives it."""
        self.kill()
        own = f"HOME={self.folder / 'viewertest-rabbitmq'}".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if own in environ.read_bytes().split(b"\0"):
                    send(signal.SIGTERM, [int(environ.parent.name)])


class Cassandra(Detached):
    """A node as deploy/cassandra starts it: a write is on disk before its answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__("Cassandra", folder, folder / "pid")
        self.port, self._storage_port = free_port(), free_port()

    def start(self) -> None:
        """See Victim."""
        own = {"CQL_PORT": str(self.port), "STORAGE_PORT": str(self._storage_port)}
        self._run("deploy/cassandra/start.sh", str(self.folder), **own)


def purge(broker_url: str) -> None:
    """Takes every message out of the broker's queue."""
    with suppress(ChannelError), kombu.Connection(broker_url, connect_timeout=5) as connection:
        connection.channel().queue_purge(QUEUE)  # type: ignore[attr-defined]
