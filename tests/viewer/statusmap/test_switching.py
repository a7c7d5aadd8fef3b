"""The status map on and off, and whose server it is: what may have changed meanwhile is not believed."""

import time
from pathlib import Path

import pytest
from django.test import override_settings

from common import timestamps
from common.rows import RowKey
from tests.redis_server import RedisServer, heal, on_redis
from tests.viewer.events import view
from tests.viewer.statusmap.mapped import counted, filled, hits, read, status, write
from viewer import statusmap
from viewer.lifecycle import Verb
from viewer.statusmap import lookup
from viewer.statusmap.state import HANDOVER_SECONDS, LEASE_SECONDS, RENEW_SECONDS, Phase, State, States, states


def test_an_old_lease_is_not_used_however_fast_redis_answered(
    server: RedisServer, key: RowKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(key)
    states.current()
    asked: list[float] = []

    def clock() -> float:
        """Stands still until the state was looked at, then this process loses two seconds."""
        asked.append(0.0)
        return time.monotonic() + (2 * LEASE_SECONDS if len(asked) > 1 else 0.0)

    monkeypatch.setattr(states, "_clock", clock)
    assert not statusmap.look({key.context: None}).found
    monkeypatch.undo()
    assert hits(key) == 1


def test_a_writer_that_cannot_tell_the_map_switches_it_off_and_waits_that_out(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    filled(key)
    epoch = states.current().epoch
    server.client.config_set("maxmemory", 1)
    try:
        began = time.monotonic()
        assert counted("switched_off", lambda: write(key, view(Verb.END, 1))) == 1
        assert time.monotonic() - began >= HANDOVER_SECONDS
        assert states.read().phase is Phase.OFF
        assert status(key) == 2
        statusmap.heal(timestamps.now())
        assert states.read().phase is Phase.OFF  # a full server is not relied on
    finally:
        server.client.config_set("maxmemory", 0)
    assert heal().epoch == epoch + 1
    assert hits(key) == 0
    assert hits(key) == 1


def test_a_writer_that_finds_the_map_just_switched_off_waits_too(server: RedisServer, key: RowKey) -> None:
    """Another process may read the ended epoch for a second yet, and this write is not in it."""
    states.current()
    closed = time.monotonic()
    states.switch_off(states.current().epoch, timestamps.now())
    write(key, view(Verb.START, 0))
    assert time.monotonic() - closed >= HANDOVER_SECONDS
    began = time.monotonic()
    write(key, view(Verb.END, 1))
    assert time.monotonic() - began < LEASE_SECONDS
    statusmap.heal(timestamps.now())
    states.forget()
    assert states.current().phase is Phase.OPENING
    write(key, view(Verb.END, 0, client=0))
    assert time.monotonic() - began < LEASE_SECONDS


OFF, OPENING, ON = Phase.OFF, Phase.OPENING, Phase.ON


@pytest.mark.parametrize(
    ("known", "found", "follows"),
    [
        ((OFF, 1), (OFF, 1), True),
        ((OPENING, 1), (OPENING, 1), True),
        ((OFF, 1), (OPENING, 2), True),
        ((OPENING, 1), (OFF, 1), False),  # it may have been on in between
        ((OFF, 1), (OFF, 2), False),
        ((OFF, 1), (OPENING, 3), False),
        ((OPENING, 1), (OPENING, 2), False),
        ((ON, 1), (OFF, 1), False),
        ((ON, 1), (ON, 1), False),
        ((OPENING, 1), (ON, 1), False),
    ],
)
def test_what_may_have_been_on_between_two_looks(
    known: tuple[Phase, int], found: tuple[Phase, int], follows: bool
) -> None:
    assert State(*found).follows(State(*known)) is follows


def test_a_map_nobody_writes_to_any_more_does_not_stay_on(server: RedisServer) -> None:
    with override_settings(REDIS_URL=""):
        statusmap.heal(timestamps.now())
    assert states.read().phase is Phase.OFF


def test_another_server_is_neither_read_nor_written(server: RedisServer, key: RowKey, tmp_path: Path) -> None:
    write(key, view(Verb.START, 0))
    filled(key)
    other = RedisServer(tmp_path)
    other.start()
    try:
        for name in server.client.keys(f"*{key.user_id}*"):
            other.client.restore(name, 0, server.client.dump(name) or b"")
        with on_redis(other.url):
            assert hits(key) == 0
            began = time.monotonic()
            write(key, view(Verb.END, 1))
            assert time.monotonic() - began >= HANDOVER_SECONDS
        assert states.read().phase is Phase.OFF
        assert status(key) == 2
    finally:
        other.kill()


def test_a_server_that_took_the_data_of_another_holds_the_map_no_more(
    server: RedisServer, key: RowKey, tmp_path: Path
) -> None:
    """A master that was thought dead: another one took over, and it came back as that one's replica."""
    write(key, view(Verb.START, 0))
    filled(key)
    epoch = states.current().epoch
    successor = RedisServer(tmp_path)
    successor.start()
    try:
        for name in server.client.keys(f"*{key.user_id}*"):
            successor.client.restore(name, 0, server.client.dump(name) or b"")
        write(key, view(Verb.END, 1))
        server.client.replicaof("127.0.0.1", str(successor.port))
        deadline = time.monotonic() + 20
        while server.client.info("replication").get("master_link_status") != "up":
            assert time.monotonic() < deadline
            time.sleep(0.05)  # between two looks at a condition that has a deadline
        server.client.client_kill_filter(_type="normal")  # as Sentinel does with whom it changes
        assert hits(key) == 0
        assert status(key) == 2
        server.client.replicaof("NO", "ONE")
        lookup._failed_at.clear()
        assert hits(key) == 0
        assert status(key) == 2
    finally:
        server.client.replicaof("NO", "ONE")
        successor.kill()
    assert heal().epoch == epoch + 1


@pytest.mark.usefixtures("_databases")
def test_without_a_server_a_sweep_switches_off_and_nobody_waits_for_it(tmp_path: Path) -> None:
    gone = RedisServer(tmp_path)
    gone.start()
    with on_redis(gone.url):
        heal()
        gone.kill()
        began = time.monotonic()
        statusmap.heal(timestamps.now())
        assert time.monotonic() - began < LEASE_SECONDS
        assert states.read().phase is Phase.OFF


def test_only_one_of_two_sweeps_opens_an_epoch_and_an_ended_one_never_comes_back(server: RedisServer) -> None:
    epoch, now = states.current().epoch, timestamps.now()
    assert states.switch_off(epoch, now)
    assert not states.switch_off(epoch, now)
    assert not states.turn_on(epoch, now)
    assert states.open(epoch, "one", now)
    assert not states.open(epoch, "two", now)
    assert states.switch_off(epoch + 1, now)
    assert not states.turn_on(epoch + 1, now)
    found = states.read()
    assert (found.phase, found.epoch, found.servers) == (Phase.OFF, epoch + 1, frozenset({"one"}))


def test_an_opening_map_is_written_and_not_read(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    states.switch_off(states.current().epoch, timestamps.now())
    statusmap.heal(timestamps.now())
    assert states.current().phase is Phase.OPENING
    assert counted("fills", lambda: read(key)) == 0
    statusmap.heal(timestamps.now())
    assert states.read().phase is Phase.OPENING  # the others have not had their second yet
    evals = server.calls("eval")
    write(key, view(Verb.END, 1))
    assert server.calls("eval") == evals + 2  # its beginning and its end


def test_the_state_is_read_more_than_once_a_second_and_its_age_counts_from_before_the_query(
    server: RedisServer,
) -> None:
    time_now = [1000.0]
    own = States(lambda: time_now[0])
    first = own.current()
    assert first.read_at == 1000.0
    time_now[0] += RENEW_SECONDS - 0.001
    assert own.current() is first
    time_now[0] += 0.001
    assert own.current() is not first
    time_now[0] = first.read_at + LEASE_SECONDS - 0.001
    assert own.is_fresh(first)
    time_now[0] += 0.001
    assert not own.is_fresh(first)


@pytest.mark.usefixtures("_databases")
def test_without_redis_nothing_is_counted_and_nothing_asked(key: RowKey) -> None:
    with override_settings(REDIS_URL=""):
        before = statusmap.counts()
        write(key, view(Verb.START, 0))
        statusmap.heal(timestamps.now())
        assert [item["status"] for item in read(key)][:1] == [1]
        assert statusmap.counts() == before
