"""`python -m config.run` as a real process: what it refuses, tells, restarts and leaves behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests import servers
from tests.services import POSTGRES_URL

LOGIN = re.compile(r"^First run\. Admin login: admin / (\S+) ", re.MULTILINE)


def ended(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The run of a service that must end by itself."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    env = {**kept, "VIEWER_DATA_DIR": str(folder), "PORT": str(servers.free_port()), **settings}
    return subprocess.run(
        [sys.executable, "-m", "config.run"],
        cwd=servers.ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def lives(pid: int) -> bool:
    """False for a process that is gone, or dead and only waiting to be counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # between two polls of a condition that has a deadline
    return True


def answers(server: servers.Server) -> bool:
    try:
        return httpx.get(f"{server.url}/ready").status_code == 200
    except httpx.TransportError:
        return False


def running(server: servers.Server, program: bytes) -> list[int]:
    """The service's processes of this program, the eldest first."""
    found = []
    for pid in servers.family(server.process.pid):
        with suppress(FileNotFoundError):
            if program in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


ALONE = {"VIEWER_WORKER": "off"}  # half as long to start and stop, where the worker is not the point


@pytest.fixture
def server(tmp_path: Path) -> Iterator[servers.Server]:
    started = servers.start(tmp_path, **ALONE)
    family = servers.family(started.process.pid)
    yield started
    started.stop()
    assert eventually(lambda: not any(map(lives, family)))


def test_no_authentication_on_an_open_port_is_refused(tmp_path: Path) -> None:
    ran = ended(tmp_path, VIEWER_AUTH="off", VIEWER_HOST="0.0.0.0")
    assert ran.returncode == 2
    assert "(viewer.E001) Authentication is off, yet the server would listen on 0.0.0.0." in ran.stderr
    assert "HINT: Set VIEWER_AUTH=jwt, or leave VIEWER_HOST at 127.0.0.1." in ran.stderr
    assert ran.stdout == ""
    assert not (tmp_path / "viewer.sqlite3").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"PORT": "http"}, "PORT must be a whole number, not 'http'\n"),
        ({"VIEWER_LOG_LEVEL": "loud"}, "VIEWER_LOG_LEVEL must be one of debug, info, warning, error, not 'loud'\n"),
        ({"DATABASE_URL": "mysql://viewer:geheim@db/viewer"},
         "DATABASE_URL names a mysql database. The store speaks sqlite:/// and postgres://.\n"),
        ({"DATABASE_URL": "sqlite:////nowhere/viewer.sqlite3"},
         "DATABASE_URL: cannot write /nowhere/viewer.sqlite3.lock: No such file or directory\n"),
    ],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_refused_in_one_line(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    ran = ended(tmp_path, **settings)
    assert (ran.returncode, ran.stderr, ran.stdout) == (2, told, "")


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    ran = ended(tmp_path, DATABASE_URL=f"postgres://viewer:geheim@127.0.0.1:{servers.free_port()}/viewer")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("The database does not answer: ")
    assert "Traceback" not in ran.stderr
    assert "geheim" not in ran.stderr + ran.stdout


def test_the_first_run_tells_a_login_that_works_and_a_second_run_none(tmp_path: Path) -> None:
    with servers.running(tmp_path, **ALONE) as first:
        (password,) = LOGIN.findall(first.log.read_text())
        asked = f"from django.contrib.auth import authenticate as a; print(a(username='admin', password='{password}'))"
        assert first.manage("shell", "-v0", "-c", asked).stdout.strip() == "admin"
        assert f"Serving {first.url}  (API docs {first.url}/docs, admin {first.url}/admin/)" in first.log.read_text()
        assert "WARNING: authentication is off" in first.log.read_text()
    told = len(first.log.read_text())
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    with servers.running(tmp_path, **ALONE) as second:
        log = second.log.read_text()[told:]
        assert "Serving " in log
        assert "Admin login" not in log
        assert password not in log


@pytest.mark.parametrize(
    ("number", "worker", "processes"),
    [(signal.SIGTERM, "on", 4), (signal.SIGINT, "on", 4), (signal.SIGTERM, "off", 3), (signal.SIGHUP, "off", 3)],
)
def test_a_signal_stops_it_with_0_and_leaves_no_process(
    tmp_path: Path, number: signal.Signals, worker: str, processes: int
) -> None:
    server = servers.start(tmp_path, VIEWER_WORKER=worker)
    family = servers.family(server.process.pid)
    assert len(family) >= processes  # this one, the web server and its worker, and the one that folds
    server.process.send_signal(number)
    assert server.process.wait(45) == 0
    assert [pid for pid in family if lives(pid)] == []
    assert server.log.read_text().endswith("Stopped.\n")


def test_a_dead_worker_is_replaced_and_the_service_goes_on(server: servers.Server) -> None:
    _, worker = running(server, b"granian")
    os.kill(worker, signal.SIGKILL)
    assert eventually(lambda: not lives(worker) and answers(server))
    assert server.process.poll() is None
    assert server.stop() == 0


def test_a_dead_folding_worker_is_started_again(tmp_path: Path) -> None:
    with servers.running(tmp_path) as server:
        assert eventually(lambda: len(running(server, b"celery")) == 2), "the worker and its beat"
        worker, beat = running(server, b"celery")
        os.kill(worker, signal.SIGKILL)
        assert eventually(lambda: not lives(worker) and not lives(beat) and len(running(server, b"celery")) == 2)
        assert "The worker ended with exit code -9; starting it again.\n" in server.log.read_text()
        assert answers(server)


def test_a_dead_server_ends_the_service_and_its_workers(tmp_path: Path) -> None:
    server = servers.start(tmp_path)
    family = servers.family(server.process.pid)
    os.kill(running(server, b"granian")[0], signal.SIGKILL)
    assert server.process.wait(45) == 1
    assert eventually(lambda: not any(map(lives, family)), 5)
    assert "The server ended by itself with exit code -9; stopped the others.\n" in server.log.read_text()
    assert not answers(server)


def test_a_killed_supervisor_leaves_no_server_behind(tmp_path: Path) -> None:
    server = servers.start(tmp_path)
    family = servers.family(server.process.pid)
    server.process.kill()
    server.process.wait(10)
    assert eventually(lambda: not any(map(lives, family)), 45)
    assert not answers(server)


def test_a_port_that_another_service_of_ours_has_is_refused(server: servers.Server, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    ran = ended(tmp_path / "other", PORT=port)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}: Address already in use.")
    assert ran.stdout == ""  # no login was told that nobody could use
    assert answers(server)


def test_a_port_that_any_program_has_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ran = ended(tmp_path, PORT=str(port))
    assert ran.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use. Stop what listens there" in ran.stderr


def test_a_host_name_that_is_not_this_machines_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ran = ended(tmp_path, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=pem, VIEWER_HOST="192.0.2.1")
    assert ran.returncode == 2
    assert ran.stderr.startswith("Cannot listen on 192.0.2.1:")


def test_it_starts_again_at_once_on_the_same_port(server: servers.Server, tmp_path: Path) -> None:
    assert server.client.get("/health").status_code == 200  # its connection stays open, and waits in the kernel
    assert server.stop() == 0
    with servers.running(tmp_path, PORT=server.url.rsplit(":", 1)[1], **ALONE) as again:
        assert answers(again)


@pytest.mark.parametrize("tier", ["sqlite", "postgres"])
def test_two_first_starts_at_once_make_one_database_and_tell_one_login(tier: str, tmp_path: Path) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        settings, folders = dict(ALONE), [tmp_path, tmp_path]
        if tier == "postgres":
            database = servers.postgres_database(POSTGRES_URL, f"viewer_first_{os.getpid()}")
            settings["DATABASE_URL"] = stack.enter_context(database)
            folders = [tmp_path / "one", tmp_path / "other"]
        started = list(pool.map(lambda folder: servers.start(folder, **settings), folders))
        for server in started:
            stack.callback(server.stop)
        logs = {server.log: server.log.read_text() for server in started}
        assert len(LOGIN.findall("\n".join(logs.values()))) == 1
        assert all(map(answers, started))
        # What prepared the database is let go: a process with a pool's threads should not fork.
        assert [len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) for server in started] == [1, 1]
