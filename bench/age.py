"""How old aggregates are: from the acknowledged end of a content until the learner's aggregate has it.

The load is open: ends arrive at a constant rate, whatever the service does, each by another learner than the last.
What is folded is looked up in the database, because a read of the API folds what it finds pending.
"""

import threading
import time
from dataclasses import dataclass, field

from bench import machine, traffic
from bench.figures import Spread, spread
from bench.inside import Done, Inside
from bench.load import BenchFailed, Run, open_loop, request
from bench.measures import target_of
from tests.servers import Server, family

LEARNERS = 5000
CONNECTIONS = 32
POLL_SECONDS = 0.05  # an age is known to so much
SAMPLED = 7  # one end in so many is watched; no divisor of LEARNERS, so that all learners are
DRAIN_SECONDS = 120


@dataclass(slots=True)
class Watch:
    """Looks for the sampled ends in the database until each is there.

    ages: s from the acknowledgement to the first look that found it; at most POLL_SECONDS and the look itself too high.
    """

    inside: Inside
    ages: list[float] = field(default_factory=list)
    most_marks: int = 0
    _waiting: dict[Done, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def add(self, done: Done, acknowledged: float) -> None:
        """One more end to look for."""
        with self._lock:
            self._waiting[done] = acknowledged

    def look(self) -> None:
        """One look."""
        with self._lock:
            waiting = dict(self._waiting)
        if waiting:
            found = self.inside.aggregated(waiting)
            now = time.monotonic()
            self.ages += [now - waiting[done] for done in found]
            with self._lock:
                for done in found:
                    del self._waiting[done]
        self.most_marks = max(self.most_marks, self.inside.marks())

    def run(self) -> None:
        """Looks until stopped; the body of a thread."""
        while not self._over.wait(POLL_SECONDS):
            self.look()

    def finish(self) -> int:
        """Waits until every sampled end was found; how many were not within DRAIN_SECONDS."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._left() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)  # between two polls of a condition that has a deadline
        self._over.set()
        return self._left()

    def _left(self) -> int:
        with self._lock:
            return len(self._waiting)


@dataclass(frozen=True, slots=True)
class Ages:
    """What the load came to. rate: ends a second asked for; run: the calls; age_s: None where nothing was folded.

    drain: s from the last acknowledgement until every sampled end was folded; never: sampled ends that were not.
    cpu: cores by kind of process; busy_cores: of the whole machine, databases and client included.
    """

    rate: float
    run: Run
    age_s: Spread | None
    sampled: int
    never: int
    most_marks: int
    drain: float
    cpu: dict[str, float]
    busy_cores: float


def measure(server: Server, inside: Inside, rate: float, seconds: float) -> Ages:
    """Runs the load against a service whose worker runs and has nothing to fold yet. Needs `traffic.crowd`."""
    requests = [
        request("POST", "/v1/view/end", traffic.crowd_end(number, LEARNERS)) for number in range(int(rate * seconds))
    ]
    watch = Watch(inside)

    def acknowledged(number: int, when: float) -> None:
        if number % SAMPLED == 0:
            watch.add(Done(f"crowd-{number % LEARNERS}", traffic.LEAVES[number // LEARNERS]), when)

    looker = threading.Thread(target=watch.run)
    before, busy = machine.cpu_seconds(family(server.process.pid)), machine.busy_seconds()
    looker.start()
    try:
        run = open_loop(target_of(server), requests, rate=rate, connections=CONNECTIONS, acknowledged=acknowledged)
        used = machine.cpu_since(before, family(server.process.pid))
        busy = machine.busy_seconds() - busy
        ended = time.monotonic()
    finally:
        never = watch.finish()
        looker.join()
    return Ages(
        rate=rate,
        run=run,
        age_s=spread(watch.ages),
        sampled=len(watch.ages) + never,
        never=never,
        most_marks=watch.most_marks,
        drain=time.monotonic() - ended,
        cpu={kind: value / run.seconds for kind, value in used.items()},
        busy_cores=busy / run.seconds,
    )


def contents_each(rate: float, seconds: float) -> int:
    """How many contents each of the crowd has to have started. Raises BenchFailed for more than the course has."""
    each = -(-int(rate * seconds) // LEARNERS)
    if each > len(traffic.LEAVES):
        raise BenchFailed(f"{rate:.0f} ends/s for {seconds:.0f} s are more than {LEARNERS} learners have contents for")
    return each
