"""The Cassandra store on a wire that loses and delays, on clocks that differ, and beside writers that stop half-way.

The node and the store are real. Staged is what lies between them: when a statement reaches the node, whether its answer
comes back, and what a clock shows. Whatever another process would do meanwhile is done where a statement is sent.
"""

import io
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cassandra import ConsistencyLevel, OperationTimedOut
from cassandra.cluster import ResponseFuture
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import ErrorMessage, OverloadedErrorMessage, ReadTimeoutErrorMessage, ServerError
from cassandra.protocol_features import ProtocolFeatures
from django.conf import settings

from common import timestamps
from common.errors import Unavailable
from common.rows import ContextKey, Enrolment, RowKey, Status
from tests import cassandra_statements
from tests.contract.carry_contract import carried, carry_of, undo_of
from tests.contract.race_contract import attempt, only_mark
from tests.contract.store_contract import key_of, row_of
from tests.viewer.events import at, view
from viewer import progress
from viewer.lifecycle import Outcome, Verb
from viewer.outbox import OutboxEvent
from viewer.store.cassandra import CassandraStore, cql, marks, moving, queue, rows, session
from viewer.store.cassandra.marks import BUCKETS, CLOSED_SLOTS, SLOT_SECONDS, Mark, Marks
from viewer.store.port import ImportBatch

Learner = Callable[..., str]
Match = Callable[[Any], bool]
Answered = Callable[[Match, Exception], list[Any]]
Place = Callable[[timedelta], None]
CAS_WRITE_UNKNOWN = 0x1700
DAY = timedelta(days=1)
EVERY = 100_000  # more marks or events than all tests leave behind
PATIENCE = 20  # seconds until a test that waits for a thread or a process gives up


def forget(table: str) -> None:
    """Empties a table."""
    session.session().execute(f"TRUNCATE {cql.table(table)}", timeout=60)


@pytest.fixture(scope="module")
def _queue(_cassandra: None) -> None:
    """A queue without what other tests left in it."""
    forget("stale_marks")


@pytest.fixture
def cassandra(_queue: None, _databases: None) -> CassandraStore:
    """The store on Cassandra."""
    return CassandraStore()


# --- staging ---------------------------------------------------------------------------------------------------------


def conditional(statement: Any) -> bool:
    """A conditional write of a row, a learner's marks, or both."""
    return " IF " in cassandra_statements.texts([statement])[0]


def serially(user_id: str) -> Match:
    """A serial read of this learner."""

    def match(statement: Any) -> bool:
        return statement.consistency_level == ConsistencyLevel.LOCAL_SERIAL and user_id.encode() in statement.values

    return match


def starting(text: str) -> Match:
    """A statement that begins so, `{keyspace}` filled in; a serial read is none."""
    text = text.format(keyspace=settings.CASSANDRA_KEYSPACE)

    def match(statement: Any) -> bool:
        serial = statement.consistency_level == ConsistencyLevel.LOCAL_SERIAL
        return not serial and cassandra_statements.texts([statement])[0].startswith(text)

    return match


class Killed(Exception):
    """The process ends here."""


def killed() -> None:
    """What a killed process does."""
    raise Killed


class Wire:
    """What is sent passes here. Steps are taken in their order, each at the first statement that matches it."""

    def __init__(self) -> None:
        self._send: Callable[..., Any] = session.session().execute_async
        self._steps: list[tuple[Match, Callable[[], object] | None]] = []
        self._held: list[Callable[[], Any]] = []
        self.sent: list[Any] = []

    def hold(self, match: Match) -> None:
        """The statement does not reach the node before `deliver`; the store is told that no answer came in time."""
        self._steps.append((match, None))

    def before(self, match: Match, do: Callable[[], object]) -> None:
        """`do` is done before the statement is sent."""
        self._steps.append((match, do))

    def deliver(self) -> None:
        """What was held reaches the node now."""
        self._held.pop()().result()

    def __call__(self, statement: Any, *given: Any, **named: Any) -> Any:
        """Sends a statement, as the session does."""
        self.sent.append(statement)
        if self._steps and self._steps[0][0](statement):
            _, do = self._steps.pop(0)
            if do is None:
                self._held.append(lambda: self._send(statement, *given, **named))
                raise OperationTimedOut
            do()
        return self._send(statement, *given, **named)

    def all_taken(self) -> bool:
        """Whether everything staged has happened."""
        return not self._steps


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


class Clock:
    """The clocks of a writer: its wall clock is off by `wall` seconds, and `passed` have passed since."""

    def __init__(self, wall: float = 0) -> None:
        self.wall = wall
        self.passed = 0.0

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.wall

    def monotonic(self) -> float:
        """Seconds since whenever."""
        return time.monotonic() + self.passed

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


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


def due(store: CassandraStore) -> set[ContextKey]:
    """What a sweep finds now."""
    now = datetime.now(UTC)
    return {mark.key for mark in store.oldest_marks(EVERY, before=now + DAY, now=now)}


def own_batch(learner: Learner) -> RowKey:
    """A row in a batch that nobody else is in."""
    return RowKey(learner(), learner("course"), learner("batch"), "do_1")


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

MOMENTS: dict[str, Match] = {
    "before it is read again": starting("SELECT "),
    "before it is tried again": conditional,
}


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


# --- carries that are overtaken, killed or late ----------------------------------------------------------------------

ROW_WRITTEN = "INSERT INTO {keyspace}.user_content_consumption"
ROW_GONE = "DELETE FROM {keyspace}.user_content_consumption"
RECORDED = "INSERT INTO {keyspace}.provenance"
ATTEMPT_GONE = "DELETE FROM {keyspace}.assessment_aggregator"


def test_a_carry_that_an_own_end_overtakes_leaves_nothing_but_its_plan(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    wire.before(starting(ROW_WRITTEN), lambda: cassandra.apply(key, view(Verb.END, 1, force=True)))
    assert not carried(cassandra, carry_of(key, 0, "p-1", "a-1"))
    row = row_of(cassandra, key)
    assert row is not None
    assert (row.origin, row.own_completed_time, row.version) == (None, at(1), 1)
    assert cassandra.attempts([key]) == []
    assert [one.state for one in cassandra.provenance(key.user_id)] == ["planned"]


@pytest.mark.parametrize("record_id", ["p-1", "p-2"], ids=["the same record", "another record"])
def test_a_carry_that_another_process_overtakes_leaves_the_others_attempts(
    cassandra: CassandraStore, wire: Wire, learner: Learner, record_id: str
) -> None:
    key = key_of(learner())
    first, other = carry_of(key, 0, "p-1", "a-1"), carry_of(key, 0, record_id, "a-1", "a-2")
    wire.before(starting(ROW_WRITTEN), lambda: carried(cassandra, other))
    assert carried(cassandra, first) is (record_id == "p-1")
    assert row_of(cassandra, key) == other.row
    assert cassandra.attempts([key]) == list(other.attempts)
    assert other.record in cassandra.provenance(key.user_id)


def test_a_lost_carry_puts_the_record_of_before_back(cassandra: CassandraStore, wire: Wire, learner: Learner) -> None:
    key = key_of(learner())
    carry = carry_of(key)
    assert carried(cassandra, carry)
    assert cassandra.take_back(undo_of(carry), at(60))
    wire.before(starting(ROW_WRITTEN), lambda: cassandra.apply(key, view(Verb.START, 61)))
    assert not carried(cassandra, carry)
    assert cassandra.provenance(key.user_id) == [undo_of(carry).record]


@pytest.mark.parametrize("stopped", [ROW_WRITTEN, RECORDED], ids=["before its row", "after its row"])
def test_a_carry_that_was_killed_leaves_a_mark_and_is_completed_by_the_next_try(
    cassandra: CassandraStore, wire: Wire, learner: Learner, stopped: str
) -> None:
    key = key_of(learner())
    carry = carry_of(key, 0, "p-1", "a-1")
    wire.before(starting(RECORDED), lambda: None)  # the plan
    wire.before(starting(stopped), killed)
    with pytest.raises(Killed):
        carried(cassandra, carry)
    assert only_mark(cassandra, key).key == key.context
    assert cassandra.contexts(key.user_id) == [key.context]
    assert [one.state for one in cassandra.provenance(key.user_id)] == ["planned"]
    assert carried(cassandra, carry)
    assert cassandra.provenance(key.user_id) == [carry.record]
    assert (row_of(cassandra, key), cassandra.attempts([key])) == (carry.row, list(carry.attempts))
    assert not carried(cassandra, carry)


@pytest.mark.parametrize("stopped", [ROW_GONE, ATTEMPT_GONE], ids=["before its row", "after its row"])
def test_an_undoing_that_was_killed_is_completed_by_the_next_try(
    cassandra: CassandraStore, wire: Wire, learner: Learner, stopped: str
) -> None:
    key = key_of(learner())
    carry = carry_of(key, 0, "p-1", "a-1")
    assert carried(cassandra, carry)
    wire.before(starting(stopped), killed)
    with pytest.raises(Killed):
        cassandra.take_back(undo_of(carry), at(60))
    assert only_mark(cassandra, key).key == key.context
    assert cassandra.take_back(undo_of(carry), at(61))
    assert cassandra.provenance(key.user_id) == [undo_of(carry).record]
    assert (row_of(cassandra, key), cassandra.attempts([key])) == (None, [])
    assert not cassandra.take_back(undo_of(carry), at(62))


def test_an_undoing_that_another_process_overtakes_leaves_the_carry_undone(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    carry = carry_of(key, 0, "p-1", "a-1")
    assert carried(cassandra, carry)
    wire.before(starting(ROW_GONE), lambda: cassandra.take_back(undo_of(carry), at(60)))
    assert cassandra.take_back(undo_of(carry), at(60))
    assert cassandra.provenance(key.user_id) == [undo_of(carry).record]
    assert (row_of(cassandra, key), cassandra.attempts([key])) == (None, [])


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_carry_that_arrives_late_is_told(
    cassandra: CassandraStore, wire: Wire, learner: Learner, moment: str
) -> None:
    key = key_of(learner())
    carry = carry_of(key, 0, "p-1", "a-1")
    wire.hold(starting(ROW_WRITTEN))
    wire.before(MOMENTS[moment], wire.deliver)
    assert carried(cassandra, carry)
    assert (row_of(cassandra, key), cassandra.provenance(key.user_id)) == (carry.row, [carry.record])


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_undoing_that_arrives_late_is_told(
    cassandra: CassandraStore, wire: Wire, learner: Learner, moment: str
) -> None:
    key = key_of(learner())
    carry = carry_of(key, 0, "p-1", "a-1")
    assert carried(cassandra, carry)
    wire.hold(starting(ROW_GONE))
    wire.before(MOMENTS[moment], wire.deliver)
    assert cassandra.take_back(undo_of(carry), at(60))
    assert (row_of(cassandra, key), cassandra.attempts([key])) == (None, [])


def test_an_undoing_that_arrives_late_spares_a_row_that_was_made_since(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    carry = carry_of(key)
    assert carried(cassandra, carry)

    def overtake() -> None:
        assert cassandra.take_back(undo_of(carry), at(60))
        cassandra.apply(key, view(Verb.START, 61))

    wire.hold(starting(ROW_GONE))
    wire.before(starting("SELECT "), overtake)
    with pytest.raises(Unavailable):
        cassandra.take_back(undo_of(carry), at(60))
    wire.deliver()
    row = row_of(cassandra, key)
    assert row is not None
    assert (row.status, row.version, row.origin) == (Status.IN_PROGRESS, 1, None)


def test_an_update_of_a_row_that_was_taken_back_spares_the_one_that_was_made_since(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    carry = carry_of(key)
    moved = replace(carry, row=replace(carry.row, status=Status.IN_PROGRESS, progress=40, last_completed_time=None))
    assert carried(cassandra, moved)

    def overtake() -> None:
        # The new row has the version of the old one; who wrote it differs.
        assert cassandra.take_back(undo_of(moved), at(60))
        cassandra.apply(key, view(Verb.START, 61))
        wire.deliver()

    wire.hold(conditional)
    wire.before(starting("SELECT "), overtake)
    assert cassandra.apply(key, view(Verb.UPDATE, 59, timespent=10)).outcome is Outcome.APPLIED
    row = row_of(cassandra, key)
    assert row is not None
    assert (row.timespent, row.progress, row.progress_details, row.version) == (10, 0, {}, 2)


# --- the sweep's queue -----------------------------------------------------------------------------------------------


def test_a_mark_that_comes_due_while_it_is_deferred_is_found(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = own_batch(learner)
    cassandra.mark(key.context, at(0))
    # The one that defers has the mark under its new minute, and stops before it takes the old line away.
    wire.before(starting("DELETE FROM {keyspace}.stale_marks"), lambda: cassandra.undefer_marks([key.collection_id]))
    cassandra.defer_mark(only_mark(cassandra, key), datetime.now(UTC) + timedelta(hours=1))
    assert key.context in due(cassandra)


def test_a_mark_deferred_by_a_host_whose_clock_is_ahead_is_found_when_it_comes_due(
    cassandra: CassandraStore, monkeypatch: pytest.MonkeyPatch, learner: Learner
) -> None:
    key = own_batch(learner)
    cassandra.mark(key.context, at(0))
    with monkeypatch.context() as ahead:
        cluster = session.session().cluster
        ahead.setattr(cluster, "timestamp_generator", lambda: int((time.time() + 5) * 1e6))
        cassandra.defer_mark(only_mark(cassandra, key), datetime.now(UTC) + timedelta(hours=1))
    cassandra.undefer_marks([key.collection_id])
    assert key.context in due(cassandra)


def test_a_sweep_keeps_the_line_of_a_mark_that_is_just_being_written(
    cassandra: CassandraStore, wire: Wire, slow: Clock, learner: Learner
) -> None:
    key = key_of(learner())

    def sweep() -> None:
        # The sweep has read that there is no mark; before it reads it serially, the write arrives.
        wire.before(serially(key.user_id), wire.deliver)
        due(cassandra)

    wire.hold(conditional)
    wire.before(serially(key.user_id), sweep)
    assert cassandra.apply(key, view(Verb.START)).new_mark
    assert key.context in due(cassandra)
    assert cassandra.clear_mark(only_mark(cassandra, key))


def test_a_writer_that_was_stopped_before_its_mark_enters_it_anew(
    cassandra: CassandraStore, wire: Wire, slow: Clock, learner: Learner
) -> None:
    key = key_of(learner())

    def stop() -> None:
        due(cassandra)
        slow.wall, slow.passed = 0, 600

    wire.before(conditional, stop)
    cassandra.apply(key, view(Verb.START))
    assert key.context in due(cassandra)


def test_a_mark_without_a_line_gets_one_with_its_next_reason(
    cassandra: CassandraStore, wire: Wire, slow: Clock, learner: Learner
) -> None:
    key = key_of(learner())

    def suspend() -> None:
        due(cassandra)
        slow.wall = 0  # the clock that measures durations stands still while a machine is suspended

    wire.before(conditional, suspend)
    cassandra.apply(key, view(Verb.START))
    assert key.context not in due(cassandra)
    cassandra.apply(key, view(Verb.END, 1))
    assert key.context in due(cassandra)


def test_a_sweep_on_a_host_a_day_ahead_passes_no_minute_that_is_to_come(
    cassandra: CassandraStore, clock: Clock, place: Place, learner: Learner
) -> None:
    key = key_of(learner())
    forget("stale_marks")  # a minute that holds a mark is never passed
    clock.wall = DAY.total_seconds()
    due(cassandra)
    clock.wall = 0
    reached = cassandra.watermark(queue.PLACE)
    assert reached is not None
    assert reached <= datetime.now(UTC)
    cassandra.mark(key.context, at(0))
    assert key.context in due(cassandra)


def test_a_sweep_whose_place_is_ahead_of_time_finds_what_was_marked(
    cassandra: CassandraStore, place: Place, learner: Learner
) -> None:
    key = key_of(learner())
    place(DAY)
    cassandra.mark(key.context, at(0))
    assert key.context in due(cassandra)


def looked_at(sent: list[Any]) -> int:
    """How many learners' marks were read."""
    return len([one for one in sent if starting("SELECT marks_version")(one)])


def test_a_sweep_that_wants_few_marks_looks_at_few_learners(
    cassandra: CassandraStore, wire: Wire, slow: Clock, monkeypatch: pytest.MonkeyPatch, learner: Learner
) -> None:
    monkeypatch.setattr(queue, "LEARNERS_AT_ONCE", 4)
    keys = [key_of(learner()).context for _ in range(12)]
    for key in keys:
        cassandra.mark(key, at(0))
    now = datetime.now(UTC)
    wire.sent.clear()
    found = cassandra.oldest_marks(2, before=now, now=now)
    assert len(found) == 2
    assert looked_at(wire.sent) < len(keys)
    for key in keys:
        (mark,) = cassandra.marks(key.user_id)
        cassandra.clear_mark(mark)


def test_minutes_in_which_nothing_was_marked_cost_one_read_of_each_part_once(
    cassandra: CassandraStore, wire: Wire, place: Place
) -> None:
    def reads() -> int:
        wire.sent.clear()
        due(cassandra)
        return len([one for one in wire.sent if starting("SELECT slot")(one)])

    forget("stale_marks")
    place(timedelta(minutes=-20))
    assert 21 * BUCKETS <= reads() <= 22 * BUCKETS
    assert reads() <= (CLOSED_SLOTS + 2) * BUCKETS


# --- the outbox ------------------------------------------------------------------------------------------------------


def published(store: CassandraStore) -> None:
    """Publishes everything that waits."""
    while waiting := store.unpublished(1000):
        store.mark_published([event.id for event in waiting], datetime.now(UTC))


def test_events_are_looked_for_from_where_one_may_wait(cassandra: CassandraStore, learner: Learner) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    published(cassandra)
    place = cassandra.watermark(queue.EVENTS_PLACE)
    assert place is not None
    assert now - timedelta(hours=26) < place <= now
    # What was published leaves its tombstones before that place: no line there is read.
    before = OutboxEvent(learner("event"), "test", {}, now - 3 * DAY)
    cassandra.load_outbox([(before, now)])
    line = (queue.outbox_bucket(before.id), before.created_at, before.id)
    session.run(cql.insert("outbox_waiting", ("bucket", "created_at", "id")), line)
    with cassandra_statements.recorded() as sent:
        cassandra.unpublished(EVERY)
    assert not [one for one in sent if before.id.encode() in (one.values or ())]


def test_an_older_event_that_is_loaded_is_looked_for(cassandra: CassandraStore, learner: Learner) -> None:
    published(cassandra)
    event = OutboxEvent(learner("event"), "test", {}, at(0))
    cassandra.load_outbox([(event, None)])
    assert cassandra.unpublished(EVERY)[0] == event
    published(cassandra)


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


A, B = ContextKey("rahul", "class-1-maths", "batch-1"), ContextKey("rahul", "class-1-maths", "batch-2")


def this_minute() -> int:
    return int(time.time()) // SLOT_SECONDS


def test_a_first_reason_makes_a_mark_with_a_line_under_this_minute() -> None:
    known = Marks("rahul", 3)
    after = known.with_reasons({A: at(1), B: at(2)})
    assert after.version == 4
    assert [(mark.key, mark.marked_at, mark.not_before) for mark in after.told()] == [
        (A, at(1), None),
        (B, at(2), None),
    ]
    assert len({mark.token for mark in after.told()}) == 2
    assert all(this_minute() - 1 <= mark.slot <= this_minute() for mark in after.by_context.values())
    assert after.entries_after(known) == after.by_context


@pytest.mark.parametrize(
    ("minutes", "until", "relined"),
    [
        pytest.param(0, None, False, id="young: found where it is"),
        pytest.param(CLOSED_SLOTS + 2, None, True, id="old: its line may be gone"),
        pytest.param(0, at(9), True, id="waiting: due now"),
    ],
)
def test_another_reason_changes_the_token_and_where_it_must_the_line(
    minutes: int, until: datetime | None, relined: bool
) -> None:
    mark = Mark(token=5, marked_at=at(0), entry=1, slot=this_minute() - minutes, not_before=until)
    known = Marks("rahul", 1, {A: mark})
    after = known.with_reasons({A: at(1)})
    changed = after.by_context[A]
    assert (changed.token, changed.marked_at, changed.not_before) == (6, at(0), None)
    assert after.entries_after(known) == ({A: changed} if relined else {})
    assert (changed.entry != mark.entry) is relined


def test_a_mark_that_is_gone_takes_no_line() -> None:
    known = Marks("rahul", 1).with_reasons({A: at(1), B: at(2)})
    assert known.without(A).entries_after(known) == {}
    assert list(known.without(A).by_context) == [B]
