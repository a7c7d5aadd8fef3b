"""A redis-server of a test's own, a way to it that the test can cut or slow, and the status map upon it."""

import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from django.test import override_settings

from common import timestamps
from config.settings import caches
from tests.servers import free_port
from viewer import statusmap
from viewer.statusmap import lookup
from viewer.statusmap.state import Phase, State, states

START_SECONDS = 20


class RedisServer:
    """One redis-server on a port that stays the same however often it is started again. It saves only when told."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> None:
        """Starts it, with the snapshot in its folder if there is one; waits until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, "--save", "", "--appendonly", "no"], stdout=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(redis.RedisError):
                self.client.ping()
                return
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)  # between two looks at a condition that has a deadline

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def pause(self) -> None:
        """It takes connections and answers nobody."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It answers what came meanwhile and all that follows."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def fresh(self) -> None:
        """Starts it empty, whatever was before."""
        self.kill()
        (self._folder / "dump.rdb").unlink(missing_ok=True)
        self.start()

    def calls(self, command: str) -> int:
        """How often it ran this command, also from scripts."""
        stats: Any = self.client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


class Proxy:
    """Passes connections on to a port until it is cut; then it refuses new ones and drops those there are.

    delay: how long every answer takes, in seconds.
    """

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        self._target = target
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = free_port()
        self.mend()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Nobody gets through."""
        with self._lock:
            listener, self._listener = self._listener, None
            dropped, self._open = self._open, set()
        for one in [*([listener] if listener else []), *dropped]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def mend(self) -> None:
        """Everybody gets through."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            near.close()
            return
        with self._lock:
            if self._listener is not None:
                self._open |= {near, far}
        with suppress(OSError, ValueError):
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        raise OSError
                    if ready is far and self.delay:
                        threading.Timer(self.delay, near.sendall, [data]).start()  # holds up no later answer
                    else:
                        (far if ready is near else near).sendall(data)
        for one in (near, far):
            one.close()


@contextmanager
def on_redis(url: str) -> Iterator[None]:
    """The service's own settings for this server, with patience for a busy machine."""
    made = caches(url)
    made["default"]["OPTIONS"] |= {"SOCKET_TIMEOUT": 5, "SOCKET_CONNECT_TIMEOUT": 5}
    with override_settings(REDIS_URL=url, CACHES=made):
        states.forget()
        lookup._failed_at.clear()
        yield
    states.forget()


def heal() -> State:
    """Sweeps until the map is on, upon the server of the settings."""
    deadline = time.monotonic() + 10
    while True:
        statusmap.heal(timestamps.now())
        if (state := states.read()).phase is Phase.ON:
            states.forget()
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.05)  # between two looks at a condition that has a deadline
