"""One SQL database as the stores use it: statements in, rows out, errors in the port's words."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, TypeVar

from django.db import OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from common.database import available
from common.errors import Unavailable
from viewer.store import sql

ResultT = TypeVar("ResultT")
MAX_TRIES = 10
LOCK_WAIT = "200ms"
logger = logging.getLogger("viewer.store")
_sqlite_writers = threading.RLock()


def register_functions(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Gives a SQLite connection the function the statements need; `connection_created` calls it (viewer.apps)."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("viewer_merge", 2, sql.merge_json, deterministic=True)


class LostRace(Exception):
    """Another writer was between our read and our write; whoever catches it reads again."""


def _lost_to_another(error: OperationalError) -> bool:
    """True where the database undid our transaction for another one's sake.

    A deadlock, a serialisation failure, or a lock that was not had in time.
    """
    return getattr(error.__cause__, "sqlstate", None) in {"40P01", "40001", "55P03"}


class Database:
    """Runs statements on the database with the alias `using`."""

    def __init__(self, using: str) -> None:
        self.using = using

    @cached_property
    def dialect(self) -> sql.Dialect:
        """How this database spells things."""
        return sql.POSTGRESQL if connections[self.using].vendor == "postgresql" else sql.SQLITE

    def turn(self) -> AbstractContextManager[object]:
        """This thread's turn to write.

        SQLite has one writer at a time and lets the others poll for the lock, at growing intervals and in no order.
        A queue in the process is fair (p99 of 16 writers: 245 -> 70 ms), and only other processes have to poll.
        """
        return nullcontext() if self.dialect.one_statement else _sqlite_writers

    def atomic(self) -> AbstractContextManager[object]:
        """A transaction."""
        return transaction.atomic(using=self.using)

    def retried(self, work: Callable[[], ResultT]) -> ResultT:
        """`work` in a transaction of its own; again when another writer was in between. Raises Unavailable."""
        with available(), self.turn():
            for left in reversed(range(MAX_TRIES)):
                try:
                    with self.atomic():
                        return work()
                except (LostRace, OperationalError) as error:
                    if isinstance(error, OperationalError) and not _lost_to_another(error):
                        raise
                    if not left:
                        raise Unavailable("Too many writers on the same rows; try again") from None
        raise AssertionError("unreachable")

    def unless_lost(self, work: Callable[[], object]) -> bool:
        """Does `work` in a transaction; False when another writer was in between, and then nothing is done."""
        with available(), self.turn():
            try:
                with self.atomic():
                    work()
            except LostRace:
                return False
            except OperationalError as error:
                if not _lost_to_another(error):
                    raise
                return False
        return True

    def be_impatient(self) -> None:
        """Has the rest of this transaction give up on a lock after LOCK_WAIT, as lost to whoever holds it."""
        if self.dialect.one_statement:
            self.all("SELECT set_config('lock_timeout', %s, true)", [LOCK_WAIT])

    def one(self, statement: str, values: sql.Values) -> Sequence[Any]:
        """The first row of a statement that always has one."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement, sql.adapt(self.dialect, values))
            found: Sequence[Any] = cursor.fetchone()
            return found

    def execute(self, statement: str, values: sql.Values) -> int:
        """The number of rows the statement wrote."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement, sql.adapt(self.dialect, values))
            return int(cursor.rowcount)

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        """The number of rows written by the statement for all `rows`.

        One row is not sent as a pipeline: a task's time limit that interrupts one is reported as a broken connection.
        """
        if len(rows) == 1:
            return self.execute(statement, rows[0])
        with connections[self.using].cursor() as cursor:
            cursor.executemany(statement, [sql.adapt(self.dialect, row) for row in rows])
            return int(cursor.rowcount)

    def all(self, statement: str, values: sql.Values) -> list[Any]:
        """Every row of the statement."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement, sql.adapt(self.dialect, values))
            return list(cursor.fetchall())

    def streamed(self, statement: str, values: sql.Values, chunk: int = 1000) -> Iterator[Any]:
        """The rows one by one, fetched `chunk` at a time."""
        with connections[self.using].chunked_cursor() as cursor:
            cursor.execute(statement, sql.adapt(self.dialect, values))
            while rows := cursor.fetchmany(chunk):
                yield from rows
