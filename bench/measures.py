"""How fast each call is, beside the floors: service and floors take turns, round by round, on the same machine.

The service runs without its worker here, because the floors have none; what the worker does and costs is `age`'s.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from statistics import median
from typing import Any

from bench import machine, traffic
from bench.figures import Spread, median_spread, ratios
from bench.load import Run, Target, closed_loop, request
from bench.tiers import Tier
from tests.servers import Server, family

CONNECTIONS = 16
WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Floor:
    """A floor's view. target: what the service has to reach of it; None where nothing was promised."""

    name: str
    path: str
    target: float | None


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of call.

    body: of the service's request number n; floor_body: of a floor's; each: events in one call; prepared: True where
    every request needs a row of its own that was there before; writes: True where marks and messages are left.
    """

    name: str
    path: str
    body: Callable[[int], bytes] | None
    floors: tuple[Floor, ...] = ()
    floor_body: Callable[[int], bytes] | None = None
    each: int = 1
    prepared: bool = False
    writes: bool = True


WRITE_FLOORS = (Floor("plain", "/plain", 0.6), Floor("DRF", "/drf", 0.9))
MEASURES = (
    Measure("start", "/v1/view/start", traffic.start, WRITE_FLOORS),
    Measure("update", "/v1/view/update", traffic.update, WRITE_FLOORS, writes=False),
    Measure("end", "/v1/view/end", traffic.end, WRITE_FLOORS, traffic.repeated_end, prepared=True),
    Measure("read", "/v1/view/read", traffic.read, (Floor("read", "/read", 0.7),), writes=False),
    Measure("sync", "/v1/view/sync", traffic.sync, (Floor("sync", "/sync", 1 / 3),), each=traffic.SYNC_EVENTS),
    Measure("submit", "/v1/assessment/submit", traffic.submit),
    Measure("list", "/v1/summary/list/reader-{}", None, writes=False),
)


@dataclass(slots=True)
class Side:
    """One server under one kind of call, over all rounds. pid: its first process; server_cpu, others: cores."""

    target: Target
    requests: Iterator[bytes]
    pid: int
    runs: list[Run] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        """Connections, caches and prepared statements, before anything counts."""
        closed_loop(self.target, self.requests, connections=CONNECTIONS, seconds=WARM_UP_SECONDS)

    def run(self, seconds: float) -> None:
        """One round."""
        self.others.append(machine.busy_cores())
        before = machine.cpu_seconds(family(self.pid))
        run = closed_loop(self.target, self.requests, connections=CONNECTIONS, seconds=seconds)
        used = machine.cpu_since(before, family(self.pid))
        self.server_cpu.append(used["server"] / run.seconds)
        self.runs.append(run)


@dataclass(frozen=True, slots=True)
class SideFigures:
    """What one side's rounds come to.

    rates: calls or events a second of each round; server_us: processor time of the server for each of them, µs, which
    other work on the machine hardly moves; client_cpu, server_cpu: cores; others: cores that were busy just before a
    round, while the bench did nothing.
    """

    rate: float
    rates: list[float]
    latency_ms: Spread | None
    errors: dict[str, int]
    client_cpu: float
    server_cpu: float
    server_us: float
    others: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure's outcome. ratios: floor's name to the ratio of each round."""

    measure: Measure
    service: SideFigures
    floors: dict[str, SideFigures]
    ratios: dict[str, list[float]]


def target_of(server: Server) -> Target:
    """Where the service listens."""
    return Target("127.0.0.1", int(server.url.rsplit(":", 1)[1]))


def service_requests(measure: Measure, limit: int | None) -> Iterator[bytes]:
    """Every request of the service's side; at most `limit` where each needs a prepared row."""
    numbers = islice(count(), limit) if measure.prepared else count()
    if (body := measure.body) is None:
        return (request("GET", measure.path.format(number % traffic.READERS)) for number in numbers)
    return (request("POST", measure.path, body(number)) for number in numbers)


def _floor_requests(measure: Measure, floor: Floor) -> Iterator[bytes]:
    body = measure.floor_body or measure.body
    assert body is not None
    return (request("POST", floor.path, body(number)) for number in count())


def compare(
    measure: Measure, tier: Tier, server: Server, floor_server: tuple[Target, int], *, rounds: int, seconds: float
) -> Compared:
    """Runs the rounds: service, floor, floor, and again."""
    limit = prepared_rows(rounds, seconds)
    ours = Side(target_of(server), service_requests(measure, limit), server.process.pid)
    target, pid = floor_server
    floors = {floor.name: Side(target, _floor_requests(measure, floor), pid) for floor in measure.floors}
    inside = tier.inside()
    for side in (ours, *floors.values()):
        side.warm_up()
    for _ in range(rounds):
        for side in (ours, *floors.values()):
            side.run(seconds)
            if side is ours and measure.writes:
                inside.forget_marks()
                tier.forget_messages()
    figures = figures_of(ours, measure.each)
    of_floors = {name: figures_of(side, measure.each) for name, side in floors.items()}
    return Compared(
        measure, figures, of_floors, {name: ratios(figures.rates, floor.rates) for name, floor in of_floors.items()}
    )


def prepared_rows(rounds: int, seconds: float) -> int:
    """Rows that ends consume: a round that runs out of them ends early, which costs nothing but precision."""
    return int((rounds * seconds + WARM_UP_SECONDS) * 2500)


def figures_of(side: Side, each: int) -> SideFigures:
    """The medians over rounds."""
    rates = [run.rate * each for run in side.runs]
    spreads = [spread for run in side.runs if (spread := run.spread_ms)]
    errors: Counter[str] = Counter()
    for run in side.runs:
        errors.update(run.errors)
    return SideFigures(
        rate=median(rates),
        rates=rates,
        latency_ms=median_spread(spreads) if spreads else None,
        errors=dict(errors),
        client_cpu=median(run.client_cpu for run in side.runs),
        server_cpu=median(side.server_cpu),
        server_us=median(cpu / rate * 1e6 if rate else 0.0 for cpu, rate in zip(side.server_cpu, rates, strict=True)),
        others=median(side.others),
    )


def errors_of(outcome: Compared) -> dict[str, int]:
    """Every error of one measure, of either side."""
    errors: dict[str, Any] = {}
    for name, figures in (("service", outcome.service), *outcome.floors.items()):
        errors |= {f"{outcome.measure.name}, {name}: {text}": times for text, times in figures.errors.items()}
    return errors
