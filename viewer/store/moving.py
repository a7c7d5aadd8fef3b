"""The SQL store as a whole: its learners one after another, everything of one, the outbox and the watermarks.

For commands that move a site from one store to another. The service itself never reads or writes this much.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.database import available
from common.rows import ContextKey
from viewer.store import codec, imports, sql
from viewer.store.database import Database, LostRace
from viewer.store.port import LearnerDump, OutboxEntry


@dataclass(frozen=True, slots=True)
class _Part:
    """One table of a learner's. field: its name in LearnerDump; owner: the column of the user id.

    `columns` begin with the `key` ones.
    """

    field: str
    name: str
    owner: str
    key: Sequence[str]
    columns: Sequence[str]
    encode: Callable[[Any], tuple[Any, ...]]
    decode: Callable[[Sequence[Any]], Any]


def _part(field: str, table: imports.Table, owner: str) -> _Part:
    return _Part(field, table.name, owner, table.key, table.columns, table.encode, table.decode)


_PARTS = (
    _part("rows", imports.CONSUMPTION, "userid"),
    _part("attempts", imports.ATTEMPTS, "user_id"),
    _part("aggs", imports.AGGS, "user_id"),
    _part("enrolments", imports.ENROLMENTS, "userid"),
    _Part(
        "contexts",
        "user_contexts",
        "userid",
        codec.CONTEXT_KEY,
        codec.CONTEXT_KEY,
        tuple,
        lambda columns: ContextKey(*columns),
    ),
    _Part("marks", "stale_marks", "userid", codec.CONTEXT_KEY, codec.MARK, codec.mark_values, codec.mark_from),
    _Part(
        "provenance",
        "provenance",
        "userid",
        codec.PROVENANCE[:2],
        codec.PROVENANCE,
        codec.provenance_values,
        codec.provenance_from,
    ),
)


class MovingTables:
    """The port's methods for moving, on one database."""

    _db: Database

    def learners_after(self, after: str | None, limit: int) -> list[str]:
        """See the port. Each table is cut to a page first, so that it is read along its index."""
        behind = "true" if after is None else "{owner} > %s"
        branch = (
            "SELECT * FROM (SELECT DISTINCT {owner} AS learner FROM {name}"
            f" WHERE {behind} ORDER BY 1 LIMIT %s) AS of_{{name}}"
        )
        branches = [branch.format(owner=part.owner, name=part.name) for part in _PARTS]
        values = [limit] if after is None else [after, limit]
        with available():
            found = self._db.all(" UNION ".join(branches) + " ORDER BY 1 LIMIT %s", [*values * len(branches), limit])
        return [learner for (learner,) in found]

    def dump(self, user_id: str) -> LearnerDump:
        """See the port."""
        with available():
            return LearnerDump(user_id, **{part.field: self._dumped(part, user_id) for part in _PARTS})

    def _dumped(self, part: _Part, user_id: str) -> tuple[Any, ...]:
        """The learner's rows in this table by key; sorted here, because databases sort text each in their own way."""
        found = self._db.all(sql.select(part.name, part.columns, f"{part.owner} = %s"), [user_id])
        return tuple(part.decode(row) for row in sorted(found, key=lambda row: tuple(row[: len(part.key)])))

    def load(self, dump: LearnerDump) -> None:
        """See the port."""
        self._db.retried(lambda: self._load(dump))

    def _load(self, dump: LearnerDump) -> None:
        self._unlist(dump.user_id)
        for part in _PARTS:
            self._db.execute(f"DELETE FROM {part.name} WHERE {part.owner} = %s", [dump.user_id])
            if rows := getattr(dump, part.field):
                insert = sql.insert_new(self._db.dialect, part.name, part.columns, part.key)
                if self._db.many(insert, [part.encode(row) for row in rows]) < len(rows):
                    raise LostRace
        imports.save_by_batch(self._db, dump.enrolments, same_dates=True)

    def _unlist(self, user_id: str) -> None:
        """Takes the learner out of the lists of the batches he is enrolled in: they have no index by learner."""
        batches = self._db.all("SELECT DISTINCT batchid FROM user_enrolments WHERE userid = %s", [user_id])
        if batches:
            self._db.many(
                "DELETE FROM enrolments_by_batch WHERE batchid = %s AND bucket = %s AND userid = %s",
                [(batch, imports.bucket(user_id), user_id) for (batch,) in batches],
            )

    def outbox_after(self, after: str | None, limit: int) -> list[OutboxEntry]:
        """See the port."""
        statement = sql.select("outbox", codec.EVENT, "true" if after is None else "id > %s", ("id",)) + " LIMIT %s"
        with available():
            found = self._db.all(statement, [limit] if after is None else [after, limit])
        return [codec.event_from(row) for row in found]

    def outbox_entries(self, ids: Sequence[str]) -> list[OutboxEntry]:
        """See the port."""
        if not ids:
            return []
        statement = sql.select("outbox", codec.EVENT, sql.in_values(("id",), len(ids)))
        with available():
            return [codec.event_from(row) for row in self._db.all(statement, ids)]

    def load_outbox(self, entries: Sequence[OutboxEntry], gone: Collection[str] = ()) -> None:
        """See the port."""
        upsert = sql.upsert(self._db.dialect, "outbox", codec.EVENT, ("id",))

        def load() -> None:
            if entries:
                self._db.many(upsert, [codec.event_values(*entry) for entry in entries])
            if gone:
                self._db.many("DELETE FROM outbox WHERE id = %s", [(event_id,) for event_id in gone])

        self._db.retried(load)

    def watermarks(self) -> dict[str, datetime]:
        """See the port."""
        with available():
            found = self._db.all("SELECT name, at FROM watermarks", [])
        return {name: codec.time(at) for name, at in found}

    def load_watermarks(self, watermarks: Mapping[str, datetime]) -> None:
        """See the port."""

        def load() -> None:
            self._db.execute("DELETE FROM watermarks", [])
            if watermarks:
                self._db.many("INSERT INTO watermarks (name, at) VALUES (%s, %s)", list(watermarks.items()))

        self._db.retried(load)
