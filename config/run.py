"""Runs the service: prepares the database, starts the server and stops everything it started.

    python -m config.run

Exits 0 after SIGINT or SIGTERM, 1 when a process it started dies by itself, 2 when the configuration is refused.
"""

import ctypes
import io
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import transaction

STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1


def main() -> int:
    """The exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    try:
        prepare()
    except (SystemCheckError, CommandError) as error:
        print(error, file=sys.stderr)
        return 2
    return supervise([server_command()])


def prepare() -> None:
    """Checks the configuration, brings the schema up to date and, on the first run, gives people something to see."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    call_command("check", stdout=io.StringIO())
    call_command("migrate", verbosity=0, interactive=False)
    _first_run()
    if settings.VIEWER_AUTH == "off":
        _say(
            "WARNING: authentication is off (VIEWER_AUTH=off). Anybody who can reach this port reads and writes any "
            "learner's progress: the userId of each request is believed. It listens on this machine only."
        )
    base = f"http://{settings.HOST}:{settings.PORT}"
    _say(f"Serving {base}  (API docs {base}/docs, admin {base}/admin/)")


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


def supervise(commands: list[list[str]]) -> int:
    """Starts `commands`, waits, and stops them all when asked to or when one of them ends."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)
    # A session of its own, or the terminal's Ctrl-C would reach the children before we can stop them in order.
    # preexec_fn is safe here: this process has one thread.
    children = [
        subprocess.Popen(command, start_new_session=True, preexec_fn=_die_with(os.getpid())) for command in commands
    ]
    while not asked and all(child.poll() is None for child in children):
        time.sleep(0.1)
    failed = [child for child in children if child.poll() is not None]
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        _wait(child, deadline)
    if failed and not asked:
        _say(f"A process ended by itself with exit code {failed[0].returncode}; stopped the others.")
        return 1
    _say("Stopped.")
    return 0


def _wait(child: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        child.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


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
