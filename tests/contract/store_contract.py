"""The contract of viewer/store/port.py as tests. An adapter's test module subclasses these and supplies `store`.

No test knows a database. Learners are fresh in every test, so nothing is ever emptied.
"""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, Question, RowKey, Status
from tests.viewer.events import at, view
from viewer.lifecycle import MAX_APPLIED, Outcome, Verb, ViewEvent, fold
from viewer.store.port import ImportBatch, Store

Learner = Callable[..., str]
THREADS = 8
SAME_STORE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def key_of(user_id: str, content: str = "single-digit-addition") -> RowKey:
    return RowKey(user_id, "class-1-maths", "batch-1", content)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """The results of all calls, each in a thread of its own and let go at the same moment."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait(10)
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def applied(store: Store, key: RowKey, event: ViewEvent) -> Outcome:
    return store.apply(key, event).outcome


def told(store: Store, user_id: str, events: list[tuple[RowKey, ViewEvent]]) -> list[Outcome]:
    """The outcomes of a batch."""
    return [one.outcome for one in store.apply_all(user_id, events)]


def row_of(store: Store, key: RowKey) -> Consumption | None:
    found = store.rows([key])
    return found[0] if found else None


def tokens(store: Store, user_id: str) -> dict[ContextKey, int]:
    return {mark.key: mark.token for mark in store.marks(user_id)}


def folded(store: Store, key: RowKey, **facts: Any) -> None:
    """The aggregate of `key`'s context knows this about its content, or keeps it (`by`)."""
    told = {key.content_id: facts}
    kept = "by" in facts
    agg = ActivityAgg(key.context, kept=told if kept else {}, agg_details={} if kept else told, version=1)
    store.import_rows(ImportBatch(at=at(0), aggs=[agg]))
    for mark in store.marks(key.user_id):
        assert store.clear_mark(mark)


VERBS = st.sampled_from(Verb)


# Numbers beyond 2**53 keep their value as doubles, not their spelling: PostgreSQL writes 1e17 out in digits.
@st.composite
def events(draw: st.DrawFn) -> ViewEvent:
    details = st.dictionaries(
        st.sampled_from(["progress", "page", 'a"b', "$.x", "1", "ü"]),
        st.none() | st.booleans() | st.integers(-200, 200) | st.floats(-1e15, 1e15)
        | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=5),
        min_size=1, max_size=3,
    )  # fmt: skip
    identity = draw(st.none() | st.sampled_from(["e:1", "e:2", "m:3"]))
    return view(
        draw(VERBS),
        draw(st.integers(0, 30)),
        client=draw(st.none() | st.integers(0, 30)),
        details=draw(st.none() | details),
        timespent=draw(st.sampled_from([0.0, 0.5, 12.63])),
        force=draw(st.booleans()),
        identity=identity,
        payload=draw(st.sampled_from(["one", "two"])),
        repeats_since=draw(st.none() | st.integers(0, 30)) if identity == "m:3" else None,
    )


class LifecycleContract:
    """`apply` and `apply_all` do what the pure fold says, and nothing else."""

    @SAME_STORE
    @given(history=st.lists(events(), max_size=10))
    def test_single_events_do_what_the_fold_says(
        self, store: Store, learner: Learner, history: list[ViewEvent]
    ) -> None:
        key, row = key_of(learner()), None
        for event in history:
            row, expected = fold(key, row, event)
            answer = store.apply(key, event)
            assert answer.outcome is expected
            assert answer.row == (row if expected is Outcome.APPLIED else None)
            assert row_of(store, key) == row

    @SAME_STORE
    @given(history=st.lists(st.tuples(st.sampled_from("abc"), events()), max_size=12), cut=st.integers(0, 12))
    def test_batches_do_what_single_events_do(
        self, store: Store, learner: Learner, history: list[tuple[str, ViewEvent]], cut: int
    ) -> None:
        one, many = learner("one"), learner("many")
        singly = [applied(store, key_of(one, content), event) for content, event in history]
        batches = [
            [(key_of(many, content), event) for content, event in part] for part in (history[:cut], history[cut:])
        ]
        assert [outcome for batch in batches for outcome in told(store, many, batch)] == singly
        ours, theirs = (
            {row.key.content_id: replace(row, key=key_of("")) for row in store.sources(key_of(user).context).rows}
            for user in (one, many)
        )
        assert ours == theirs
        assert (tokens(store, one) != {}) == (tokens(store, many) != {})
        assert len(store.contexts(one)) == len(store.contexts(many))

    def test_a_batch_tells_every_row_it_wrote_and_each_mark_once(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        other = key._replace(context_id="batch-2")
        steps = [view(Verb.START, 1), view(Verb.UPDATE, 2, timespent=3), view(Verb.START, 3), view(Verb.END, 4)]
        answers = store.apply_all(key.user_id, [(one, step) for step in steps for one in (key, other)])
        assert [one.new_mark for one in answers] == [True] * 2 + [False] * 6
        assert [one.row is None for one in answers] == [False] * 4 + [True] * 2 + [False] * 2
        assert [one.row for one in answers[-2:]] == [row_of(store, key), row_of(store, other)]
        assert [one.new_mark for one in store.apply_all(key.user_id, [(key, view(Verb.END, 5, client=0))])] == [False]

    def test_an_empty_batch_is_nothing(self, store: Store, learner: Learner) -> None:
        assert store.apply_all(learner(), []) == []

    def test_only_the_last_event_ids_are_kept(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START))
        for number in range(MAX_APPLIED + 3):
            applied(store, key, view(Verb.UPDATE, number, timespent=1, identity=f"e:{number}"))
        row = row_of(store, key)
        assert row is not None
        assert [event.id for event in row.applied] == [f"e:{number}" for number in range(3, MAX_APPLIED + 3)]

    def test_rows_of_other_contexts_and_learners_are_never_touched(self, store: Store, learner: Learner) -> None:
        mine = key_of(learner())
        others = [
            mine._replace(user_id=learner("other")),
            mine._replace(collection_id="class-2-maths"),
            mine._replace(context_id="batch-2"),
            mine._replace(content_id="double-digit-addition"),
        ]
        for key in others:
            applied(store, key, view(Verb.START))
        applied(store, mine, view(Verb.END, 1, force=True))
        rows = [row_of(store, key) for key in others]
        assert [row.status for row in rows if row] == [Status.IN_PROGRESS] * 4

    @pytest.mark.parametrize(
        "content",
        ["Ä", "a\u0308", "ä", "DO_1", "do_1", "सरल-जोड़", "😀", "it's", 'q"uote', "$.x", "$", "1", "123abc", "a.b",
         "a[0]", "100%", "%s", "; DROP TABLE x --", "<batch>:<course>", "x" * 256],
    )  # fmt: skip
    def test_ids_are_opaque_and_exact(self, store: Store, learner: Learner, content: str) -> None:
        user_id = learner()
        variants = {content, content.upper(), content.lower(), f"{content[:255]} "}
        for variant in variants - {content}:
            applied(store, key_of(user_id, variant), view(Verb.START))
        key = RowKey(user_id, "class-1-maths", "batch-1", content)
        assert applied(store, key, view(Verb.UPDATE)) is Outcome.NOT_STARTED
        applied(store, key, view(Verb.END, force=True, details={content: content}, identity=content))
        row = row_of(store, key)
        assert row is not None
        assert (row.status, row.progress_details, row.applied[0].id) == (2, {content: content}, content)
        kept = key_of(learner(), content)
        folded(store, kept, by="archive", status=2)
        assert applied(store, kept, view(Verb.START)) is Outcome.OLDER


class KeptContract:
    """What only the aggregate keeps (archived or imported) counts as if its row were there."""

    @pytest.mark.parametrize("event", [view(Verb.START), view(Verb.UPDATE), view(Verb.END), view(Verb.END, force=True)])
    def test_a_kept_completion_is_a_revisit(self, store: Store, learner: Learner, event: ViewEvent) -> None:
        single, batch = key_of(learner()), key_of(learner())
        for key in (single, batch):
            folded(store, key, by="archive", status=2)
        assert applied(store, single, event) is Outcome.OLDER
        assert told(store, batch.user_id, [(batch, event)]) == [Outcome.OLDER]
        assert row_of(store, single) is row_of(store, batch) is None

    def test_a_kept_start_can_be_updated_and_ended(self, store: Store, learner: Learner) -> None:
        single, batch = key_of(learner()), key_of(learner())
        steps = [view(Verb.UPDATE, 1, details={"progress": 50}), view(Verb.END, 2)]
        for key in (single, batch):
            folded(store, key, by="import", status=1, progress=20)
        assert [applied(store, single, step) for step in steps] == [Outcome.APPLIED] * 2
        assert told(store, batch.user_id, [(batch, step) for step in steps]) == [Outcome.APPLIED] * 2
        for key in (single, batch):
            row = row_of(store, key)
            assert row is not None
            assert (row.status, row.last_completed_time) == (Status.COMPLETED, at(2))

    def test_facts_that_are_not_kept_do_not_stand_in_for_a_row(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        folded(store, key, status=2, version=7)
        assert applied(store, key, view(Verb.START)) is Outcome.APPLIED


class MarkContract:
    """Marks: durable with the write, counted, never lost to a fold that read too early."""

    def test_start_and_end_mark_the_context_and_update_does_not(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START))
        first = tokens(store, key.user_id)
        assert set(first) == {key.context}
        applied(store, key, view(Verb.UPDATE, 1, details={"progress": 5}))
        assert tokens(store, key.user_id) == first
        applied(store, key, view(Verb.END, 2))
        assert tokens(store, key.user_id) == {key.context: first[key.context] + 1}
        assert store.marks(key.user_id)[0].marked_at == at(0)

    def test_nothing_written_and_nothing_newer_marks_nothing(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        assert applied(store, key, view(Verb.END)) is Outcome.NOT_STARTED
        applied(store, key, view(Verb.END, force=True))
        folded(store, key, status=2, version=1)
        assert applied(store, key, view(Verb.END, 5)) is Outcome.OLDER
        assert told(store, key.user_id, [(key, view(Verb.START, 6))]) == [Outcome.OLDER]
        assert tokens(store, key.user_id) == {}

    def test_a_revisit_marks_a_row_its_aggregate_has_not_seen(self, store: Store, learner: Learner) -> None:
        for call in (
            store.apply,
            lambda key, event: store.apply_all(key.user_id, [(key, event)]),
        ):
            key = key_of(learner())
            applied(store, key, view(Verb.END, force=True))
            folded(store, key, status=1, version=0)
            call(key, view(Verb.END, 5))
            assert set(tokens(store, key.user_id)) == {key.context}

    def test_a_mark_with_a_new_reason_survives_being_cleared(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START))
        read = store.marks(key.user_id)[0]
        applied(store, key, view(Verb.END, 1))
        assert not store.clear_mark(read)
        assert store.clear_mark(store.marks(key.user_id)[0])
        assert store.marks(key.user_id) == []

    def test_the_oldest_marks_come_first_and_no_more_than_asked_for(self, store: Store, learner: Learner) -> None:
        ancient = [ContextKey(learner(), "c", "c") for _ in range(3)]
        for age, key in zip((-3e6, -1e6, -2e6), ancient, strict=True):
            store.mark(key, at(age))
        found = [mark.key for mark in store.oldest_marks(1000, before=at(-5e5), now=at(0)) if mark.key in ancient]
        assert found == [ancient[0], ancient[2], ancient[1]]
        assert len(store.oldest_marks(2, before=at(-5e5), now=at(0))) == 2
        assert ancient[1] not in [mark.key for mark in store.oldest_marks(1000, before=at(-1e6), now=at(0))]
        for key in ancient:
            assert all(store.clear_mark(mark) for mark in store.marks(key.user_id))

    def test_every_place_with_progress_is_among_the_learners_contexts(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        applied(store, RowKey(user_id, "c", "b", "x"), view(Verb.START))
        applied(store, RowKey(user_id, "x", "x", "x"), view(Verb.END, force=True))
        store.apply_all(user_id, [(RowKey(user_id, "a", "b", "y"), view(Verb.START))])
        applied(store, RowKey(user_id, "n", "n", "n"), view(Verb.UPDATE))
        assert store.contexts(user_id) == [
            ContextKey(user_id, "a", "b"),
            ContextKey(user_id, "c", "b"),
            ContextKey(user_id, "x", "x"),
        ]


class ConcurrencyContract:
    """Real threads on one row: some order of the calls explains every answer and the row."""

    def test_of_many_starts_at_once_one_writes(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        outcomes = together(*[lambda: applied(store, key, view(Verb.START))] * THREADS)
        assert Counter(outcomes) == {Outcome.APPLIED: 1, Outcome.OLDER: THREADS - 1}
        row = row_of(store, key)
        assert row is not None
        assert (row.version, row.view_count) == (1, 1)

    def test_no_update_is_lost(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START))

        def many(thread: int) -> None:
            for number in range(25):
                details = {"progress": thread + number, f"t{thread}": number}
                applied(store, key, view(Verb.UPDATE, 1, details=details, timespent=1.0))

        together(*[lambda thread=thread: many(thread) for thread in range(THREADS)])
        row = row_of(store, key)
        assert row is not None
        assert (row.timespent, row.progress, row.version) == (25.0 * THREADS, THREADS + 23, 1 + 25 * THREADS)
        assert {name: row.progress_details[name] for name in row.progress_details if name != "progress"} == {
            f"t{thread}": 24 for thread in range(THREADS)
        }

    def test_the_same_event_from_many_phones_counts_once(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.START))
        single = [lambda: applied(store, key, view(Verb.UPDATE, timespent=5, identity="e:1"))] * 4
        batch = [lambda: told(store, key.user_id, [(key, view(Verb.UPDATE, timespent=5, identity="e:1"))])[0]] * 4
        assert Counter(together(*single, *batch)) == {Outcome.APPLIED: 1, Outcome.DUPLICATE: 7}
        row = row_of(store, key)
        assert row is not None
        assert row.timespent == 5

    def test_starts_updates_ends_and_batches_at_once_end_completed(self, store: Store, learner: Learner) -> None:
        for _ in range(8):
            key = key_of(learner())
            calls = [
                lambda key=key: applied(store, key, view(Verb.START, 1)),
                lambda key=key: applied(store, key, view(Verb.UPDATE, 2, details={"progress": 70})),
                lambda key=key: applied(store, key, view(Verb.END, 9, client=5, force=True)),
                lambda key=key: applied(store, key, view(Verb.END, 9, client=4, force=True)),
                lambda key=key: told(store, key.user_id, [(key, view(Verb.START)), (key, view(Verb.END, client=3))])[1],
                lambda key=key: told(store, key.user_id, [(key, view(Verb.END, client=6, force=True))])[0],
            ]
            outcomes = together(*calls)
            assert Outcome.CONFLICT not in outcomes
            row = row_of(store, key)
            assert row is not None
            assert (row.status, row.progress, row.last_completed_time) == (Status.COMPLETED, 100, at(3))
            assert store.contexts(key.user_id) == [key.context]

    def test_batches_over_the_same_rows_in_opposite_order_neither_deadlock_nor_lose(
        self, store: Store, learner: Learner
    ) -> None:
        user_id = learner()
        keys = [key_of(user_id, f"do_{number}") for number in range(12)]
        ends = [(key, view(Verb.END, timespent=1, force=True, identity="e:end")) for key in keys]

        def updates(order: int) -> list[tuple[RowKey, ViewEvent]]:
            return [(key, view(Verb.START, identity=f"e:{order}")) for key in keys[::order]]

        together(
            *[lambda: told(store, user_id, ends)] * 2,
            *[lambda: told(store, user_id, ends[::-1])] * 2,
            *[lambda order=order: told(store, user_id, updates(order)) for order in (1, -1)],
            *[lambda key=key: applied(store, key, view(Verb.START)) for key in keys[:2]],
        )
        rows = store.sources(keys[0].context).rows
        assert [(row.status, row.key) for row in rows] == [(Status.COMPLETED, key) for key in sorted(keys)]

    def test_every_mark_made_during_folds_is_there_or_was_folded_after(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        keys = [key_of(user_id, f"do_{number}") for number in range(40)]
        seen_when_cleared: list[int] = []
        done = threading.Event()

        def folds() -> None:
            while not done.is_set():
                for mark in store.marks(user_id):
                    seen = len(store.sources(mark.key).rows)
                    if store.clear_mark(mark):
                        seen_when_cleared.append(seen)

        def writes() -> None:
            for key in keys:
                applied(store, key, view(Verb.START))
            done.set()

        together(folds, writes)
        if not store.marks(user_id):
            assert seen_when_cleared[-1] == len(keys)


class ReadContract:
    """Reads give back exactly what was written."""

    def test_rows_come_back_as_they_were_given_and_absent_ones_are_left_out(
        self, store: Store, learner: Learner
    ) -> None:
        user_id = learner()
        row = Consumption(
            key=key_of(user_id, "do_1"),
            status=Status.COMPLETED,
            progress=100,
            last_access_time=at(0.00005),
            last_updated_time=at(1),
            last_completed_time=None,
            own_completed_time=None,
            progress_details={"a": [1, {"b": None}], "🙂": "ü", "big": 2**60, "f": 0.1},
            timespent=0.1 + 0.2,
            view_count=7,
            origin="prov-1",
            version=3,
        )
        assert store.import_rows(ImportBatch(at=at(2), rows=[row])) == 1
        assert store.rows([row.key, key_of(user_id, "do_2")]) == [row]
        assert store.sources(row.key.context).rows == [row]
        assert store.rows([]) == []

    def test_attempts_come_back_with_every_question(self, store: Store, learner: Learner) -> None:
        question = Question(
            "q'1", 0.33, 1.0, assess_ts=at(1), type="mcq", title="2 + 2 = ?", description="ü", duration=3.5,
            resvalues=({"1": '{"text":"4"}'},), params=({"answer": "x"},),
        )  # fmt: skip
        attempt = Attempt(key_of(learner()), "a:1", 1.33, 3.0, "1.33/3.0", at(0), at(1), at(2), (question,))
        store.import_rows(ImportBatch(at=at(2), attempts=[attempt]))
        assert store.attempts([attempt.key]) == [attempt]
        assert store.sources(attempt.key.context).attempts == [attempt]
        assert store.attempts([attempt.key._replace(context_id="batch-2")]) == []

    def test_aggregates_and_enrolments_come_back_as_they_were_given(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        key = ContextKey(user_id, "class-1-maths", "batch-1")
        agg = ActivityAgg(
            key,
            content_status={"do_1": 2},
            agg={"completedCount": 1},
            aggregates={"score:do_1": 1.33, "max_score:do_1": 3.0},
            agg_details={"do_1": {"status": 2}},
            agg_last_updated={"completedCount": 1700000000000},
            version=1,
        )
        enrolment = Enrolment(
            user_id, "class-1-maths", "batch-2", enrolled_date=at(0), status=Status.IN_PROGRESS, progress=1,
            completion_percentage=33, content_status={"do_1": 2}, updated_at=at(1), last_content_access_time=at(1),
            issued_certificates=({"name": "Well done", "identifier": "c-1"},), last_read_content_id="do_1",
            last_read_content_status=2, added_by="rahul", moved_to="program-batch-1",
        )  # fmt: skip
        store.import_rows(ImportBatch(at=at(2), aggs=[agg], enrolments=[enrolment]))
        assert store.aggs([key, key._replace(context_id="batch-3")]) == {key: agg}
        assert store.enrolment(enrolment.key) == enrolment
        assert store.enrolments(user_id) == [enrolment]
        assert store.sources(key).agg == agg
        assert store.aggs([enrolment.key])[enrolment.key].kept["do_1"]["status"] == 2

    def test_where_progress_was_moved_to_is_kept_changed_and_taken_back(self, store: Store, learner: Learner) -> None:
        enrolment = Enrolment(learner(), "class-1-maths", "batch-1", enrolled_date=at(0))
        assert store.save_enrolment(enrolment, 0, at(0))
        for version, context in enumerate(("program-batch-1", "ಕಾರ್ಯಕ್ರಮ", None), 2):
            told = replace(enrolment, moved_to=context, version=version)
            assert store.save_enrolment(told, version - 1, at(version))
            assert store.enrolment(enrolment.key) == told
            assert store.enrolments(enrolment.user_id) == [told]
            assert store.sources(enrolment.key).enrolment == told

    def test_a_batch_lists_its_learners_by_date_and_id(self, store: Store, learner: Learner) -> None:
        batch_id = learner("batch")
        people = sorted(learner("learner") for _ in range(5))
        dates = [3, 1, 1, 2, 1]
        enrolments = [
            Enrolment(user_id, "class-1-maths", batch_id, enrolled_date=at(day))
            for user_id, day in zip(people, dates, strict=True)
        ]
        store.import_rows(ImportBatch(at=at(9), enrolments=enrolments))
        expected = sorted((at(day), user_id) for user_id, day in zip(people, dates, strict=True))
        found = [(entry.enrolled_date, entry.user_id) for entry in store.batch_enrolments(batch_id)]
        assert found == expected
        moved = replace(enrolments[0], enrolled_date=at(0), status=Status.COMPLETED)
        store.import_rows(ImportBatch(at=at(9), enrolments=[moved]))
        again = list(store.batch_enrolments(batch_id))
        assert [entry.user_id for entry in again].count(people[0]) == 1
        assert (again[0].user_id, again[0].status) == (people[0], Status.COMPLETED)


class ImportContract:
    """Imports merge: the greater wins, twice is once, and what changed is marked."""

    def test_importing_twice_changes_and_marks_nothing_more(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        batch = ImportBatch(
            at=at(9),
            rows=[Consumption(key, Status.IN_PROGRESS, 40, at(1), at(1), timespent=3)],
            attempts=[Attempt(key, "a-1", 4, 10, "4.0/10.0", at(1), at(1), at(1))],
            enrolments=[Enrolment(*key.context, enrolled_date=at(0), updated_at=at(0))],
            aggs=[ActivityAgg(key.context, content_status={"x": 2}, version=1)],
        )
        assert store.import_rows(batch) == 4
        before = tokens(store, key.user_id)
        assert store.import_rows(batch) == 0
        assert tokens(store, key.user_id) == before
        assert set(before) == {key.context} == set(store.contexts(key.user_id))

    def test_the_greater_wins_over_a_live_row(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        applied(store, key, view(Verb.END, 10, force=True))
        weaker = Consumption(key, Status.IN_PROGRESS, 40, at(1), at(1), timespent=3, view_count=5)
        store.import_rows(ImportBatch(at=at(20), rows=[weaker]))
        row = row_of(store, key)
        assert row is not None
        assert (row.status, row.progress, row.timespent, row.view_count) == (Status.COMPLETED, 100, 3, 5)
        assert (row.last_access_time, row.last_completed_time) == (at(10), at(10))

    def test_an_older_account_of_an_attempt_never_replaces_a_newer_one(self, store: Store, learner: Learner) -> None:
        key = key_of(learner())
        newer = Attempt(key, "a-1", 4, 10, "4.0/10.0", at(5), at(6), at(6))
        older = Attempt(key, "a-1", 9, 10, "9.0/10.0", at(1), at(2), at(2))
        store.import_rows(ImportBatch(at=at(9), attempts=[newer, older]))
        kept = store.attempts([key])[0]
        assert (kept.total_score, kept.last_attempted_on, kept.created_on) == (4, at(6), at(1))

    def test_imports_and_live_events_at_once_lose_nothing(self, store: Store, learner: Learner) -> None:
        keys = [key_of(learner(), "do_1") for _ in range(4)]
        rows = [Consumption(key, Status.IN_PROGRESS, 60, at(1), at(1), view_count=9) for key in keys]
        together(
            lambda: store.import_rows(ImportBatch(at=at(9), rows=rows)),
            lambda: store.import_rows(ImportBatch(at=at(9), rows=rows[::-1])),
            *[lambda key=key: applied(store, key, view(Verb.END, 5, force=True)) for key in keys],
        )
        for key in keys:
            row = row_of(store, key)
            assert row is not None
            assert (row.status, row.view_count, row.last_completed_time) == (Status.COMPLETED, 9, at(5))
