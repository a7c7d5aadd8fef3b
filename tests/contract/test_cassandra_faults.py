"""The Cassandra store on a wire that loses and delays, on clocks that differ, and beside writers that stop half-way.

Events, attempts, folds, moves, the batch's list and turns. What is staged, and how: staging.py.
"""

import io
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import ErrorMessage, OverloadedErrorMessage, ReadTimeoutErrorMessage, ServerError
from cassandra.protocol_features import ProtocolFeatures

from common import timestamps
from common.errors import Unavailable
from common.rows import ContextKey, Enrolment, RowKey
from tests import cassandra_statements
from tests.contract.race_contract import attempt, only_mark
from tests.contract.staging import MOMENTS, Answered, Killed, Wire, conditional, killed, own_batch, serially, starting
from tests.contract.store_contract import key_of, row_of
from tests.viewer.events import at, view
from viewer import progress
from viewer.lifecycle import Outcome, Verb
from viewer.outbox import OutboxEvent
from viewer.store.cassandra import CassandraStore, cql, moving, rows
from viewer.store.port import ImportBatch

Learner = Callable[..., str]
CAS_WRITE_UNKNOWN = 0x1700
PATIENCE = 20  # seconds until a test that waits for a thread or a process gives up


# --- staging ---------------------------------------------------------------------------------------------------------


def unknown_outcome() -> Any:
    """CAS_WRITE_UNKNOWN as the driver reads it from the wire; it has no class of its own for it."""
    text = b"CAS operation result is unknown"
    body = struct.pack(">iH", CAS_WRITE_UNKNOWN, len(text)) + text + struct.pack(">Hii", 9, 1, 2)
    return ErrorMessage.recv_body(io.BytesIO(body), 5, ProtocolFeatures(), None, None, None)


def read_timeout() -> Any:
    """A node too slow to tell what was there before, which the driver asks once more by itself."""
    answers = {"required_responses": 1, "received_responses": 1}
    info = {"consistency": ConsistencyLevel.LOCAL_SERIAL, "data_retrieved": False, **answers}
    return ReadTimeoutErrorMessage(0x1200, "the node is slow", info)


LOSSES: dict[str, Callable[[], Any]] = {
    "connection broke": lambda: ConnectionShutdown("the connection broke"),
    "server error": lambda: ServerError(0x0000, "the coordinator failed", None),
    "overloaded": lambda: OverloadedErrorMessage(0x1001, "the coordinator is overloaded", None),
    "slow": read_timeout,
    "nobody knows": unknown_outcome,
}


# --- answers that are lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_a_conditional_write_whose_answer_was_lost_is_not_sent_again_but_looked_up(
    cassandra: CassandraStore, answered: Answered, learner: Learner, loss: str
) -> None:
    key = key_of(learner())
    cassandra.apply(key, view(Verb.START))
    sources = cassandra.sources(key.context)
    folded = progress.fold(sources, at(1))
    answers = answered(conditional, LOSSES[loss]())
    assert cassandra.save_fold(sources, folded, [])
    assert len(answers) == 1
    assert cassandra.sources(key.context).agg == folded.agg


@pytest.mark.parametrize("loss", LOSSES)
def test_an_event_whose_answer_was_lost_counts_once_and_says_what_it_did(
    cassandra: CassandraStore, answered: Answered, learner: Learner, loss: str
) -> None:
    key = key_of(learner())
    answers = answered(conditional, LOSSES[loss]())
    started = cassandra.apply(key, view(Verb.START))
    assert (started.outcome, started.new_mark) == (Outcome.APPLIED, True)
    assert len(answers) == 1


def test_an_outcome_that_cannot_be_looked_up_either_is_unavailable(
    cassandra: CassandraStore, wire: Wire, answered: Answered, learner: Learner
) -> None:
    key = key_of(learner())
    wire.hold(conditional)
    answered(serially(key.user_id), unknown_outcome())
    with pytest.raises(Unavailable):
        cassandra.apply(key, view(Verb.START))


# --- writes that arrive after they were given up ---------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_update_that_arrives_late_counts_once(
    cassandra: CassandraStore, wire: Wire, learner: Learner, moment: str
) -> None:
    key = key_of(learner())
    cassandra.apply(key, view(Verb.START))
    wire.hold(conditional)
    wire.before(MOMENTS[moment], wire.deliver)
    assert cassandra.apply(key, view(Verb.UPDATE, 1, timespent=10)).outcome is Outcome.APPLIED
    row = row_of(cassandra, key)
    assert row is not None
    assert (row.timespent, row.version) == (10, 2)


def test_an_update_nobody_can_tell_of_is_not_counted_again(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    cassandra.apply(key, view(Verb.START))

    def overtake() -> None:
        # It arrives late, and another process writes on top of it: the row no longer says who wrote before.
        wire.deliver()
        cassandra.apply(key, view(Verb.UPDATE, 2, timespent=1))

    wire.hold(conditional)
    wire.before(starting("SELECT "), overtake)
    with pytest.raises(Unavailable):
        cassandra.apply(key, view(Verb.UPDATE, 1, timespent=10))
    row = row_of(cassandra, key)
    assert row is not None
    assert row.timespent == 11


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_start_that_arrives_late_says_that_it_made_row_and_mark(
    cassandra: CassandraStore, wire: Wire, learner: Learner, moment: str
) -> None:
    key = key_of(learner())
    wire.hold(conditional)
    wire.before(MOMENTS[moment], wire.deliver)
    made = cassandra.apply(key, view(Verb.START))
    assert (made.outcome, made.new_mark) == (Outcome.APPLIED, True)


def test_an_update_that_arrives_after_the_next_try_changes_nothing(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    cassandra.apply(key, view(Verb.START))
    wire.hold(conditional)
    cassandra.apply(key, view(Verb.UPDATE, 1, timespent=10))
    wire.deliver()
    row = row_of(cassandra, key)
    assert row is not None
    assert (row.timespent, row.version) == (10, 2)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_attempt_that_arrives_late_says_that_it_was_written(
    cassandra: CassandraStore, wire: Wire, learner: Learner, moment: str
) -> None:
    key = key_of(learner())
    wire.hold(lambda statement: conditional(statement) and cql.ATTEMPTS in cassandra_statements.texts([statement])[0])
    wire.before(MOMENTS[moment], wire.deliver)
    assert cassandra.save_attempts([attempt(key, 1)], at(1)) == [Outcome.APPLIED]
    assert cassandra.attempts([key]) == [attempt(key, 1)]


# --- folds, moves and the batch's list -------------------------------------------------------------------------------


def test_a_fold_that_was_lost_before_it_is_saved_stores_nothing(cassandra: CassandraStore, learner: Learner) -> None:
    key = key_of(learner())
    cassandra.apply(key, view(Verb.START))
    sources = cassandra.sources(key.context)
    folded = progress.fold(sources, at(1))
    assert cassandra.save_fold(sources, folded, [])
    event = OutboxEvent(learner("event"), "test", {}, at(1))
    assert not cassandra.save_fold(sources, folded, [event])
    assert cassandra.outbox_entries([event.id]) == []


@pytest.mark.parametrize("seconds", [-5, 5])
def test_nothing_is_loaded_where_the_clocks_differ(
    cassandra: CassandraStore, monkeypatch: pytest.MonkeyPatch, learner: Learner, seconds: int
) -> None:
    key = key_of(learner())
    cassandra.apply(key, view(Verb.START))
    dump = cassandra.dump(key.user_id)
    cassandra.apply(key, view(Verb.END, 1))
    after = cassandra.dump(key.user_id)
    moving._check_clocks.cache_clear()
    now = timestamps.now
    with monkeypatch.context() as wrong:
        wrong.setattr(timestamps, "now", lambda: now() + timedelta(seconds=seconds))
        with pytest.raises(Unavailable, match="clocks"):
            cassandra.load(dump)
    assert cassandra.dump(key.user_id) == after
    cassandra.load(dump)
    assert cassandra.dump(key.user_id) == dump


def move(store: CassandraStore, key: ContextKey, minute: float) -> None:
    """Gives an enrolment another date; the earliest that is told counts."""
    store.import_rows(ImportBatch(at=at(0), enrolments=[Enrolment(*key, enrolled_date=at(minute), version=1)]))


def listed(store: CassandraStore, key: ContextKey) -> list[datetime | None]:
    """The dates under which the batch's only learner is listed."""
    return [enrolment.enrolled_date for enrolment in store.batch_enrolments(key.context_id)]


UNLISTS = "DELETE FROM {keyspace}.enrolments_by_batch"
SAYS_WHERE = "UPDATE {keyspace}.user_enrolments SET listed_date"
LISTS = "INSERT INTO {keyspace}.enrolments_by_batch"


@pytest.mark.parametrize("stopped", [UNLISTS, SAYS_WHERE, LISTS])
def test_a_learner_whose_date_two_writers_move_stands_once_in_the_batchs_list(
    cassandra: CassandraStore, wire: Wire, learner: Learner, stopped: str
) -> None:
    key = own_batch(learner).context
    move(cassandra, key, 0)
    wire.before(starting(stopped), lambda: move(cassandra, key, -20))
    move(cassandra, key, -10)
    assert listed(cassandra, key) == [at(-20)]


@pytest.mark.parametrize("stopped", [UNLISTS, SAYS_WHERE, LISTS])
def test_a_learner_whose_writer_was_killed_stands_once_in_the_batchs_list_when_the_mark_is_served(
    cassandra: CassandraStore, wire: Wire, learner: Learner, stopped: str
) -> None:
    key = own_batch(learner)
    move(cassandra, key.context, 0)

    wire.before(starting(stopped), killed)
    with pytest.raises(Killed):
        move(cassandra, key.context, -10)
    assert cassandra.clear_mark(only_mark(cassandra, key))
    assert listed(cassandra, key.context) == [at(-10)]


# --- turns -----------------------------------------------------------------------------------------------------------


class Busy:
    """A writer of this process that has the learner's turn until it is let go; its write is on its way meanwhile."""

    def __init__(self, store: CassandraStore, wire: Wire, key: RowKey) -> None:
        self._go = threading.Event()
        self._has_turn = threading.Event()
        self._thread = threading.Thread(target=store.apply, args=(key, view(Verb.START)))
        wire.before(conditional, self._wait)

    def _wait(self) -> None:
        self._has_turn.set()
        self._go.wait(2 * PATIENCE)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._has_turn.wait(PATIENCE)

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._thread.join(PATIENCE)


def test_nobody_waits_longer_for_a_turn_than_for_a_write(
    cassandra: CassandraStore, wire: Wire, monkeypatch: pytest.MonkeyPatch, learner: Learner
) -> None:
    key = key_of(learner())
    monkeypatch.setattr(rows, "PATIENCE_SECONDS", 0.2)
    began = time.monotonic()
    with Busy(cassandra, wire, key), pytest.raises(Unavailable):
        cassandra.apply(key, view(Verb.END, 1))
    assert time.monotonic() - began < PATIENCE


def test_a_forked_child_does_not_wait_for_a_thread_that_stayed_behind(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    with Busy(cassandra, wire, key):
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE)
            try:
                cassandra.mark(key.context, at(0))
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert only_mark(cassandra, key).key == key.context


# --- the pure parts --------------------------------------------------------------------------------------------------


OURS, OTHERS = 7, 8


@pytest.mark.parametrize(
    ("found", "before", "told"),
    [
        pytest.param([(1, OURS)], None, True, id="new and ours"),
        pytest.param([], None, False, id="not there yet"),
        pytest.param([(None, None)], None, False, id="only static columns are there"),
        pytest.param([(1, OTHERS)], None, False, id="another made it first"),
        pytest.param([(2, OTHERS)], None, None, id="another after whoever made it"),
        pytest.param([(5, OURS)], 4, True, id="changed by us"),
        pytest.param([(4, OTHERS)], 4, False, id="not changed yet"),
        pytest.param([(5, OTHERS)], 4, False, id="another changed it instead"),
        pytest.param([(6, OTHERS)], 4, None, id="another after whoever changed it"),
        pytest.param([], 4, None, id="removed since"),
    ],
)
def test_what_the_last_writer_tells_of_a_lost_answer(
    found: list[tuple[int | None, int | None]], before: int | None, told: bool | None
) -> None:
    assert rows.told(found, OURS, before) is told
