"""The relocation contract on SQLite, PostgreSQL and Cassandra: `store` (tests/conftest.py) is the adapter on each."""

from collections.abc import Callable

from django.db import connections
from django.test.utils import CaptureQueriesContext

from tests.contract.relocation_contract import (
    RecordContract,
    RefusedRelocationContract,
    RelocationContract,
    RelocationRaceContract,
    RemoveAttemptsContract,
    begun,
    move_of,
)
from tests.viewer.events import at
from viewer.store.orm import OrmStore


class TestRelocation(RelocationContract):
    """On each database."""


class TestRefusedRelocation(RefusedRelocationContract):
    """On each database."""


class TestRelocationRaces(RelocationRaceContract):
    """On each database."""


class TestRemoveAttempts(RemoveAttemptsContract):
    """On each database."""


class TestRecords(RecordContract):
    """On each database."""


def test_what_a_move_costs_on_sql(sql_store: OrmStore, learner: Callable[..., str]) -> None:
    user_id = learner()
    moved = move_of(begun(sql_store, user_id, [f"do_{number}" for number in range(50)]))
    with CaptureQueriesContext(connections[sql_store._db.using]) as queries:
        assert sql_store.move_rows(moved, at(30))
    # A locking read; what is new and what is gone; the marks of both contexts and the new one among the learner's.
    # What is sent once for each of many rows is told as "50 times: INSERT …".
    told = [query["sql"].partition(" times: ")[-1] or query["sql"] for query in queries]
    assert [text.split()[0] for text in told] == ["BEGIN", "SELECT", "INSERT", "DELETE", "INSERT", "INSERT", "COMMIT"]
