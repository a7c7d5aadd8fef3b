"""The statements of the Cassandra store. Each names its whole partition key; `{keyspace}` is filled in once."""

from collections.abc import Sequence
from functools import cache

from django.conf import settings

from viewer.store import codec
from viewer.store.codec import AGG_KEY, ATTEMPT_KEY, CONSUMPTION_KEY, ENROLMENT_KEY

UCC = "user_content_consumption"
ATTEMPTS = "assessment_aggregator"
AGGS = "user_activity_agg"
ENROLMENTS = "user_enrolments"
LIST = "enrolments_by_batch"
CONTEXT = codec.CONTEXT_KEY
MARKS = ("marks_version", "marks", "marks_write_id")
LISTED = ("userid", "courseid", "batchid", "enrolled_date", "active", "status", "completionpercentage", "completedon",
          "issued_certificates")  # fmt: skip
KEYS: dict[str, Sequence[str]] = {
    UCC: CONSUMPTION_KEY,
    ATTEMPTS: ATTEMPT_KEY,
    AGGS: AGG_KEY,
    ENROLMENTS: ENROLMENT_KEY,
}
COLUMNS: dict[str, Sequence[str]] = {
    UCC: codec.CONSUMPTION,
    ATTEMPTS: codec.ATTEMPT,
    AGGS: codec.AGG,
    ENROLMENTS: codec.ENROLMENT,
}
WAITING = ("bucket", "created_at", "id")
WRITE_ID = "write_id"


@cache
def table(name: str) -> str:
    """The table in this instance's keyspace."""
    return f"{settings.CASSANDRA_KEYSPACE}.{name}"


def matches(columns: Sequence[str]) -> str:
    """`a = ? AND b = ?`."""
    return " AND ".join(f"{column} = ?" for column in columns)


@cache
def select(name: str, columns: tuple[str, ...], where: tuple[str, ...], within: str = "") -> str:
    """Rows of one partition; `within`: a column that is one of a list."""
    one_of = f" AND {within} IN ?" if within else ""
    return f"SELECT {', '.join(columns)} FROM {table(name)} WHERE {matches(where)}{one_of}"


@cache
def insert_new(name: str) -> str:
    """A whole new row, unless there is one. Values: columns, write id."""
    columns = [*COLUMNS[name], WRITE_ID]
    return f"{insert(name, tuple(columns))} IF NOT EXISTS"


@cache
def insert(name: str, columns: tuple[str, ...]) -> str:
    """A row, over whatever was there."""
    return f"INSERT INTO {table(name)} ({', '.join(columns)}) VALUES ({', '.join(['?'] * len(columns))})"


@cache
def update(name: str, guard: str = "version") -> str:
    """A whole row, if its `guard` column is what it was. Values: columns but the key, write id, key, guard."""
    rest = [column for column in COLUMNS[name] if column not in KEYS[name]]
    sets = ", ".join(f"{column} = ?" for column in (*rest, WRITE_ID))
    return f"UPDATE {table(name)} SET {sets} WHERE {matches(KEYS[name])} IF {guard} = ?"


@cache
def delete(name: str) -> str:
    """A whole row, if the same write is its last. Values: key, write id."""
    return f"DELETE FROM {table(name)} WHERE {matches(KEYS[name])} IF {WRITE_ID} = ?"


@cache
def update_marks() -> str:
    """A learner's marks, if nobody changed them. Values: version, marks, write id, user, version before (or null)."""
    return (
        f"UPDATE {table(UCC)} SET marks_version = ?, marks = ?, marks_write_id = ? WHERE userid = ?"
        " IF marks_version = ?"
    )
