"""When a neighbour is left alone: after several failures in a row nobody asks it for a while, then one call tries.

pybreaker holds a lock for as long as a call takes, so that calls of a process would queue behind a slow one.
"""

import threading
import time
from collections.abc import Callable

FAILURES = 5  # in a row
OPEN_SECONDS = 15.0


class Breaker:
    """Counts one neighbour's failures. Thread-safe. clock: seconds, monotonic."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        open_seconds: float = OPEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Begins anew, as after a fork."""
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether a call would be refused now. Changes nothing."""
        return self._open_until is not None and self._clock() < self._open_until

    def admits(self) -> bool:
        """Whether a call may be made now. Of an open breaker whose time is over, one caller is told so at a time."""
        with self._lock:
            if self.is_open:
                return False
            if self._open_until is not None:
                self._open_until = self._clock() + self._open_seconds  # the others wait for this one's outcome
            return True

    def succeeded(self) -> bool:
        """Notes a call that was answered; whether that closed the breaker."""
        with self._lock:
            was_open = self._open_until is not None
            self._failures, self._open_until = 0, None
            return was_open

    def failed(self) -> bool:
        """Notes a call that failed; whether the breaker is open now."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._limit:
                self._open_until = self._clock() + self._open_seconds
            return self._open_until is not None
