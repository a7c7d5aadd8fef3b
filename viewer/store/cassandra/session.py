"""One process's session with Cassandra: prepared statements in, rows out, errors in the port's words.

The connection is django-cassandra-engine's, made at the first statement and made anew in a forked child: a session
from before a fork never answers in the child. Statements are prepared once per session.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC
from typing import Any, TypeVar

from cassandra import ConsistencyLevel, DriverException, RequestValidationException
from cassandra import Unavailable as TooFewReplicas
from cassandra.cluster import NoHostAvailable, ResponseFuture, Session
from cassandra.connection import ConnectionException
from cassandra.cqlengine import connection as registry
from cassandra.policies import RetryPolicy
from cassandra.protocol import ErrorMessage
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement
from django.conf import settings
from django.db import connections

from common.errors import Unavailable
from common.timestamps import to_epoch_ms

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
logger = logging.getLogger("viewer.store")
AT_ONCE = 64  # statements in flight for one call
WORKERS = 8  # pieces of work done side by side
PAGE = 1000  # rows fetched at a time
SERVER_TIME = "SELECT toTimestamp(now()) FROM system.local"
LOST = (NoHostAvailable, DriverException, ConnectionException, ErrorMessage)
"""What the driver raises where a statement was not answered; a newer server's errors come as a bare ErrorMessage."""
Values = Sequence[Any]
Call = tuple[str, Values] | tuple[str, Values, int]
"""A statement and its values, and its consistency where that is another than the configured one."""


class UnknownOutcome(Exception):
    """A conditional write whose answer was lost: it may have taken place, or take place later."""


class _NeverAgain(RetryPolicy):  # type: ignore[misc]
    """A conditional write is sent once: sent again, it would be answered as if another writer had been first."""

    def on_request_error(self, *_: Any, **__: Any) -> tuple[int, None]:
        return self.RETHROW, None

    def on_write_timeout(self, *_: Any, **__: Any) -> tuple[int, None]:
        return self.RETHROW, None

    def on_read_timeout(self, *_: Any, **__: Any) -> tuple[int, None]:
        return self.RETHROW, None


@contextmanager
def available() -> Iterator[None]:
    """Turns a cluster that does not answer into Unavailable: no driver error passes the port."""
    try:
        yield
    except RequestValidationException:
        raise  # a statement of ours is wrong
    except (*LOST, UnknownOutcome) as error:
        logger.warning("store unavailable", extra={"error": str(error).strip()})
        raise Unavailable("The store does not answer; nothing was acknowledged, try again") from error


class _Process:
    """The session of this process and what was prepared on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._pid = 0
        self._prepared: dict[str, PreparedStatement] = {}

    def session(self) -> Session:
        """The session; connects where this process has none. Raises the driver's errors."""
        if self._session is None or self._pid != os.getpid():
            with self._lock:
                if self._session is None or self._pid != os.getpid():
                    self._connect()
        assert self._session is not None
        return self._session

    def _connect(self) -> None:
        alias = settings.CASSANDRA
        if self._pid not in {0, os.getpid()}:
            # A parent's cluster cannot be shut down here: its threads did not come along.
            registry._connections.pop(alias, None)
            engine: Any = connections[alias]
            engine.connected = False
            self._session, self._prepared = None, {}
        connections[alias].connect()
        self._session = registry.get_session(alias)
        atexit.unregister(self.close)
        atexit.register(self.close)  # only now, because it has to run before the driver's own
        self._pid = os.getpid()

    def prepared(self, text: str) -> PreparedStatement:
        """The statement, prepared on this session."""
        session = self.session()
        found = self._prepared.get(text)
        if found is None:
            found = self._prepared[text] = session.prepare(text)
        return found

    def close(self) -> None:
        """Ends the session in order, where this process made it."""
        if self._session is not None and self._pid == os.getpid():
            self._session.cluster.shutdown()


_never_again = _NeverAgain()
_process = _Process()
os.register_at_fork(after_in_child=lambda: setattr(_process, "_lock", threading.Lock()))


def session() -> Session:
    """This process's session, for tests and tools that look at statements."""
    return _process.session()


def bound(text: str, values: Values, consistency: int | None = None) -> BoundStatement:
    """`text` with its values; `consistency`: another than the configured one."""
    statement = _process.prepared(text).bind(values)
    if consistency is not None:
        statement.consistency_level = consistency
    statement.fetch_size = PAGE
    return statement


def start(text: str, values: Values, consistency: int | None = None) -> ResponseFuture:
    """Sends a statement; the answer is awaited later."""
    return _process.session().execute_async(
        bound(text, values, consistency), execution_profile=settings.CASSANDRA_PROFILE
    )


def run(text: str, values: Values, consistency: int | None = None) -> list[Any]:
    """All rows of a statement."""
    return list(start(text, values, consistency).result())


def serial(text: str, values: Values) -> list[Any]:
    """All rows of one partition, read after every conditional write that is under way there."""
    return run(text, values, ConsistencyLevel.LOCAL_SERIAL)


def together(calls: Sequence[Call]) -> list[list[Any]]:
    """The rows of each statement, in order; at most AT_ONCE are in flight."""
    return list(each(calls))


def each(calls: Iterable[Call]) -> Iterator[list[Any]]:
    """As `together`, one by one: holds no more answers than are in flight."""
    waiting: list[ResponseFuture] = []
    for call in calls:
        if len(waiting) >= AT_ONCE:
            yield list(waiting.pop(0).result())
        waiting.append(start(*call))
    for future in waiting:
        yield list(future.result())


def side_by_side(work: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> list[ResultT]:
    """What `work` gives for each item, several at a time: for work that is many statements one after another."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(WORKERS, len(items))) as pool:
        return list(pool.map(work, items))


def streamed(text: str, values: Values, page: int = PAGE) -> Iterator[Any]:
    """The rows one by one; the driver fetches `page` at a time. The statement is sent at once."""
    statement = bound(text, values)
    statement.fetch_size = page
    future = _process.session().execute_async(statement, execution_profile=settings.CASSANDRA_PROFILE)

    def rows() -> Iterator[Any]:
        yield from future.result()

    return rows()


def ringed(table: str, column: str, after: str | None, limit: int) -> list[tuple[int, str]]:
    """The next partitions of a table in the order of the ring, each with its place: what names no partition.

    For commands that walk every learner; one page of keys, never rows.
    """
    text = f"SELECT DISTINCT token({column}), {column} FROM {settings.CASSANDRA_KEYSPACE}.{table}"
    if after is None:
        return [tuple(row) for row in run(f"{text} LIMIT ?", (limit,))]
    return [tuple(row) for row in run(f"{text} WHERE token({column}) > token(?) LIMIT ?", (after, limit))]


def conditional(statements: Sequence[BoundStatement]) -> bool:
    """Sends one conditional write of one partition; True where its conditions held. Raises UnknownOutcome."""
    whole: BoundStatement | BatchStatement = statements[0]
    if len(statements) > 1:
        whole = BatchStatement(BatchType.UNLOGGED)
        whole.add_all(statements, [None] * len(statements))
    whole.retry_policy = _never_again
    try:
        answer = _process.session().execute(whole, execution_profile=settings.CASSANDRA_PROFILE)
    except (RequestValidationException, NoHostAvailable, TooFewReplicas):
        raise  # it was not tried
    except LOST as error:
        raise UnknownOutcome from error
    return bool(answer.one()[0])


def server_time_ms() -> int:
    """The clock of whichever node answers, in ms since 1970."""
    return to_epoch_ms(run(SERVER_TIME, ())[0][0].replace(tzinfo=UTC))


def settled(write: Callable[[], bool], took_place: Callable[[], bool | None]) -> bool:
    """What `write` answers; where its answer was lost, what `took_place` finds out. Raises Unavailable for neither.

    took_place: False where it has not taken place yet: it still may, unless the caller writes under the same condition;
    None where another writer came after ours, or instead of it, and nobody can tell which.
    """
    try:
        return write()
    except UnknownOutcome:
        told = took_place()
    if told is None:
        raise Unavailable("The store did not say whether this was written; try again")
    return told
