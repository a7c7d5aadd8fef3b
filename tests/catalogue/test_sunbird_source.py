"""The catalogue over Sunbird's services: fresh, remembered, asked for once, and never in the way when they are away."""

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import connection, connections, transaction

from catalogue.loader import load
from catalogue.local import OrmCatalogue
from catalogue.models import Batch, Collection, Fetch, Learner
from catalogue.reading import read_object
from catalogue.sunbird.allowance import CALLS, RENEWED_SECONDS
from catalogue.sunbird.breaker import FAILURES as FAILURES_IN_A_ROW
from catalogue.sunbird.breaker import OPEN_SECONDS, Breaker
from catalogue.sunbird.client import Neighbour
from catalogue.sunbird.fetching import Services
from catalogue.sunbird.source import RETRY_SECONDS, UNKNOWN_SECONDS, Freshness, SunbirdCatalogue
from tests.catalogue.neighbours import FAILURES, HUGE, Neighbours, batch, neighbours, tree, until, user

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
FRESH = Freshness()
LONG, SHORT = 20.0, 0.4  # s; a call of the first kind is never too slow, however busy the machine


class Time:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)


class World:
    """The neighbours, the time, and sources over them; ids that no other test has."""

    def __init__(self, services: Neighbours) -> None:
        self.services = services
        self.time = Time()
        self._own = uuid.uuid4().hex[:8]
        self._sources: list[SunbirdCatalogue] = []

    def id(self, name: str) -> str:
        return f"{name}-{self._own}"

    def source(self, seconds: float = LONG, **urls: str) -> SunbirdCatalogue:
        """A source as a process that just started has it; urls: instead of the neighbours' own, "" for none."""
        made = {
            name: Neighbour(
                name,
                urls.get(name, self.services.url(name)),
                seconds=seconds,
                headers={"Authorization": "Bearer abc"},
                breaker=Breaker(clock=self.time.clock),
                max_bytes=HUGE // 2,
            )
            for name in ("content", "batch", "user")
            if urls.get(name, "set")
        }
        source = SunbirdCatalogue(Services(**made), FRESH, clock=self.time.clock, now=self.time.now)
        self._sources.append(source)
        return source

    def course(self, name: str = "class-1-maths") -> str:
        """A course that the content service has."""
        collection_id = self.id(name)
        self.services.trees[collection_id] = tree(collection_id, "single-digit-addition")
        return collection_id

    def batch(self, name: str = "batch-1", **more: Any) -> str:
        """A batch that the batch service has."""
        batch_id = self.id(name)
        self.services.batches[batch_id] = batch(batch_id, self.id("class-1-maths"), **more)
        return batch_id

    def learner(self, name: str = "rahul") -> str:
        """A learner whom the user service has."""
        user_id = self.id(name)
        self.services.users[user_id] = user(user_id)
        return user_id

    def passes(self, seconds: float) -> bool:
        """Time passes. For conditions that wait for a thread, which may look at the clock late."""
        self.time.seconds += seconds
        return True

    def forget(self) -> None:
        """Removes what this world left in the tables, once nothing of it is on its way."""
        until(lambda: not any(source._flights for source in self._sources))
        for model, key in (
            (Batch, "batch_id"),
            (Collection, "collection_id"),
            (Learner, "user_id"),
            (Fetch, "entry_id"),
        ):
            model._default_manager.filter(**{f"{key}__contains": self._own}).delete()


@pytest.fixture
def world(_databases: None) -> Iterator[World]:
    with neighbours() as services:
        made = World(services)
        yield made
    made.forget()


def names(source: SunbirdCatalogue, world: World) -> dict[str, Callable[[], str | None]]:
    """Of each kind, how to ask the source for one thing's name."""
    course, batch_id, user_id = world.id("class-1-maths"), world.id("batch-1"), world.id("rahul")

    def of(found: dict[str, Any], key: str, attribute: str) -> str | None:
        return getattr(found[key], attribute) if key in found else None

    def of_tree() -> str | None:
        found = source.tree(course)
        return found.node["name"] if found else None

    return {
        "content": lambda: of(source.collections([course]), course, "name"),
        "tree": of_tree,
        "batch": lambda: of(source.batches([batch_id]), batch_id, "name"),
        "user": lambda: of(source.profiles([user_id]), user_id, "first_name"),
    }


KINDS = {"content": FRESH.hierarchy, "tree": FRESH.hierarchy, "batch": FRESH.batch, "user": FRESH.profile}


def service_of(kind: str) -> str:
    return "content" if kind == "tree" else kind


def fill(world: World) -> None:
    """The neighbours have one thing of each kind."""
    world.course(), world.batch(), world.learner()


def rename(world: World, name: str) -> None:
    """Changes the names of everything the neighbours have."""
    for entries, key in (
        (world.services.trees, "name"),
        (world.services.batches, "name"),
        (world.services.users, "firstName"),
    ):
        for entry in entries.values():
            entry[key] = name


# --- fresh and old -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_fetched_once_and_kept_in_the_tables(world, kind):
    fill(world)
    ask = names(world.source(), world)[kind]
    first = ask()
    assert first
    assert [ask() for _ in range(5)] == [first] * 5
    assert world.services.calls() == 1
    assert world.services.headers[0]["Authorization"] == "Bearer abc"
    world.services.close()
    assert names(world.source(), world)[kind]() == first


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_old_is_answered_as_it_is_and_fetched_meanwhile(world, kind):
    fill(world)
    ask = names(world.source(), world)[kind]
    first = ask()
    rename(world, "Renamed")
    world.time.seconds += KINDS[kind] - 1
    assert ask() == first
    assert world.services.calls() == 1
    world.time.seconds += 1
    world.services.gate.clear()
    assert ask() == first  # the service has not answered yet, and nobody waits for it
    world.services.gate.set()
    until(lambda: ask() == "Renamed")
    assert world.services.calls() == 2


def test_another_process_sees_what_one_has_fetched(world):
    fill(world)
    one, other = names(world.source(), world), names(world.source(), world)
    for kind in ("content", "batch", "user"):
        assert one[kind]() == other[kind]()
    assert world.services.calls() == 3


def test_fresh_entries_cost_no_query_of_their_own(world, django_assert_num_queries):
    fill(world)
    source = world.source()
    asks = names(source, world)
    for ask in asks.values():
        ask()
    for ask in asks.values():
        with django_assert_num_queries(1):
            ask()
    with django_assert_num_queries(1):
        source.tree_version(world.id("class-1-maths"))


def test_a_changed_tree_bears_a_later_time_as_a_loaded_one_does(world):
    course = world.course()
    source = world.source()
    first = source.tree(course)

    def seen() -> int:
        return len(world.services.asked["content"])

    (changed,) = [at for one, at in source.changed_since(None) if one == course]
    until(lambda: world.passes(FRESH.hierarchy) and source.tree_version(course) and seen() >= 3)
    assert source.tree_version(course) == first.version  # the same tree again is no change
    world.services.trees[course] = tree(course, "single-digit-addition", "double-digit-addition")
    until(lambda: world.passes(FRESH.hierarchy) and source.tree_version(course) != first.version)
    assert len(source.tree(course).node["children"]) == 2
    assert [one for one, _ in source.changed_since(changed) if one == course]


def test_a_loaded_entry_is_brought_up_to_date_by_its_service(world):
    batch_id = world.batch()
    load(read_object({"batches": [{"batchId": batch_id, "courseId": world.id("class-1-maths"), "name": "Loaded"}]}))
    ask = names(world.source(), world)["batch"]
    assert ask() == "Loaded"
    until(lambda: ask() == "First")


def test_what_a_service_no_longer_has_is_kept(world):
    batch_id = world.batch()
    ask = names(world.source(), world)["batch"]
    assert ask() == "First"
    world.services.batches.clear()
    world.time.seconds += FRESH.batch
    assert ask() == "First"
    until(lambda: not Fetch.objects.get(kind=Fetch.Kind.BATCH, entry_id=batch_id).found)
    assert ask() == "First"
    assert len(world.services.asked["batch"]) == 2


def test_the_batches_of_a_collection_are_read_in_pages(world):
    course = world.course()
    for number in range(450):
        world.batch(f"batch-{number:03}")
    source = world.source()
    assert source.batch_ids_of(course) == sorted(world.services.batches)
    assert len(world.services.asked["batch"]) == 3
    assert len(source.batches(sorted(world.services.batches))) == 450
    assert source.batch_ids_of(course) == sorted(world.services.batches)
    assert len(world.services.asked["batch"]) == 3  # each of them came with the list


# --- unknown -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_id_is_asked_for_once_in_a_while(world, kind):
    ask = names(world.source(), world)[kind]
    assert [ask() for _ in range(5)] == [None] * 5
    assert world.services.calls() == 1
    world.time.seconds += UNKNOWN_SECONDS - 1
    fill(world)
    assert ask() is None
    world.time.seconds += 1
    assert ask()
    assert world.services.calls() == 2


def test_an_unknown_id_leaves_nothing_in_the_tables(world):
    source = world.source()
    assert source.batches([world.id("batch-1")]) == {}
    assert not Fetch.objects.filter(entry_id=world.id("batch-1")).exists()


@pytest.mark.parametrize("kind", KINDS)
def test_where_a_service_has_no_address_the_tables_answer(world, kind):
    fill(world)
    assert names(world.source(**{service_of(kind): ""}), world)[kind]() is None
    assert world.services.calls() == 0


# --- many at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_of_many_threads_one_asks_and_all_are_answered(world, kind):
    fill(world)
    world.services.gate.clear()
    ask = names(world.source(), world)[kind]
    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(in_a_thread, ask) for _ in range(64)]
        until(world.services.calls)
        world.services.gate.set()
        assert len({answer.result() for answer in answers}) == 1
        assert answers[0].result()
    assert world.services.calls() == 1


def test_whoever_just_missed_the_answer_has_it_all_the_same(world):
    source = world.source()
    batch_id = world.batch()
    others: list[dict[str, Any]] = []

    def after_reading(execute, sql, params, many, context):
        """The caller's first look into the tables is over when another caller's answer comes."""
        looked = execute(sql, params, many, context)
        if not others:
            with ThreadPoolExecutor(1) as pool:
                others.append(pool.submit(in_a_thread, partial(source.batches, [batch_id])).result())
        return looked

    with connection.execute_wrapper(after_reading):
        assert list(source.batches([batch_id])) == [batch_id]
    assert list(others[0]) == [batch_id]
    assert world.services.calls() == 1


def in_a_thread(ask: Callable[[], Any]) -> Any:
    """The answer, on a database connection that ends with it."""
    try:
        return ask()
    finally:
        connections.close_all()


def test_nobody_waits_longer_than_a_call_may_take(world):
    fill(world)
    world.services.behave("slow")
    source = world.source(SHORT)
    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        courses = [world.id(f"course-{number}") for number in range(16)]
        found = [pool.submit(in_a_thread, partial(source.tree, one)) for one in courses]
        assert [one.result() for one in found] == [None] * 16
    assert time.monotonic() - started < 10 * SHORT  # one after the other they were 16 and more


def test_a_caller_who_holds_the_database_does_not_wait(world):
    batch_id = world.batch()
    source = world.source()
    with transaction.atomic():
        assert source.batches([batch_id]) == {}
    assert world.services.calls() == 0
    assert source.batches([batch_id])


# --- how much is asked -------------------------------------------------------------------------------------------


def test_a_read_of_many_asks_for_a_few(world):
    courses = [world.course(f"course-{number:02}") for number in range(40)]
    source = world.source()
    found = source.collections(courses)
    assert sorted(found) == courses[:CALLS]
    assert len(world.services.asked["content"]) == CALLS
    world.time.seconds += RENEWED_SECONDS
    assert len(source.collections(courses)) == 2 * CALLS


def test_a_request_that_reads_often_asks_for_a_few(world):
    courses = [world.course(f"course-{number:02}") for number in range(40)]
    source = world.source()
    assert sum(source.tree(one) is not None for one in courses) == CALLS
    assert len(world.services.asked["content"]) == CALLS
    request_finished.send(sender=type(world))  # the next request of this thread
    assert sum(source.tree(one) is not None for one in courses) == 2 * CALLS


def test_a_request_waits_for_slow_answers_once(world):
    world.services.behave("slow")
    source = world.source(SHORT)
    started = time.monotonic()
    assert all(source.tree(world.id(f"course-{number}")) is None for number in range(20))
    assert time.monotonic() - started < 5 * SHORT


def test_learners_are_searched_for_a_hundred_at_once(world):
    learners = [world.learner(f"learner-{number:03}") for number in range(250)]
    source = world.source()
    assert sorted(source.profiles(learners)) == learners
    assert sorted(map(len, world.services.asked["user"])) == [50, 100, 100]
    source.profiles(learners)
    assert len(world.services.asked["user"]) == 3


def test_a_report_of_many_learners_asks_for_a_few_hundred(world):
    learners = [world.learner(f"learner-{number:04}") for number in range(1000)]
    source = world.source()
    assert len(source.profiles(learners)) == CALLS * 100
    assert len(world.services.asked["user"]) == CALLS


def test_a_bad_entry_of_a_search_hides_nobody_else(world):
    rahul, mallory = world.learner("rahul"), world.learner("mallory")
    world.services.users[mallory]["userLocations"] = "Karnataka"
    source = world.source()
    assert list(source.profiles([rahul, mallory])) == [rahul]
    assert list(source.profiles([mallory])) == []
    assert len(world.services.asked["user"]) == 1


# --- neighbours that let one down --------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_a_neighbour_does_the_last_answer_holds(world, failure):
    fill(world)
    before = {kind: ask() for kind, ask in names(world.source(), world).items()}
    assert all(before.values())
    world.time.seconds += 2 * max(KINDS.values())
    rename(world, "Renamed")
    world.services.close() if failure == "closed" else world.services.behave(failure)
    source = world.source(SHORT)
    asks = names(source, world)
    calls = world.services.calls()
    for _ in range(20):
        assert {kind: ask() for kind, ask in asks.items()} == before
        assert source.batches([world.id("no-batch")]) == {}
        assert source.tree(world.id("no-course")) is None
        assert source.profiles([world.id("nobody")]) == {}
        assert source.batch_ids_of(world.id("class-1-maths")) == [world.id("batch-1")]
    # Seven things were asked for, and each once more where its connection broke.
    assert world.services.calls() - calls <= 14


def test_after_a_failure_nobody_asks_for_a_while(world):
    fill(world)
    ask = names(world.source(), world)["batch"]
    world.services.behave("500")
    assert [ask() for _ in range(5)] == [None] * 5
    assert world.services.calls() == 1
    world.services.behave("")
    assert ask() is None
    world.time.seconds += RETRY_SECONDS
    assert ask() == "First"


def test_an_old_entry_that_could_not_be_fetched_is_tried_again_later(world):
    fill(world)
    ask = names(world.source(), world)["batch"]
    assert ask() == "First"
    world.time.seconds += FRESH.batch
    world.services.behave("500")
    rename(world, "Renamed")
    assert ask() == "First"
    until(lambda: world.services.calls() == 2)
    world.services.behave("")
    assert ask() == "First"
    assert world.services.calls() == 2
    until(lambda: world.passes(RETRY_SECONDS) and ask() == "Renamed")


def test_a_neighbour_that_fails_again_and_again_is_left_alone_and_then_tried(world, caplog):
    caplog.set_level(logging.INFO, "viewer.neighbours")
    world.services.behave("500")
    source = world.source()
    courses = [world.course(f"course-{number:02}") for number in range(12)]
    for course in courses[:-2]:
        assert source.tree(course) is None
        request_finished.send(sender=type(world))
    assert world.services.calls() == FAILURES_IN_A_ROW
    assert caplog.messages.count("neighbour failed") == FAILURES_IN_A_ROW
    world.time.seconds += OPEN_SECONDS
    world.services.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(in_a_thread, partial(source.tree, courses[-2]))
        until(lambda: world.services.calls() == FAILURES_IN_A_ROW + 1)
        assert source.tree(courses[-1]) is None  # one tries for all
        world.services.gate.set()
        assert trying.result() is None
    assert world.services.calls() == FAILURES_IN_A_ROW + 1
    world.services.behave("")
    world.time.seconds += OPEN_SECONDS
    assert all(source.tree(course) for course in courses[-3:])
    assert "neighbour answers again" in caplog.messages


def test_one_service_that_is_left_alone_leaves_the_others_be(world):
    fill(world)
    world.services.behaviour["content"] = "500"
    source = world.source()
    for number in range(FAILURES_IN_A_ROW):
        source.tree(world.id(f"course-{number}"))
    asks = names(source, world)
    assert asks["batch"]() == "First"
    assert asks["user"]() == "Rahul"


def test_bad_entries_of_a_service_that_works_leave_the_others_be(world):
    courses = [world.course(f"course-{number:02}") for number in range(FAILURES_IN_A_ROW + 2)]
    for course in courses[:-1]:
        world.services.trees[course]["children"] = "none"
    source = world.source()
    assert [one for one in courses if source.tree(one)] == courses[-1:]


def test_an_id_that_a_service_does_not_like_leaves_the_others_be(world):
    fill(world)
    source = world.source()
    world.services.behave("400")
    for number in range(FAILURES_IN_A_ROW + 1):
        assert source.batches([world.id(f"bad-{number}")]) == {}
    world.services.behave("")
    assert names(source, world)["batch"]() == "First"


def test_a_connection_that_breaks_is_made_once_more(world):
    first, second, third = (world.batch(f"batch-{number}") for number in range(3))
    source = world.source()
    assert source.batches([first])
    world.services.once = ["drop"]
    assert source.batches([second])
    assert world.services.calls() == 3
    world.services.once = ["drop", "drop"]
    assert source.batches([third]) == {}
    assert world.services.calls() == 5


def test_a_failure_is_told_without_the_learner(world, caplog):
    world.services.behave("500")
    caplog.set_level(logging.DEBUG, "viewer.neighbours")
    source = world.source()
    source.profiles([world.learner("rahul")])
    world.services.behave("")
    world.services.users[world.id("priya")] = user(world.id("priya"), userLocations="Karnataka")
    source.profiles([world.id("priya")])
    told = [vars(record) for record in caplog.records if record.name == "viewer.neighbours"]
    assert [one["message"] for one in told] == ["neighbour failed", "malformed answer of a neighbour"]
    assert not any(word in str(told) for word in ("rahul", "priya", "Karnataka", "abc"))


# --- processes ---------------------------------------------------------------------------------------------------


def test_a_restart_among_dead_neighbours_loses_nothing(world):
    fill(world)
    source = world.source()
    asks = names(source, world)
    before = {kind: ask() for kind, ask in asks.items()}
    listed = source.batch_ids_of(world.id("class-1-maths"))
    world.services.close()
    world.time.seconds += 10 * max(KINDS.values())
    after = world.source()
    assert {kind: ask() for kind, ask in names(after, world).items()} == before
    assert after.batch_ids_of(world.id("class-1-maths")) == listed
    assert after.tree(world.id("class-1-maths")) == OrmCatalogue().tree(world.id("class-1-maths"))


def test_a_forked_child_asks_on_connections_of_its_own(world):
    first, second, third = (world.batch(f"batch-{number}") for number in range(3))
    source = world.source()
    assert source.batches([first])  # on a connection that is kept
    world.services.gate.clear()
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if list(source.batches([second])) == [second] else 2
        finally:
            os._exit(code)
    until(lambda: world.services.calls() == 2)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(in_a_thread, partial(source.batches, [third]))
        until(lambda: world.services.calls() == 3)  # on one connection, the second call would wait for the first
        world.services.gate.set()
        assert list(found.result()) == [third]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert list(source.batches([second])) == [second]
    assert world.services.calls() == 3
