"""Real servers for tests: started as `make run` starts them, on a free port, with a data folder of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from tests.services import CASSANDRA_PORT, POSTGRES_URL, RABBITMQ_URL, redis_url
from viewer.store.cassandra import session

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = str(ROOT / "catalogue" / "sample" / "catalogue.json")
START_SECONDS = 90
ONE_SERVER = {
    "REDIS_URL": redis_url(1),
    "CELERY_BROKER_URL": redis_url(2),
}
"""The environment of the one-server tier, but for its DATABASE_URL."""


def cluster(keyspace: str) -> dict[str, str]:
    """The environment of the cluster tier with this keyspace, but for its DATABASE_URL."""
    return {
        "VIEWER_STORE": "cassandra",
        "VIEWER_CASSANDRA_PORT": CASSANDRA_PORT,
        "VIEWER_CASSANDRA_KEYSPACE": keyspace,
        "VIEWER_CASSANDRA_REPLICATION": "1",
        "REDIS_URL": redis_url(3),
        "CELERY_BROKER_URL": RABBITMQ_URL,
    }


@contextmanager
def own_tier(tier: str, name: str) -> Iterator[dict[str, str]]:
    """The environment of "sqlite", "postgres" or "cluster" with databases of its own, which go at the block's end."""
    if tier == "sqlite":
        yield {}
        return
    keyspace = f"{name}_{os.getpid()}"
    settings = ONE_SERVER if tier == "postgres" else cluster(keyspace)
    try:
        with postgres_database(POSTGRES_URL, f"{name}_{tier}_{os.getpid()}") as url:
            yield {**settings, "DATABASE_URL": url}
    finally:
        forget(settings)


def load_sample(server: "Server") -> None:
    """Loads the sample catalogue: a service that is not the embedded one begins without."""
    loaded = server.manage("load_catalogue", SAMPLE)
    assert loaded.returncode == 0, loaded.stderr


def forget(tier: dict[str, str]) -> None:
    """Drops the keyspace of a tier that has one."""
    if keyspace := tier.get("VIEWER_CASSANDRA_KEYSPACE"):
        session.session().execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=120)


@dataclass
class Server:
    """One running service. `url`: where; `log`: the file it writes to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    env: dict[str, str]
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def call(self, path: str, request: object, **kwargs: object) -> httpx.Response:
        """POSTs {"request": request}."""
        return self.client.post(path, json={"request": request}, **kwargs)  # type: ignore[arg-type]

    def result(self, path: str, request: object, **kwargs: object) -> dict[str, object]:
        """The `result` of a call that must succeed."""
        answer = self.call(path, request, **kwargs)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()["result"]
        return found

    def manage(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs manage.py with this server's environment; the caller looks at the exit code."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.env, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )

    def kill(self) -> None:
        """SIGKILL to the supervisor, the server and its workers at once: nothing can clean up."""
        for pid in family(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM, as an operator stops it; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(45)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """`pid` and its descendants that live, the eldest first."""
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def start(folder: Path, **settings: str) -> Server:
    """Starts the service with its data in `folder` and these environment variables; waits until it is ready."""
    port = int(settings.pop("PORT", 0)) or free_port()
    env = {
        name: value
        for name, value in os.environ.items()
        if not re.match("VIEWER_|DATABASE_URL|REDIS_URL|CELERY_|DJANGO_|PORT$", name)
    }
    env |= {"VIEWER_DATA_DIR": str(folder), "PORT": str(port), "DJANGO_SETTINGS_MODULE": "config.settings", **settings}
    log = folder / "server.log"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.run"], cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(f"http://127.0.0.1:{port}", process, log, env)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if server.client.get("/ready").status_code == 200:
                return server
        except httpx.TransportError:
            pass
        time.sleep(0.05)  # between two polls of a condition that has a deadline
    raise AssertionError(f"The server did not start:\n{log.read_text()[-4000:]}")


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = start(folder, **settings)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def postgres_database(base_url: str, name: str) -> Iterator[str]:
    """An empty database called `name` on the test cluster; its URL."""
    with psycopg.connect(base_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield base_url.rsplit("/", 1)[0] + "/" + name
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
