"""Moving rows between a learner's contexts: the part of the contract that a move and its undoing stand on.

As store_contract.py: no test knows a database, learners are fresh, an adapter's module subclasses these.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from common.rows import Attempt, Consumption, Provenance, RowKey, Status
from tests.contract.carry_contract import attempts_of, record_of
from tests.contract.race_contract import only_mark, serve
from tests.contract.store_contract import THREADS, applied, key_of, row_of, together
from tests.viewer.events import at, view
from viewer.lifecycle import Outcome, Verb
from viewer.store.port import MovedRows, Store

Learner = Callable[..., str]
TARGET = "program-1"
MANY = 300  # rows of one move
DETAILS_BYTES = 4000
ROUNDS = 8  # how often a race is run
EVENTS = 240
EACH_TURN = 20  # events until the writer waits for a move
PATIENCE = 60  # seconds until a race that gets nowhere is given up


def moved_key(key: RowKey) -> RowKey:
    """Where a move takes the row of `key`."""
    return key._replace(context_id=TARGET)


def moved_together(source: Consumption, target: Consumption | None) -> Consumption:
    """The row that stands for both after a move."""
    if target is None:
        return replace(source, key=moved_key(source.key), origin="p-1")
    return replace(
        target,
        status=max(source.status, target.status),
        progress=max(source.progress, target.progress),
        timespent=source.timespent + target.timespent,
        origin="p-1",
    )


def move_of(sources: Sequence[Consumption], targets: Sequence[Consumption] = ()) -> MovedRows:
    """What moves `sources` onto `targets`, as both were read."""
    known = {row.key: row for row in targets}
    rows = [
        (moved_together(row, target), target.version if target is not None else 0)
        for row in sources
        for target in [known.get(moved_key(row.key))]
    ]
    return MovedRows(tuple(rows), tuple((row.key, row.version) for row in sources))


def in_contexts(store: Store, user_id: str) -> tuple[list[Consumption], list[Consumption]]:
    """The learner's rows where they were made, and where they are moved to."""
    rows = store.all_rows(user_id)
    moved = [row for row in rows if row.key.context_id == TARGET]
    return [row for row in rows if row.key.context_id != TARGET], moved


def begun(store: Store, user_id: str, contents: Sequence[str] = ("do_1", "do_2", "do_3")) -> list[Consumption]:
    """A row in progress for each content, with nothing marked; by key."""
    for content in contents:
        applied(store, key_of(user_id, content), view(Verb.START, details={"page": 1}, timespent=2.5, identity="e:1"))
    store.clear_marks(store.marks(user_id))
    return store.all_rows(user_id)


def refused(store: Store, moved: MovedRows) -> bool:
    """True where the move was refused, and left everything but the learner's list of contexts as it was."""
    user_id = next(iter(moved.expected)).user_id
    before = store.dump(user_id)
    done = store.move_rows(moved, at(30))
    return not done and replace(store.dump(user_id), contexts=before.contexts) == before


class RelocationContract:
    """What a move stores, and when it is refused."""

    def test_rows_are_in_their_new_place_and_no_longer_in_the_old_one(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        sources = begun(store, user_id)
        assert store.move_rows(move_of(sources), at(30))
        wanted = [replace(row, key=moved_key(row.key), origin="p-1") for row in sources]
        assert in_contexts(store, user_id) == ([], wanted)

    def test_both_contexts_are_marked_and_the_new_one_is_the_learners(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        sources = begun(store, user_id)
        assert store.move_rows(move_of(sources), at(30))
        contexts = [sources[0].key.context, moved_key(sources[0].key).context]
        assert [(mark.key, mark.marked_at) for mark in store.marks(user_id)] == [(key, at(30)) for key in contexts]
        assert store.contexts(user_id) == contexts

    def test_folds_tell_the_move(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        key = key_of(user_id)
        applied(store, key, view(Verb.END, force=True))
        assert serve(store, key)
        assert store.move_rows(move_of(store.all_rows(user_id)), at(30))
        while store.marks(user_id):
            assert serve(store, key)
        aggs = store.aggs([key.context, moved_key(key).context])
        assert aggs[key.context].content_status == {}
        assert aggs[moved_key(key).context].content_status == {key.content_id: Status.COMPLETED}

    def test_a_row_that_is_there_takes_the_moved_one_in(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        target = moved_key(key_of(user_id, "do_2"))
        applied(store, target, view(Verb.START, timespent=4))
        applied(store, target, view(Verb.END, 1))
        (known,) = store.all_rows(user_id)
        sources = [row for row in begun(store, user_id) if row.key.context_id != TARGET]
        assert store.move_rows(move_of(sources, [known]), at(30))
        old, (first, second, third) = in_contexts(store, user_id)
        assert (old, first.version, third.version) == ([], 1, 1)
        assert second == replace(known, timespent=6.5, origin="p-1", version=known.version + 1)

    def test_a_mark_of_before_does_not_clear_the_moves(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        sources = begun(store, user_id)
        for key in move_of(sources).contexts:
            store.mark(key, at(0))
        held = store.marks(user_id)
        assert store.move_rows(move_of(sources), at(30))
        assert [store.clear_mark(mark) for mark in held] == [False, False]

    def test_a_move_that_comes_again_is_refused(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        moved = move_of(begun(store, user_id))
        assert store.move_rows(moved, at(30))
        assert refused(store, moved)

    def test_a_move_can_be_taken_back(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        sources = begun(store, user_id)
        assert store.move_rows(move_of(sources), at(30))
        _, moved = in_contexts(store, user_id)
        back = MovedRows(tuple((row, 0) for row in sources), tuple((row.key, row.version) for row in moved))
        assert store.move_rows(back, at(60))
        assert store.all_rows(user_id) == sources
        assert [mark.key for mark in store.marks(user_id)] == move_of(sources).contexts
        assert applied(store, sources[0].key, view(Verb.END, 70)) is Outcome.APPLIED

    def test_rows_only_go(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        first, second, third = begun(store, user_id)
        assert store.move_rows(MovedRows(gone=((first.key, 1), (third.key, 1))), at(30))
        assert store.all_rows(user_id) == [second]
        assert only_mark(store, first.key).marked_at == at(30)

    def test_rows_only_come(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        row = Consumption(key, Status.IN_PROGRESS, 40, at(1), at(1))
        assert store.move_rows(MovedRows(((row, 0),)), at(30))
        assert (store.all_rows(key.user_id), store.contexts(key.user_id)) == ([row], [key.context])

    def test_a_value_that_went_is_gone(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.END, force=True))
        (stored,) = store.all_rows(key.user_id)
        row = replace(
            stored,
            status=Status.IN_PROGRESS,
            progress=0,
            last_access_time=None,
            last_completed_time=None,
            own_completed_time=None,
        )
        assert store.move_rows(MovedRows(((row, 1),)), at(30))
        assert row_of(store, key) == replace(row, version=2)

    def test_rows_of_two_collections_move_at_once(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        keys = [RowKey(user_id, collection, "batch-1", "Quiz") for collection in ("Class", "class", "ಗಣಿತ")]
        for key in keys:
            applied(store, key, view(Verb.START))
        assert store.move_rows(move_of(store.all_rows(user_id)), at(30))
        assert [row.key for row in store.all_rows(user_id)] == [moved_key(key) for key in keys]
        assert {moved_key(key).context for key in keys} < {mark.key for mark in store.marks(user_id)}

    def test_nothing_to_move_is_nothing(self, store: Store) -> None:
        assert store.move_rows(MovedRows(), at(30))

    def test_another_learner_is_left_alone(self, store: Store, learner: Learner) -> None:
        rahul, rita = learner(), learner("rita")
        begun(store, rita)
        store.save_attempts(attempts_of(key_of(rita, "do_1"), "a-1"), at(1))
        before = store.dump(rita)
        assert store.move_rows(move_of(begun(store, rahul)), at(30))
        store.remove_attempts(attempts_of(key_of(rahul, "do_1"), "a-1"), at(30))
        store.keep_record(record_of(rahul))
        assert store.dump(rita) == before

    def test_many_rows_with_details_move_at_once(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        contents = [f"do_{number:03}" for number in range(MANY)]
        start = view(Verb.START, details={"notes": "ಅ" * (DETAILS_BYTES // len("ಅ".encode()))})
        store.apply_all(user_id, [(key_of(user_id, content), start) for content in contents])
        sources = store.all_rows(user_id)
        assert store.move_rows(move_of(sources), at(30))
        assert in_contexts(store, user_id) == ([], [moved_together(row, None) for row in sources])
        stale = MovedRows(gone=tuple((moved_key(row.key), row.version + (row is sources[-1])) for row in sources))
        assert refused(store, stale)


class RefusedRelocationContract:
    """A move of which one row is another than it was read as moves none."""

    @pytest.mark.parametrize("changed", [0, 1, 2])
    def test_a_row_to_remove_that_changed(self, store: Store, learner: Learner, changed: int) -> None:
        sources = begun(store, learner())
        moved = move_of(sources)
        applied(store, sources[changed].key, view(Verb.UPDATE, 1, timespent=3))
        assert refused(store, moved)

    @pytest.mark.parametrize("missing", [0, 1, 2])
    def test_a_row_to_remove_that_is_gone(self, store: Store, learner: Learner, missing: int) -> None:
        sources = begun(store, learner())
        assert store.move_rows(MovedRows(gone=((sources[missing].key, 1),)), at(10))
        assert refused(store, move_of(sources))

    @pytest.mark.parametrize("appeared", [0, 1, 2])
    def test_a_target_that_appeared(self, store: Store, learner: Learner, appeared: int) -> None:
        sources = begun(store, learner())
        applied(store, moved_key(sources[appeared].key), view(Verb.START, 1))
        assert refused(store, move_of(sources))

    def test_a_target_that_changed(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        target = moved_key(key_of(user_id, "do_2"))
        applied(store, target, view(Verb.START))
        (known,) = store.all_rows(user_id)
        sources = [row for row in begun(store, user_id) if row.key.context_id != TARGET]
        applied(store, target, view(Verb.UPDATE, 1, timespent=1))
        assert refused(store, move_of(sources, [known]))

    def test_a_target_that_is_not_there(self, store: Store, learner: Learner) -> None:
        first, second, third = begun(store, learner())
        moved = move_of([first, third])
        assert refused(store, replace(moved, rows=(*moved.rows, (moved_together(second, None), 1))))


class RelocationRaceContract:
    """Moves at the same moment as each other and as the learner's own events."""

    def test_of_many_moves_of_the_same_rows_at_once_one_wins(self, store: Store, learner: Learner) -> None:
        for _ in range(ROUNDS):
            user_id = learner()
            sources = begun(store, user_id)
            moves = [
                MovedRows(
                    tuple((replace(row, progress=number), version) for row, version in move_of(sources).rows),
                    move_of(sources).gone[:: 1 if number % 2 else -1],
                )
                for number in range(THREADS)
            ]
            won = together(*[partial(store.move_rows, moved, at(30)) for moved in moves])
            assert won.count(True) == 1
            assert in_contexts(store, user_id) == ([], moves[won.index(True)].written)

    def test_moves_there_and_back_at_once_never_lose_or_double_a_row(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        sources = begun(store, user_id)

        def moves() -> int:
            done = 0
            for _ in range(ROUNDS):
                old, moved = in_contexts(store, user_id)
                back = [(replace(row, key=row.key._replace(context_id="batch-1")), 0) for row in moved]
                gone = tuple((row.key, row.version) for row in moved)
                done += store.move_rows(move_of(old) if old else MovedRows(tuple(back), gone), at(30))
                rows = store.all_rows(user_id)
                assert len(rows) == len(sources)
                assert len({row.key.context_id for row in rows}) == 1
            return done

        assert sum(together(*[moves] * THREADS)) > 0
        assert [row.key.content_id for row in store.all_rows(user_id)] == [row.key.content_id for row in sources]

    def test_no_event_that_was_acknowledged_is_lost(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        keys = [key_of(user_id, f"do_{number}") for number in range(4)]
        moved, wrote = threading.Event(), threading.Event()
        deadline = time.monotonic() + PATIENCE

        def write() -> int:
            """Events of one second each; waits now and then, so that a move gets through."""
            acknowledged = 0
            try:
                for number in range(EVENTS):
                    event = view(Verb.START, number, details={"page": number}, timespent=1)
                    key = keys[number % len(keys)]
                    if number % EACH_TURN == 0:
                        moved.clear()  # before the row is written that the move waited for will find
                    if number % 3:
                        acknowledged += applied(store, key, event) is Outcome.APPLIED
                    else:
                        (answer,) = store.apply_all(user_id, [(key, event)])
                        acknowledged += answer.outcome is Outcome.APPLIED
                    if number % EACH_TURN == 0:
                        assert moved.wait(deadline - time.monotonic())
                return acknowledged
            finally:
                wrote.set()

        def move() -> int:
            done = 0
            while not wrote.is_set() and time.monotonic() < deadline:
                sources, targets = in_contexts(store, user_id)
                if sources and store.move_rows(move_of(sources, targets), at(30)):
                    done += 1
                    moved.set()
            return done

        acknowledged, moves = together(write, move)
        assert acknowledged == EVENTS
        assert moves >= EVENTS // EACH_TURN
        assert sum(row.timespent for row in store.all_rows(user_id)) == acknowledged

    def test_an_end_at_the_moment_of_a_move_is_never_lost(self, store: Store, learner: Learner) -> None:
        for _ in range(ROUNDS):
            user_id = learner()
            sources = begun(store, user_id)
            moved, ended = together(
                partial(store.move_rows, move_of(sources), at(30)),
                partial(store.apply, sources[1].key, view(Verb.END, 31, force=True)),
            )
            assert ended.outcome is Outcome.APPLIED
            old, new = in_contexts(store, user_id)
            assert [row.key for row in old if row.status is Status.COMPLETED] == [sources[1].key]
            assert (len(old), len(new)) == ((1, 3) if moved else (3, 0))

    def test_readers_find_every_row_once(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        sources = begun(store, user_id)
        both = [*(row.key for row in sources), *(moved_key(row.key) for row in sources)]
        left = threading.Event()

        def there_and_back() -> bool:
            try:
                for _ in range(ROUNDS):
                    old, _ = in_contexts(store, user_id)
                    assert store.move_rows(move_of(old), at(30))
                    gone = tuple((row.key, row.version) for row in in_contexts(store, user_id)[1])
                    assert store.move_rows(MovedRows(tuple((row, 0) for row in sources), gone), at(40))
                return True
            finally:
                left.set()

        def read() -> set[int]:
            found = set()
            while not left.is_set():
                found |= {len(store.all_rows(user_id)), len(store.rows(both))}
            return found

        moved, found = together(there_and_back, read)
        assert moved
        assert found == {len(sources)}


class RemoveAttemptsContract:
    """Attempts that left for another place go from the old one, unless they changed since."""

    def test_attempts_are_gone_and_their_contexts_marked(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        other = RowKey(key.user_id, "ಗಣಿತ", "batch-1", "Quiz")
        first, second, third = attempts_of(key, "a-1", "a-2", "A-1")
        kept, gone = attempts_of(other, "a-1", "a-2")
        store.save_attempts([first, second, third, kept, gone], at(1))
        store.clear_marks(store.marks(key.user_id))
        store.remove_attempts([gone, third, first], at(30))
        assert store.attempts_in([key.context, other.context]) == [second, kept]
        marked = [(mark.key, mark.marked_at) for mark in store.marks(key.user_id)]
        assert marked == [(key.context, at(30)), (other.context, at(30))]

    def test_an_attempt_that_changed_since_stays(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        first, second, third = attempts_of(key, "a-1", "a-2", "a-3")
        store.save_attempts([first, second, third], at(1))
        newer = replace(second, last_attempted_on=at(9), total_score=2.0)
        store.save_attempts([newer], at(9))
        store.remove_attempts([first, second, third], at(30))
        assert store.attempts([key]) == [newer]
        store.remove_attempts([newer], at(31))
        assert store.attempts([key]) == []

    def test_an_attempt_is_compared_with_its_questions(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        (stored,) = attempts_of(key, "a-1")
        store.save_attempts([stored], at(1))
        store.remove_attempts([replace(stored, questions=())], at(30))
        assert store.attempts([key]) == [stored]

    def test_removing_again_changes_nothing_but_the_mark(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        given = attempts_of(key, "a-1", "a-2")
        store.save_attempts(given, at(1))
        for minute in (30, 31):
            store.remove_attempts(given, at(minute))
            assert store.attempts([key]) == []
            assert serve(store, key)
        assert store.save_attempts(given[:1], at(32)) == [Outcome.APPLIED]

    def test_no_attempts_are_nothing(self, store: Store) -> None:
        store.remove_attempts([], at(30))

    def test_many_attempts_go_at_once(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        given = [
            one for number in range(MANY // 2) for one in attempts_of(key_of(user_id, f"do_{number}"), "a-1", "a-2")
        ]
        store.save_attempts(given, at(1))
        store.remove_attempts(given, at(30))
        assert store.attempts_in([given[0].key.context]) == []

    def test_a_newer_account_at_the_moment_of_removal_is_never_lost(self, store: Store, learner: Learner) -> None:
        for _ in range(ROUNDS):
            key = key_of(learner())
            old: Attempt = attempts_of(key, "a-1")[0]
            newer = replace(old, last_attempted_on=at(9), total_score=2.0)
            store.save_attempts([old], at(1))
            _, told = together(
                partial(store.remove_attempts, [old], at(30)), partial(store.save_attempts, [newer], at(9))
            )
            assert told == [Outcome.APPLIED]
            assert [one.total_score for one in store.attempts([key])] == [2.0]


class RecordContract:
    """A record is kept for itself."""

    def test_a_record_is_kept_and_nothing_else(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        planned = replace(record_of(user_id), action="move", state="planned")
        other = record_of(user_id, "p-2")
        store.keep_record(planned)
        store.keep_record(other)
        assert store.provenance(user_id) == [planned, other]
        assert (store.marks(user_id), store.contexts(user_id)) == ([], [])

    def test_a_record_is_kept_over_one_with_its_id(self, store: Store, learner: Learner) -> None:
        record: Provenance = record_of(learner())
        undone = replace(record, undone_at=at(60), facts={"by": ["operator"]})
        for kept in (replace(record, state="planned"), record, undone, record):
            store.keep_record(kept)
            assert store.provenance(record.user_id) == [kept]

    def test_a_move_brings_kept_records_along(self, store: Store, learner: Learner) -> None:
        record = record_of(learner())
        store.keep_record(record)
        dump = store.dump(record.user_id)
        store.load(dump)
        assert dump.provenance == (record,)
        assert store.dump(record.user_id) == dump
