"""Races a store must win, and what only an aggregate keeps: the contract's second half, found by review.

As store_contract.py: no test knows a database, learners are fresh, an adapter's module subclasses these.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import ActivityAgg, Attempt, Consumption, Enrolment, RowKey, StaleMark, Status
from common.timestamps import to_epoch_ms
from tests.contract.store_contract import SAME_STORE, THREADS, applied, events, folded, key_of, row_of, together, told
from tests.viewer.events import at, view
from viewer import progress
from viewer.lifecycle import Outcome, Verb, ViewEvent
from viewer.outbox import OutboxEvent
from viewer.store.port import Fold, ImportBatch, Store

Learner = Callable[..., str]
SECONDS = 2.0  # how long a race is run


def only_mark(store: Store, key: RowKey) -> StaleMark:
    (mark,) = store.marks(key.user_id)
    return mark


def serve(store: Store, key: RowKey, minute: float = 50) -> bool:
    """Folds the context of `key` if it is marked, as a worker does; True when this cleared the mark."""
    for mark in store.marks(key.user_id):
        for _ in range(20):
            sources = store.sources(mark.key)
            made = progress.fold(sources, at(minute))
            known = sources.agg.version and progress.same_facts(made.agg, sources.agg)
            if known or store.save_fold(sources, made, []):
                return store.clear_mark(mark)
    return False


def enrol(store: Store, key: RowKey) -> Enrolment:
    enrolment = Enrolment(*key.context, enrolled_date=at(0))
    assert store.save_enrolment(enrolment, 0, at(0))
    return enrolment


def attempt(key: RowKey, minute: float) -> Attempt:
    return Attempt(key, "a-1", minute, 10, "", at(minute), at(minute), at(minute))


# Every way in which a mark is made. Each does something new when it is called with a later minute.
REASONS: dict[str, Callable[[Store, RowKey, float], object]] = {
    "end": lambda store, key, minute: store.apply(key, view(Verb.END, 99, client=50 - minute, force=True)),
    "sync": lambda store, key, minute: store.apply_all(
        key.user_id, [(key, view(Verb.END, 99, client=50 - minute, force=True))]
    ),
    "revisit": lambda store, key, minute: store.apply(key, view(Verb.START, minute)),
    "mark": lambda store, key, minute: store.mark(key.context, at(minute)),
    "attempt": lambda store, key, minute: store.save_attempts([attempt(key, minute)], at(minute)),
    "import": lambda store, key, minute: store.import_rows(
        ImportBatch(at=at(minute), rows=[Consumption(key, Status.IN_PROGRESS, int(minute), at(minute), at(minute))])
    ),
    "enrolment": lambda store, key, minute: store.save_enrolment(
        Enrolment(*key.context, enrolled_date=at(0), version=int(minute)), int(minute) - 1, at(minute)
    ),
}


class MarkRaceContract:
    """A mark that was cleared and made again is another mark, whoever still holds the first one."""

    @pytest.mark.parametrize("second", REASONS)
    @pytest.mark.parametrize("first", ["start", "import"])
    def test_a_mark_made_again_survives_whoever_holds_the_one_before(
        self, store: Store, learner: Learner, first: str, second: str
    ) -> None:
        key = key_of(learner())
        if first == "start":
            applied(store, key, view(Verb.START))
        else:
            store.import_rows(ImportBatch(at=at(0), rows=[Consumption(key, Status.IN_PROGRESS, 0, at(0), at(0))]))
        slow = only_mark(store, key)
        assert store.clear_mark(only_mark(store, key))
        REASONS[second](store, key, 1)
        made_again = only_mark(store, key)
        assert not store.clear_mark(slow)
        assert only_mark(store, key) == made_again
        assert store.clear_mark(made_again)

    def test_a_mark_made_again_is_not_deferred_by_whoever_holds_the_one_before(
        self, store: Store, learner: Learner
    ) -> None:
        key = key_of(learner())
        store.mark(key.context, at(-4e6))
        slow = only_mark(store, key)
        assert store.clear_mark(slow)
        store.mark(key.context, at(-4e6))
        store.defer_mark(slow, at(0))
        due = store.oldest_marks(10_000, before=at(-3.9e6), now=at(-10))
        assert key.context in [mark.key for mark in due]
        assert store.clear_mark(only_mark(store, key))

    def test_the_write_that_makes_the_mark_says_so_and_no_other(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        assert store.apply(key, view(Verb.START)).new_mark
        assert not store.apply(key, view(Verb.UPDATE, 1, timespent=1)).new_mark
        assert not store.apply(key, view(Verb.START, 2)).new_mark
        assert not store.apply(key, view(Verb.END, 3)).new_mark
        assert serve(store, key)
        assert not store.apply(key, view(Verb.START, 4)).new_mark
        assert store.apply(key, view(Verb.END, 5, client=1)).new_mark
        assert not store.apply(key, view(Verb.END, 5, client=0)).new_mark
        assert store.clear_mark(only_mark(store, key))
        assert store.apply(key, view(Verb.START, 6)).new_mark  # the row is newer than its aggregate
        assert not store.apply(key, view(Verb.START, 7)).new_mark

    @pytest.mark.parametrize("event", [view(Verb.START, 1), view(Verb.UPDATE, 1, timespent=1)], ids=["start", "update"])
    def test_an_event_on_a_kept_row_that_makes_no_mark_says_so(
        self, store: Store, learner: Learner, event: ViewEvent
    ) -> None:
        key = key_of(learner())
        folded(store, key, **KEPT_STARTED)
        assert not store.apply(key, event).new_mark
        assert store.marks(key.user_id) == []

    def test_of_many_writes_at_once_one_makes_the_mark(self, store: Store, learner: Learner) -> None:
        for _ in range(5):
            user_id = learner()
            keys = [key_of(user_id, f"do_{number}") for number in range(THREADS)]
            made = together(*[lambda key=key: store.apply(key, view(Verb.END, force=True)).new_mark for key in keys])
            assert made.count(True) == 1

    def test_every_mark_that_was_made_was_told_to_one_writer(self, store: Store, learner: Learner) -> None:
        """Told = cleared + left: neither an untold mark that nobody is woken for, nor a wake for nothing."""
        user_id = learner()
        finished: list[int] = []

        def writes(part: int) -> list[bool]:
            keys = [key_of(user_id, f"do_{part}_{number}") for number in range(60)]
            made = [store.apply(key, view(Verb.START)).new_mark for key in keys]
            finished.append(part)
            return made

        def clears() -> list[bool]:
            gone: list[bool] = []
            while len(finished) < 3:
                gone += [store.clear_mark(mark) for mark in store.marks(user_id)]
            return gone

        *told, cleared, also_cleared = together(*[lambda part=part: writes(part) for part in range(3)], clears, clears)
        assert sum(map(sum, told)) == sum(cleared) + sum(also_cleared) + len(store.marks(user_id))

    def test_no_completed_row_is_left_with_a_stale_aggregate_and_no_mark(self, store: Store, learner: Learner) -> None:
        deadline = time.monotonic() + SECONDS
        lost = []
        while time.monotonic() < deadline:
            key = key_of(learner())
            done = threading.Event()

            def writes(key: RowKey = key, done: threading.Event = done) -> None:
                applied(store, key, view(Verb.START))
                while store.marks(key.user_id):
                    pass  # the moment the first mark is gone is the moment another folder may still hold it
                applied(store, key, view(Verb.END, 1))
                done.set()

            def folds(key: RowKey = key, done: threading.Event = done) -> None:
                while not done.is_set():
                    serve(store, key)

            together(writes, folds, folds, folds)
            agg = store.aggs([key.context]).get(key.context)
            if not store.marks(key.user_id) and (agg is None or agg.content_status != {key.content_id: 2}):
                lost.append(agg)
        assert lost == []


class FoldRaceContract:
    """A fold beside other writers: nobody's write is undone, and nobody fails."""

    def test_a_fold_that_leaves_the_enrolment_alone_leaves_the_batchs_list_alone(
        self, store: Store, learner: Learner
    ) -> None:
        key = RowKey(learner(), "class-1-maths", learner("batch"), "single-digit-addition")
        enrolment = enrol(store, key)
        applied(store, key, view(Verb.START))
        sources = store.sources(key.context)
        made = progress.fold(sources, at(1))
        assert made.enrolment == enrolment
        assert store.save_enrolment(replace(enrolment, active=False, version=2), 1, at(2))
        store.save_fold(sources, made, [])
        assert [entry.active for entry in store.batch_enrolments(key.context_id)] == [False]
        assert not store.enrolment(key.context).active

    def test_a_fold_that_changes_a_stale_enrolment_stores_nothing(self, store: Store, learner: Learner) -> None:
        key = RowKey(learner(), "class-1-maths", learner("batch"), "single-digit-addition")
        enrolment = enrol(store, key)
        applied(store, key, view(Verb.START))
        sources = store.sources(key.context)
        made = progress.fold(sources, at(1))
        changed = replace(made, enrolment=replace(enrolment, status=Status.IN_PROGRESS, version=2))
        left = replace(enrolment, active=False, version=2)
        assert store.save_enrolment(left, 1, at(2))
        assert not store.save_fold(sources, changed, [])
        assert store.enrolment(key.context) == left
        assert store.aggs([key.context]) == {}
        assert [entry.active for entry in store.batch_enrolments(key.context_id)] == [False]

    def test_of_many_who_save_the_same_enrolment_one_is_told_that_he_did(self, store: Store, learner: Learner) -> None:
        key = RowKey(learner(), "class-1-maths", learner("batch"), "single-digit-addition")
        same = Enrolment(*key.context, enrolled_date=at(0))
        for version in range(1, 6):
            after = replace(same, active=version % 2 == 1, version=version)
            answers = together(*[partial(store.save_enrolment, after, version - 1, at(1))] * THREADS)
            assert sorted(answers) == [False] * (THREADS - 1) + [True]

    def test_the_batchs_list_says_what_the_enrolment_says_however_folds_and_unenrolments_meet(
        self, store: Store, learner: Learner
    ) -> None:
        key = RowKey(learner(), "class-1-maths", learner("batch"), "single-digit-addition")
        enrol(store, key)
        rounds = 40
        left = threading.Event()

        def leaves_and_comes_back() -> None:
            for number in range(rounds):
                while True:
                    known = store.enrolment(key.context)
                    assert known is not None
                    turned = replace(known, active=not known.active, version=known.version + 1)
                    if store.save_enrolment(turned, known.version, at(number)):
                        break
            left.set()

        def folds() -> None:
            number = 0
            while not left.is_set():
                number += 1
                applied(store, key._replace(content_id=f"do_{number}"), view(Verb.START))
                serve(store, key)

        together(leaves_and_comes_back, folds, folds)
        enrolment = store.enrolment(key.context)
        assert enrolment is not None
        assert [entry.active for entry in store.batch_enrolments(key.context_id)] == [enrolment.active]

    def test_imports_folds_and_all_other_writes_of_the_same_contexts_never_fail(
        self, store: Store, learner: Learner
    ) -> None:
        user_id = learner()
        keys = [RowKey(user_id, f"course-{number}", learner("batch"), "do_1") for number in range(2)]
        for key in keys:
            enrol(store, key)
            store.import_rows(
                ImportBatch(at=at(0), aggs=[ActivityAgg(key.context, kept={"x": {"by": "import", "status": 1}})])
            )
        deadline = time.monotonic() + SECONDS

        def until_the_end(work: Callable[[int], Any]) -> Callable[[], int]:
            def loop() -> int:
                number = 0
                while time.monotonic() < deadline:
                    number += 1
                    work(number)
                return number

            return loop

        def folds(number: int) -> None:
            sources = store.sources(keys[0].context)
            assert sources.enrolment is not None
            agg = replace(sources.agg, version=sources.agg.version + 1, content_status={"x": 1 + number % 2})
            enrolment = replace(sources.enrolment, progress=number, version=sources.enrolment.version + 1)
            store.save_fold(sources, progress.Folded(agg, enrolment, completed=False), [])

        def imports(number: int) -> None:
            batch = [
                replace(found, progress=100_000 + number, content_status={f"k{number}": 1})
                for found in (store.enrolment(key.context) for key in keys)
                if found is not None
            ]
            rows = [Consumption(key, Status.IN_PROGRESS, number % 100, at(0), at(0)) for key in keys]
            attempts = [attempt(key, number % 60) for key in keys]
            order = slice(None, None, -1 if number % 2 else 1)
            store.import_rows(
                ImportBatch(at=at(1), enrolments=batch[order], rows=rows[order], attempts=attempts[order])
            )

        def enrolments(number: int) -> None:
            known = store.enrolment(keys[0].context)
            assert known is not None
            turned = replace(known, active=not known.active, version=known.version + 1)
            store.save_enrolment(turned, known.version, at(number))

        def views(number: int) -> None:
            events = [view(Verb.START), view(Verb.END, 99, client=-number)]
            store.apply_all(user_id, [(key, event) for key in keys[:: 1 if number % 2 else -1] for event in events])
            store.apply(keys[0], view(Verb.END, 99, client=-number - 0.5))
            store.save_attempts([attempt(keys[0], number)], at(number))

        turns = together(*map(until_the_end, (folds, imports, imports, enrolments, views)))
        assert all(turns), "each had its turn"


class TogetherContract:
    """Many contexts of many learners at once: the same as one by one."""

    def test_sources_and_marks_of_many_are_those_of_each(self, store: Store, learner: Learner) -> None:
        keys = [key_of(learner(), content) for content in ("do_1", "do_2", "do_3")]
        for key in keys[:2]:
            enrol(store, key)
            applied(store, key, view(Verb.END, force=True))
            store.save_attempts([attempt(key, 1)], at(1))
        assert serve(store, keys[1])
        store.mark(keys[1].context, at(2))
        contexts = [keys[2].context, keys[0].context, keys[1].context]
        assert store.sources_of(contexts) == [store.sources(key) for key in contexts]
        users = [key.user_id for key in keys]
        assert store.marks_of(users) == sorted(
            (mark for user_id in users for mark in store.marks(user_id)), key=lambda mark: mark.key
        )
        assert (store.sources_of([]), store.marks_of([])) == ([], [])

    def test_many_folds_are_stored_as_each_would_be(self, store: Store, learner: Learner) -> None:
        keys = [RowKey(learner(), "class-1-maths", learner("batch"), "do_1") for _ in range(5)]
        folds = []
        for number, key in enumerate(keys):
            enrolment = enrol(store, key)
            applied(store, key, view(Verb.END, force=True))
            if number % 2:
                assert serve(store, key)
                applied(store, key._replace(content_id="do_2"), view(Verb.START))
            sources = store.sources(key.context)
            made = progress.fold(sources, at(5))
            changed = replace(enrolment, progress=number, version=2)
            event = OutboxEvent(f"{key.user_id}:done", "test", {"n": number}, at(5))
            folds.append(Fold(sources, replace(made, enrolment=changed), [event]))
        assert store.save_folds(folds)
        aggs = store.aggs([key.context for key in keys])
        for fold in folds:
            context = fold.sources.key
            assert aggs[context] == fold.folded.agg
            assert store.enrolment(context) == fold.folded.enrolment
            assert len(list(store.batch_enrolments(context.context_id))) == 1
        ids = {event.id for event in store.unpublished(100_000)}
        assert ids >= {fold.events[0].id for fold in folds}
        store.mark_published(sorted(ids), at(6))
        assert not store.save_folds(folds)
        assert store.save_folds([])

    def test_one_lost_fold_leaves_all_to_be_folded_one_by_one(self, store: Store, learner: Learner) -> None:
        keys = [key_of(learner()) for _ in range(3)]
        for key in keys:
            applied(store, key, view(Verb.END, force=True))
        folds = [Fold(found, progress.fold(found, at(1))) for found in store.sources_of([key.context for key in keys])]
        assert serve(store, keys[1])
        assert not store.save_folds(folds)
        for key in keys:
            serve(store, key)
        aggs = store.aggs([key.context for key in keys])
        assert [aggs[key.context].content_status for key in keys] == [{key.content_id: 2} for key in keys]

    def test_marks_with_a_new_reason_stay_when_many_are_cleared(self, store: Store, learner: Learner) -> None:
        keys = [key_of(learner()) for _ in range(3)]
        for key in keys:
            store.mark(key.context, at(0))
        read = store.marks_of([key.user_id for key in keys])
        store.mark(keys[1].context, at(1))
        store.clear_marks(read)
        assert [mark.key for mark in store.marks_of([key.user_id for key in keys])] == [keys[1].context]
        store.clear_marks([])


KEPT_STARTED = {"by": "archive", "status": 1, "progress": 40, "timespent": 100.0, "lastAccessTime": to_epoch_ms(at(0))}
KEPT_DONE = {"by": "archive", "status": 2, "progress": 100, "lastCompletedTime": to_epoch_ms(at(10))}
WAYS: dict[str, Callable[[Store, RowKey, ViewEvent], Outcome]] = {
    "single": applied,
    "batch": lambda store, key, event: told(store, key.user_id, [(key, event)])[0],
}
KEPT = st.fixed_dictionaries(
    {"by": st.sampled_from(["archive", "import"]), "status": st.sampled_from([1, 2])},
    optional={
        "progress": st.integers(0, 100),
        "timespent": st.sampled_from([0.0, 100.0]),
        "viewCount": st.integers(1, 5),
        "origin": st.sampled_from([None, "prov-1"]),
        "lastAccessTime": st.none() | st.integers(0, 30).map(lambda minute: to_epoch_ms(at(minute))),
        "lastCompletedTime": st.none() | st.integers(0, 30).map(lambda minute: to_epoch_ms(at(minute))),
    },
)


@pytest.mark.parametrize("way", WAYS)
class ThawContract:
    """A row that only the aggregate keeps is taken up by a single event as by a batch."""

    def test_an_update_adds_to_what_is_kept(self, store: Store, learner: Learner, way: str) -> None:
        key = key_of(learner())
        folded(store, key, **KEPT_STARTED)
        update = view(Verb.UPDATE, 1, details={"progress": 50}, timespent=10.0)
        assert WAYS[way](store, key, update) is Outcome.APPLIED
        row = row_of(store, key)
        assert row is not None
        assert (row.status, row.progress, row.timespent) == (Status.IN_PROGRESS, 50, 110.0)
        facts = progress.content_facts(store.sources(key.context))[key.content_id]
        assert (facts["progress"], facts["timespent"]) == (50, 110.0)

    def test_a_weaker_update_takes_nothing_away(self, store: Store, learner: Learner, way: str) -> None:
        key = key_of(learner())
        folded(store, key, **KEPT_STARTED)
        WAYS[way](store, key, view(Verb.UPDATE, 1, details={"progress": 5}, timespent=1.0))
        row = row_of(store, key)
        assert row is not None
        assert (row.progress, row.timespent) == (40, 101.0)

    def test_a_start_of_what_is_kept_as_started_writes_nothing(self, store: Store, learner: Learner, way: str) -> None:
        key = key_of(learner())
        folded(store, key, **KEPT_STARTED)
        assert WAYS[way](store, key, view(Verb.START, 1)) is Outcome.OLDER
        assert row_of(store, key) is None
        assert store.marks(key.user_id) == []

    def test_an_earlier_end_corrects_a_kept_completion(self, store: Store, learner: Learner, way: str) -> None:
        key = key_of(learner())
        folded(store, key, **KEPT_DONE)
        assert WAYS[way](store, key, view(Verb.END, 50, client=3)) is Outcome.APPLIED
        row = row_of(store, key)
        assert row is not None
        assert (row.status, row.progress, row.last_completed_time) == (Status.COMPLETED, 100, at(3))
        facts = progress.content_facts(store.sources(key.context))[key.content_id]
        assert facts["lastCompletedTime"] == to_epoch_ms(at(3))
        assert store.marks(key.user_id) != []

    @pytest.mark.parametrize("minute", [10, 20])
    def test_a_later_end_does_not_correct_a_kept_completion(
        self, store: Store, learner: Learner, way: str, minute: float
    ) -> None:
        key = key_of(learner())
        folded(store, key, **KEPT_DONE)
        assert WAYS[way](store, key, view(Verb.END, 50, client=minute)) is Outcome.OLDER
        assert row_of(store, key) is None

    def test_an_end_makes_a_kept_carried_completion_the_learners_own(
        self, store: Store, learner: Learner, way: str
    ) -> None:
        key = key_of(learner())
        folded(store, key, **KEPT_DONE, origin="prov-1")
        assert WAYS[way](store, key, view(Verb.END, 20)) is Outcome.APPLIED
        row = row_of(store, key)
        assert row is not None
        assert (row.status, row.origin, row.own_completed_time) == (Status.COMPLETED, None, at(20))
        assert row.last_completed_time == at(10)
        assert progress.content_facts(store.sources(key.context))[key.content_id]["origin"] is None

    @SAME_STORE
    @given(kept=KEPT, history=st.lists(events(), min_size=1, max_size=4))
    def test_whatever_is_kept_a_single_event_and_a_batch_leave_the_same(
        self, store: Store, learner: Learner, way: str, kept: dict[str, Any], history: list[ViewEvent]
    ) -> None:
        one, other = key_of(learner()), key_of(learner())
        folded(store, one, **kept)
        folded(store, other, **kept)
        outcomes = [WAYS[way](store, one, event) for event in history]
        assert told(store, other.user_id, [(other, event) for event in history]) == outcomes
        ours, theirs = row_of(store, one), row_of(store, other)
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert replace(ours, key=other) == theirs
        done = list(zip(history, outcomes, strict=True))
        if any(outcome is Outcome.APPLIED and event.verb is not Verb.UPDATE for event, outcome in done):
            assert store.marks(one.user_id) != []
            assert store.marks(other.user_id) != []

    @SAME_STORE
    @given(kept=KEPT, history=st.lists(events(), min_size=1, max_size=4))
    def test_no_event_lowers_what_a_kept_content_shows(
        self, store: Store, learner: Learner, way: str, kept: dict[str, Any], history: list[ViewEvent]
    ) -> None:
        key = key_of(learner())
        folded(store, key, **kept)
        for event in history:
            before = progress.content_facts(store.sources(key.context))[key.content_id]
            WAYS[way](store, key, event)
            after = progress.content_facts(store.sources(key.context))[key.content_id]
            for name in ("status", "progress", "timespent", "viewCount"):
                assert after[name] >= before[name]
