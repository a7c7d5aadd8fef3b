"""Wakers with brokers that are real: many learners in few messages, and nothing a broker does reaches the caller."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from config.celery import app as ours
from tests import servers
from viewer.waking import Waker

REDIS_PORT = int(os.environ.get("VIEWER_TEST_REDIS_PORT", "16380"))
URL = f"redis://127.0.0.1:{REDIS_PORT}/14"
QUIET = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}


@pytest.fixture
def using() -> Iterator[Callable[[str], None]]:
    """using(url): the broker of this process for the length of a test."""
    made: list[Celery] = []

    def use(url: str) -> None:
        app = Celery("waking", broker=url)
        app.conf.update(
            broker_transport_options=QUIET,
            broker_connection_timeout=0.5,
            task_default_queue="waking",
            result_backend=None,
        )
        app.set_default()
        made.append(app)

    yield use
    ours.set_default()
    ours.set_current()
    for app in made:
        app.close()


@pytest.fixture
def waiting(using: Callable[[str], None]) -> Iterator[Callable[[], list[list[str]]]]:
    """The messages in the queue, as lists of learners, oldest first; they are taken out."""
    using(URL)
    with Connection(URL) as connection:
        queue = connection.SimpleQueue("waking")
        queue.clear()

        def take() -> list[list[str]]:
            found: list[list[str]] = []
            while True:
                try:
                    message = queue.get(block=False)
                except queue.Empty:
                    return found
                message.ack()
                (learners, _), _, _ = message.payload
                found.append(learners)

        yield take
        queue.close()


def test_learners_woken_together_go_out_together_and_each_once(waiting: Callable[[], list[list[str]]]) -> None:
    waker = Waker(chunk=100)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: waker.wake(f"learner-{number % 250}"), range(2000)))
    assert waker.flush(10)
    messages = waiting()
    assert max(map(len, messages)) <= 100
    assert {user for message in messages for user in message} == {f"learner-{number}" for number in range(250)}
    assert len(messages) < 50


def test_a_learner_woken_again_later_goes_out_again(waiting: Callable[[], list[list[str]]]) -> None:
    waker = Waker()
    for _ in range(2):
        waker.wake("rahul")
        assert waker.flush(10)
    assert waiting() == [["rahul"], ["rahul"]]


def test_no_more_wait_than_may_and_it_is_told_once(
    waiting: Callable[[], list[list[str]]], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.VIEWER_WAKE_MS = 500
    waker = Waker(limit=10)
    for number in range(1000):
        waker.wake(f"learner-{number}")
    assert waker.flush(10)
    assert [len(message) for message in waiting()] == [10]
    told = [record.message for record in caplog.records if record.name == "viewer.waking"]
    assert told == ["too many learners wait for a worker"]


@pytest.fixture(params=["refused", "silent"])
def broken(request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker that refuses, and one that takes connections and never answers."""
    if request.param == "refused":
        yield f"redis://127.0.0.1:{servers.free_port()}/"
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_broken_broker_costs_the_caller_nothing_and_is_told_once(
    broken: str, using: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    using(broken)
    waker = Waker(chunk=1)
    slowest = 0.0
    with caplog.at_level(logging.WARNING, "viewer.waking"):
        for _ in range(3):
            for number in range(50):
                began = time.perf_counter()
                waker.wake(f"learner-{number}")
                slowest = max(slowest, time.perf_counter() - began)
            assert waker.flush(15), "and the thread goes on"
    assert slowest < 0.2
    assert [record.message for record in caplog.records if record.name == "viewer.waking"] == ["broker unavailable"]


def test_a_flush_that_is_out_of_time_says_so(using: Callable[[str], None], settings: Any) -> None:
    using(f"redis://127.0.0.1:{servers.free_port()}/")
    settings.VIEWER_WAKE_MS = 300
    waker = Waker()
    waker.wake("rahul")
    assert not waker.flush(0.01)
    assert waker.flush(10)


def test_a_forked_child_begins_empty_and_sends_its_own(waiting: Callable[[], list[list[str]]], settings: Any) -> None:
    settings.VIEWER_WAKE_MS = 200
    waker = Waker()
    os.register_at_fork(after_in_child=waker.forget)
    waker.wake("of-the-parent")
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        waker.wake("of-the-child")
        os._exit(0 if waker.flush(20) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert waker.flush(10)
    assert sorted(waiting()) == [["of-the-child"], ["of-the-parent"]]
