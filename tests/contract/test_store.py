"""The store contract on SQLite and PostgreSQL: `store` (tests/conftest.py) is the adapter on each."""

from tests.contract.store_contract import (
    ConcurrencyContract,
    ImportContract,
    KeptContract,
    LifecycleContract,
    MarkContract,
    ReadContract,
)


class TestLifecycle(LifecycleContract):
    """On SQL."""


class TestKept(KeptContract):
    """On SQL."""


class TestMarks(MarkContract):
    """On SQL."""


class TestConcurrency(ConcurrencyContract):
    """On SQL."""


class TestReads(ReadContract):
    """On SQL."""


class TestImports(ImportContract):
    """On SQL."""
