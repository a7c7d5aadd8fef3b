"""Carrying progress forward and taking it back: the part of the contract that moves rows between contexts.

As store_contract.py: no test knows a database, learners are fresh, an adapter's module subclasses these.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from common.rows import Attempt, Consumption, ContextKey, Provenance, Question, RowKey, StaleMark, Status
from tests.contract.race_contract import only_mark, serve
from tests.contract.store_contract import THREADS, applied, key_of, row_of, together
from tests.viewer.events import at, view
from viewer.lifecycle import Outcome, Verb
from viewer.store.port import Applied, Carry, Store, TakenBack

Learner = Callable[..., str]
ROUNDS = 8  # how often a race is run
FACTS: dict[str, Any] = {
    "rule": {"id": 4, "version": 2, "windows": [{"unit": "months", "value": 3}]},
    "source": ["class-1-maths", "batch-0", "पाठ 😀"],
    "completedOn": 1772355600123,
    "score": 1.33,
    "why": None,
}


def record_of(user_id: str, record_id: str = "p-1", **facts: Any) -> Provenance:
    return Provenance(user_id, record_id, "copy", "done", at(30), facts=facts or FACTS)


def carried_row(key: RowKey, record_id: str = "p-1") -> Consumption:
    """A completion at minute 5, as a carry brings it: nothing of it is the learner's own here."""
    return Consumption(
        key,
        Status.COMPLETED,
        100,
        last_access_time=at(5),
        last_updated_time=at(30),
        last_completed_time=at(5),
        progress_details={"page": 7},
        timespent=12.63,
        origin=record_id,
    )


def attempts_of(key: RowKey, *ids: str) -> tuple[Attempt, ...]:
    question = Question("do_q", 1.0, 2.0, assess_ts=at(4), params=({"1": "a"},))
    return tuple(Attempt(key, one, 1.0, 2.0, "1.0/2.0", at(3), at(4), at(5), (question,)) for one in ids)


def carry_of(key: RowKey, expected_version: int = 0, record_id: str = "p-1", *attempts: str) -> Carry:
    record = record_of(key.user_id, record_id)
    return Carry(record, carried_row(key, record_id), expected_version, attempts_of(key, *attempts))


def undo_of(carry: Carry, row: Consumption | None = None) -> TakenBack:
    """What takes `carry` back; row: as it was before."""
    ids = tuple(one.attempt_id for one in carry.attempts)
    record = replace(carry.record, undone_at=at(60))
    return TakenBack(record, carry.row.key, row, carry.expected_version + 1, ids)


def carried(store: Store, carry: Carry) -> bool:
    (stored,) = store.carry([carry], at(30))
    return stored


def left_of(store: Store, user_id: str) -> tuple[object, ...]:
    """What a refused carry must leave as it is: everything but a record that was only planned."""
    dump = store.dump(user_id)
    records = tuple(one for one in dump.provenance if one.state == "done")
    return dump.rows, dump.attempts, dump.contexts, records


class CarryContract:
    """What a carry stores, and when it is refused."""

    def test_a_carry_into_nothing_stores_row_record_attempts_mark_and_context(
        self, store: Store, learner: Learner
    ) -> None:
        key = key_of(learner())
        carry = carry_of(key, 0, "p-1", "a-1", "a-2")
        assert store.carry([carry], at(30)) == [True]
        assert row_of(store, key) == carry.row
        assert store.provenance(key.user_id) == [carry.record]
        assert store.attempts([key]) == list(carry.attempts)
        assert only_mark(store, key).key == key.context
        assert store.contexts(key.user_id) == [key.context]

    def test_a_carry_completes_an_own_row_in_progress(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START, details={"page": 1}, identity="e:1"))
        applied(store, key, view(Verb.UPDATE, 1, timespent=3))
        assert serve(store, key)
        stored = row_of(store, key)
        assert stored is not None
        row = replace(
            stored,
            status=Status.COMPLETED,
            progress=100,
            last_completed_time=at(5),
            origin="p-1",
            last_access_time=None,
        )
        assert carried(store, Carry(record_of(key.user_id), row, stored.version))
        assert row_of(store, key) == replace(row, version=stored.version + 1)
        assert only_mark(store, key).key == key.context

    @pytest.mark.parametrize("expected_version", [0, 1, 3])
    def test_a_carry_over_another_version_stores_nothing(
        self, store: Store, learner: Learner, expected_version: int
    ) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START))
        applied(store, key, view(Verb.END, 1))
        before, marks = left_of(store, key.user_id), store.marks(key.user_id)
        assert not carried(store, carry_of(key, expected_version, "p-1", "a-1"))
        assert left_of(store, key.user_id) == before
        assert store.marks(key.user_id) == marks
        assert store.provenance(key.user_id) == []

    def test_a_carry_over_a_row_that_is_not_there_stores_nothing(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        assert not carried(store, carry_of(key, 1, "p-1", "a-1"))
        assert left_of(store, key.user_id) == ((), (), (), ())
        assert store.marks(key.user_id) == []

    def test_a_carry_that_comes_again_is_refused_and_changes_nothing(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        carry = carry_of(key, 0, "p-1", "a-1")
        assert carried(store, carry)
        before = store.dump(key.user_id)
        assert not carried(store, carry)
        assert store.dump(key.user_id) == before

    def test_of_many_carries_one_that_is_lost_stops_no_other(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        keys = [
            RowKey(user_id, collection, "batch-1", f"do_{number}")
            for collection in ("class-1-maths", "ಗಣಿತ")
            for number in range(3)
        ]
        applied(store, keys[2], view(Verb.END, 1, force=True))
        own = row_of(store, keys[2])
        carries = [carry_of(key, 0, f"p-{place}", f"a-{place}") for place, key in enumerate(keys)]
        assert store.carry(carries, at(30)) == [True, True, False, True, True, True]
        wanted = [own if place == 2 else one.row for place, one in enumerate(carries)]
        assert store.all_rows(user_id) == wanted
        assert [one.id for one in store.provenance(user_id)] == ["p-0", "p-1", "p-3", "p-4", "p-5"]
        assert [one.attempt_id for one in store.dump(user_id).attempts] == ["a-0", "a-1", "a-3", "a-4", "a-5"]
        contexts = [ContextKey(*key[:3]) for key in (keys[0], keys[3])]
        assert store.contexts(user_id) == contexts
        assert [mark.key for mark in store.marks(user_id)] == contexts

    def test_of_two_carries_of_one_row_in_one_call_the_first_is_stored(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        assert store.carry([carry_of(key, 0, "p-1"), carry_of(key, 0, "p-2")], at(30)) == [True, False]
        assert row_of(store, key) == carried_row(key, "p-1")

    def test_no_carries_are_nothing(self, store: Store) -> None:
        assert store.carry([], at(30)) == []

    def test_a_record_that_is_there_is_overwritten(self, store: Store, learner: Learner) -> None:
        first = key_of(learner())
        second = first._replace(content_id="double-digit-addition")
        old = Carry(replace(record_of(first.user_id), undone_at=at(40)), carried_row(first), 0)
        assert carried(store, old)
        new = Carry(record_of(first.user_id, why="rule 5"), carried_row(second), 0)
        assert carried(store, new)
        assert store.provenance(first.user_id) == [new.record]

    def test_a_lost_carry_leaves_a_record_with_its_id_as_it_is(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        carry = carry_of(key)
        assert carried(store, carry)
        assert not carried(store, replace(carry, record=record_of(key.user_id, why="rule 5")))
        assert store.provenance(key.user_id) == [carry.record]

    def test_attempts_that_are_there_stay_where_they_are_as_new(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        newer, same, older = attempts_of(key, "a-1", "a-2", "a-3")
        newer = replace(newer, last_attempted_on=at(9), total_score=2.0)
        store.save_attempts([newer, same, replace(older, last_attempted_on=at(1), total_score=0.0)], at(9))
        assert carried(store, carry_of(key, 0, "p-1", "a-1", "a-2", "a-3"))
        assert store.attempts([key]) == [newer, same, older]

    def test_a_refused_carry_leaves_attempts_that_are_there(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.END, force=True))
        store.save_attempts(attempts_of(key, "a-1"), at(5))
        assert not carried(store, carry_of(key, 0, "p-1", "a-1", "a-2"))
        assert store.attempts([key]) == list(attempts_of(key, "a-1"))

    def test_a_mark_of_before_does_not_clear_the_carrys(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        store.mark(key.context, at(0))
        held = only_mark(store, key)
        assert carried(store, carry_of(key))
        assert not store.clear_mark(held)
        assert serve(store, key)
        assert store.aggs([key.context])[key.context].content_status == {key.content_id: 2}

    def test_another_learner_is_left_alone(self, store: Store, learner: Learner) -> None:
        rahul, rita = key_of(learner()), key_of(learner("rita"))
        applied(store, rita, view(Verb.START))
        before = store.dump(rita.user_id)
        carry = carry_of(rahul, 0, "p-1", "a-1")
        assert carried(store, carry)
        assert store.take_back(undo_of(carry), at(60))
        assert store.dump(rita.user_id) == before

    def test_an_own_end_makes_a_carried_row_the_learners(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        assert carried(store, carry_of(key))
        assert applied(store, key, view(Verb.END, 40)) is Outcome.APPLIED
        row = row_of(store, key)
        assert row is not None
        assert (row.origin, row.own_completed_time, row.last_completed_time) == (None, at(40), at(5))
        assert not carried(store, carry_of(key, 1))

    def test_a_move_brings_back_what_was_carried(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        assert carried(store, carry_of(key, 0, "p-1", "a-1"))
        dump = store.dump(key.user_id)
        store.load(dump)
        assert store.dump(key.user_id) == dump
        assert store.provenance(key.user_id) == list(dump.provenance)


class CarryRaceContract:
    """Carries at the same moment as each other and as the learner's own events."""

    def test_of_many_carries_of_one_row_at_once_one_wins(self, store: Store, learner: Learner) -> None:
        for _ in range(ROUNDS):
            key = key_of(learner())
            carries = [carry_of(key, 0, f"p-{number}", "a-1") for number in range(THREADS)]
            won = together(*[partial(carried, store, one) for one in carries])
            assert won.count(True) == 1
            winner = carries[won.index(True)]
            assert row_of(store, key) == winner.row
            assert [one for one in store.provenance(key.user_id) if one.state == "done"] == [winner.record]
            assert store.attempts([key]) == list(winner.attempts)

    @pytest.mark.parametrize("started", [False, True], ids=["absent", "in progress"])
    def test_an_own_end_at_the_moment_of_a_carry_is_never_lost(
        self, store: Store, learner: Learner, started: bool
    ) -> None:
        for _ in range(ROUNDS):
            key = key_of(learner())
            if started:
                applied(store, key, view(Verb.START))
            carry = carry_of(key, int(started), "p-1", "a-1")
            event = view(Verb.END, 40, client=20, force=True)
            stored, ended = together(partial(carried, store, carry), partial(store.apply, key, event))
            assert isinstance(ended, Applied)
            assert ended.outcome is Outcome.APPLIED
            row = row_of(store, key)
            assert row is not None
            assert (row.status, row.origin, row.own_completed_time) == (Status.COMPLETED, None, at(20))
            assert row.last_completed_time == (at(5) if stored else at(20))
            assert row.version == 1 + started + stored
            assert store.attempts([key]) == (list(carry.attempts) if stored else [])
            done = [one for one in store.provenance(key.user_id) if one.state == "done"]
            assert done == ([carry.record] if stored else [])

    def test_an_own_end_before_the_carry_stands(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START))
        seen = row_of(store, key)
        assert seen is not None
        applied(store, key, view(Verb.END, 1))
        own = row_of(store, key)
        assert not carried(store, carry_of(key, seen.version))
        assert row_of(store, key) == own

    def test_a_fold_at_the_moment_of_a_carry_leaves_no_stale_aggregate_without_a_mark(
        self, store: Store, learner: Learner
    ) -> None:
        user_id = learner()
        keys = [key_of(user_id, f"do_{number}") for number in range(2 * THREADS)]
        left = threading.Event()

        def carries() -> list[bool]:
            try:
                return [carried(store, carry_of(key, 0, f"p-{key.content_id}", "a-1")) for key in keys]
            finally:
                left.set()

        def folds() -> None:
            deadline = time.monotonic() + 60
            while not left.is_set() and time.monotonic() < deadline:
                serve(store, keys[0])

        stored, _ = together(carries, folds)
        assert all(stored)
        serve(store, keys[0])
        assert store.marks(user_id) == []
        agg = store.aggs([keys[0].context])[keys[0].context]
        assert agg.content_status == {key.content_id: 2 for key in keys}
        assert {agg.aggregates[f"attempts_count:{key.content_id}"] for key in keys} == {1.0}

    def test_of_an_undoing_and_an_own_end_at_once_the_end_is_never_lost(self, store: Store, learner: Learner) -> None:
        for _ in range(ROUNDS):
            key = key_of(learner())
            carry = carry_of(key, 0, "p-1", "a-1")
            assert carried(store, carry)
            undone, ended = together(
                partial(store.take_back, undo_of(carry), at(60)),
                partial(store.apply, key, view(Verb.END, 61, force=True)),
            )
            assert ended.outcome is Outcome.APPLIED
            row = row_of(store, key)
            assert row is not None
            assert (row.status, row.origin, row.own_completed_time) == (Status.COMPLETED, None, at(61))
            assert row.last_completed_time == (at(61) if undone else at(5))
            assert store.attempts([key]) == ([] if undone else list(carry.attempts))
            assert [one.undone_at for one in store.provenance(key.user_id)] == [at(60) if undone else None]

    def test_of_many_undoings_of_one_carry_at_once_one_wins(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        carry = carry_of(key, 0, "p-1", "a-1")
        assert carried(store, carry)
        won = together(*[partial(store.take_back, undo_of(carry), at(60))] * THREADS)
        assert won.count(True) == 1
        assert left_of(store, key.user_id) == ((), (), (key.context,), (undo_of(carry).record,))


class TakeBackContract:
    """A carry undone leaves what was there before."""

    def test_a_row_where_there_was_none_is_gone_with_its_attempts(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        other = key._replace(content_id="double-digit-addition")
        carry, kept = carry_of(key, 0, "p-1", "a-1", "a-2"), carry_of(other, 0, "p-2", "a-1")
        assert store.carry([carry, kept], at(30)) == [True, True]
        assert store.save_attempts(attempts_of(key, "own"), at(31)) == [Outcome.APPLIED]
        assert serve(store, key)
        assert store.take_back(undo_of(carry), at(60))
        assert store.all_rows(key.user_id) == [kept.row]
        assert store.attempts_in([key.context]) == [*kept.attempts, *attempts_of(key, "own")]
        assert store.provenance(key.user_id) == [replace(carry.record, undone_at=at(60)), kept.record]
        assert (only_mark(store, key).key, only_mark(store, key).marked_at) == (key.context, at(60))
        assert serve(store, key)
        assert key.content_id not in store.aggs([key.context])[key.context].content_status

    def test_a_row_that_was_in_progress_is_so_again(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START, details={"page": 1}, identity="e:1"))
        before = row_of(store, key)
        assert before is not None
        carry = carry_of(key, before.version, "p-1", "a-1")
        assert carried(store, carry)
        assert store.take_back(undo_of(carry, before), at(60))
        # The version goes on: nobody may take it for the row he read before the carry.
        assert row_of(store, key) == replace(before, version=before.version + 2)
        assert store.attempts([key]) == []
        assert applied(store, key, view(Verb.END, 70)) is Outcome.APPLIED

    def test_a_row_the_learner_touched_is_left(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        carry = carry_of(key, 0, "p-1", "a-1")
        assert carried(store, carry)
        applied(store, key, view(Verb.END, 40))
        before = store.dump(key.user_id)
        assert not store.take_back(undo_of(carry), at(60))
        assert store.dump(key.user_id) == before

    def test_an_undoing_that_comes_again_is_refused_and_changes_nothing(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        carry = carry_of(key)
        assert carried(store, carry)
        assert store.take_back(undo_of(carry), at(60))
        before = store.dump(key.user_id)
        assert not store.take_back(undo_of(carry), at(61))
        assert store.dump(key.user_id) == before

    def test_a_row_of_the_learners_own_that_came_after_is_never_taken_for_the_carried_one(
        self, store: Store, learner: Learner
    ) -> None:
        key = RowKey(learner(), "class-1-maths", "batch-1", "single-digit-addition")
        carry = carry_of(key)
        assert carried(store, carry)
        assert store.take_back(undo_of(carry), at(60))
        applied(store, key, view(Verb.END, 61, force=True))
        assert not store.take_back(undo_of(carry), at(62)), "both rows have version 1"
        (row,) = store.rows([key])
        assert (row.status, row.origin, row.version) == (Status.COMPLETED, None, 1)

    def test_what_was_taken_back_can_be_started_and_carried_again(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        carry = carry_of(key, 0, "p-1", "a-1")
        for minute in (60, 70):
            assert store.carry([carry], at(minute)) == [True]
            assert store.provenance(key.user_id) == [carry.record]
            assert store.attempts([key]) == list(carry.attempts)
            assert store.take_back(undo_of(carry), at(minute + 5))
            assert row_of(store, key) is None
        assert applied(store, key, view(Verb.START, 80)) is Outcome.APPLIED
        row = row_of(store, key)
        assert row is not None
        assert (row.status, row.version) == (Status.IN_PROGRESS, 1)

    def test_a_mark_made_again_by_an_undoing_survives_whoever_holds_the_one_before(
        self, store: Store, learner: Learner
    ) -> None:
        key = key_of(learner())
        carry = carry_of(key)
        assert carried(store, carry)
        slow: StaleMark = only_mark(store, key)
        assert store.clear_mark(slow)
        assert store.take_back(undo_of(carry), at(60))
        assert not store.clear_mark(slow)
        assert only_mark(store, key).key == key.context


class CarryReadContract:
    """What carries are decided on."""

    def test_provenance_comes_back_exactly(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        recorded = at(0) + timedelta(milliseconds=123)
        records = [
            replace(record_of(user_id, record_id), recorded_at=recorded, action=action)
            for record_id, action in (("P-1", "copy"), ("p-1", "move"), ("p-2/ü😀", "copy"))
        ]
        keys = [key_of(user_id, f"do_{number}") for number in range(3)]
        carries = [Carry(one, carried_row(key), 0) for one, key in zip(records, keys, strict=True)]
        assert store.carry(carries[::-1], at(30)) == [True] * 3
        assert store.provenance(user_id) == records
        undone = replace(records[1], undone_at=recorded + timedelta(milliseconds=1), facts={"by": {"operator": [1, 2]}})
        assert store.take_back(TakenBack(undone, keys[1], None, 1), at(60))
        assert store.provenance(user_id) == [records[0], undone, records[2]]

    def test_a_learner_without_anything_has_nothing(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        store.mark(ContextKey(user_id, "class-1-maths", "batch-1"), at(0))
        assert (store.provenance(user_id), store.all_rows(user_id), store.attempts_in([])) == ([], [], [])
        assert store.attempts_in([ContextKey(user_id, "class-1-maths", "batch-1")]) == []

    def test_all_rows_are_those_of_every_context_by_key(self, store: Store, learner: Learner) -> None:
        user_id, other = learner(), learner("rita")
        places = [("b", "2"), ("B", "1"), ("é", "1"), ("class-1-maths", "batch 1")]
        keys = [RowKey(user_id, *place, content) for place in places for content in ("video", "Video", "पाठ")]
        for key in (*keys, key_of(other)):
            applied(store, key, view(Verb.START))
        assert [row.key for row in store.all_rows(user_id)] == sorted(keys)
        assert store.all_rows(user_id) == sorted(store.rows(keys), key=lambda row: row.key)

    def test_attempts_in_are_those_of_the_contexts_asked_for(self, store: Store, learner: Learner) -> None:
        user_id, other = learner(), learner("rita")
        keys = [
            RowKey(user_id, collection, context, content)
            for collection in ("Class", "class")
            for context in ("batch-1", "batch-2", "batch-3")
            for content in ("Quiz", "quiz")
        ]
        every = [one for key in keys for one in attempts_of(key, "A", "a", "ä")]
        store.save_attempts(every, at(9))
        store.save_attempts(attempts_of(key_of(other), "a"), at(9))
        asked = [keys[0].context, keys[4].context, keys[6].context, keys[0].context]
        wanted = [one for one in every if one.key.context in asked]
        assert store.attempts_in(asked[::-1]) == wanted
        assert len(wanted) == 18
