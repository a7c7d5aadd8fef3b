"""How much one request may wait for neighbours: so many calls and so much time, whatever it asks of the catalogue."""

import threading
import time
from collections.abc import Callable
from typing import Any

CALLS = 8
RENEWED_SECONDS = 10.0  # for threads that serve no requests, as a worker's


class Allowance(threading.local):
    """What is left to the thread that asks. It begins anew with each request, or after RENEWED_SECONDS.

    seconds: how long all waits may take together. clock: seconds, monotonic.
    """

    def __init__(self, *, calls: int = CALLS, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._all_calls = calls
        self._all_seconds = seconds
        self._clock = clock
        self.renew()

    def renew(self, **_: Any) -> None:
        """Begins anew. Also a receiver of Django's signals."""
        self._began = self._clock()
        self._calls = self._all_calls
        self._seconds = self._all_seconds

    @property
    def seconds(self) -> float:
        """How long the thread may still wait."""
        if self._clock() - self._began >= RENEWED_SECONDS:
            self.renew()
        return self._seconds

    def calls(self) -> int:
        """How many calls the thread may still cause; none when it may not wait for them."""
        return self._calls if self.seconds > 0 else 0

    def spend(self, *, calls: int, seconds: float) -> None:
        """Notes what was caused and how long it was waited for."""
        self._calls -= calls
        self._seconds -= seconds
