"""What a Cassandra session is asked: every statement as it is sent, and whether it stays within one partition."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cassandra.cqlengine.models import Model
from cassandra.query import BatchStatement, BoundStatement

from viewer.cassandra_tables import models
from viewer.store.cassandra import session

_TABLES: list[Any] = [
    model
    for model in vars(models).values()
    if isinstance(model, type) and issubclass(model, Model) and model is not Model
]
PARTITIONS: dict[str, tuple[str, ...]] = {
    model.__table_name__: tuple(column.db_field_name for column in model._partition_keys.values()) for model in _TABLES
}
WALK = re.compile(
    r"SELECT DISTINCT token\((\w+)\), \1 FROM \w+\.\w+( WHERE token\(\1\) > token\(\?\))? LIMIT \?", re.ASCII
)


@contextmanager
def recorded() -> Iterator[list[Any]]:
    """The statements sent while the block runs: BoundStatement and BatchStatement."""
    sent: list[Any] = []

    def note(future: Any) -> None:
        sent.append(future.query)

    session.session().add_request_init_listener(note)
    try:
        yield sent
    finally:
        session.session().remove_request_init_listener(note)


def texts(sent: list[Any]) -> list[str]:
    """The text of each statement, those of a batch one by one."""
    return [text for statement in sent for text in _texts(statement)]


def _texts(statement: Any) -> list[str]:
    if isinstance(statement, BatchStatement):
        prepared = session._process._prepared
        by_id = {known.query_id: text for text, known in prepared.items()}
        return [by_id[query] for is_prepared, query, *_ in statement._statements_and_parameters if is_prepared]
    if isinstance(statement, BoundStatement):
        return [str(statement.prepared_statement.query_string)]
    return [str(getattr(statement, "query_string", statement))]


def fault(text: str) -> str | None:
    """What is wrong with a statement; None for one that reads or writes one partition, or one page of a named walk."""
    if "ALLOW FILTERING" in text.upper():
        return "filters"
    if WALK.fullmatch(text) or text == session.SERVER_TIME:
        return None
    found = re.search(r"(?:FROM|INTO|UPDATE) \w+\.(\w+)", text)
    if found is None or found[1] not in PARTITIONS:
        return "names no table of ours"
    keys = PARTITIONS[found[1]]
    if text.startswith("INSERT"):
        columns = text[text.index("(") + 1 : text.index(")")].split(", ")
        return None if set(keys) <= set(columns) else "names no partition"
    _, _, where = text.partition(" WHERE ")
    fixed = set(re.findall(r"(\w+) = \?", where.split(" IF ")[0]))
    return None if set(keys) <= fixed else "names no partition"
