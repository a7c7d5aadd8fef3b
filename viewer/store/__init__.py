"""The store of learners' rows: one port, and an adapter for each kind of database.

VIEWER_STORE names the adapter; the settings refuse a name there is no adapter for, and so far there is one.
"""

from functools import cache

from viewer.store.orm import OrmStore
from viewer.store.port import Applied, ImportBatch, Store

__all__ = ["Applied", "ImportBatch", "Store", "get_store"]


@cache
def get_store() -> Store:
    """This instance's store; shared by all requests of the process."""
    return OrmStore()
