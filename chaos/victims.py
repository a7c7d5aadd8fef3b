"""What can be hit: anything that is a family of processes on this machine, known by its process ids."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests import servers

PORTS = range(20_000, 32_000)  # below those the system gives to outgoing connections, which could take one meanwhile
DIE_SECONDS = 20


class ChaosFailed(Exception):
    """The suite itself cannot go on: a server that it needs does not start."""


class Victim(ABC):
    """One server or process of the suite's own."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def root(self) -> int | None:
        """The process id of the eldest; None while there is none."""

    @abstractmethod
    def start(self) -> None:
        """Starts it and returns when it answers. Raises ChaosFailed."""

    def pids(self) -> list[int]:
        """It and its descendants, the eldest first."""
        return servers.family(self.root) if self.root is not None else []

    def kill(self) -> None:
        """SIGKILL to the whole family at once; returns when nobody of it lives."""
        pids = self.pids()
        send(signal.SIGKILL, pids)
        until(lambda: not any(map(lives, pids)), DIE_SECONDS, f"{self.name} survived SIGKILL")

    def pause(self, seconds: float) -> None:
        """SIGSTOP to the whole family, and SIGCONT so much later: it takes connections and answers nobody."""
        stopped: list[int] = []
        while new := [pid for pid in self.pids() if pid not in stopped]:  # some may just have been born
            send(signal.SIGSTOP, new)
            stopped += new
        try:
            threading.Event().wait(seconds)
        finally:
            send(signal.SIGCONT, stopped)

    def restart(self) -> None:
        """Kills it and starts it again."""
        self.kill()
        self.start()

    def clean_up(self) -> None:
        """Ends it for good."""
        self.kill()


class Child(Victim):
    """One that we start ourselves, and whose end we have to take note of: until then its process id counts as used."""

    process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> int | None:
        """See Victim."""
        return self.process.pid if self.process else None

    def kill(self) -> None:
        """See Victim."""
        super().kill()
        if self.process is not None:
            self.process.wait(DIE_SECONDS)


def send(number: signal.Signals, pids: list[int]) -> None:
    """Sends a signal to each of these that still is."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def lives(pid: int) -> bool:
    """False for a process that is gone, or dead and only waiting to be counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], object], seconds: float, otherwise: str) -> None:
    """Waits for `condition`. Raises ChaosFailed with `otherwise` when it does not hold within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ChaosFailed(otherwise)
        time.sleep(0.05)  # between two looks at a condition that has a deadline


def free_port() -> int:
    """A port of PORTS that nobody listens on."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ChaosFailed("no free port")
