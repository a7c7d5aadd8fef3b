"""Whether the map may be used: one SQL row that every process sees at most LEASE_SECONDS late.

    phase     writers          readers          to                      by
    off       leave it alone   leave it alone   opening, epoch + 1      a sweep whose probe of the server succeeds
    opening   write to it      leave it alone   on                      a sweep, HANDOVER_SECONDS later or more
                                                off                     a writer or a sweep that fails
    on        write to it      read and fill    off                     a writer or a sweep that fails

Who waits HANDOVER_SECONDS after a change knows that nobody acts on the state before it: a reader or writer whose state
is older than LEASE_SECONDS reads it again, and the margin covers clocks that run at different speeds. A writer that
does not find the map on acknowledges no earlier: others may still read the epoch that has ended, which lacks its write.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from common.database import available
from viewer.store import codec, sql
from viewer.store.database import Database

LEASE_SECONDS = 1.0
RENEW_SECONDS = 0.75  # so that a lease seldom ends between a question and its answer
HANDOVER_SECONDS = LEASE_SECONDS + 0.25
_ONLY = 1  # the primary key of the one row
_READ = "SELECT phase, epoch, servers FROM status_map WHERE id = %s"


class Phase(StrEnum):
    """What may be done with the map."""

    OFF = "off"
    OPENING = "opening"
    ON = "on"


@dataclass(frozen=True, slots=True)
class State:
    """The row as it was at `read_at` (monotonic s) or later.

    epoch: part of every key; grows when the map is opened. servers: identities of the Redis processes that hold it.
    closed_at: when this process knew that the map was not on any more (monotonic s); it has not been on since.
    """

    phase: Phase = Phase.OFF
    epoch: int = 0
    servers: frozenset[str] = frozenset()
    read_at: float = 0.0
    closed_at: float = -math.inf

    def follows(self, known: "State") -> bool:
        """True where the map was not on between `known` and this state, nor at either."""
        if known.phase is Phase.ON or self.phase is Phase.ON:
            return False
        if (self.phase, self.epoch) == (known.phase, known.epoch):
            return True
        return known.phase is Phase.OFF and (self.phase, self.epoch) == (Phase.OPENING, known.epoch + 1)


class States:
    """The row as this process knows it, and its transitions. Every method raises Unavailable without a database."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: State | None = None
        self._db = Database("default")

    def current(self) -> State:
        """The state, less than RENEW_SECONDS old; costs a query in that time and process."""
        known = self._known
        if known is not None and self._age(known) < RENEW_SECONDS:
            return known
        with self._lock:
            known = self._known  # forget() takes no lock: what is returned is looked at once
            if known is None or self._age(known) >= RENEW_SECONDS:
                self._known = known = self._closed(self.read())
            return known

    def wait_until_closed(self) -> None:
        """Returns when nobody reads an epoch that has ended. At once while the map is on, and where it is off for long.

        Raises Unavailable.
        """
        state = self.current()
        if state.phase is not Phase.ON:
            time.sleep(max(0.0, state.closed_at + HANDOVER_SECONDS - self._clock()))

    def is_fresh(self, state: State) -> bool:
        """True while nobody who waited HANDOVER_SECONDS after a later change can have gone on."""
        return self._age(state) < LEASE_SECONDS

    def _age(self, state: State) -> float:
        return self._clock() - state.read_at

    def _closed(self, state: State) -> State:
        """`state` with the time since when this process knows the map not to be on."""
        if state.phase is Phase.ON or state.epoch == 0:
            return state
        if self._known is not None and state.follows(self._known):
            return replace(state, closed_at=self._known.closed_at)
        return replace(state, closed_at=self._clock())  # after the query: it may have been closed in between

    def read(self) -> State:
        """The row as it stands."""
        read_at = self._clock()  # before the query: what it answers may be that old
        with available():
            found = self._db.all(_READ, [_ONLY])
        if not found:
            return State(read_at=read_at)
        phase, epoch, servers = found[0]
        return State(Phase(phase), epoch, frozenset(codec.from_json(servers)), read_at)

    def forget(self) -> None:
        """Reads anew next time."""
        if self._known is not None:
            self._known = replace(self._known, read_at=-math.inf)

    def switch_off(self, epoch: int, now: datetime) -> bool:
        """Ends this epoch, for good; False where that was done before."""
        return self._change("phase = 'off'", [], now, "epoch = %s AND phase <> 'off'", [epoch])

    def open(self, epoch: int, server: str, now: datetime) -> bool:
        """Begins the epoch after `epoch`, which is off, on this server; False where another sweep was first."""
        columns = ("id", "phase", "epoch", "servers", "changed_at")
        insert = sql.insert_new(self._db.dialect, "status_map", columns, ("id",))
        with available(), self._db.turn():
            self._db.execute(insert, [_ONLY, Phase.OFF.value, 0, "[]", now])
        sets = f"phase = 'opening', epoch = epoch + 1, servers = {self._db.dialect.json}"
        return self._change(sets, [codec.to_json([server])], now, "epoch = %s AND phase = 'off'", [epoch])

    def turn_on(self, epoch: int, now: datetime) -> bool:
        """Lets readers use this epoch, which is opening; False where it is not any more."""
        return self._change("phase = 'on'", [], now, "epoch = %s AND phase = 'opening'", [epoch])

    def _change(self, sets: str, values: list[object], now: datetime, where: str, wanted: list[object]) -> bool:
        stamped = f"{sets}, changed_at = {self._db.dialect.time}"
        statement = f"UPDATE status_map SET {stamped} WHERE id = {_ONLY} AND {where}"  # noqa: S608 - texts of this module
        with available(), self._db.turn():
            changed = self._db.execute(statement, [*values, now, *wanted]) > 0
        self.forget()
        return changed


states = States()
