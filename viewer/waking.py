"""Asks workers to fold learners, and never costs a request time, whatever the broker does.

A request only puts its learner into a set of its process. One thread of the process empties the set into the broker, in
messages of up to CHUNK learners. What a full set or a broken broker loses, the sweep finds: the marks are in the store.
"""

import atexit
import logging
import os
import threading
import time

from celery import current_app
from django.conf import settings

logger = logging.getLogger("viewer.waking")
TASK = "viewer.aggregate"
CHUNK = 100  # learners in one message
LIMIT = 50_000  # learners that may wait in one process
CONFIRM_SECONDS = 2  # amqp: how long a broker may take to say that it has a message
EXIT_SECONDS = 2
_FAILED_EVERY, _FULL_EVERY = 10, 60  # s between two warnings of one kind


class Waker:
    """The learners of one process that are to be folded, and the thread that tells the broker.

    The thread starts with the first learner; a forked child begins with an empty set and no thread.
    """

    def __init__(self, chunk: int = CHUNK, limit: int = LIMIT) -> None:
        self._chunk, self._limit = chunk, limit
        self.forget()

    def forget(self) -> None:
        """Begins anew: what a fork copied belongs to the parent, and its thread was not copied."""
        self._waiting: dict[str, None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._sending = False
        self._warned: dict[str, float] = {}

    def wake(self, user_id: str) -> None:
        """Has a worker fold this learner soon. Never raises and never waits for a broker."""
        with self._changed:
            if user_id in self._waiting:
                return
            if len(self._waiting) >= self._limit:
                self._warn("too many learners wait for a worker", _FULL_EVERY, waiting=self._limit)
                return
            self._waiting[user_id] = None
            self._changed.notify_all()
            if self._thread is None:
                self._start()

    def flush(self, seconds: float) -> bool:
        """Waits until everybody who waits was told to the broker, or given up; False where `seconds` were too few."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._sending, seconds)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="waking", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had; the next learner tries again
            self._warn("nobody tells the broker", _FAILED_EVERY, error=str(error))
        else:
            self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
            time.sleep(settings.VIEWER_WAKE_MS / 1000)  # others come, and one message serves them all
            with self._changed:
                taken, self._waiting, self._sending = list(self._waiting), {}, True
            self._send(taken)
            with self._changed:
                self._sending = False
                self._changed.notify_all()

    def _send(self, user_ids: list[str]) -> None:
        """Publishes; a failure gives up the rest too, or a broken broker would cost a wait for each message."""
        try:
            for place in range(0, len(user_ids), self._chunk):
                part = user_ids[place : place + self._chunk]
                given = (part, time.time())
                current_app.send_task(TASK, args=given, retry=False, confirm_timeout=CONFIRM_SECONDS)
        except Exception as error:  # noqa: BLE001 - each broker's library has its own, and the thread has to live
            self._warn("broker unavailable", _FAILED_EVERY, error=str(error), learners=len(user_ids))

    def _warn(self, message: str, every: float, **about: object) -> None:
        now = time.monotonic()
        if now - self._warned.get(message, -every) >= every:
            self._warned[message] = now
            logger.warning(message, extra=about)


_waker = Waker()
wake = _waker.wake


def _at_exit() -> None:
    _waker.flush(EXIT_SECONDS)


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_waker.forget)
