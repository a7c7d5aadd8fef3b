"""Marks, the queue of the sweep and the outbox on Cassandra: what is due is found, whatever stops or a clock shows."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.rows import ContextKey
from tests import cassandra_statements
from tests.contract.race_contract import only_mark
from tests.contract.staging import (
    DAY,
    EVERY,
    Clock,
    Place,
    Wire,
    conditional,
    due,
    forget,
    own_batch,
    serially,
    starting,
)
from tests.contract.store_contract import key_of
from tests.viewer.events import at, view
from viewer.lifecycle import Verb
from viewer.outbox import OutboxEvent
from viewer.store.cassandra import CassandraStore, cql, queue, session
from viewer.store.cassandra.marks import BUCKETS, CLOSED_SLOTS, SLOT_SECONDS, Mark, Marks

Learner = Callable[..., str]


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


# --- the pure parts --------------------------------------------------------------------------------------------------


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
