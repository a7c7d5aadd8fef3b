"""Fills and writes in each other's way, and what each kind of call tells the status map."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from common import timestamps
from common.errors import Unavailable
from common.identity import Caller
from common.rows import ActivityAgg, RowKey
from tests.redis_server import RedisServer
from tests.viewer.events import at, view
from tests.viewer.statusmap.mapped import (
    Reader,
    attempt,
    filled,
    from_store,
    generation_of,
    hash_of,
    hits,
    read,
    status,
    write,
)
from viewer import assessing, statusmap
from viewer import sync as syncing
from viewer.importer import Import
from viewer.inputs import SubmitInput, SyncInput
from viewer.lifecycle import Verb
from viewer.statusmap import lookup, packing
from viewer.statusmap.state import states
from viewer.store import ImportBatch, codec, get_store


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
