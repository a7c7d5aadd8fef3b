"""What is done to the servers, and the storm that does it: in seeded random order, two at a time, never two to one."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LANES = 2


@dataclass(frozen=True)
class Fault:
    """One kind of fault. target: what it hits; strike: does it, and returns when the target works again."""

    kind: str
    target: str
    strike: Callable[[random.Random], None]


class Storm:
    """Strikes with every fault at least once, and on in rounds until it has been enough.

    calm: the shortest and the longest time, in seconds, between two faults of one lane. struck: how often each kind
    came; seconds: how long it lasted at the longest, until its target worked again.
    """

    def __init__(
        self, faults: Sequence[Fault], seed: str, calm: tuple[float, float], enough: Callable[[], bool]
    ) -> None:
        self.struck: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.failures: list[BaseException] = []
        self._faults, self._seed, self._calm, self._enough = faults, seed, calm, enough
        self._shuffles = random.Random(f"{seed}-order")
        self._pending = self._round()
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    def run(self) -> None:
        """Returns when it is over and everything that was hit works again. Raises what a strike raised."""
        threads = [threading.Thread(target=self._lane, args=(lane,), name=f"lane-{lane}") for lane in range(LANES)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt as interrupted:
            self.failures.append(interrupted)  # ends both lanes, once what they hit works again
            for thread in threads:
                thread.join()
        if self.failures:
            raise self.failures[0]

    def _round(self) -> list[Fault]:
        return self._shuffles.sample(self._faults, len(self._faults))

    def _lane(self, lane: int) -> None:
        rng = random.Random(f"{self._seed}-lane-{lane}")
        while (fault := self._take()) is not None:
            threading.Event().wait(rng.uniform(*self._calm))
            began = time.monotonic()
            try:
                fault.strike(rng)
            except Exception as error:  # noqa: BLE001 - raised again by run, once the other lane has ended
                self.failures.append(error)
            with self._changed:
                self.struck[fault.kind] += 1
                self.seconds[fault.kind] = max(self.seconds.get(fault.kind, 0), time.monotonic() - began)
                self._busy.discard(fault.target)
                self._changed.notify_all()

    def _take(self) -> Fault | None:
        """The next fault whose target nobody is hitting; None when it has been enough."""
        with self._changed:
            while not self.failures:
                if not self._pending:
                    if self._enough():
                        return None
                    self._pending = self._round()
                for fault in self._pending:
                    if fault.target not in self._busy:
                        self._pending.remove(fault)
                        self._busy.add(fault.target)
                        return fault
                self._changed.wait()
            return None
