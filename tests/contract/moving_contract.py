"""What a store promises a command that moves it: everything in, everything out, nobody missed.

An adapter's test module subclasses these and supplies `store`; learners are fresh, so nothing is ever emptied.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from common.rows import ContextKey, Enrolment, RowKey
from tests.contract import whole_learners
from tests.viewer.events import at, view
from viewer.lifecycle import Verb
from viewer.store.port import LearnerDump, OutboxEntry, Store

Learner = Callable[..., str]
PAGES = 10_000  # more than any test leaves behind


def everybody(store: Store, limit: int) -> list[str]:
    """All learners, `limit` at a time."""
    found: list[str] = []
    for _ in range(PAGES):
        page = store.learners_after(found[-1] if found else None, limit)
        if not page:
            return found
        found += page
    raise AssertionError("the pages never end")


def whole(user_id: str, seed: int = 1) -> LearnerDump:
    """A learner with rows in every table."""
    return whole_learners.learner(Random(seed), user_id)


def listed(store: Store, context_id: str, user_id: str) -> list[Enrolment]:
    return [enrolment for enrolment in store.batch_enrolments(context_id) if enrolment.user_id == user_id]


def event_ids(store: Store, limit: int) -> list[str]:
    """Every event of the outbox, `limit` at a time."""
    found: list[str] = []
    for _ in range(PAGES):
        page = store.outbox_after(found[-1] if found else None, limit)
        if not page:
            return found
        found += [event.id for event, _ in page]
    raise AssertionError("the pages never end")


class MovingContract:
    """`dump` and `load` are exact, and the lists miss nobody."""

    @pytest.mark.parametrize("seed", range(8))
    def test_a_load_is_dumped_as_it_was(self, store: Store, learner: Learner, seed: int) -> None:
        dump = whole(learner(whole_learners.ODD[seed % len(whole_learners.ODD)]), seed)
        store.load(dump)
        assert store.dump(dump.user_id) == dump
        store.load(dump)
        assert store.dump(dump.user_id) == dump

    def test_what_was_loaded_is_what_the_other_methods_read(self, store: Store, learner: Learner) -> None:
        dump = whole(learner())
        store.load(dump)
        assert sorted(store.enrolments(dump.user_id), key=lambda enrolment: enrolment.key) == list(dump.enrolments)
        assert sorted(store.marks(dump.user_id), key=lambda mark: mark.key) == list(dump.marks)
        assert sorted(store.contexts(dump.user_id)) == list(dump.contexts)
        assert store.aggs([agg.key for agg in dump.aggs]) == {agg.key: agg for agg in dump.aggs}
        assert sorted(store.rows([row.key for row in dump.rows]), key=lambda row: row.key) == list(dump.rows)
        attempts = store.attempts(sorted({attempt.key for attempt in dump.attempts}))
        assert sorted(attempts, key=lambda attempt: (attempt.key, attempt.attempt_id)) == list(dump.attempts)

    def test_what_the_service_wrote_is_dumped(self, store: Store, learner: Learner) -> None:
        key = RowKey(learner(), "class-1-maths", "batch-1", "single-digit-addition")
        store.apply(key, view(Verb.START))
        store.save_enrolment(Enrolment(*key.context, enrolled_date=at(0)), 0, at(1))
        dump = store.dump(key.user_id)
        assert [row.key for row in dump.rows] == [key]
        assert [enrolment.key for enrolment in dump.enrolments] == [key.context]
        assert list(dump.contexts) == [key.context]
        assert list(dump.marks) == store.marks(key.user_id)

    def test_a_load_replaces_whatever_was_there(self, store: Store, learner: Learner) -> None:
        user_id = learner()
        store.load(whole(user_id, 1))
        second = whole(user_id, 2)
        store.load(second)
        assert store.dump(user_id) == second

    def test_an_empty_load_removes_the_learner_alone(self, store: Store, learner: Learner) -> None:
        gone, stays = whole(learner("gone")), whole(learner("stays"))
        store.load(gone)
        store.load(stays)
        store.load(LearnerDump(gone.user_id))
        assert store.dump(gone.user_id) == LearnerDump(gone.user_id)
        assert store.dump(stays.user_id) == stays
        for enrolment in gone.enrolments:
            assert listed(store, enrolment.context_id, gone.user_id) == []

    def test_the_batch_lists_follow_the_enrolments(self, store: Store, learner: Learner) -> None:
        user_id, batch = learner(), learner("batch")
        enrolment = Enrolment(user_id, "class-1-maths", batch, enrolled_date=at(0), completion_percentage=40)
        store.load(LearnerDump(user_id, enrolments=(enrolment,)))
        (entry,) = listed(store, batch, user_id)
        assert (entry.enrolled_date, entry.completion_percentage, entry.active) == (at(0), 40, True)
        store.load(LearnerDump(user_id, enrolments=(replace(enrolment, enrolled_date=at(5), active=False),)))
        (entry,) = listed(store, batch, user_id)
        assert (entry.enrolled_date, entry.active) == (at(5), False)
        store.load(LearnerDump(user_id, contexts=(enrolment.key,)))
        assert listed(store, batch, user_id) == []

    def test_a_loaded_mark_is_cleared_by_its_token_alone(self, store: Store, learner: Learner) -> None:
        dump = whole(learner())
        store.load(dump)
        mark = dump.marks[0]
        assert not store.clear_mark(replace(mark, token=mark.token - 1))
        assert store.clear_mark(mark)

    @pytest.mark.parametrize(
        "tables",
        [
            ["rows"],
            ["enrolments"],
            ["contexts"],
            ["marks"],
            ["provenance"],
            ["attempts", "contexts"],
            ["aggs", "enrolments"],
        ],
        ids="-".join,
    )
    def test_a_learner_with_rows_in_few_tables_is_listed(
        self, store: Store, learner: Learner, tables: list[str]
    ) -> None:
        user_id = learner("-".join(tables))
        dump = replace(LearnerDump(user_id), **{table: getattr(whole(user_id), table) for table in tables})
        store.load(dump)
        assert user_id in everybody(store, 500)
        assert store.dump(user_id) == dump

    def test_pages_of_any_size_list_everybody_once(self, store: Store, learner: Learner) -> None:
        for number, name in enumerate(whole_learners.ODD):
            store.load(whole(learner(name), number))
        everyone = everybody(store, 5000)
        assert len(everyone) == len(set(everyone))
        assert everybody(store, 3 + len(everyone) // 7) == everyone

    def test_a_listed_learner_may_go_while_pages_are_read(self, store: Store, learner: Learner) -> None:
        ours = {learner(name) for name in "abcdef"}
        for user_id in ours:
            store.load(LearnerDump(user_id, contexts=(ContextKey(user_id, "class-1-maths", "batch-1"),)))
        seen, after = [], None
        while page := store.learners_after(after, 2):
            after = page[-1]
            seen += page
            for user_id in ours & set(page):
                store.load(LearnerDump(user_id))
        assert sorted(set(seen) & ours) == sorted(ours)
        assert not ours & set(everybody(store, 500))


class MovingOutboxContract:
    """The outbox and the watermarks come over as they are."""

    def test_events_keep_when_they_were_published(self, store: Store, learner: Learner) -> None:
        entries = whole_learners.outbox(Random(1), learner("event"))
        store.load_outbox(entries)
        assert self._stored(store, entries) == entries
        assert {event.id for event, _ in entries} <= set(event_ids(store, 500))

    def test_a_second_load_replaces_the_first(self, store: Store, learner: Learner) -> None:
        entries = whole_learners.outbox(Random(1), learner("event"))
        store.load_outbox(entries)
        later = [(event, at(90)) for event, _ in entries]
        store.load_outbox(later)
        assert self._stored(store, entries) == later
        waiting = [(event, None) for event, _ in entries]
        store.load_outbox(waiting)
        assert self._stored(store, entries) == waiting
        assert {event.id for event, _ in entries} <= {event.id for event in store.unpublished(100_000)}

    def test_events_are_removed_by_id(self, store: Store, learner: Learner) -> None:
        first, *rest = whole_learners.outbox(Random(1), learner("event"))
        store.load_outbox([first, *rest])
        store.load_outbox([], gone=[first[0].id])
        assert self._stored(store, [first, *rest]) == rest
        assert first[0].id not in event_ids(store, 500)

    def test_no_ids_name_no_events(self, store: Store) -> None:
        assert store.outbox_entries([]) == []

    def test_pages_of_any_size_list_every_event_once(self, store: Store, learner: Learner) -> None:
        store.load_outbox(whole_learners.outbox(Random(2), learner("event")))
        every = event_ids(store, 5000)
        assert len(every) == len(set(every))
        assert event_ids(store, 3 + len(every) // 7) == every

    def test_watermarks_are_replaced_even_by_earlier_ones(self, store: Store, learner: Learner) -> None:
        before = store.watermarks()
        one, other = learner("job"), learner("job")
        store.set_watermark(one, at(9))
        store.set_watermark(other, at(9))
        store.load_watermarks({**before, one: at(9) - timedelta(days=1)})
        assert store.watermarks() == {**before, one: at(9) - timedelta(days=1)}
        assert (store.watermark(one), store.watermark(other)) == (at(9) - timedelta(days=1), None)
        store.load_watermarks(before)

    @staticmethod
    def _stored(store: Store, entries: list[OutboxEntry]) -> list[OutboxEntry]:
        """What the store has under these events' ids, in their order."""
        found = {event.id: (event, at) for event, at in store.outbox_entries([event.id for event, _ in entries])}
        return [found[event.id] for event, _ in entries if event.id in found]
