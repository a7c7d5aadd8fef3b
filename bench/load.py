"""The load generator: HTTP/1.1 over keep-alive sockets of this machine, one request in flight on each.

Written on asyncio's protocols because the client shares the processors with what it measures. It says what it cost.
It ends by itself, and talks to the loopback interface only.
"""

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.figures import Spread, spread

PATIENCE = 30  # s beyond the asked-for time, and then a run is given up


class BenchFailed(Exception):
    """The bench itself could not do its work: a server that did not start, an address it must not touch."""


class Answer(NamedTuple):
    """One answer of a server."""

    status: int
    body: bytes


class Target(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


@dataclass(slots=True)
class Run:
    """What one run measured.

    began: on the monotonic clock, when all were connected; seconds: wall time; latencies: s; errors: how many of each
    kind; client_cpu: cores.
    """

    began: float = 0.0
    seconds: float = 0.0
    client_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def spread_ms(self) -> Spread | None:
        """Latencies in ms."""
        return spread([seconds * 1000 for seconds in self.latencies])

    def note(self, answer: Answer, seconds: float) -> bool:
        """Counts an answer; True for a good one. Anything but 2xx is an error and no throughput."""
        if 200 <= answer.status < 300:
            self.latencies.append(seconds)
            return True
        self.errors[f"{answer.status} {answer.body[:200].decode(errors='replace')}"] += 1
        return False


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """One request's bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


def parse(received: bytes | bytearray) -> Answer | None:
    """The answer, once all of it is there. Chunked bodies are passed on as they came."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, body = bytes(received[:end]).lower(), bytes(received[end + 4 :])
    status = int(head[9:12])
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return Answer(status, body) if len(body) >= length else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return Answer(status, body) if body.endswith(b"0\r\n\r\n") else None
    return Answer(status, body)


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way to the server."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hands over the answer when it is whole."""
        self._received += data
        answer = parse(self._received)
        if answer is not None and self._answer is not None and not self._answer.done():
            self._received.clear()
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the request in flight."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    async def ask(self, sent: bytes) -> Answer:
        """The server's answer. Raises OSError when the connection ends first."""
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(sent)
        return await self._answer

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.close()


async def connect(target: Target) -> Connection:
    """A fresh connection. Raises BenchFailed for an address outside this machine."""
    refuse_strangers(target.host)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, target.host, target.port)
    return connection


def refuse_strangers(host: str) -> None:
    """Raises BenchFailed unless `host` is an address of the loopback interface: load is never sent to others."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise BenchFailed(f"refused: {host} is not a loopback address")


def closed_loop(target: Target, requests: Iterable[bytes], *, connections: int, seconds: float) -> Run:
    """As fast as the server answers: each connection sends the next request when its last one was answered.

    Ends after `seconds`, or when there is no request left.
    """
    left = iter(requests)

    async def worker(line: Line, run: Run) -> None:
        while time.monotonic() < run.began + seconds and (sent := next(left, None)) is not None:
            began = time.perf_counter()
            if (answer := await line.ask(sent, run)) is not None:
                run.note(answer, time.perf_counter() - began)

    return asyncio.run(_drive(target, connections, worker, seconds))


def open_loop(
    target: Target,
    requests: Sequence[bytes],
    *,
    rate: float,
    connections: int,
    acknowledged: Callable[[int, float], None],
) -> Run:
    """Requests at a constant `rate` (a second), whatever the server does; a latency counts from when it was due.

    `acknowledged(number, when)` is called at each good answer, `when` on the monotonic clock. Ends when there is no
    request left.
    """
    numbered = iter(enumerate(requests))

    async def worker(line: Line, run: Run) -> None:
        for number, sent in numbered:
            due = run.began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            answer = await line.ask(sent, run)
            now = time.monotonic()
            if answer is not None and run.note(answer, now - due):
                acknowledged(number, now)

    return asyncio.run(_drive(target, connections, worker, len(requests) / rate))


class Line:
    """A connection that is made again when it broke."""

    def __init__(self, target: Target, connection: Connection) -> None:
        self._target = target
        self._connection = connection

    async def ask(self, sent: bytes, run: Run) -> Answer | None:
        """The answer; None, and an error of the run, where there was none."""
        try:
            return await self._connection.ask(sent)
        except OSError as error:
            run.errors[f"{type(error).__name__} {error}"] += 1
        with suppress(OSError):
            self._connection = await connect(self._target)
        return None

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


async def _drive(
    target: Target, connections: int, worker: Callable[[Line, Run], Coroutine[None, None, None]], seconds: float
) -> Run:
    """The run of `connections` workers, timed from when all are connected. Raises BenchFailed when it does not end."""
    try:
        lines = [Line(target, await connect(target)) for _ in range(connections)]
    except OSError as error:
        raise BenchFailed(f"nobody listens on {target.host}:{target.port}: {error}") from None
    run, cpu = Run(began=time.monotonic()), time.process_time()
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            await asyncio.gather(*(worker(line, run) for line in lines))
    except TimeoutError:
        raise BenchFailed(f"a run of {seconds:.0f} s had not ended {PATIENCE} s later") from None
    run.seconds = time.monotonic() - run.began
    run.client_cpu = (time.process_time() - cpu) / run.seconds
    for line in lines:
        line.close()
    return run
