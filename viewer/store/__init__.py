"""The store of learners' rows: one port, and an adapter for each kind of database.

VIEWER_STORE names the adapter; the settings refuse a name there is no adapter for.
"""

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from viewer.store.orm import OrmStore
from viewer.store.port import Applied, Carry, Fold, ImportBatch, LearnerDump, MovedRows, Store, TakenBack

__all__ = [
    "Applied",
    "Carry",
    "Fold",
    "ImportBatch",
    "LearnerDump",
    "MovedRows",
    "Store",
    "TakenBack",
    "get_store",
    "store_named",
]


@cache
def get_store() -> Store:
    """This instance's store; shared by all requests of the process."""
    return store_named(settings.VIEWER_STORE)


def store_named(name: str) -> Store:
    """The store of this name, "orm" or "cassandra", whichever this instance serves from: for commands that use two.

    Raises ImportError where what the store needs is not installed.
    """
    if name == "orm":
        return OrmStore()
    store: Store = import_string("viewer.store.cassandra.CassandraStore")()  # its driver is loaded only when asked for
    return store
