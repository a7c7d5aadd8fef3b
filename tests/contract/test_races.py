"""The race contract on SQLite and PostgreSQL: `store` (tests/conftest.py) is the adapter on each."""

from tests.contract.race_contract import FoldRaceContract, MarkRaceContract, ThawContract


class TestMarkRaces(MarkRaceContract):
    """On SQL."""


class TestFoldRaces(FoldRaceContract):
    """On SQL."""


class TestThaw(ThawContract):
    """On SQL."""
