"""What is staged between the Cassandra store and its node: when a statement arrives, who stops, what a clock shows.

The node and the store are real. Whatever another process would do meanwhile is done where a statement is sent.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cassandra import ConsistencyLevel, OperationTimedOut
from django.conf import settings

from common.rows import ContextKey, RowKey
from tests import cassandra_statements
from viewer.store.cassandra import CassandraStore, cql, session

Learner = Callable[..., str]
Match = Callable[[Any], bool]
Answered = Callable[[Match, Exception], list[Any]]
Place = Callable[[timedelta], None]
DAY = timedelta(days=1)
EVERY = 100_000  # more marks or events than all tests leave behind


def forget(table: str) -> None:
    """Empties a table."""
    session.session().execute(f"TRUNCATE {cql.table(table)}", timeout=60)


def conditional(statement: Any) -> bool:
    """A conditional write of a row, a learner's marks, or both."""
    return " IF " in cassandra_statements.texts([statement])[0]


def serially(user_id: str) -> Match:
    """A serial read of this learner."""

    def match(statement: Any) -> bool:
        return statement.consistency_level == ConsistencyLevel.LOCAL_SERIAL and user_id.encode() in statement.values

    return match


def starting(text: str) -> Match:
    """A statement that begins so, `{keyspace}` filled in; a serial read is none."""
    text = text.format(keyspace=settings.CASSANDRA_KEYSPACE)

    def match(statement: Any) -> bool:
        serial = statement.consistency_level == ConsistencyLevel.LOCAL_SERIAL
        return not serial and cassandra_statements.texts([statement])[0].startswith(text)

    return match


class Killed(Exception):
    """The process ends here."""


def killed() -> None:
    """What a killed process does."""
    raise Killed


class Wire:
    """What is sent passes here. Steps are taken in their order, each at the first statement that matches it."""

    def __init__(self) -> None:
        self._send: Callable[..., Any] = session.session().execute_async
        self._steps: list[tuple[Match, Callable[[], object] | None]] = []
        self._held: list[Callable[[], Any]] = []
        self.sent: list[Any] = []

    def hold(self, match: Match) -> None:
        """The statement does not reach the node before `deliver`; the store is told that no answer came in time."""
        self._steps.append((match, None))

    def before(self, match: Match, do: Callable[[], object]) -> None:
        """`do` is done before the statement is sent."""
        self._steps.append((match, do))

    def deliver(self) -> None:
        """What was held reaches the node now."""
        self._held.pop()().result()

    def __call__(self, statement: Any, *given: Any, **named: Any) -> Any:
        """Sends a statement, as the session does."""
        self.sent.append(statement)
        if self._steps and self._steps[0][0](statement):
            _, do = self._steps.pop(0)
            if do is None:
                self._held.append(lambda: self._send(statement, *given, **named))
                raise OperationTimedOut
            do()
        return self._send(statement, *given, **named)

    def all_taken(self) -> bool:
        """Whether everything staged has happened."""
        return not self._steps


class Clock:
    """The clocks of a writer: its wall clock is off by `wall` seconds, and `passed` have passed since."""

    def __init__(self, wall: float = 0) -> None:
        self.wall = wall
        self.passed = 0.0

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.wall

    def monotonic(self) -> float:
        """Seconds since whenever."""
        return time.monotonic() + self.passed

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)  # as long as the code under test asks for, by its own clock


def due(store: CassandraStore) -> set[ContextKey]:
    """What a sweep finds now."""
    now = datetime.now(UTC)
    return {mark.key for mark in store.oldest_marks(EVERY, before=now + DAY, now=now)}


def own_batch(learner: Learner) -> RowKey:
    """A row in a batch that nobody else is in."""
    return RowKey(learner(), learner("course"), learner("batch"), "do_1")


# When a write that was given up may arrive.
MOMENTS: dict[str, Match] = {
    "before it is read again": starting("SELECT "),
    "before it is tried again": conditional,
}
