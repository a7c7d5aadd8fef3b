"""The statements of the ORM store, in the two dialects it speaks.

The hot path is raw SQL because one conditional statement is the whole write: no row is read first, no race is left
to the application. On PostgreSQL the row, its mark and its context go in one round trip (data-modifying CTEs, in the
order row, mark, context: always the same, so that no two calls can wait for each other). SQLite runs in this
process, so there they are three statements of one transaction.

The statements of single events name their values (`%(userid)s`), so that each time and id is bound once, however often
it is written. Each statement is put together once for a dialect and shape.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from viewer.store import codec

UCC = "user_content_consumption"
RETURNING_ROW = f" RETURNING {', '.join(codec.CONSUMPTION)}"
CONTEXT = ("userid", "collectionid", "contextid")
MARKED = (*CONTEXT, "at", "token")
Values = Sequence[Any] | Mapping[str, Any]


def merge_json(older: str, newer: str) -> str:
    """Both objects' keys, the second's values where both have one: SQLite's stand-in for PostgreSQL's `||`."""
    merged = codec.from_json(older)
    merged.update(codec.from_json(newer))
    return codec.to_json(merged)


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """What the two databases spell differently. `lock` ends a SELECT whose rows are about to be written.

    text: PostgreSQL guesses another type for each place of a value that is written twice, and refuses. seen, append: of
    `%(seen_id)s`, `%(seen_since)s` and `%(identity)s`.
    """

    name: str
    greatest: str
    least: str
    time: str
    text: str
    json: str
    lock: str
    seen: str
    append: str
    kept: str
    row_version: str
    merge: str

    @property
    def one_statement(self) -> bool:
        """True where a write and what follows it can be one statement."""
        return self.name == "postgresql"

    def merged(self, older: str, newer: str) -> str:
        """The expression for both details' keys, `newer`'s values first."""
        return self.merge.format(older=older, newer=newer)

    def time_of(self, name: str) -> str:
        """The time that is bound under `name`."""
        return named(self.time, [name])


class Shape(NamedTuple):
    """What the statement of an update or an end depends on: what the event brings."""

    progress: bool
    details: bool
    identity: bool
    client_timed: bool


POSTGRESQL = Dialect(
    name="postgresql",
    greatest="GREATEST",
    least="LEAST",
    time="%s::timestamptz",
    text="%s::text",
    json="%s::jsonb",
    lock=" FOR UPDATE",
    seen="EXISTS (SELECT 1 FROM jsonb_array_elements(ucc.applied) AS e(item)"
    " WHERE item->>'id' = %(seen_id)s AND (item->>'at')::bigint > %(seen_since)s)",
    append="((CASE WHEN jsonb_array_length(ucc.applied) >= 32 THEN ucc.applied - 0 ELSE ucc.applied END)"
    " || %(identity)s::jsonb)",
    kept="(a.kept -> %s ->> 'status') <> '0'",
    row_version="(a.agg_details -> ucc.contentid ->> 'version')::int",
    merge="({older} || {newer})",
)
SQLITE = Dialect(
    name="sqlite",
    greatest="max",
    least="min",
    time="%s",
    text="%s",
    json="json(%s)",
    lock="",
    seen="EXISTS (SELECT 1 FROM json_each(ucc.applied) e"
    " WHERE json_extract(e.value, '$.id') = %(seen_id)s AND json_extract(e.value, '$.at') > %(seen_since)s)",
    append="json_insert(CASE WHEN json_array_length(ucc.applied) >= 32 THEN json_remove(ucc.applied, '$[0]')"
    " ELSE ucc.applied END, '$[#]', json(%(identity)s))",
    # json_each compares keys exactly; a path would read ids with quotes, dots or a leading digit in its own way.
    kept="EXISTS (SELECT 1 FROM json_each(a.kept) e WHERE e.key = %s AND json_extract(e.value, '$.status') > 0)",
    row_version="(SELECT json_extract(e.value, '$.version') FROM json_each(a.agg_details) e"
    " WHERE e.key = ucc.contentid)",
    merge="viewer_merge({older}, {newer})",
)


def adapt(dialect: Dialect, values: Values) -> Values:
    """Values as the driver takes them: SQLite keeps times as text."""
    if dialect.one_statement:
        return values
    if isinstance(values, Mapping):
        return {name: codec.time_text(one) if isinstance(one, datetime) else one for name, one in values.items()}
    return [codec.time_text(one) if isinstance(one, datetime) else one for one in values]


def named(statement: str, names: Iterable[str]) -> str:
    """`statement` with a name for each of its placeholders, in their order."""
    first, *rest = statement.split("%s")
    return first + "".join(f"%({name})s{part}" for name, part in zip(names, rest, strict=True))


def holders(dialect: Dialect, columns: Sequence[str]) -> str:
    """One placeholder for each column, cast where PostgreSQL could not guess the type."""
    json_columns = {"progressdetails", "applied", "questions", "agg", "aggregates", "content_status", "agg_details"}
    json_columns |= {"agg_last_updated", "kept", "payload", "contentstatus", "issued_certificates"}
    times = {
        "created_on",
        "last_attempted_on",
        "updated_on",
        "enrolled_date",
        "completedon",
        "datetime",
        "marked_at",
        "created_at",
    }

    def holder(column: str) -> str:
        if column in json_columns:
            return dialect.json
        if column in codec.CONSUMPTION_KEY:
            return dialect.text
        return (
            dialect.time if column.endswith("_time") or column in times or column == "lastcontentaccesstime" else "%s"
        )

    return ", ".join(map(holder, columns))


def matches(columns: Sequence[str], alias: str = "") -> str:
    """`a = %s AND b = %s` over the key columns."""
    return " AND ".join(f"{alias}{column} = %s" for column in columns)


@cache
def insert_if_absent(dialect: Dialect) -> str:
    """A new consumption row, unless it is there or its aggregate keeps one. Named after the columns."""
    statement = (
        f"INSERT INTO {UCC} ({', '.join(codec.CONSUMPTION)}) SELECT {holders(dialect, codec.CONSUMPTION)}"
        f" WHERE NOT EXISTS (SELECT 1 FROM user_activity_agg a WHERE a.activity_type = '{codec.ACTIVITY_TYPE}'"
        f" AND {matches(codec.AGG_KEY[1:], 'a.')} AND {dialect.kept})"
        f" ON CONFLICT ({', '.join(codec.CONSUMPTION_KEY)}) DO NOTHING"
    )
    return named(statement, (*codec.CONSUMPTION, "collectionid", "userid", "contextid", "contentid"))


@cache
def update_view(dialect: Dialect, shape: Shape) -> str:
    """A row in progress takes an event in; see `viewer.lifecycle.fold`."""
    sets = _merged(dialect, shape) + _stamps(dialect, shape)
    return f"UPDATE {UCC} AS ucc SET {_assigned(sets)} WHERE {_the_row()} AND status = 1{_unseen(dialect, shape)}"


@cache
def end_view(dialect: Dialect, shape: Shape) -> str:
    """Completes a row in progress; on a completed one takes an earlier client time, or makes a carried row own."""
    merged = _merged(dialect, shape._replace(progress=False))
    completed = dialect.time_of("completed_time")
    known = "COALESCE(last_completed_time, last_updated_time)"
    own = f"COALESCE(own_completed_time, {completed})"
    sets = [
        *((column, f"CASE WHEN status = 2 THEN {column} ELSE {expression} END") for column, expression in merged),
        ("status", "2"),
        ("progress", "100"),
        (
            "last_completed_time",
            f"CASE WHEN status = 2 THEN {dialect.least}({known}, {completed}) ELSE {completed} END",
        ),
        ("own_completed_time", f"CASE WHEN status = 2 THEN {dialect.least}({own}, {completed}) ELSE {completed} END"),
        ("origin", "NULL"),
        *_stamps(dialect, shape),
    ]
    earlier = f" OR {completed} < {known}" if shape.client_timed else ""
    return (
        f"UPDATE {UCC} AS ucc SET {_assigned(sets)} WHERE {_the_row()}"
        f" AND (status = 1 OR origin IS NOT NULL{earlier}){_unseen(dialect, shape)}"
    )


def _merged(dialect: Dialect, shape: Shape) -> list[tuple[str, str]]:
    """Columns and expressions of `lifecycle._merged`."""
    accessed = dialect.time_of("access_time")
    known = f"COALESCE(last_access_time, {accessed})"
    sets = [
        ("timespent", "timespent + %(timespent)s"),
        ("last_access_time", f"{dialect.greatest}({known}, {accessed})"),
    ]
    if shape.progress:
        sets.append(("progress", f"{dialect.greatest}(progress, %(progress)s)"))
    if shape.details:
        details = named(dialect.json, ["details"])
        newer, older = dialect.merged("progressdetails", details), dialect.merged(details, "progressdetails")
        sets.append(("progressdetails", f"CASE WHEN {accessed} >= {known} THEN {newer} ELSE {older} END"))
    return sets


def _stamps(dialect: Dialect, shape: Shape) -> list[tuple[str, str]]:
    """What every write does: time, version and the event's identity."""
    sets = [("last_updated_time", dialect.time_of("at")), ("version", "version + 1")]
    return [*sets, ("applied", dialect.append)] if shape.identity else sets


def _assigned(sets: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{column} = {expression}" for column, expression in sets)


def _the_row() -> str:
    return named(matches(codec.CONSUMPTION_KEY), codec.CONSUMPTION_KEY)


def _unseen(dialect: Dialect, shape: Shape) -> str:
    """The condition that this event was not taken in before."""
    return f" AND NOT {dialect.seen}" if shape.identity else ""


def mark(source: str = "") -> str:
    """One more reason to fold a context; returns the mark's token. Values: key, time, a fresh token.

    A new mark bears a token nobody has seen (`fresh_token`): a folder that still holds the mark of an earlier reason
    must not be able to clear this one.
    """
    return (
        f"INSERT INTO stale_marks (userid, collectionid, contextid, marked_at, token) SELECT %s, %s, %s, %s, %s{source}"
        " WHERE true ON CONFLICT (userid, collectionid, contextid)"
        " DO UPDATE SET token = stale_marks.token + 1, not_before = NULL"
    )


@cache
def mark_event(source: str = "") -> str:
    """The mark that an event makes; returns its token. Named: the context's columns, at, token."""
    return f"{named(mark(source), MARKED)} RETURNING token"


def fresh_token() -> int:
    """A token no other mark bears; below 2**62, so that reasons can be counted on it."""
    return secrets.randbits(62)


@cache
def mark_if_newer(dialect: Dialect) -> str:
    """A mark for a row that its aggregate has not seen, unless one waits. Values: key, time, a fresh token, row key."""
    return (
        "INSERT INTO stale_marks (userid, collectionid, contextid, marked_at, token)"
        f" SELECT %s, %s, %s, {dialect.time}, %s FROM {UCC} ucc LEFT JOIN user_activity_agg a"
        " ON a.activity_type = 'Course' AND a.activity_id = ucc.collectionid AND a.user_id = ucc.userid"
        f" AND a.context_id = ucc.contextid WHERE {matches(codec.CONSUMPTION_KEY, 'ucc.')}"
        f" AND COALESCE({dialect.row_version}, 0) <> ucc.version"
        " ON CONFLICT (userid, collectionid, contextid) DO NOTHING"
    )


def register_context(source: str = "") -> str:
    """The context among the learner's contexts. Values: key."""
    return (
        f"INSERT INTO user_contexts (userid, collectionid, contextid) SELECT %s, %s, %s{source}"
        " WHERE true ON CONFLICT DO NOTHING"
    )


@cache
def register_event(source: str = "") -> str:
    """The context of a new row among the learner's contexts. Named: the context's columns."""
    return named(register_context(source), CONTEXT)


@cache
def with_followups(write: str, *, new_row: bool) -> str:
    """PostgreSQL: `write`, its mark and, for a new row, its context as one statement.

    Gives the mark's token and the row as it was written; nothing where nothing was written.
    """
    parts = [f"written AS ({write}{RETURNING_ROW})", f"marked AS ({mark_event(' FROM written')})"]
    if new_row:
        parts.append(f"placed AS ({register_event(' FROM marked')})")
    return f"WITH {', '.join(parts)} SELECT marked.token, written.* FROM written, marked"


@cache
def upsert(dialect: Dialect, table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """Every column as given, over whatever the row held. The caller holds the row's lock."""
    sets = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return f"{insert(dialect, table, columns, key)} DO UPDATE SET {sets}"


@cache
def update(dialect: Dialect, table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """Every column but the key, if the row still has the version it was read with. Values: columns, key, version."""
    rest = [column for column in columns if column not in key]
    placeholders = holders(dialect, rest).split(", ")
    sets = ", ".join(f"{column} = {placeholder}" for column, placeholder in zip(rest, placeholders, strict=True))
    return f"UPDATE {table} SET {sets} WHERE {matches(key)} AND version = %s"


@cache
def insert_new(dialect: Dialect, table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """A new row, or nothing where another writer was first."""
    return f"{insert(dialect, table, columns, key)} DO NOTHING"


def insert(dialect: Dialect, table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """The head both share."""
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({holders(dialect, columns)})"
        f" ON CONFLICT ({', '.join(key)})"
    )


def select(table: str, columns: Sequence[str], where: str, order: Sequence[str] = ()) -> str:
    """A SELECT of whole rows."""
    ordered = f" ORDER BY {', '.join(order)}" if order else ""
    return f"SELECT {', '.join(columns)} FROM {table} WHERE {where}{ordered}"


def in_values(columns: Sequence[str], count: int) -> str:
    """`(a, b) IN (…)` for `count` keys. SQLite uses no index for a bare VALUES of several rows, so it is a SELECT."""
    one = f"({', '.join(['%s'] * len(columns))})"
    return f"({', '.join(columns)}) IN (SELECT * FROM (VALUES {', '.join([one] * count)}) AS wanted)"
