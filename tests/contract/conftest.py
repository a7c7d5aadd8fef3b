"""The Cassandra store with a wire, answers and clocks that a test stages (staging.py)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cassandra.cluster import ResponseFuture
from django.conf import settings

from tests.contract.staging import Answered, Clock, Match, Place, Wire, forget
from viewer.store.cassandra import CassandraStore, marks, queue, rows, session


@pytest.fixture(scope="module")
def _queue(_cassandra: None) -> None:
    """A queue without what other tests left in it."""
    forget("stale_marks")


@pytest.fixture
def cassandra(_queue: None, _databases: None) -> CassandraStore:
    """The store on Cassandra."""
    return CassandraStore()


@pytest.fixture
def wire(cassandra: CassandraStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The wire to the node; fails the test where what was staged did not happen."""
    wire = Wire()
    monkeypatch.setattr(session.session(), "execute_async", wire)
    yield wire
    assert wire.all_taken()


@pytest.fixture
def answered(cassandra: CassandraStore, monkeypatch: pytest.MonkeyPatch) -> Answered:
    """answered(match, error): the node does what was sent, and the driver gets `error` for its first answer.

    Gives the statements that match, as often as the driver gets an answer for them. Whoever is asked for a second node
    finds one.
    """

    def stage(match: Match, error: Exception) -> list[Any]:
        real, answers = ResponseFuture._set_result, []

        def lossy(future: Any, host: Any, connection: Any, pool: Any, response: Any) -> None:
            if match(future.query):
                answers.append(future.query)
                response = error if len(answers) == 1 else response
            real(future, host, connection, pool, response)

        monkeypatch.setattr(ResponseFuture, "_set_result", lossy)
        return answers

    policy = session.session().cluster.profile_manager.profiles[settings.CASSANDRA_PROFILE].load_balancing_policy
    plan = policy.make_query_plan
    monkeypatch.setattr(policy, "make_query_plan", lambda *given, **named: [*plan(*given, **named)] * 2)
    return stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clocks of this process as the store reads them."""
    clock = Clock()
    monkeypatch.setattr(marks, "time", clock)
    monkeypatch.setattr(rows, "time", clock)
    return clock


@pytest.fixture
def place(cassandra: CassandraStore) -> Iterator[Place]:
    """place(-DAY) puts the sweep to where it would be if it had got as far as a day ago."""

    def put(ago: timedelta) -> None:
        forget("watermarks")  # its write time is as late as its latest value was
        queue.set_watermark(queue.PLACE, datetime.now(UTC) + ago)

    put(timedelta(minutes=-10))
    yield put
    put(timedelta(minutes=-10))


@pytest.fixture
def slow(clock: Clock, place: Place) -> Clock:
    """A writer ten minutes behind, and a sweep that is further behind still: what is entered now is of a closed minute.

    It stands for a writer that was stopped for ten minutes right after it looked at its clock.
    """
    place(timedelta(minutes=-12))
    clock.wall = -600
    return clock
