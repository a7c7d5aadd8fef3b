"""Moved rows and removed attempts on Cassandra: overtaken by another process, arriving late, or never told."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from common.errors import Unavailable
from tests.contract.carry_contract import attempts_of
from tests.contract.relocation_contract import begun, in_contexts, move_of, moved_key
from tests.contract.staging import MOMENTS, Answered, Killed, Match, Wire, conditional, killed, starting
from tests.contract.store_contract import applied, key_of
from tests.contract.test_cassandra_faults import LOSSES
from tests.viewer.events import at, view
from viewer.lifecycle import Verb
from viewer.store.cassandra import CassandraStore
from viewer.store.port import MovedRows

Learner = Callable[..., str]

ATTEMPT_GONE = "DELETE FROM {keyspace}.assessment_aggregator"
MARKS_READ = starting("SELECT marks_version")
ROWS_READ = starting("SELECT userid")
TRIED_AGAIN = conditional


@pytest.mark.parametrize("loss", LOSSES)
def test_a_move_whose_answer_was_lost_is_not_sent_again_but_looked_up(
    cassandra: CassandraStore, answered: Answered, learner: Learner, loss: str
) -> None:
    user_id = learner()
    moved = move_of(begun(cassandra, user_id))
    answers = answered(conditional, LOSSES[loss]())
    assert cassandra.move_rows(moved, at(30))
    assert len(answers) == 1
    assert in_contexts(cassandra, user_id) == ([], moved.written)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_move_that_arrives_late_is_told(cassandra: CassandraStore, wire: Wire, learner: Learner, moment: str) -> None:
    user_id = learner()
    moved = move_of(begun(cassandra, user_id))
    wire.hold(conditional)
    wire.before(MOMENTS[moment], wire.deliver)
    assert cassandra.move_rows(moved, at(30))
    assert in_contexts(cassandra, user_id) == ([], moved.written)
    assert [mark.key for mark in cassandra.marks(user_id)] == moved.contexts


@pytest.mark.parametrize("verb", [Verb.UPDATE, Verb.END])
def test_a_move_that_an_event_overtakes_moves_nothing(
    cassandra: CassandraStore, wire: Wire, learner: Learner, verb: Verb
) -> None:
    user_id = learner()
    moved = move_of(begun(cassandra, user_id))
    wire.before(conditional, lambda: cassandra.apply(key_of(user_id, "do_2"), view(verb, 1)))
    assert not cassandra.move_rows(moved, at(30))
    old, new = in_contexts(cassandra, user_id)
    assert ([row.version for row in old], new) == ([1, 2, 1], [])


@pytest.mark.parametrize("ends", [1, 2])
def test_a_lost_move_that_events_overtook_never_takes_place(
    cassandra: CassandraStore, wire: Wire, learner: Learner, ends: int
) -> None:
    user_id = learner()
    moved = move_of(begun(cassandra, user_id))

    def overtake() -> None:
        for content in ("do_2", "do_3")[:ends]:
            cassandra.apply(key_of(user_id, content), view(Verb.END, 1))

    wire.hold(conditional)
    wire.before(starting("SELECT "), overtake)
    assert not cassandra.move_rows(moved, at(30))
    wire.deliver()
    old, new = in_contexts(cassandra, user_id)
    assert ([row.version for row in old], new) == ([1, 2, 1 + (ends == 2)], [])


def test_a_late_move_whose_target_went_on_is_told(cassandra: CassandraStore, wire: Wire, learner: Learner) -> None:
    user_id = learner()
    sources = begun(cassandra, user_id)

    def overtake() -> None:
        wire.deliver()
        applied(cassandra, moved_key(sources[1].key), view(Verb.END, 31))

    wire.hold(conditional)
    wire.before(starting("SELECT "), overtake)
    assert cassandra.move_rows(move_of(sources), at(30))
    old, new = in_contexts(cassandra, user_id)
    assert (old, [row.version for row in new]) == ([], [1, 2, 1])


def test_a_late_move_that_another_process_took_back_is_not_done_again(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    user_id = learner()
    sources = begun(cassandra, user_id)

    def overtake() -> None:
        # Nothing tells of it any more: every row it wrote is gone, and the marks were written twice since.
        wire.deliver()
        gone = tuple((moved_key(row.key), 1) for row in sources)
        assert cassandra.move_rows(MovedRows(gone=gone), at(31))
        cassandra.mark(sources[0].key.context, at(32))

    wire.hold(conditional)
    wire.before(starting("SELECT "), overtake)
    with pytest.raises(Unavailable):
        cassandra.move_rows(move_of(sources), at(30))
    assert cassandra.all_rows(user_id) == []


@pytest.mark.parametrize("moment", [ROWS_READ, MARKS_READ, TRIED_AGAIN], ids=["rows read", "marks read", "tried again"])
def test_a_late_move_of_which_only_the_marks_tell_is_told(
    cassandra: CassandraStore, wire: Wire, learner: Learner, moment: Match
) -> None:
    user_id = learner()
    gone = MovedRows(gone=tuple((row.key, 1) for row in begun(cassandra, user_id)))
    wire.hold(conditional)
    wire.before(moment, wire.deliver)
    assert cassandra.move_rows(gone, at(30))
    assert cassandra.all_rows(user_id) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_removal_that_arrives_late_removes_once(
    cassandra: CassandraStore, wire: Wire, learner: Learner, moment: str
) -> None:
    key = key_of(learner())
    first, second = attempts_of(key, "a-1", "a-2")
    cassandra.save_attempts([first, second], at(1))
    wire.hold(starting(ATTEMPT_GONE))
    wire.before(MOMENTS[moment], wire.deliver)
    cassandra.remove_attempts([first], at(30))
    assert cassandra.attempts([key]) == [second]


def test_a_removal_that_arrives_late_spares_an_attempt_that_changed_since(
    cassandra: CassandraStore, wire: Wire, learner: Learner
) -> None:
    key = key_of(learner())
    (old,) = attempts_of(key, "a-1")
    newer = replace(old, last_attempted_on=at(9), total_score=2.0)
    cassandra.save_attempts([old], at(1))
    wire.hold(starting(ATTEMPT_GONE))
    wire.before(starting("SELECT "), lambda: cassandra.save_attempts([newer], at(9)))
    cassandra.remove_attempts([old], at(30))
    wire.deliver()
    assert cassandra.attempts([key]) == [newer]


def test_a_removal_that_was_killed_leaves_a_mark(cassandra: CassandraStore, wire: Wire, learner: Learner) -> None:
    key = key_of(learner())
    attempts = attempts_of(key, "a-1")
    cassandra.save_attempts(attempts, at(1))
    cassandra.clear_marks(cassandra.marks(key.user_id))
    wire.before(starting(ATTEMPT_GONE), killed)
    with pytest.raises(Killed):
        cassandra.remove_attempts(attempts, at(30))
    assert [mark.key for mark in cassandra.marks(key.user_id)] == [key.context]
    cassandra.remove_attempts(attempts, at(31))
    assert cassandra.attempts([key]) == []
