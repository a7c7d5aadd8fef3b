"""The status map on a real Redis: what is a hit and what is not, and that no answer is older than it may be."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from common import timestamps
from common.errors import Unavailable
from common.identity import Caller
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, RowKey, Status
from tests.redis_server import RedisServer, heal, on_redis
from tests.viewer.events import at, view
from viewer import assessing, reading, statusmap
from viewer import sync as syncing
from viewer.importer import Import
from viewer.inputs import ReadInput, SubmitInput, SyncInput
from viewer.lifecycle import Verb
from viewer.statusmap import lookup, packing, scripts
from viewer.statusmap.state import HANDOVER_SECONDS, LEASE_SECONDS, RENEW_SECONDS, Phase, State, States, states
from viewer.store import Applied, ImportBatch, codec, get_store

COLLECTION, CONTEXT = "class-1-maths", "batch-1"
Learner = Callable[..., str]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(redis_server: RedisServer, _databases: None) -> Iterator[RedisServer]:
    """A Redis whose map is on, for this test's learners."""
    with on_redis(redis_server.url):
        heal()
        yield redis_server


@pytest.fixture
def key(learner: Learner) -> RowKey:
    return RowKey(learner(), COLLECTION, CONTEXT, "single-digit-addition")


def write(key: RowKey, *events: Any) -> list[Applied]:
    """What the view calls do: store, map, and then they would acknowledge."""
    told = []
    for event in events:
        with statusmap.writing([key.user_id]) as written:
            told.append(get_store().apply(key, event))
            written.show([(key, told[-1])])
    return told


def read(key: RowKey, contents: list[str] | None = None) -> list[dict[str, Any]]:
    """The contents of a view/read of the key's context."""
    scope = ReadInput(
        user_id=key.user_id, collection_id=key.collection_id, context_id=key.context_id, content_id=contents
    )
    answer: list[dict[str, Any]] = reading.read(Caller(None), scope, at(1000))["contents"]
    return answer


def from_store(key: RowKey, contents: list[str] | None = None) -> list[dict[str, Any]]:
    """The same, without a map."""
    with override_settings(REDIS_URL=""):
        return read(key, contents)


def counted(name: str, work: Callable[[], object]) -> int:
    """How many more of `name` there are after `work`."""
    before = statusmap.counts()[name]
    work()
    return statusmap.counts()[name] - before


def hits(key: RowKey, contents: list[str] | None = None) -> int:
    return counted("hits", lambda: read(key, contents))


def filled(key: RowKey) -> None:
    """Sees to it that the map has the key's context."""
    read(key)
    assert hits(key) == 1


def status(key: RowKey) -> int:
    (found,) = (item["status"] for item in read(key, [key.content_id]))
    return int(found)


def hash_of(key: RowKey) -> str:
    return packing.hash_key(states.current().epoch, key.context)


def generation_of(key: RowKey) -> str:
    return packing.generation_key(states.current().epoch, key.user_id)


def attempt(key: RowKey, number: int, score: float) -> Attempt:
    return Attempt(key, f"attempt-{number}", score, 10.0, f"{score}/10.0", at(0), at(number), at(number))


# --- what a hit needs -------------------------------------------------------------------------------------------


def test_what_was_read_once_is_a_hit_that_later_writes_move_forward(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    assert hits(key) == 0
    assert hits(key) == 1
    write(key, view(Verb.UPDATE, 1, details={"progress": 40}))
    assert hits(key) == 1
    assert read(key, [key.content_id])[0]["progress"] == 40
    write(key, view(Verb.END, 2))
    assert read(key) == from_store(key)
    assert status(key) == 2


def test_a_content_nobody_touched_is_a_hit_too(server: RedisServer, key: RowKey) -> None:
    filled(key)
    assert hits(key, ["triple-digit-addition"]) == 1
    assert read(key, ["triple-digit-addition"])[0]["status"] == 0


def test_one_write_after_a_wipe_is_no_hit(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    filled(key)
    server.client.flushall()
    write(key, view(Verb.END, 1))
    assert server.client.keys(f"*{key.user_id}*") == []  # not even a hash that is not full
    assert counted("misses", lambda: read(key)) == 1
    assert status(key) == 2


@pytest.mark.parametrize("lost", [generation_of, hash_of])
def test_a_lost_key_is_no_hit(server: RedisServer, key: RowKey, lost: Callable[[RowKey], str]) -> None:
    filled(key)
    assert server.client.delete(lost(key)) == 1
    write(key, view(Verb.START, 0))
    assert hits(key) == 0
    assert hits(key) == 1
    assert status(key) == 1


def test_keys_expire_and_stand_in_one_slot(server: RedisServer, key: RowKey) -> None:
    filled(key._replace(collection_id="{a}:b", context_id="ü~"))
    odd = [one.decode() for one in server.client.keys(f"*{key.user_id}*")]
    assert len(odd) == 2
    for one in odd:
        assert one.startswith(f"viewer:{{{states.current().epoch}:{key.user_id}}}:")
        assert 23 * 3600 < int(server.client.ttl(one)) <= 24 * 3600
    assert any(one.endswith(":h:%7Ba%7D%3Ab:%C3%BC%7E") for one in odd)


def test_another_learner_or_context_is_never_answered(server: RedisServer, key: RowKey, learner: Learner) -> None:
    write(key, view(Verb.END, 0, force=True))
    filled(key)
    for other in (key._replace(user_id=learner()), key._replace(context_id="batch-2")):
        read(other)
        assert status(other) == 0


def test_a_list_of_contents_with_contexts_of_their_own_is_one_round_trip(server: RedisServer, key: RowKey) -> None:
    organic = [RowKey(key.user_id, content, content, content) for content in ("song", "story", "sum")]
    write(organic[0], view(Verb.START, 0))
    scope = ReadInput(user_id=key.user_id, content_id=["sum", "song", "story"])

    def asked() -> list[int]:
        return [item["status"] for item in reading.read(Caller(None), scope, at(9))["contents"]]

    assert asked() == [0, 1, 0]
    write(organic[1], view(Verb.END, 1, force=True))
    evals = server.calls("eval")
    assert counted("hits", lambda: asked() == [0, 1, 2]) == 3
    assert server.calls("eval") == evals
    assert asked() == [0, 1, 2]


def test_a_list_of_more_contexts_than_one_read_fills_is_answered_by_the_store(server: RedisServer, key: RowKey) -> None:
    contents = [f"content-{number}" for number in range(lookup.FILL_LIMIT + 1)]
    write(RowKey(key.user_id, contents[0], contents[0], contents[0]), view(Verb.START, 0))
    scope = ReadInput(user_id=key.user_id, content_id=contents)
    fills = statusmap.counts()["fills"]
    statuses = [item["status"] for item in reading.read(Caller(None), scope, at(9))["contents"]]
    assert statuses == [1] + [0] * lookup.FILL_LIMIT
    assert statusmap.counts()["fills"] == fills


@pytest.mark.parametrize("size", [2048, 2049, 50_000])
def test_large_details_come_from_the_store(server: RedisServer, key: RowKey, size: int) -> None:
    details = {"text": "x" * (size - len('{"text":""}'))}
    write(key, view(Verb.START, 0, details=details))
    filled(key)
    states.forget()
    states.current()
    with CaptureQueriesContext(connections["default"]) as queries:
        found = read(key)
    assert len(queries) == (0 if size <= packing.MAX_DETAILS else 1)
    assert found == from_store(key)
    assert found[0]["progressDetails"] == details
    assert (b"xxxx" in server.client.hgetall(hash_of(key))[f"r:{key.content_id}".encode()]) is (size == 2048)
    write(key, view(Verb.UPDATE, 1, details={"text": "short"}))
    assert read(key)[0]["progressDetails"] == {"text": "short"}


# --- fills and writes in each other's way -------------------------------------------------------------------------


class Reader:
    """A read that missed, stopped between its reading of the store and its fill."""

    def __init__(self, key: RowKey) -> None:
        seen = statusmap.look({key.context: None})
        assert not seen.found
        reserved = statusmap.begin_fill(seen, [key.context])
        assert reserved is not None
        self._reserved, self._sources = reserved, get_store().sources(key.context)

    def go_on(self) -> str:
        """Fills; what became of it."""
        names = ("fills", "refused", "failures")
        before = statusmap.counts()
        statusmap.fill(self._reserved, [self._sources])
        (told,) = [name for name in names if statusmap.counts()[name] > before[name]]
        return told


def test_a_write_during_a_fill_stays(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    reader = Reader(key)
    write(key, view(Verb.END, 1))
    assert reader.go_on() == "fills"
    assert hits(key) == 1
    assert status(key) == 2


@pytest.mark.parametrize("lost", [generation_of, hash_of])
def test_a_fill_is_refused_when_what_was_written_meanwhile_was_lost(
    server: RedisServer, key: RowKey, lost: Callable[[RowKey], str]
) -> None:
    write(key, view(Verb.START, 0))
    reader = Reader(key)
    write(key, view(Verb.END, 1))
    server.client.delete(lost(key))
    assert reader.go_on() == "refused"
    assert status(key) == 2


@pytest.mark.parametrize("lost", [generation_of, hash_of])
def test_a_fill_is_refused_when_another_one_began_anew_after_a_loss(
    server: RedisServer, key: RowKey, lost: Callable[[RowKey], str]
) -> None:
    write(key, view(Verb.START, 0))
    late = Reader(key)
    server.client.delete(lost(key))
    write(key, view(Verb.END, 1))
    in_time = Reader(key)
    assert late.go_on() == "refused"
    assert in_time.go_on() == "fills"
    assert late.go_on() == "refused"
    assert status(key) == 2


def test_a_late_writer_lowers_nothing(server: RedisServer, key: RowKey) -> None:
    started, ended = get_store().apply(key, view(Verb.START, 0)), get_store().apply(key, view(Verb.END, 1))
    filled(key)
    for late in (ended, started):
        with statusmap.writing([key.user_id]) as written:
            written.show([(key, late)])
    assert hits(key) == 1
    assert status(key) == 2


def test_nobody_believes_the_map_while_a_write_is_in_progress(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    filled(key)
    with statusmap.writing([key.user_id]) as written:
        applied = get_store().apply(key, view(Verb.END, 1))
        wait_for_writers(server, key)
        assert hits(key) == 0
        assert status(key) == 2
        written.show([(key, applied)])
    assert hits(key) == 1
    assert status(key) == 2


def wait_for_writers(server: RedisServer, key: RowKey) -> None:
    """Waits until Redis knows of the learner's write in progress, which nobody else waits for."""
    deadline = time.monotonic() + 5
    while not server.client.exists(packing.writers_key(states.current().epoch, key.user_id)):
        assert time.monotonic() < deadline
        time.sleep(0.005)  # between two looks at a condition that has a deadline


def test_what_a_killed_writer_left_in_the_store_is_found(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    filled(key)
    get_store().apply(key, view(Verb.END, 1))
    writers = packing.writers_key(states.current().epoch, key.user_id)
    seconds, _ = server.client.time()
    server.client.hset(writers, "killed", int(seconds))
    assert status(key) == 2
    assert hits(key) == 0
    server.client.hset(writers, "killed", int(seconds) - lookup.WRITE_SECONDS - 1)
    read(key)
    assert hits(key) == 1
    assert status(key) == 2


def test_an_event_that_wrote_nothing_shows_what_it_found(server: RedisServer, key: RowKey) -> None:
    """Its first sending may have been killed between the store and the map."""
    write(key, view(Verb.START, 0))
    filled(key)
    get_store().apply(key, view(Verb.END, 1))
    (again,) = write(key, view(Verb.END, 2))
    assert again.row is None
    assert hits(key) == 1
    assert status(key) == 2


def test_a_write_that_failed_halfway_leaves_no_hit(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    filled(key)

    def failing() -> None:
        with statusmap.writing([key.user_id]):
            get_store().apply(key, view(Verb.END, 1))
            raise Unavailable("the store went away")

    with pytest.raises(Unavailable):
        failing()
    assert hits(key) == 0
    assert status(key) == 2


def test_attempts_and_imports_make_the_map_forget_the_learner(server: RedisServer, key: RowKey) -> None:
    write(key, view(Verb.START, 0))
    filled(key)
    with statusmap.writing([key.user_id]) as written:
        get_store().save_attempts([attempt(key, 1, 7.0)], at(1))
        written.forget()
    assert hits(key) == 0
    assert read(key)[0]["score"] == 7.0
    assert hits(key) == 1
    kept = ActivityAgg(key.context, kept={key.content_id: {"by": "import", "status": 2, "progress": 100}}, version=1)
    late = Reader(key._replace(context_id="batch-2"))
    with statusmap.writing([key.user_id]) as written:
        get_store().import_rows(ImportBatch(at=at(2), aggs=[kept]))
        written.forget()
    assert late.go_on() == "refused"
    assert status(key) == 2


def sync(key: RowKey, *events: dict[str, Any]) -> None:
    place = {"collectionId": key.collection_id, "contextId": key.context_id, "contentId": key.content_id}
    given = SyncInput(user_id=key.user_id, events=[{"id": f"e-{event['type']}", **place, **event} for event in events])
    told = syncing.sync(Caller(None), given, timestamps.now())["results"]
    assert {result["status"] for result in told} <= {"applied", "duplicate"}


def submit(key: RowKey) -> None:
    given = SubmitInput(**place_of(key), assessments=ANSWERS)
    assessing.submit(Caller(None), given, msgid=None, fields={}, now=timestamps.now())


def import_end(key: RowKey) -> None:
    line = {"table": "user_content_consumption", "status": 2, **dict(zip(codec.CONSUMPTION_KEY, key, strict=True))}
    assert list(Import(get_store(), timestamps.now()).run([json.dumps(line).encode()]))


def place_of(key: RowKey) -> dict[str, Any]:
    return dict(zip(("user_id", "collection_id", "context_id", "content_id"), key, strict=True))


ANSWERS: list[dict[str, Any]] = [
    {"eid": "ASSESS", "ets": 1772355600000, "edata": {"item": {"id": "q1", "maxscore": 2}, "score": 1}}
]
CALLS: dict[str, Callable[[RowKey], None]] = {
    "a sync of views": lambda key: sync(key, {"type": "start"}, {"type": "end"}),
    "a sync of an attempt": lambda key: sync(key, {"type": "assess", "assessments": ANSWERS}),
    "a submit": submit,
    "an import": import_end,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_read_shows_what_every_kind_of_call_wrote(
    server: RedisServer, key: RowKey, call: Callable[[RowKey], None]
) -> None:
    for _ in range(2):  # the second time nothing is written: the first may have died before it told the map
        filled(key)
        call(key)
        assert read(key) == from_store(key)
        assert status(key) == 2


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_repetition_shows_what_was_stored_and_not_told(
    server: RedisServer, key: RowKey, call: Callable[[RowKey], None]
) -> None:
    filled(key)
    with override_settings(REDIS_URL=""):
        call(key)
    assert status(key) == 0  # the first sending was killed, and its announcement with it
    call(key)
    assert read(key) == from_store(key)
    assert status(key) == 2


# --- on, off, and whose server it is --------------------------------------------------------------------------------


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


# --- the map says what the store says -------------------------------------------------------------------------------

CONTENTS = ("single-digit-addition", "double-digit-addition", "beside-the-course")
_minutes = st.integers(0, 50)
_details = st.dictionaries(st.sampled_from(["page", "progress", "ünï"]), st.integers(-5, 120) | st.text(max_size=3))
_views = st.builds(
    lambda verb, minute, client, details, timespent, force: view(
        verb, minute, client=client, details=details or None, timespent=timespent, force=force
    ),
    st.sampled_from(list(Verb)),
    _minutes,
    st.none() | _minutes,
    _details,
    st.sampled_from([0.0, 2.5]),
    st.booleans(),
)
_kept = st.fixed_dictionaries(
    {"by": st.sampled_from(["import", "archive"]), "status": st.sampled_from([0, 1, 2])},
    optional={"progress": st.integers(0, 99), "score": st.sampled_from([0.0, 3.0, 9.5]), "attempts": st.integers(0, 3)},
)
_steps = st.tuples(
    st.sampled_from(CONTENTS),
    st.one_of(_views, st.tuples(st.just("attempt"), st.integers(0, 10)), st.tuples(st.just("kept"), _kept)),
)


def take_step(key: RowKey, number: int, step: Any) -> None:
    if not isinstance(step, tuple):
        write(key, step)
        return
    kind, value = step
    with statusmap.writing([key.user_id]) as written:
        if kind == "attempt":
            get_store().save_attempts([attempt(key, number, float(value))], at(number))
        else:
            kept = ActivityAgg(key.context, kept={key.content_id: value}, version=1)
            get_store().import_rows(ImportBatch(at=at(number), aggs=[kept]))
        written.forget()


@given(history=st.lists(_steps, max_size=8), reads=st.lists(st.booleans(), min_size=8, max_size=8))
@examples(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_map_answers_as_the_store_does(
    server: RedisServer, learner: Learner, history: list[Any], reads: list[bool]
) -> None:
    place = RowKey(learner(), COLLECTION, CONTEXT, "")
    for number, ((content, step), is_read) in enumerate(zip(history, reads, strict=False)):
        take_step(place._replace(content_id=content), number, step)
        if is_read:
            assert read(place) == from_store(place)
    filled(place)
    assert read(place) == from_store(place)
    assert read(place, list(CONTENTS)) == from_store(place, list(CONTENTS))


def test_a_row_comes_back_from_its_packing_as_it_was(key: RowKey) -> None:
    rows = [
        Consumption(key, view_status, 40, at(1), at(2), at(3), None, {"a": [1, {"b": None}]}, 0.1, 3, "p-1", (), 7)
        for view_status in (Status.IN_PROGRESS, Status.COMPLETED)
    ]
    for row in rows:
        value = packing.packed(row)
        assert value[: scripts.VERSION_DIGITS] == b"000000000007"
        assert packing.unpacked(value) == packing.own(row)


# --- everything at once ---------------------------------------------------------------------------------------------

STRESS_SECONDS = 8


class Learning:
    """One learner whose contents threads write, read, forget and lose; acknowledged: content -> (status, version)."""

    def __init__(self, user_id: str) -> None:
        self.key = RowKey(user_id, COLLECTION, CONTEXT, "")
        self.acknowledged: dict[str, tuple[int, int]] = {}
        self.scores: dict[str, float] = {}
        self.lock = threading.Lock()

    def write(self, chance: random.Random) -> None:
        key = self.key._replace(content_id=f"content-{chance.randrange(6)}")
        verb = chance.choice([Verb.START, Verb.UPDATE, Verb.UPDATE, Verb.END])
        (applied,) = write(key, view(verb, chance.randrange(50), timespent=1.0))
        if applied.row is not None:
            with self.lock:
                told = (int(applied.row.status), applied.row.version)
                self.acknowledged[key.content_id] = max(self.acknowledged.get(key.content_id, (0, 0)), told)

    def try_assessment(self, chance: random.Random) -> None:
        key, score = self.key._replace(content_id=f"content-{chance.randrange(6)}"), float(chance.randrange(100))
        with statusmap.writing([key.user_id]) as written:
            get_store().save_attempts([attempt(key, chance.randrange(10**6), score)], at(0))
            written.forget()
        with self.lock:
            self.scores[key.content_id] = max(self.scores.get(key.content_id, 0.0), score)

    def read(self) -> list[str]:
        """What is older in the map's answer than what was acknowledged before the question."""
        with self.lock:
            wanted, scores = dict(self.acknowledged), dict(self.scores)
        context = self.key.context
        seen = statusmap.look({context: None})
        if context in seen.found:
            facts = seen.found[context].facts
        else:
            reserved = statusmap.begin_fill(seen, [context])
            sources = get_store().sources(context)
            if reserved is not None:
                statusmap.fill(reserved, [sources])
            facts = statusmap.found_in(sources).facts
        return [
            f"{content}: {dict(facts.get(content, {}))} after {told}, {scores.get(content)}"
            for content, told in wanted.items()
            if (facts.get(content, {}).get("status", 0), facts.get(content, {}).get("version", 0)) < told
        ] + [
            f"{content}: score" for content, score in scores.items() if facts.get(content, {}).get("score", -1) < score
        ]

    def lose(self, server: RedisServer, chance: random.Random) -> None:
        """What eviction, expiry and FLUSHALL do."""
        what = chance.choice([hash_of, generation_of, None])
        server.client.delete(what(self.key)) if what else server.client.flushall()


def test_threads_that_write_read_fill_forget_and_lose_at_random_never_see_the_past(
    server: RedisServer, learner: Learner
) -> None:
    learners = [Learning(learner()) for _ in range(2)]
    wrong: list[str] = []
    until = time.monotonic() + STRESS_SECONDS
    before = statusmap.counts()

    def loop(seed: int, work: Callable[[Learning, random.Random], object], pause: float) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < until and not wrong:
                work(chance.choice(learners), chance)
                time.sleep(chance.random() * pause)  # the pace of this thread; nothing depends on it
        except BaseException as error:
            wrong.append(repr(error))
            raise
        finally:
            connections.close_all()

    works: list[tuple[Callable[[Learning, random.Random], object], float]] = [
        *[(lambda one, chance: one.write(chance), 0.01)] * 4,
        *[(lambda one, _: wrong.extend(one.read()), 0.002)] * 5,
        (lambda one, chance: one.try_assessment(chance), 0.2),
        (lambda one, chance: one.lose(server, chance), 0.05),
    ]
    with ExitStack() as stack:
        for seed, (work, pause) in enumerate(works):
            thread = threading.Thread(target=loop, args=(seed, work, pause))
            thread.start()
            stack.callback(thread.join)
    assert wrong == []
    after = statusmap.counts()
    for name in ("hits", "misses", "fills"):
        assert after[name] > before[name], name


def test_every_context_of_a_learner_is_told_in_one_round_trip(server: RedisServer, learner: Learner) -> None:
    keys = [RowKey(learner("rahul"), COLLECTION, f"batch-{number}", "sum") for number in range(3)]
    keys = [key._replace(user_id=keys[0].user_id) for key in keys]
    for key in keys:
        filled(key)
    with statusmap.writing([keys[0].user_id]) as written:
        applied = get_store().apply_all(keys[0].user_id, [(key, view(Verb.START, 0)) for key in keys])
        written.show(zip(keys, applied, strict=True))
    for key in keys:
        assert hits(key) == 1
        assert status(key) == 1


def test_a_context_key_has_a_hash_of_its_own() -> None:
    one, two = ContextKey("a", "b:c", "d"), ContextKey("a", "b", "c:d")
    assert packing.hash_key(1, one) != packing.hash_key(1, two)
