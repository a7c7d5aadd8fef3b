"""Switches the map on when its server can be relied on, and off when it cannot. Called by every sweep."""

import logging
import secrets
import time
from collections.abc import Collection
from datetime import datetime

from django.conf import settings

from viewer.statusmap import client
from viewer.statusmap.counters import count
from viewer.statusmap.state import HANDOVER_SECONDS, Phase, State, states

logger = logging.getLogger("viewer.statusmap")
PROBE = "viewer:probe"
PROBE_SECONDS = 60
_opening: dict[int, float] = {}  # the epoch that is opening -> when this process first saw it so, in monotonic s


def heal(now: datetime) -> None:
    """Takes the map one step: off to opening, opening to on, or off where its server fails. Raises Unavailable.

    A server is relied on when it stores a value and gives it back: it is then neither full nor read-only. A new epoch
    begins each time, so what a server still has of an earlier one is never read.
    """
    state = states.read()
    if not settings.REDIS_URL:
        # What is written meanwhile does not reach a map that Redis may still hold when it is configured again.
        close(now)
        return
    try:
        server = _probed(None if state.phase is Phase.OFF else state.servers)
    except client.Failed as error:
        count("failures")
        if state.phase is not Phase.OFF and states.switch_off(state.epoch, now):
            count("switched_off")
            logger.warning("status map switched off", extra={"epoch": state.epoch, "error": str(error)})
        return
    if state.phase is Phase.OFF:
        if states.open(state.epoch, server, now):
            _seen_opening(state.epoch + 1, time.monotonic())
    elif state.phase is Phase.OPENING and _handed_over(state) and states.turn_on(state.epoch, now):
        logger.info("status map on", extra={"epoch": state.epoch})


def close(now: datetime) -> None:
    """Switches the map off, for good in this epoch: for who replaces rows beneath it. The next sweep opens another."""
    state = states.read()
    if state.phase is not Phase.OFF:
        states.switch_off(state.epoch, now)


def _handed_over(state: State) -> bool:
    """True when every process writes to this epoch by now."""
    if state.epoch not in _opening:
        _seen_opening(state.epoch, state.read_at)
    # By this process's clock: those of the process that opened the epoch, or of the database, may be set.
    return time.monotonic() - _opening[state.epoch] >= HANDOVER_SECONDS


def _seen_opening(epoch: int, at: float) -> None:
    _opening.clear()
    _opening[epoch] = at


def _probed(servers: Collection[str] | None) -> str:
    """The identity of a server that stores what it is given. Raises Failed."""
    nonce = secrets.token_hex(8)
    with client.Line(servers) as line:
        line.send([("SET", PROBE, nonce, "EX", PROBE_SECONDS), ("GET", PROBE)])
        stored = line.answers()[1]
        if stored != nonce.encode():
            raise client.Failed("what was stored did not come back")
        return line.identity
