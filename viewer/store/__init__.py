"""The store of learners' rows: one port, one adapter for each kind of database, chosen by the environment."""

from functools import cache

from viewer.store.orm import OrmStore
from viewer.store.port import Applied, ImportBatch, Store

__all__ = ["Applied", "ImportBatch", "Store", "get_store"]


@cache
def get_store() -> Store:
    """This instance's store; shared by all requests of the process."""
    return OrmStore()
