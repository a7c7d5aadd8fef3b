"""This instance's mode and switches, as every process sees them: never more than a second old."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from common.database import available
from modes.keys import Mode
from modes.models import Instance

ValueT = TypeVar("ValueT")
MAX_AGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """What the admin chose.

    epoch: grows with every change of the mode. mode_since: when it became this one; None: it always was. rows_epoch: at
    which epoch rows were given other places last. rows_settled: every learner's rows are known to be there.
    """

    mode: Mode = Mode.STRICT
    epoch: int = 1
    force_view_end: bool = False
    mode_since: datetime | None = None
    rows_epoch: int = 0
    rows_settled: bool = True

    @property
    def was_changed(self) -> bool:
        """True where the mode was another one at some time."""
        return self.epoch > 1

    def since(self, mode: Mode, now: datetime) -> datetime | None:
        """When the mode became this one: now, where it is another; None: it always was."""
        return self.mode_since if mode is self.mode else now


class Cached(Generic[ValueT]):
    """What `read` gives, re-read at most once a second; a process that cannot read it fails rather than guesses."""

    def __init__(self, read: Callable[[], ValueT], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._held: tuple[float, ValueT] | None = None

    def get(self) -> ValueT:
        """The value; costs one `read` a second and process."""
        held = self._held
        if held is None or self._clock() - held[0] >= MAX_AGE_SECONDS:
            with self._lock:
                held = self._held
                if held is None or self._clock() - held[0] >= MAX_AGE_SECONDS:
                    read_at = self._clock()
                    self._held = held = (read_at, self._read())
        return held[1]

    def forget(self) -> None:
        """Reads anew next time: for the process that has just changed what is read.

        Waits for a reader on its way, who would otherwise put back what it read before the change.
        """
        with self._lock:
            self._held = None


@available()
def read() -> InstanceSettings:
    """The settings as they are stored now; costs a query."""
    names = ("mode", "epoch", "force_view_end", "mode_since", "rows_epoch", "rows_settled")
    row = Instance.objects.filter(pk=Instance.ONLY).values_list(*names).first()
    return InstanceSettings(Mode(row[0]), *row[1:]) if row else InstanceSettings()


_cached = Cached(read)


def current() -> InstanceSettings:
    """The instance's settings, at most MAX_AGE_SECONDS old."""
    return _cached.get()


def forget() -> None:
    """Makes the next `current()` of this process read the row."""
    _cached.forget()
