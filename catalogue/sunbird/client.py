"""One neighbour over HTTP: a call is answered in its time and size, or fails with a word why and a line in the log."""

import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from catalogue.sunbird.breaker import Breaker
from catalogue.sunbird.contracts import Malformed, parsed, says_unknown

logger = logging.getLogger("viewer.neighbours")
CONNECT_SECONDS = 0.5
MAX_BYTES = 32 * 1024 * 1024  # of one answer; the largest published trees are a few of them
_CONNECTIONS = httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30)
_BROKEN = (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_ABOUT_THE_CALL = {400, 413, 414, 422}  # these say nothing about the service


class NeighbourFailed(Exception):
    """A call that brought no answer. Its text is the reason, without anything of the call."""


class _Refusal(NamedTuple):
    """What a working service said to a call it does not like."""

    reason: str


class _Process:
    """The connections of this process, made when the first call needs them."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Leaves a parent's connections alone: a forked child must not speak on them."""
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def client(self) -> httpx.Client:
        """The one client of this process."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(limits=_CONNECTIONS, follow_redirects=False)
            return self._client


_process = _Process()
os.register_at_fork(after_in_child=_process.forget)


class Neighbour:
    """One service of Sunbird. Thread-safe.

    name: for the log. url: what comes before each path. seconds: how long a whole call may take, its retry included.
    A call that finds no connection, or one that breaks, is made once more: all calls only read.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        breaker: Breaker | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.breaker = breaker or Breaker()
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._max_bytes = max_bytes

    def get(self, path: str) -> Any | None:
        """The answer's JSON, or None where the service knows no such thing. Raises NeighbourFailed."""
        return self._call("GET", path, None)

    def post(self, path: str, body: object) -> Any | None:
        """As `get`, for a question that is asked by a body."""
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Any | None:
        if not self.breaker.admits():
            raise NeighbourFailed("left alone after failures")
        started = time.monotonic()
        try:
            status, content = self._exchange(method, path, body, started + self.seconds)
            answer = self._judged(status, content)
        except (httpx.HTTPError, httpx.InvalidURL, Malformed, NeighbourFailed) as error:
            reason = str(error) if isinstance(error, Malformed | NeighbourFailed) else type(error).__name__
            self._failed(reason, started)
            raise NeighbourFailed(reason) from None
        if self.breaker.succeeded():
            logger.info("neighbour answers again", extra={"neighbour": self.name})
        if isinstance(answer, _Refusal):
            self._log(answer.reason, started, left_alone=False)
            raise NeighbourFailed(answer.reason)
        return answer

    def _judged(self, status: int, content: bytes) -> Any | None:
        """The JSON of an answer, None for an unknown thing, or a _Refusal. Raises NeighbourFailed and Malformed."""
        if status == 200:
            return parsed(content)
        try:
            refused = parsed(content)
        except Malformed:
            refused = None
        if says_unknown(status, refused):
            return None
        if status in _ABOUT_THE_CALL:
            return _Refusal(f"status {status}")
        raise NeighbourFailed(f"status {status}")

    def _exchange(self, method: str, path: str, body: bytes | None, until: float) -> tuple[int, bytes]:
        """The status and the body of the answer, after one more try where a connection broke."""
        try:
            return self._once(method, path, body, until)
        except _BROKEN:
            return self._once(method, path, body, until)

    def _once(self, method: str, path: str, body: bytes | None, until: float) -> tuple[int, bytes]:
        left = until - time.monotonic()
        if left <= 0:
            raise NeighbourFailed("too slow")
        headers = {**self._headers, **({} if body is None else {"Content-Type": "application/json"})}
        timeout = httpx.Timeout(left, connect=min(CONNECT_SECONDS, left))
        content = bytearray()
        with _process.client().stream(
            method, self._url + path, content=body, headers=headers, timeout=timeout
        ) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > self._max_bytes:
                    raise NeighbourFailed("too large")
                if time.monotonic() >= until:  # each part in time, all of them not
                    raise NeighbourFailed("too slow")
            return response.status_code, bytes(content)

    def _failed(self, reason: str, started: float) -> None:
        self._log(reason, started, left_alone=self.breaker.failed())

    def _log(self, reason: str, started: float, *, left_alone: bool) -> None:
        told = {"neighbour": self.name, "reason": reason, "ms": round((time.monotonic() - started) * 1000)}
        logger.warning("neighbour failed", extra={**told, "left_alone": left_alone})
