"""The processes of the service itself: web processes on one database, and workers on their own."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from chaos.victims import ChaosFailed, Child, Victim, free_port, lives, send
from tests import servers

START_SECONDS = 300  # a busy machine, and a start that is tried again because a store was down meanwhile


class Web(Victim):
    """`python -m config.run` without a worker. It keeps its port; the data folder is the instance's."""

    def __init__(self, name: str, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(name)
        self._folder = folder
        self._settings = {**settings, "VIEWER_WORKER": "off", "PORT": str(free_port())}
        self.server: servers.Server | None = None

    @property
    def root(self) -> int | None:
        """The supervisor."""
        return self.server.process.pid if self.server else None

    @property
    def url(self) -> str:
        """Where it listens, or will."""
        return f"http://127.0.0.1:{self._settings['PORT']}"

    def kill(self) -> None:
        """See Victim."""
        super().kill()
        if self.server is not None:
            self.server.process.wait(10)

    def start(self) -> None:
        """See Victim. A start needs the database, which may just be down: then it is tried again."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.server = servers.start(self._folder, **self._settings)
            except AssertionError as error:
                if time.monotonic() > deadline:
                    raise ChaosFailed(str(error)) from None
            else:
                return

    def manage(self, *arguments: str, stdin: str | None = None) -> str:
        """What manage.py says with this process's environment. Raises ChaosFailed when it fails."""
        assert self.server is not None
        ran = self.server.manage(*arguments, stdin=stdin)
        if ran.returncode:
            raise ChaosFailed(f"manage.py {arguments[0]}: {ran.stderr}")
        return ran.stdout


class Worker(Child):
    """`python -m config.worker`. env: the environment of a web process of the same instance."""

    def __init__(self, name: str, log: Path, env: dict[str, str]) -> None:
        super().__init__(name)
        self._log, self._env = log, env

    def start(self) -> None:
        """Starts it; it is of use some seconds later."""
        command = [sys.executable, "-m", "config.worker"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=servers.ROOT, env=self._env, stdout=log, stderr=log)

    def kill_inner(self) -> None:
        """SIGKILL to all but the supervisor, which has to start them again."""
        send(signal.SIGKILL, self.pids()[1:])


def ended(victims: list[Victim]) -> list[str]:
    """The names of those that should run and do not."""
    return [one.name for one in victims if one.root is None or not lives(one.root)]


def empty_folder_broker(data: Path) -> None:
    """Deletes every message of the broker of files."""
    for message in (data / "broker" / "queue").glob("*.msg"):
        with suppress(FileNotFoundError):
            message.unlink()
