"""This instance's mode and switches, as every process sees them: never more than a second old."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from common.database import available
from modes.keys import Mode
from modes.models import Instance

MAX_AGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """What the admin chose. epoch: grows with every change of the mode."""

    mode: Mode = Mode.STRICT
    epoch: int = 1
    force_view_end: bool = False


class _Cached:
    """The one row, re-read at most once a second; a process that cannot read it fails rather than guesses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._value: InstanceSettings | None = None
        self._read_at = 0.0

    def get(self) -> InstanceSettings:
        """The settings; costs one query a second and process."""
        value = self._value
        if value is not None and self._clock() - self._read_at < MAX_AGE_SECONDS:
            return value
        with self._lock:
            value = self._value  # forget() takes no lock: what is returned is looked at once
            if value is None or self._clock() - self._read_at >= MAX_AGE_SECONDS:
                read_at = self._clock()
                self._value = value = _read()
                self._read_at = read_at
            return value

    def forget(self) -> None:
        """Reads anew next time: for the process that has just changed the row."""
        self._value = None


@available()
def _read() -> InstanceSettings:
    row = Instance.objects.filter(pk=Instance.ONLY).values_list("mode", "epoch", "force_view_end").first()
    return InstanceSettings(Mode(row[0]), row[1], row[2]) if row else InstanceSettings()


_cached = _Cached()


def current() -> InstanceSettings:
    """The instance's settings, at most MAX_AGE_SECONDS old."""
    return _cached.get()


def forget() -> None:
    """Makes the next `current()` of this process read the row."""
    _cached.forget()
