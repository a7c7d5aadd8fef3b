"""The store contract on SQLite, PostgreSQL and Cassandra: `store` (tests/conftest.py) is the adapter on each."""

from tests.contract.store_contract import (
    ConcurrencyContract,
    ImportContract,
    KeptContract,
    LifecycleContract,
    MarkContract,
    ReadContract,
)


class TestLifecycle(LifecycleContract):
    """On each database."""


class TestKept(KeptContract):
    """On each database."""


class TestMarks(MarkContract):
    """On each database."""


class TestConcurrency(ConcurrencyContract):
    """On each database."""


class TestReads(ReadContract):
    """On each database."""


class TestImports(ImportContract):
    """On each database."""
