"""Runs the service: prepares the database, starts the server and stops everything it started.

    python -m config.run

Exits 0 after SIGINT or SIGTERM, 1 when the database does not answer or a process it started dies by itself, 2 when
the configuration is refused or the port is taken.
"""

import ctypes
import fcntl
import io
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection, connections, transaction

STOP_SECONDS = 30
RESTART_SECONDS = 2
START_LOCK = 0x76696577  # any number, the same in all of our processes
PR_SET_PDEATHSIG = 1


def main() -> int:
    """The exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        django.setup()
        prepare()
    except (ImproperlyConfigured, SystemCheckError, CommandError) as error:
        print(error, file=sys.stderr)
        return 2
    except OperationalError as error:
        print(f"The database does not answer: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    children = [Child("server", server_command())]
    if settings.VIEWER_WORKER:
        children.append(Child("worker", worker_command(), restarts=True))
    return supervise(children)


def prepare() -> None:
    """Checks the configuration, brings the schema up to date and, on the first run, gives people something to see."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    call_command("check", stdout=io.StringIO())
    _refuse_taken_port()  # before the first run tells a password that nobody could use
    with _alone():
        call_command("migrate", verbosity=0, interactive=False)
        _sync_cassandra()
        _first_run()
    _disconnect()
    if settings.VIEWER_AUTH == "off":
        _say(
            "WARNING: authentication is off (VIEWER_AUTH=off). Anybody who can reach this port reads and writes any "
            "learner's progress: the userId of each request is believed. It listens on this machine only."
        )
    base = f"http://{settings.HOST}:{settings.PORT}"
    _say(f"Serving {base}  (API docs {base}/docs, admin {base}/admin/)")


def _refuse_taken_port() -> None:
    """Raises CommandError where somebody listens already: granian would share the port and answer every other call."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.HOST.strip("[]"), settings.PORT, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a stopped server left counts not
            probe.bind(address)
    except OSError as error:
        hint = "Stop what listens there, or set PORT (and VIEWER_HOST)."
        raise CommandError(f"Cannot listen on {settings.HOST}:{settings.PORT}: {error.strerror}. {hint}") from None


@contextmanager
def _alone() -> Iterator[None]:
    """One start at a time on one database: of two that migrate it at once the second would fail half-way."""
    if connection.vendor == "postgresql":
        keeper = connection.copy()
        with keeper.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [START_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [START_LOCK])
        keeper.close()
        return
    path = f"{settings.DATABASES['default']['NAME']}.lock"
    try:
        lock = open(path, "a")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(f"DATABASE_URL: cannot write {path}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_cassandra() -> None:
    """The tables of a Cassandra store. In a process of its own: the driver's threads must not be in one that forks.

    Raises OperationalError.
    """
    if settings.VIEWER_STORE != "cassandra":
        return
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "sync_cassandra"]
    ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    told = ran.stderr.strip()
    if ran.returncode:
        raise OperationalError(told.splitlines()[-1] if told else "sync_cassandra failed")
    if told:
        _say(told)


def _disconnect() -> None:
    """Gives up what only the preparation needed."""
    for used in connections.all(initialized_only=True):
        used.close()


def _first_run() -> None:
    """An admin to log in with, and in the embedded default a sample catalogue; once, while there is nobody yet."""
    users = get_user_model()._default_manager
    with transaction.atomic():
        if users.exists():
            return
        password = secrets.token_urlsafe(9)
        get_user_model().objects.create_superuser("admin", "", password)
        if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
            sample = settings.BASE_DIR / "catalogue" / "sample" / "catalogue.json"
            call_command("load_catalogue", str(sample), verbosity=0)
    _say(f"First run. Admin login: admin / {password}   (told only now; change it at /admin/password_change/)")


def server_command() -> list[str]:
    """granian, serving WSGI: it spreads keep-alive connections over its workers (docs/performance.md)."""
    options = {
        "--interface": "wsgi",
        "--host": settings.HOST,
        "--port": settings.PORT,
        "--workers": settings.SERVER_PROCESSES,
        "--blocking-threads": settings.SERVER_THREADS,
        "--workers-kill-timeout": STOP_SECONDS - 5,
        "--log-level": "error",
    }
    flat = [str(part) for option in options.items() for part in option]
    return [
        str(Path(sys.executable).with_name("granian")),
        *flat,
        "--respawn-failed-workers",
        "config.wsgi:application",
    ]


def worker_command() -> list[str]:
    """A Celery worker that folds what was marked; with beat inside it sweeps up lost messages too.

    On a broker of files one process does it all. On a real one tasks run in forked processes, which is what makes their
    time limits work. Two workers with beat do no harm: a sweep that comes twice finds nothing the second time.
    """
    python = [sys.executable, "-W", "ignore:You're running the worker"]  # whoever runs it as root knows
    options = ["--queues", ",".join(settings.VIEWER_WORKER_QUEUES)]
    if settings.CELERY_BROKER_URL.startswith("filesystem"):
        for name in ("queue", "control"):
            (settings.DATA_DIR / "broker" / name).mkdir(parents=True, exist_ok=True)
        options += ["--pool", "solo", "--concurrency", "1", "--hostname", "viewer@localhost"]
    else:
        options += ["--pool", "prefork", "--concurrency", str(settings.VIEWER_WORKER_PROCESSES)]
        options += ["--hostname", f"viewer-{os.getpid()}@%h"]
    if settings.VIEWER_BEAT:
        options += ["--beat", "--scheduler", "celery.beat:Scheduler"]  # keeps no file that two workers would share
    options += ["--loglevel", "warning", "--without-gossip", "--without-mingle"]
    return [*python, "-m", "celery", "--quiet", "-A", "config.celery", "worker", *options]


@dataclass
class Child:
    """One process of the service. restarts: it is started again when it ends; otherwise its end ends the service."""

    name: str
    command: list[str]
    restarts: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0

    def start(self) -> None:
        """Starts the process.

        In a session of its own, or the terminal's Ctrl-C would reach it before we can stop everything in order.
        preexec_fn is safe here: this process has one thread.
        """
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(self.command, start_new_session=True, preexec_fn=_die_with(os.getpid()))

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll() if self.process else None

    def stop(self) -> None:
        """Asks it to finish what it has in hand and to leave."""
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        """Waits until it has ended; ends it at `deadline` (monotonic s), and what it left behind in any case."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.1, deadline - time.monotonic()))
        self.clear()
        self.process.wait()

    def clear(self) -> None:
        """Ends what the process left behind when it ended: a worker's beat outlives a worker that was killed."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def supervise(children: list[Child]) -> int:
    """Starts `children`, waits, and stops them all when asked to or when one of them ends for good."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)
    for child in children:
        child.start()
    ended: Child | None = None
    while not asked and ended is None:
        time.sleep(0.1)
        ended = next((child for child in children if child.exit_code is not None and not _restarted(child)), None)
    for child in children:
        child.stop()
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        child.wait(deadline)
    if ended is not None and not asked:
        _say(f"The {ended.name} ended by itself with exit code {ended.exit_code}; stopped the others.")
        return 1
    _say("Stopped.")
    return 0


def _restarted(child: Child) -> bool:
    """True where a child that ended is, or soon will be, running again. Not more than once in RESTART_SECONDS."""
    if not child.restarts:
        return False
    if time.monotonic() - child.started_at > RESTART_SECONDS:
        _say(f"The {child.name} ended with exit code {child.exit_code}; starting it again.")
        child.clear()
        child.start()
    return True


def _die_with(parent: int) -> Callable[[], None] | None:
    """Linux: has the kernel stop a child whose supervisor was killed without a chance to do it."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
