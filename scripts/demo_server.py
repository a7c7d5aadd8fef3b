"""The demo's own service: started as `make run` starts it, on a free port, with a data folder of its own."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 45
COMMAND_SECONDS = 120
OPERATORS_OWN = re.compile(r"VIEWER_|DATABASE_URL|DJANGO_|PORT$")


class NotPlayable(Exception):
    """There is no service to play against; the text says why."""


@dataclass(frozen=True)
class Service:
    """A running service. log: the file it writes to; events: the folder it publishes to; env: what it runs with."""

    url: str
    log: Path
    events: Path
    env: Mapping[str, str]

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def manage(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs manage.py with its environment; the caller looks at the exit code."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )


@contextmanager
def running(catalogues: Sequence[Path], *, keep: bool) -> Iterator[Service]:
    """A service with the sample and `catalogues` loaded, for the length of a block. Raises NotPlayable.

    keep: whether the data folder stays; its place is printed then.
    """
    folder = Path(tempfile.mkdtemp(prefix="viewer-demo-"))
    port = _free_port()
    env = {name: value for name, value in os.environ.items() if not OPERATORS_OWN.match(name)}
    env |= {"VIEWER_DATA_DIR": str(folder), "PORT": str(port), "VIEWER_AUTH": "off"}
    service = Service(f"http://127.0.0.1:{port}", folder / "server.log", folder / "events", env)
    process: subprocess.Popen[bytes] | None = None
    try:
        with service.log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "config.run"], cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
            )
        _wait_until_ready(process, port, service)
        for catalogue in catalogues:
            _load(catalogue, service)
        yield service
    finally:
        if process is not None:
            _stop(process)
        if keep:
            print(f"The data folder was kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, service: Service) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise NotPlayable(f"The service did not start:\n{service.last_words()}")


def _load(catalogue: Path, service: Service) -> None:
    done = service.manage("load_catalogue", str(catalogue))
    if done.returncode:
        raise NotPlayable(f"{catalogue.name} was not loaded:\n{done.stderr.strip()[-2000:]}")
    print(f"{catalogue.name}: {done.stdout.strip()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As an operator stops it; by force only where that takes too long."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
