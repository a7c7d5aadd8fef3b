"""The carry contract on SQLite, PostgreSQL and Cassandra: `store` (tests/conftest.py) is the adapter on each."""

from collections.abc import Callable

from django.db import connections
from django.test.utils import CaptureQueriesContext

from tests.contract.carry_contract import (
    CarryContract,
    CarryRaceContract,
    CarryReadContract,
    TakeBackContract,
    carry_of,
    undo_of,
)
from tests.contract.store_contract import key_of
from tests.viewer.events import at
from viewer.store.orm import OrmStore


class TestCarry(CarryContract):
    """On each database."""


class TestCarryRaces(CarryRaceContract):
    """On each database."""


class TestTakeBack(TakeBackContract):
    """On each database."""


class TestCarryReads(CarryReadContract):
    """On each database."""


def test_what_a_carry_costs_on_sql(sql_store: OrmStore, learner: Callable[..., str]) -> None:
    alone, scored = carry_of(key_of(learner())), carry_of(key_of(learner()), 0, "p-1", "a-1")

    def verbs(call: Callable[[], object]) -> list[str]:
        with CaptureQueriesContext(connections[sql_store._db.using]) as queries:
            assert call()
        told = [query["sql"].split()[0] for query in queries]
        return [verb for verb in told if verb not in {"BEGIN", "COMMIT"}]

    # The row, its record, the mark and the context; with attempts a locking read and what is new of them.
    assert verbs(lambda: sql_store.carry([alone], at(30))) == ["INSERT"] * 4
    assert verbs(lambda: sql_store.carry([scored], at(30))) == ["INSERT", "INSERT", "SELECT", *["INSERT"] * 3]
    assert verbs(lambda: sql_store.take_back(undo_of(scored), at(60))) == [
        "DELETE",
        "INSERT",
        "DELETE",
        *["INSERT"] * 2,
    ]
