"""The Cassandra store as a whole: its learners in the order of the ring, everything of one, the outbox, watermarks.

For commands that move a site from one store to another, while nobody writes to the learner they are at: what a load
replaces is deleted and written plainly, without conditions.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from common import timestamps
from common.errors import Unavailable
from common.rows import ContextKey, Enrolment
from common.timestamps import to_epoch_ms
from viewer.outbox import OutboxEvent
from viewer.store import codec, imports
from viewer.store.cassandra import cql, queue, rows, session, typed
from viewer.store.cassandra.marks import Mark, Marks, column_of, current_slot, slot_of
from viewer.store.cassandra.session import Call, available
from viewer.store.codec import ACTIVITY_TYPE
from viewer.store.port import LearnerDump, OutboxEntry

# Whoever has attempts or aggregates has a context or an enrolment there.
_WALKED = (cql.UCC, "user_contexts", cql.ENROLMENTS, "provenance")
MAX_SKEW_MS = 500  # the service starts later than that after a move


class MovingTables:
    """The port's methods for moving."""

    def learners_after(self, after: str | None, limit: int) -> list[str]:
        """See the port."""
        with available():
            found = {pair for table in _WALKED for pair in session.ringed(table, "userid", after, limit)}
        return [user_id for _, user_id in sorted(found)[:limit]]

    def dump(self, user_id: str) -> LearnerDump:
        """See the port."""
        with available():
            own = session.together(
                [
                    (cql.select(cql.UCC, codec.CONSUMPTION, ("userid",)), (user_id,)),
                    rows.marks_call(user_id),
                    (cql.select(cql.ENROLMENTS, codec.ENROLMENT, ("userid",)), (user_id,)),
                    (cql.select("user_contexts", cql.CONTEXT, ("userid",)), (user_id,)),
                    (cql.select("provenance", codec.PROVENANCE, ("userid",)), (user_id,)),
                ]
            )
            # A partition that holds nothing but static columns is told as one row without a content.
            consumption = [codec.consumption_from(row) for row in own[0] if row[3] is not None]
            enrolments = [typed.enrolment_from(row) for row in own[2]]
            contexts = sorted(ContextKey(*row) for row in own[3])
            keys = {*contexts, *(one.key for one in enrolments), *(row.key.context for row in consumption)}
            attempts, aggs = _by_collection(user_id, {key.collection_id for key in keys})
        return LearnerDump(
            user_id,
            rows=tuple(sorted(consumption, key=lambda row: row.key)),
            attempts=tuple(sorted(attempts, key=lambda one: (*one.key, one.attempt_id))),
            aggs=tuple(sorted(aggs, key=lambda agg: (agg.key.collection_id, agg.key.context_id))),
            enrolments=tuple(sorted(enrolments, key=lambda one: one.key)),
            contexts=tuple(contexts),
            marks=tuple(rows.marks_of(user_id, own[1]).told()),
            provenance=tuple(sorted(map(codec.provenance_from, own[4]), key=lambda record: record.id)),
        )

    def load(self, dump: LearnerDump) -> None:
        """See the port. The old is gone before the new is written: whoever is killed in between loads again."""
        with available():
            _check_clocks()
            before = self.dump(dump.user_id)
            session.together(_deletions(before))
            session.together(_insertions(dump))

    def outbox_after(self, after: str | None, limit: int) -> list[OutboxEntry]:
        """See the port."""
        with available():
            ids = [event_id for _, event_id in session.ringed("outbox", "id", after, limit)]
            return self._entries(ids)

    def outbox_entries(self, ids: Sequence[str]) -> list[OutboxEntry]:
        """See the port."""
        with available():
            return self._entries(ids)

    def _entries(self, ids: Sequence[str]) -> list[OutboxEntry]:
        found = session.together([(cql.select("outbox", codec.EVENT, ("id",)), (event_id,)) for event_id in ids])
        return [codec.event_from(row) for part in found for row in part]

    def load_outbox(self, entries: Sequence[OutboxEntry], gone: Collection[str] = ()) -> None:
        """See the port."""
        with available():
            old = self._entries([*gone, *(event.id for event, _ in entries)])
            session.together([call for event, _ in old for call in _event_deletions(event)])
            session.together([call for entry in entries for call in _event_insertions(entry)])
            if waiting := [event.created_at for event, published_at in entries if published_at is None]:
                queue.lower_watermark(queue.EVENTS_PLACE, min(waiting))

    def watermarks(self) -> dict[str, datetime]:
        """See the port. A sweep's own place is not told: it is this store's alone."""
        with available():
            names = [name for _, name in session.ringed("watermarks", "name", None, 1000) if name not in queue.OWN]
            found = {name: queue.watermark(name) for name in names}
        return {name: at for name, at in found.items() if at is not None}

    def load_watermarks(self, watermarks: Mapping[str, datetime]) -> None:
        """See the port. An earlier time must be written later than the one it replaces: they bear their own times."""
        gone = f"DELETE FROM {cql.table('watermarks')} USING TIMESTAMP ? WHERE name = ?"
        with available():
            for name in self.watermarks():
                if name not in watermarks:
                    session.run(gone, (queue.written_at(name), name))
            for name, at in watermarks.items():
                queue.lower_watermark(name, at)
                queue.set_watermark(name, at)


@cache
def _check_clocks() -> None:
    """Raises Unavailable where what is written here could be older than what the cluster wrote, or outlive it."""
    asked = to_epoch_ms(timestamps.now())
    told = session.server_time_ms()
    skew = max(asked - told, told - to_epoch_ms(timestamps.now()))  # a slow answer is no other clock
    if skew > MAX_SKEW_MS:
        raise Unavailable(f"The clocks of this machine and of Cassandra differ by {skew} ms: set them first")


def _by_collection(user_id: str, collection_ids: Collection[str]) -> tuple[list[Any], list[Any]]:
    """The learner's attempts and aggregates in these collections."""
    ordered = sorted(collection_ids)
    attempts = cql.select(cql.ATTEMPTS, codec.ATTEMPT, ("user_id", "collection_id"))
    aggs = cql.select(cql.AGGS, codec.AGG, ("activity_type", "activity_id", "user_id"))
    found = session.together(
        [
            *((attempts, (user_id, collection_id)) for collection_id in ordered),
            *((aggs, (ACTIVITY_TYPE, collection_id, user_id)) for collection_id in ordered),
        ]
    )
    return (
        [typed.attempt_from(row) for part in found[: len(ordered)] for row in part],
        [typed.agg_from(row) for part in found[len(ordered) :] for row in part],
    )


def _deletions(dump: LearnerDump) -> list[Call]:
    """The statements that remove everything of the learner: whole partitions, and his entries in those of others."""
    user = (dump.user_id,)
    calls: list[Call] = [
        (f"DELETE FROM {cql.table(name)} WHERE userid = ?", user)
        for name in (cql.UCC, cql.ENROLMENTS, "user_contexts", "provenance")
    ]
    for collection_id in sorted({one.key.collection_id for one in dump.attempts}):
        where = "user_id = ? AND collection_id = ?"
        calls.append((f"DELETE FROM {cql.table(cql.ATTEMPTS)} WHERE {where}", (dump.user_id, collection_id)))
    for collection_id in sorted({agg.key.collection_id for agg in dump.aggs}):
        where = "activity_type = ? AND activity_id = ? AND user_id = ?"
        values = (ACTIVITY_TYPE, collection_id, dump.user_id)
        calls.append((f"DELETE FROM {cql.table(cql.AGGS)} WHERE {where}", values))
    listed = f"DELETE FROM {cql.table(cql.LIST)} WHERE {cql.matches(imports.BY_BATCH_KEY)}"
    calls += [(listed, _listed_key(one)) for one in dump.enrolments if one.enrolled_date is not None]
    return calls


def _insertions(dump: LearnerDump) -> list[Call]:
    """The statements that write everything of the learner; what a sweep looks at comes before the marks."""
    marks = _marks(dump)
    calls: list[Call] = list(queue.insertions(queue.entries_of(marks.by_context)))
    calls += [queue.deferred(key) for key, mark in marks.by_context.items() if mark.deferred]
    if marks.by_context:
        columns = ("userid", *cql.MARKS)
        values = (dump.user_id, marks.version, column_of(marks), secrets.randbits(62))
        calls.append((cql.insert(cql.UCC, columns), values))
    written: tuple[tuple[str, Sequence[Any], Any], ...] = (
        (cql.UCC, dump.rows, codec.consumption_values),
        (cql.ATTEMPTS, dump.attempts, typed.attempt_values),
        (cql.AGGS, dump.aggs, typed.agg_values),
    )
    for table, found, encode in written:
        text = cql.insert(table, (*cql.COLUMNS[table], cql.WRITE_ID))
        calls += [(text, [*typed.written(encode(row)), secrets.randbits(62)]) for row in found]
    calls += [call for enrolment in dump.enrolments for call in _enrolment(enrolment)]
    calls += [(cql.insert("user_contexts", cql.CONTEXT), tuple(key)) for key in dump.contexts]
    calls += [
        (cql.insert("provenance", codec.PROVENANCE), typed.written(codec.provenance_values(record)))
        for record in dump.provenance
    ]
    return calls


def _enrolment(enrolment: Enrolment) -> list[Call]:
    """The enrolment and its entry in its batch's list."""
    columns = (*codec.ENROLMENT, "listed_date", cql.WRITE_ID)
    values = [*typed.enrolment_values(enrolment), enrolment.enrolled_date, secrets.randbits(62)]
    calls: list[Call] = [(cql.insert(cql.ENROLMENTS, columns), typed.written(values))]
    if enrolment.enrolled_date is not None:
        entry = (*_listed_key(enrolment), *typed.listed_values(enrolment))
        calls.append((cql.insert(cql.LIST, imports.BY_BATCH), entry))
    return calls


def _listed_key(enrolment: Enrolment) -> tuple[Any, ...]:
    place = (enrolment.context_id, imports.bucket(enrolment.user_id))
    return (*place, enrolment.enrolled_date, enrolment.user_id, enrolment.collection_id)


def _marks(dump: LearnerDump) -> Marks:
    """The marks as this store keeps them: told by the dump, found by a sweep from now on."""
    found = {}
    for told in dump.marks:
        until = told.not_before
        slot = max(current_slot(), slot_of(until)) if until is not None else current_slot()
        found[told.key] = Mark(
            told.token, told.marked_at, secrets.randbits(62), slot, until, deferred=until is not None
        )
    return Marks(dump.user_id, 1, found)


def _event_insertions(entry: OutboxEntry) -> list[Call]:
    event, published_at = entry
    values = typed.written(codec.event_values(event, published_at))
    calls: list[Call] = [(cql.insert("outbox", codec.EVENT), values)]
    if published_at is None:
        calls.append((cql.insert("outbox_waiting", cql.WAITING), _waiting_key(event)))
    return calls


def _event_deletions(event: OutboxEvent) -> list[Call]:
    waiting = f"DELETE FROM {cql.table('outbox_waiting')} WHERE {cql.matches(cql.WAITING)}"
    return [(f"DELETE FROM {cql.table('outbox')} WHERE id = ?", (event.id,)), (waiting, _waiting_key(event))]


def _waiting_key(event: OutboxEvent) -> tuple[Any, ...]:
    return (queue.outbox_bucket(event.id), event.created_at, event.id)
