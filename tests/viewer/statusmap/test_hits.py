"""What the status map needs to answer a read on a real Redis, and what is no hit."""

from collections.abc import Callable

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from common.identity import Caller
from common.rows import ContextKey, RowKey
from tests.redis_server import RedisServer
from tests.viewer.events import at, view
from tests.viewer.statusmap.mapped import (
    COLLECTION,
    counted,
    filled,
    from_store,
    generation_of,
    hash_of,
    hits,
    read,
    status,
    write,
)
from viewer import reading, statusmap
from viewer.inputs import ReadInput
from viewer.lifecycle import Verb
from viewer.statusmap import lookup, packing
from viewer.statusmap.state import states
from viewer.store import get_store

Learner = Callable[..., str]


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
