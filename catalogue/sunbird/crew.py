"""A few threads that do jobs for whoever asks, so that no asker is held longer than he chooses to wait."""

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("viewer.neighbours")
Job = Callable[[], None]


class Crew:
    """At most `threads` daemon threads, started as jobs come; at most `waiting` jobs of each kind wait for one.

    Urgent jobs, those that somebody waits for, come before the others.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._name = name
        self._threads = threads
        self._waiting = waiting
        self.forget()

    def forget(self) -> None:
        """Begins anew: what a fork copied belongs to the parent, and its threads were not copied."""
        self._changed = threading.Condition()
        self._urgent: deque[Job] = deque()
        self._later: deque[Job] = deque()
        self._started = 0
        self._idle = 0

    def take(self, job: Job, *, urgent: bool) -> bool:
        """Has a thread do the job; False where too many wait already, or there is no thread to be had."""
        with self._changed:
            queue = self._urgent if urgent else self._later
            if len(queue) >= self._waiting or not self._manned():
                return False
            queue.append(job)
            self._changed.notify()
            return True

    def _manned(self) -> bool:
        """Whether somebody will do one more job; starts a thread where all are busy and more are allowed."""
        busy = self._idle <= len(self._urgent) + len(self._later)
        if busy and self._started < self._threads:
            try:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            except RuntimeError as error:  # no thread to be had; the next job tries again
                logger.warning("no thread for a neighbour", extra={"error": str(error)})
            else:
                self._started += 1
        return self._started > 0

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._urgent or self._later)
                self._idle -= 1
                job = (self._urgent or self._later).popleft()
            job()
