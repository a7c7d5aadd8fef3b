"""What each hot path costs in SQL statements: asserted exactly, so that a second round trip is a decision.

A statement is written as "verb table"; one that also writes the mark and the context of the row is named with them.
`begin` and `commit` are round trips on PostgreSQL, and calls into the process on SQLite.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from common import timestamps
from common.identity import Caller
from common.rows import RowKey
from modes import instance
from tests.redis_server import Proxy, RedisServer, heal, on_redis
from tests.viewer.events import at, view
from viewer import reading, services, statusmap
from viewer.inputs import ReadInput, StartInput
from viewer.lifecycle import Outcome, Verb, ViewEvent
from viewer.statusmap.state import states
from viewer.store import get_store
from viewer.store.orm import OrmStore

UCC, MARKS, AGGS = "user_content_consumption", "stale_marks", "user_activity_agg"
START, UPDATE, END = view(Verb.START, 0), view(Verb.UPDATE, 1, timespent=5.0), view(Verb.END, 2)
SHAPE = re.compile(
    r"(?:(?P<times>\d+) times: )?(?:WITH written AS \()?"
    r"(?P<verb>BEGIN|COMMIT|INSERT INTO|UPDATE|DELETE FROM|SELECT\b.*? FROM)(?: IMMEDIATE)?\s*(?P<table>\w*)",
    re.DOTALL,
)


def shape(statement: str) -> str:
    """ "insert user_contexts" for INSERT INTO user_contexts …; "3 x …" for one sent with three rows of values."""
    found = SHAPE.match(statement)
    assert found, statement
    followers = {"marked AS (": "mark", "placed AS (": "context"}
    followed = [name for clause, name in followers.items() if clause in statement]
    told = " ".join(part for part in (found["verb"].split()[0].lower(), found["table"]) if part)
    times = f"{found['times']} x " if found["times"] else ""
    return times + " + ".join([told, *followed])


@pytest.fixture
def store(sql_store: OrmStore) -> OrmStore:
    """On SQL, where statements can be counted; tests/contract/test_cassandra_statements.py counts the others."""
    return sql_store


@contextmanager
def statements(store: OrmStore) -> Iterator[list[str]]:
    """The shapes of what is sent while the block runs."""
    connection = connections[store._db.using]
    connection.ensure_connection()  # a new connection asks things of its own
    told: list[str] = []
    with CaptureQueriesContext(connection) as caught:
        yield told
    told += [shape(one["sql"]) for one in caught]


@pytest.fixture
def key(learner: Callable[..., str]) -> RowKey:
    return RowKey(learner(), "class-1-maths", "batch-1", "single-digit-addition")


def costs(store: OrmStore, sqlite: list[str], postgres: list[str]) -> list[str]:
    return postgres if store._db.dialect.name == "postgresql" else sqlite


def test_a_first_start(store: OrmStore, key: RowKey) -> None:
    with statements(store) as sent:
        assert store.apply(key, START).outcome is Outcome.APPLIED
    assert sent == costs(
        store,
        sqlite=[
            "begin",
            f"insert {UCC}",  # the row, unless it or its kept completion is there
            f"insert {MARKS}",  # the reason to fold its context
            "insert user_contexts",  # the context among the learner's contexts
            "commit",
        ],
        postgres=[f"insert {UCC} + mark + context"],  # all three in one round trip
    )


def test_a_repeated_start(store: OrmStore, key: RowKey) -> None:
    store.apply(key, START)
    with statements(store) as sent:
        assert store.apply(key, START).outcome is Outcome.OLDER
    assert sent == costs(
        store,
        sqlite=[
            "begin",
            f"insert {UCC}",  # finds the row there
            "commit",
            f"select {UCC}",  # why nothing was written
            f"insert {MARKS}",  # only where the aggregate has not seen the row and no mark waits
        ],
        postgres=[f"insert {UCC} + mark + context", f"select {UCC}", f"insert {MARKS}"],  # as on SQLite
    )


def test_a_start_that_brings_details_to_a_started_row(store: OrmStore, key: RowKey) -> None:
    store.apply(key, START)
    with statements(store) as sent:
        assert store.apply(key, view(Verb.START, 1, details={"page": 3})).outcome is Outcome.APPLIED
    assert sent == costs(
        store,
        sqlite=[
            *["begin", f"insert {UCC}", "commit"],  # finds the row there
            *["begin", f"update {UCC}", f"insert {MARKS}", "commit"],  # merges the details, marks the context
        ],
        postgres=[f"insert {UCC} + mark + context", f"update {UCC} + mark"],
    )


@pytest.mark.parametrize(
    "event",
    [UPDATE, view(Verb.UPDATE, 1, details={"progress": 40}, identity="e:1")],
    ids=["time spent", "details and an id"],
)
def test_an_update(store: OrmStore, key: RowKey, event: ViewEvent) -> None:
    store.apply(key, START)
    with statements(store) as sent:
        assert store.apply(key, event).outcome is Outcome.APPLIED
    assert sent == [f"update {UCC}"]  # an update is no reason to fold: neither mark nor transaction


def test_an_update_of_a_completed_row(store: OrmStore, key: RowKey) -> None:
    for event in (START, END):
        store.apply(key, event)
    with statements(store) as sent:
        assert store.apply(key, UPDATE).outcome is Outcome.OLDER
    assert sent == [
        f"update {UCC}",  # finds no row in progress
        f"select {UCC}",  # why nothing was written
        f"insert {MARKS}",  # only where the aggregate has not seen the row and no mark waits
    ]


def test_an_end(store: OrmStore, key: RowKey) -> None:
    store.apply(key, START)
    with statements(store) as sent:
        assert store.apply(key, END).outcome is Outcome.APPLIED
    assert sent == costs(
        store,
        sqlite=["begin", f"update {UCC}", f"insert {MARKS}", "commit"],  # completes the row, marks its context
        postgres=[f"update {UCC} + mark"],  # both in one round trip
    )


def test_a_repeated_end(store: OrmStore, key: RowKey) -> None:
    for event in (START, END):
        store.apply(key, event)
    with statements(store) as sent:
        assert store.apply(key, END).outcome is Outcome.OLDER
    assert sent == costs(
        store,
        sqlite=[
            "begin",
            f"update {UCC}",  # finds the row completed
            "commit",
            f"select {UCC}",  # why nothing was written
            f"insert {MARKS}",  # only where the aggregate has not seen the row and no mark waits
        ],
        postgres=[f"update {UCC} + mark", f"select {UCC}", f"insert {MARKS}"],  # as on SQLite
    )


def test_an_end_without_a_start(store: OrmStore, key: RowKey) -> None:
    with statements(store) as sent:
        assert store.apply(key, END).outcome is Outcome.NOT_STARTED
    assert sent == costs(
        store,
        sqlite=[
            *["begin", f"update {UCC}", "commit"],  # finds no row
            f"select {UCC}",  # makes sure
            f"select {AGGS}",  # an archived or imported completion has no row
        ],
        postgres=[f"update {UCC} + mark", f"select {UCC}", f"select {AGGS}"],  # as on SQLite
    )


def test_a_forced_end_without_a_start(store: OrmStore, key: RowKey) -> None:
    with statements(store) as sent:
        assert store.apply(key, view(Verb.END, 2, force=True)).outcome is Outcome.APPLIED
    assert sent == costs(
        store,
        sqlite=[
            *["begin", f"update {UCC}", "commit"],  # finds no row
            *["begin", f"insert {UCC}", f"insert {MARKS}", "insert user_contexts", "commit"],  # makes it, completed
        ],
        postgres=[f"update {UCC} + mark", f"insert {UCC} + mark + context"],
    )


def test_a_forced_end_of_a_started_row_is_an_end(store: OrmStore, key: RowKey) -> None:
    store.apply(key, START)
    with statements(store) as sent:
        store.apply(key, view(Verb.END, 2, force=True))
    assert sent == costs(
        store,
        sqlite=["begin", f"update {UCC}", f"insert {MARKS}", "commit"],
        postgres=[f"update {UCC} + mark"],
    )


@pytest.mark.usefixtures("_databases")
def test_postgresql_plans_a_statement_once_and_not_each_time(key: RowKey) -> None:
    store = OrmStore(using="postgres")
    store.apply(key, START)
    for second in range(1, 8):
        store.apply(key, view(Verb.UPDATE, second, timespent=5.0))
    told = "SELECT count(*) FROM pg_prepared_statements WHERE starts_with(statement, %s)"
    with connections["postgres"].cursor() as cursor:
        cursor.execute(told, [f"UPDATE {UCC}"])
        assert cursor.fetchone()[0] >= 1


def fifty(key: RowKey) -> list[tuple[RowKey, ViewEvent]]:
    """A start and an end of 25 contents."""
    return [
        (key._replace(content_id=f"content-{number // 2}"), view(verb, number, identity=f"e:{number}"))
        for number, verb in enumerate([Verb.START, Verb.END] * 25)
    ]


def test_a_sync_of_50_events(store: OrmStore, key: RowKey) -> None:
    with statements(store) as sent:
        applied = [one.outcome for one in store.apply_all(key.user_id, fifty(key))]
    assert applied == [Outcome.APPLIED] * 50
    assert sent == [
        "begin",
        f"select {UCC}",  # every row the events are about, locked
        f"select {AGGS}",  # what only the aggregates keep
        f"25 x insert {UCC}",  # the new rows, each as its last event left it
        f"insert {MARKS}",  # one for each context, here the one
        "insert user_contexts",  # new among the learner's contexts
        "commit",
    ]


def test_a_sync_of_50_events_to_rows_that_are_there(store: OrmStore, key: RowKey) -> None:
    starts, ends = fifty(key)[::2], fifty(key)[1::2]
    store.apply_all(key.user_id, starts)
    with statements(store) as sent:
        store.apply_all(key.user_id, ends)
    assert sent == [
        "begin",
        f"select {UCC}",  # every row the events are about, locked
        f"select {AGGS}",  # what only the aggregates keep
        f"25 x insert {UCC}",  # over the rows that were there
        f"insert {MARKS}",  # one for each context, here the one, which is known among the learner's contexts
        "commit",
    ]


def test_a_sync_sent_again(store: OrmStore, key: RowKey) -> None:
    store.apply_all(key.user_id, fifty(key))
    with statements(store) as sent:
        applied = [one.outcome for one in store.apply_all(key.user_id, fifty(key))]
    assert applied == [Outcome.DUPLICATE] * 50
    assert sent == [
        "begin",
        f"select {UCC}",  # the rows, which know these events
        f"select {AGGS}",  # has the aggregate seen them?
        f"insert {MARKS}",  # it has not
        "commit",
    ]


def test_a_sync_of_nothing(store: OrmStore, key: RowKey) -> None:
    with statements(store) as sent:
        assert store.apply_all(key.user_id, []) == []
    assert sent == []


@pytest.fixture
def default_store(_databases: None) -> OrmStore:
    """The store the service's own calls use."""
    store = get_store()
    assert isinstance(store, OrmStore)
    return store


@pytest.fixture
def sixteen(default_store: OrmStore, key: RowKey) -> list[RowKey]:
    """Sixteen started contents whose context waits for no fold."""
    keys = [key._replace(content_id=f"content-{number:02d}") for number in range(16)]
    default_store.apply_all(key.user_id, [(one, START) for one in keys])
    for mark in default_store.marks(key.user_id):
        assert default_store.clear_mark(mark)
    return keys


def read(store: OrmStore, key: RowKey, contents: list[str] | None) -> list[str]:
    """What one view/read sends; all sixteen contents must be in its answer."""
    given = ReadInput(
        user_id=key.user_id, collection_id=key.collection_id, context_id=key.context_id, content_id=contents
    )
    instance.current()  # one more statement, once a second
    with statements(store) as sent:
        answer = reading.read(Caller(None), given, at(5))
    assert [item["status"] for item in answer["contents"]].count(1) == 16
    return sent


def test_a_read_of_16_contents(default_store: OrmStore, sixteen: list[RowKey]) -> None:
    assert read(default_store, sixteen[0], [key.content_id for key in sixteen]) == [
        f"select {MARKS}",  # does a context wait for its fold?
        f"select {UCC}",  # the rows
        "select assessment_aggregator",  # the attempts
        f"select {AGGS}",  # what only the aggregate keeps
    ]


def test_a_read_of_a_whole_batch(default_store: OrmStore, sixteen: list[RowKey]) -> None:
    read(default_store, sixteen[0], None)  # remembers the collection's tree, or that there is none
    assert read(default_store, sixteen[0], None) == [
        f"select {MARKS}",  # does the context wait for its fold?
        f"select {AGGS}",  # what only the aggregate keeps
        f"select {UCC}",  # the rows
        "select assessment_aggregator",  # the attempts
        "select user_enrolments",  # read with the sources of every fold
    ]


ANSWER_SECONDS = 0.3  # of the slowed Redis; a call that waits for one answer of it takes less than two


@pytest.fixture
def slow_redis(_databases: None, tmp_path: Path) -> Iterator[Proxy]:
    """The status map is on, and each of its round trips can be told by the time it takes."""
    server = RedisServer(tmp_path)
    server.start()
    proxy = Proxy(server.port)
    with on_redis(proxy.url):
        heal()
        yield proxy
    proxy.cut()
    server.kill()


@contextmanager
def one_round_trip(proxy: Proxy) -> Iterator[None]:
    """Sees to it that the block waits for Redis exactly once. Connections are there; state and mode were just read."""
    instance.current()
    states.forget()
    states.current()
    proxy.delay = ANSWER_SECONDS
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    proxy.delay = 0.0
    assert ANSWER_SECONDS <= seconds < 2 * ANSWER_SECONDS


@pytest.mark.parametrize("whole", [True, False], ids=["a whole batch", "16 contents"])
def test_a_read_that_the_status_map_answers(
    slow_redis: Proxy, default_store: OrmStore, sixteen: list[RowKey], whole: bool
) -> None:
    contents = None if whole else [key.content_id for key in sixteen]
    read(default_store, sixteen[0], contents)  # fills the map
    with one_round_trip(slow_redis):
        assert read(default_store, sixteen[0], contents) == []


def test_a_write_that_the_status_map_is_told(slow_redis: Proxy, default_store: OrmStore, key: RowKey) -> None:
    given = StartInput(
        user_id=key.user_id, content_id="sum", collection_id=key.collection_id, context_id=key.context_id
    )

    def start(content_id: str) -> None:
        given.content_id = content_id
        services.record(Caller(None), Verb.START, given, msgid=None, fields={}, now=timestamps.now())

    start("song")
    reading.read(Caller(None), ReadInput(user_id=key.user_id, collection_id=key.collection_id), at(5))
    with statements(default_store) as sent, one_round_trip(slow_redis):
        start("story")
    looked = ["select modes_instance", "select status_map"]  # each once a second, here before
    assert [statement for statement in sent if statement not in looked] == [
        "begin",
        f"insert {UCC}",
        f"insert {MARKS}",
        "insert user_contexts",
        "commit",
    ]


def test_a_read_that_the_status_map_does_not_answer(
    slow_redis: Proxy, default_store: OrmStore, sixteen: list[RowKey]
) -> None:
    read(default_store, sixteen[0], None)
    with statusmap.writing([sixteen[0].user_id]) as written:
        written.forget()
    assert read(default_store, sixteen[0], None) == [
        f"select {MARKS}",  # does the context wait for its fold?
        f"select {AGGS}",  # what only the aggregate keeps
        f"select {UCC}",  # the rows
        "select assessment_aggregator",  # the attempts
        "select user_enrolments",  # read with the sources of every fold
    ]
