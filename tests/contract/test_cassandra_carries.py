"""Carries and their undoing on Cassandra: overtaken by another process, killed half-way, or arriving late."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from common.errors import Unavailable
from common.rows import Status
from tests.contract.carry_contract import carried, carry_of, undo_of
from tests.contract.race_contract import only_mark
from tests.contract.staging import MOMENTS, Killed, Wire, conditional, killed, starting
from tests.contract.store_contract import key_of, row_of
from tests.viewer.events import at, view
from viewer.lifecycle import Outcome, Verb
from viewer.store.cassandra import CassandraStore

Learner = Callable[..., str]

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
