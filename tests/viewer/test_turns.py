"""Turns on a real Redis: one holder at a time, no holder's turn ended by another, and none needed without Redis."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests import servers
from viewer import turns

URL = f"redis://127.0.0.1:{os.environ.get('VIEWER_TEST_REDIS_PORT', '16380')}/"
Learner = Callable[..., str]


@pytest.fixture(autouse=True)
def _asks_at_once(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(turns, "_asked_again_at", 0.0)
    settings.REDIS_URL = URL


def test_one_has_the_turn_and_the_next_has_it_afterwards(learner: Learner) -> None:
    user, other = learner(), learner()
    with turns.turn(user) as mine, turns.turn(user) as second, turns.turn(other) as others:
        assert (mine, second, others) == (True, False, True)
    with turns.turn(user) as again:
        assert again


def test_a_turn_ends_with_an_error_too(learner: Learner) -> None:
    user = learner()
    with pytest.raises(ZeroDivisionError), turns.turn(user):
        _ = 1 / 0
    with turns.turn(user) as mine:
        assert mine


def test_a_turn_ends_by_itself_and_never_takes_anothers_with_it(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = learner()
    key = f"viewer:turn:{user}"
    client = redis.Redis.from_url(URL)
    monkeypatch.setattr(turns, "TURN_MS", 50)
    with turns.turn(user):
        deadline = time.monotonic() + 10
        while client.exists(key):
            assert time.monotonic() < deadline
        client.set(key, "another's", px=60_000)
    assert client.get(key) == b"another's"
    client.delete(key)


@pytest.mark.parametrize("url", ["", f"redis://127.0.0.1:{servers.free_port()}/"])
def test_without_redis_everybody_has_a_turn(learner: Learner, settings: Any, url: str) -> None:
    settings.REDIS_URL = url
    user = learner()
    with turns.turn(user) as one, turns.turn(user) as other:
        assert one
        assert other


def test_a_redis_that_does_not_answer_is_not_asked_for_each_learner(
    learner: Learner, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{servers.free_port()}/"
    for _ in range(100):
        with turns.turn(learner()) as mine:
            assert mine
    assert [record.message for record in caplog.records if record.name == "viewer.turns"] == ["folding without turns"]
