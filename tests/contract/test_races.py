"""The race contract on SQLite, PostgreSQL and Cassandra: `store` (tests/conftest.py) is the adapter on each."""

from tests.contract.race_contract import FoldRaceContract, MarkRaceContract, ThawContract, TogetherContract


class TestMarkRaces(MarkRaceContract):
    """On each database."""


class TestFoldRaces(FoldRaceContract):
    """On each database."""


class TestThaw(ThawContract):
    """On each database."""


class TestTogether(TogetherContract):
    """On each database."""
