"""Changing the mode of an instance that has learners: what they are told then, and after going back."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from common import timestamps
from modes import instance
from modes.keys import Mode
from modes.models import Instance
from modes.switching import settle, switch
from tests.modes import live
from tests.modes.live import (
    BATCH,
    DOUBLE,
    LEAVES,
    MATHS,
    OTHER,
    SINGLE,
    Learner,
    change_to,
    differences,
    history,
)
from viewer import rekeying
from viewer.store.cassandra import CassandraStore
from viewer.store.port import Store

MODES = list(Mode)
KINDS = [Mode.STRICT, Mode.NO_CONTEXT_CONTENT, Mode.NO_CONTEXT_COLLECTION]  # each keeps rows in other places
CONTENT, COLLECTION = Mode.NO_CONTEXT_CONTENT, Mode.NO_CONTEXT_COLLECTION
JUST_NOW = timedelta(0)


@pytest.fixture(autouse=True)
def _instance(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with live.instance_on(store, monkeypatch):
        yield


@pytest.fixture
def rahul(learner: Callable[..., str]) -> Learner:
    return Learner(learner())


def events_of(store: Store, learner: Learner) -> int:
    """How many events were written of his completions."""
    found, after = 0, None
    while page := store.outbox_after(after, 500):
        found += sum(learner.user_id in str(event.payload) for event, _ in page)
        after = page[-1][0].id
    return found


def told(learner: Learner, context: str = BATCH, collection: str = MATHS) -> tuple[int, int, int]:
    found = learner.summary(context, collection)
    return found["status"], found["progress"], found["completionPercentage"]


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", MODES)
def test_going_to_any_mode_and_back_changes_no_answer(home: Mode, rahul: Learner, store: Store) -> None:
    change_to(home)
    live.carry_always(home.carries)
    history(rahul)
    if not home.ignores_context:
        live.imported(rahul.user_id, store)
    rahul.answers()  # carries what this mode carries
    live.carry_always(False)
    before = rahul.answers()
    for mode in KINDS if isinstance(store, CassandraStore) else MODES:  # there a learner's answers take a second
        change_to(mode)
        rahul.summary()
        change_to(home)
        assert differences(before, rahul.answers()) == [], mode


def test_going_through_several_modes_and_back_changes_no_answer(rahul: Learner, store: Store) -> None:
    history(rahul)
    live.imported(rahul.user_id, store)
    before = rahul.answers()
    for mode in (CONTENT, COLLECTION, Mode.MOVE, CONTENT, Mode.STRICT):
        change_to(mode)
        rahul.answers()
    assert differences(before, rahul.answers()) == []


@pytest.mark.parametrize("mode", [CONTENT, COLLECTION])
def test_in_between_he_is_told_what_a_learner_is_told_who_was_always_there(
    mode: Mode, rahul: Learner, learner: Callable[..., str]
) -> None:
    history(rahul)
    change_to(mode)
    anita = Learner(learner("anita"))
    history(anita)
    assert differences(anita.timeless(), rahul.timeless()) == []


@pytest.mark.parametrize("mode", [CONTENT, COLLECTION])
def test_an_enrolment_that_completed_only_by_the_mode_is_given_up_and_told_once(
    mode: Mode, rahul: Learner, store: Store
) -> None:
    rahul.enrol(BATCH)
    rahul.enrol(OTHER)
    for content, context in zip(LEAVES, (BATCH, BATCH, OTHER), strict=True):
        rahul.end(content, context)
    assert told(rahul) == (1, 2, 66)
    for _ in range(2):
        change_to(mode)
        assert told(rahul) == (2, 3, 100)
        assert events_of(store, rahul) == 2, "a certificate and an audit"
        change_to(Mode.STRICT)
        assert told(rahul) == (1, 2, 66)
        assert rahul.summary()["completedOn"] is None


def test_an_enrolment_that_was_made_and_completed_in_the_mode_is_given_up_with_it(rahul: Learner) -> None:
    for content in LEAVES:
        rahul.end(content, OTHER)
    change_to(CONTENT)
    rahul.read(SINGLE)  # somebody comes to him before he enrols
    rahul.enrol(BATCH)
    assert told(rahul) == (2, 3, 100)
    change_to(Mode.STRICT)
    assert told(rahul) == (0, 0, 0)


def test_a_completion_told_between_two_changes_outlives_a_new_leaf(rahul: Learner) -> None:
    change_to(CONTENT)
    rahul.enrol(BATCH)
    change_to(Mode.STRICT)
    for content in LEAVES:
        rahul.end(content, BATCH)
    assert told(rahul) == (2, 3, 100)
    live.publish_with_another_leaf()
    assert told(rahul) == (2, 3, 100)
    for mode in (CONTENT, Mode.STRICT):
        change_to(mode)
        rahul.summary()
    assert told(rahul) == (2, 3, 100)


# --- what he does meanwhile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [CONTENT, COLLECTION])
def test_a_learner_nobody_has_come_to_reads_and_writes_as_the_new_mode_has_it(mode: Mode, rahul: Learner) -> None:
    rahul.enrol(BATCH)
    rahul.enrol(OTHER)
    rahul.start(SINGLE, BATCH)
    change_to(mode, JUST_NOW)
    rahul.update(SINGLE, OTHER, timespent=3)  # not started there, but here there is one place
    assert rahul.read(SINGLE, BATCH)["timespent"] == 3
    rahul.end(DOUBLE, OTHER)
    assert told(rahul) == told(rahul, OTHER) == (1, 1, 33)


def test_what_he_completes_in_a_mode_stays_in_the_place_it_put_it(rahul: Learner) -> None:
    rahul.enrol(BATCH)
    rahul.start(SINGLE, BATCH)
    change_to(CONTENT)
    rahul.end(SINGLE, BATCH)
    change_to(Mode.STRICT)
    assert (rahul.read(SINGLE)["status"], rahul.read(SINGLE, BATCH)["status"]) == (2, 1)
    change_to(COLLECTION)
    assert (rahul.read(SINGLE)["status"], rahul.read(SINGLE, BATCH)["status"]) == (2, 1)
    change_to(CONTENT)
    assert told(rahul) == (1, 1, 33)


def test_an_attempt_that_is_sent_again_in_a_mode_stays_with_its_new_score(rahul: Learner) -> None:
    rahul.submit(SINGLE, "try-1", 0, BATCH)
    change_to(CONTENT)
    assert rahul.read(SINGLE)["score"] == 0
    rahul.submit(SINGLE, "try-1", 2, BATCH, at=1000)
    assert rahul.read(SINGLE)["score"] == 2
    change_to(Mode.STRICT)
    assert (rahul.read(SINGLE)["score"], rahul.read(SINGLE, BATCH)["score"]) == (2, 0)
    change_to(COLLECTION)
    assert (rahul.read(SINGLE)["score"], rahul.read(SINGLE, BATCH)["score"]) == (2, 0)


def test_an_attempt_of_before_leaves_with_the_mode(rahul: Learner) -> None:
    rahul.submit(SINGLE, "try-1", 2, BATCH)
    change_to(CONTENT)
    assert rahul.read(SINGLE)["score"] == 2
    change_to(Mode.STRICT)
    assert (rahul.read(SINGLE)["score"], rahul.read(SINGLE, BATCH)["score"]) == (None, 2)


def test_a_page_he_turned_back_to_is_not_turned_again_by_those_who_come_later(rahul: Learner) -> None:
    rahul.start(SINGLE, BATCH, progressDetails={"page": 9})
    change_to(CONTENT, JUST_NOW)
    rahul.update(SINGLE, progressDetails={"page": 3})
    for _ in range(2):
        assert rahul.read(SINGLE)["progressDetails"] == {"page": 3}


def test_to_ask_again_where_a_learner_is_costs_no_query(rahul: Learner) -> None:
    """On Cassandra only the queries to the instance's own database are counted."""
    change_to(CONTENT)
    rahul.read(SINGLE)
    assert not instance.current().rows_settled
    with CaptureQueriesContext(connections["default"]) as own, CaptureQueriesContext(connections["postgres"]) as other:
        assert rekeying.mode_for(rahul.user_id) is CONTENT
        rekeying.bring([rahul.user_id])
    assert [*own, *other] == []


# --- several changes -------------------------------------------------------------------------------------------------


def test_a_second_change_before_anybody_came_starts_from_what_he_did_himself(rahul: Learner) -> None:
    history(rahul)
    before = rahul.answers()
    for mode in (CONTENT, COLLECTION, Mode.STRICT):
        change_to(mode, JUST_NOW)
    assert differences(before, rahul.answers()) == []


def test_a_process_that_has_not_seen_the_change_does_not_take_it_back(rahul: Learner, store: Store) -> None:
    """What is known of the mode is up to a second old: a learner who was brought on is brought on for everybody."""
    rahul.end(SINGLE, BATCH)
    switch(CONTENT, None, "alice", timestamps.now())
    stale = instance.current()
    switch(Mode.STRICT, None, "alice", timestamps.now())
    assert rahul.read(SINGLE)["status"] == 0
    records = store.provenance(rahul.user_id)
    live.as_known_before(stale, lambda: rahul.read(SINGLE))
    assert store.provenance(rahul.user_id) == records


def test_what_was_folded_late_by_the_mode_before_is_given_up_once_all_know_the_new_one(rahul: Learner) -> None:
    change_to(CONTENT)
    rahul.enrol(BATCH)
    for content in LEAVES:
        rahul.end(content, BATCH)
    assert told(rahul) == (2, 3, 100)
    stale = instance.current()
    change_to(Mode.STRICT, JUST_NOW)
    assert told(rahul) == (0, 0, 0)
    live.as_known_before(stale, lambda: rahul.ask("/v1/view/agg", collectionId=MATHS, contextId=BATCH))
    Instance.objects.update(mode_since=timestamps.now() - live.LONG_AGO)
    instance.forget()
    assert told(rahul) == (0, 0, 0)


def test_the_rows_are_settled_by_the_walk_of_a_later_change_too() -> None:
    change_to(CONTENT)
    change_to(Mode.STRICT)
    later = switch(Mode.COPY_CONTENT, None, "alice", timestamps.now())
    assert not instance.current().rows_settled
    settle(later.epoch - 2)
    assert not instance.current().rows_settled, "that walk was for an earlier place of the rows"
    settle(later.epoch)
    assert instance.current().rows_settled
