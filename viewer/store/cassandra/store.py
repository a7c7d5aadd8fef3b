"""The store on Cassandra: single events, batches, imports, reads and marks."""

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, RowKey, StaleMark
from viewer import merging
from viewer.lifecycle import Outcome, ViewEvent
from viewer.store import batch, codec, imports
from viewer.store.cassandra import cql, queue, rows, session, typed
from viewer.store.cassandra.marks import Mark, Marks, current_slot, relined, slot_of
from viewer.store.cassandra.moving import MovingTables
from viewer.store.cassandra.relocating import RelocationTables
from viewer.store.cassandra.session import available
from viewer.store.codec import AGG_KEY, agg_key_values
from viewer.store.port import Applied, ImportBatch

LEARNERS = 100  # learners looked at in one page of a walk


FEW = 8  # contexts whose kept facts are read with the rows


@dataclass(frozen=True, slots=True)
class _Read:
    """What a write starts from. kept: what only aggregates keep, in those that were asked; writers: of each row."""

    stored: dict[RowKey, Consumption]
    marks: Marks
    kept: dict[ContextKey, ActivityAgg]
    writers: dict[RowKey, int]


class CassandraStore(RelocationTables, MovingTables):
    """Implements `viewer.store.port.Store`."""

    # --- events ------------------------------------------------------------------------------------------------

    def apply(self, key: RowKey, event: ViewEvent) -> Applied:
        """See the port. Two round trips: what is there, then one conditional write of row and mark."""
        return self.apply_all(key.user_id, [(key, event)])[0]

    def apply_all(self, user_id: str, events: Sequence[tuple[RowKey, ViewEvent]]) -> list[Applied]:
        """See the port."""
        if not events:
            return []
        tried: list[tuple[rows.Writing, list[Applied]]] = []
        with available():
            return rows.again(user_id, lambda: self._apply(user_id, events, tried))

    def _apply(
        self, user_id: str, events: Sequence[tuple[RowKey, ViewEvent]], tried: list[tuple[rows.Writing, list[Applied]]]
    ) -> list[Applied] | None:
        """What became of the events; None where another writer was in between.

        tried: earlier tries and their answers: one whose answer was lost may have taken place since. Raises
        UnknownOutcome where others wrote after that, so that nobody can tell: the events must not be added twice.
        """
        read = self._read(user_id, [key for key, _ in events])
        for before, answers in tried:
            if before.id in {*read.writers.values(), read.marks.write_id}:
                return answers
            if before.overtaken(read.stored):
                raise session.UnknownOutcome
        made = batch.folded(events, read.stored, read.kept)
        if read.stored and any(one.outcome is not Outcome.APPLIED for one in made.told):
            # What wrote nothing still marks a row that its aggregate has not seen: that takes the whole aggregate.
            made = batch.folded(events, read.stored, self.aggs(sorted({key.context for key, _ in events})))
        writing = rows.Writing(read.stored, read.marks, read.writers)
        known = read.marks.by_context
        answers = made.answers({context for context in made.marks if context not in known})
        tried.append((writing, answers))
        return answers if writing.write(made.new, made.changed, made.marks) else None

    def _read(self, user_id: str, keys: Sequence[RowKey]) -> "_Read":
        """What a write of these rows starts from. One round trip for few contexts, two for many."""
        contexts = sorted({key.context for key in keys})
        few = len(contexts) <= FEW
        reads = rows.read_calls(keys)
        found = session.together([rows.marks_call(user_id), *reads, *(_kept_calls(contexts) if few else ())])
        own = [row for part in found[1 : 1 + len(reads)] for row in part]
        stored = {row.key: row for row in map(codec.consumption_from, own)}
        told = found[1 + len(reads) :]
        if not few:
            # Only what has no row may be kept elsewhere.
            contexts = sorted({key.context for key in keys if key not in stored})
            told = session.together(_kept_calls(contexts))
        kept = {
            context: typed.kept_from(context, part[0][0]) for context, part in zip(contexts, told, strict=True) if part
        }
        marks = rows.marks_of(user_id, found[0])
        return _Read(stored, marks, kept, {RowKey(*row[:4]): row[-1] for row in own})

    # --- imports -----------------------------------------------------------------------------------------------

    def import_rows(self, batch: ImportBatch) -> int:
        """See the port. Each learner's rows are one write; a killed import is completed by its repetition."""
        with available():
            learners = list(_by_learner(batch).items())
            return sum(session.side_by_side(lambda learner: self._import(*learner), learners))

    def _import(self, user_id: str, given: ImportBatch) -> int:
        count = rows.again(user_id, lambda: self._import_consumption(user_id, given)) if given.rows else 0
        if given.attempts:
            count += self._keep_attempts(given.attempts, given.at, imported=True).count(Outcome.APPLIED)
        aggs = [(agg.key, partial(self._merge_agg, agg)) for agg in imports.aggs_of(given)]
        enrolments = [(one.key, partial(self._merge_enrolment, one)) for one in given.enrolments]
        return count + self._merge_all(user_id, [*aggs, *enrolments], given.at)

    def _import_consumption(self, user_id: str, given: ImportBatch) -> int | None:
        """The number of rows changed; None where another writer was in between."""
        read = self._read(user_id, [row.key for row in given.rows])
        stored, marks = read.stored, read.marks
        after: dict[RowKey, Consumption] = {}
        for row in given.rows:
            known = after.get(row.key, stored.get(row.key))
            after[row.key] = row if known is None else merging.merge_consumption(known, row)
        new = [row for key, row in sorted(after.items()) if key not in stored]
        changed = [row for key, row in sorted(after.items()) if key in stored and row is not stored[key]]
        reasons = {row.key.context: given.at for row in (*new, *changed)}
        if not rows.Writing(stored, marks, read.writers).write(new, changed, reasons):
            return None
        return len(new) + len(changed)

    # --- reads -------------------------------------------------------------------------------------------------

    def rows(self, keys: Sequence[RowKey]) -> list[Consumption]:
        """See the port."""
        calls = [
            call
            for user_id in sorted({key.user_id for key in keys})
            for call in rows.read_calls(key for key in keys if key.user_id == user_id)
        ]
        with available():
            return [codec.consumption_from(row) for part in session.each(calls) for row in part]

    def attempts(self, keys: Sequence[RowKey]) -> list[Attempt]:
        """See the port."""
        text = cql.select(cql.ATTEMPTS, codec.ATTEMPT, ("user_id", "collection_id", "context_id"), within="content_id")
        calls = [(text, (*context, contents)) for context, contents in rows.by_context(keys).items()]
        with available():
            found = [typed.attempt_from(row) for part in session.each(calls) for row in part]
        return sorted(found, key=lambda attempt: (attempt.key, attempt.attempt_id))

    def contexts(self, user_id: str) -> list[ContextKey]:
        """See the port."""
        with available():
            return self._contexts(user_id)

    def _contexts(self, user_id: str) -> list[ContextKey]:
        found = session.run(cql.select("user_contexts", cql.CONTEXT, ("userid",)), (user_id,))
        return sorted(ContextKey(*row) for row in found)

    def contexts_after(self, after: ContextKey | None, limit: int) -> list[ContextKey]:
        """See the port. Walks the learners in the order of the ring."""
        found: list[ContextKey] = []
        with available():
            if after is not None:
                found = [key for key in self._contexts(after.user_id) if key > after]
            user_id = after.user_id if after is not None else None
            while len(found) < limit:
                learners = [learner for _, learner in session.ringed("user_contexts", "userid", user_id, LEARNERS)]
                text = cql.select("user_contexts", cql.CONTEXT, ("userid",))
                for part in session.each([(text, (learner,)) for learner in learners]):
                    found += sorted(ContextKey(*row) for row in part)
                if len(learners) < LEARNERS:
                    break
                user_id = learners[-1]
        return found[:limit]

    def enrolments(self, user_id: str) -> list[Enrolment]:
        """See the port."""
        with available():
            found = session.run(cql.select(cql.ENROLMENTS, codec.ENROLMENT, ("userid",)), (user_id,))
        return sorted((typed.enrolment_from(row) for row in found), key=lambda enrolment: enrolment.key)

    def batch_enrolments(self, context_id: str) -> Iterator[Enrolment]:
        """See the port. The parts of the batch are read side by side and merged; each is a page ahead at most."""
        text = cql.select(cql.LIST, cql.LISTED, ("batchid", "bucket"))
        with available():
            parts = [session.streamed(text, (context_id, part)) for part in range(imports.BUCKETS)]
            for row in heapq.merge(*parts, key=lambda row: (row[3], row[0])):
                yield typed.listed_from(row)

    # --- marks -------------------------------------------------------------------------------------------------

    def marks(self, user_id: str) -> list[StaleMark]:
        """See the port."""
        with available():
            return rows.look([user_id])[user_id].told()

    def oldest_marks(self, limit: int, before: datetime, now: datetime) -> list[StaleMark]:
        """See the port. Reads the minutes of the queue that were not passed yet."""
        with available():
            return queue.due(limit, before, now, rows.look)

    def mark(self, key: ContextKey, at: datetime) -> None:
        """See the port."""
        with available():
            self._mark([key], at)

    def clear_mark(self, mark: StaleMark) -> bool:
        """See the port."""
        with available():
            self._list(mark.key)
            return rows.again(mark.key.user_id, lambda: self._clear(mark))

    def clear_marks(self, marks: Sequence[StaleMark]) -> None:
        """See the port."""
        session.side_by_side(self.clear_mark, marks)

    def _clear(self, mark: StaleMark) -> bool | None:
        """Whether the mark is gone; None where another writer was in between."""
        marks = rows.look([mark.key.user_id])[mark.key.user_id]
        known = marks.by_context.get(mark.key)
        if known is None or known.token != mark.token:
            return False
        if not rows.Writing({}, marks).write(after=marks.without(mark.key)):
            return None
        session.run(*queue.deletion(queue.Entry(known.slot, mark.key, known.entry)))
        if known.deferred:
            session.run(*queue.undeferred(mark.key))
        return True

    def defer_mark(self, mark: StaleMark, until: datetime) -> None:
        """See the port."""

        def deferred(known: Mark) -> Mark | None:
            if known.token != mark.token:
                return None
            slot = max(current_slot(), slot_of(until))
            return relined(replace(known, not_before=until, deferred=True), slot)

        with available():
            session.run(*queue.deferred(mark.key))
            self._change_mark(mark.key, deferred)

    def undefer_marks(self, collection_ids: Collection[str]) -> None:
        """See the port."""

        def due(known: Mark) -> Mark | None:
            waits = known.not_before is not None
            return relined(replace(known, not_before=None, deferred=False), current_slot()) if waits else None

        with available():
            for collection_id in sorted(collection_ids):
                for key in queue.waiting(collection_id):
                    self._change_mark(key, due)
                    session.run(*queue.undeferred(key))

    def _change_mark(self, key: ContextKey, change: Callable[[Mark], Mark | None]) -> None:
        """Puts the mark into the state `change` gives; leaves it where that is None."""

        def attempt() -> bool | None:
            marks = rows.look([key.user_id])[key.user_id]
            known = marks.by_context.get(key)
            changed = change(known) if known is not None else None
            if known is None or changed is None:
                return False
            if not rows.Writing({}, marks).write(after=marks.with_mark(key, changed)):
                return None
            session.run(*queue.deletion(queue.Entry(known.slot, key, known.entry)))
            return True

        rows.again(key.user_id, attempt)

    def watermark(self, name: str) -> datetime | None:
        """See the port."""
        with available():
            return queue.watermark(name)

    def set_watermark(self, name: str, at: datetime) -> None:
        """See the port."""
        with available():
            queue.set_watermark(name, at)


def _kept_calls(contexts: Sequence[ContextKey]) -> list[session.Call]:
    """The statements that read what the aggregates of these contexts keep."""
    text = cql.select(cql.AGGS, ("kept",), AGG_KEY)
    return [(text, agg_key_values(context)) for context in contexts]


def _by_learner(given: ImportBatch) -> dict[str, ImportBatch]:
    """The batch of each learner in it, in the order of their ids."""
    parts: dict[str, dict[str, list[Any]]] = {}
    for name in ("rows", "attempts", "enrolments", "aggs"):
        for one in getattr(given, name):
            user_id = one.user_id if isinstance(one, Enrolment) else one.key.user_id
            parts.setdefault(user_id, {}).setdefault(name, []).append(one)
    return {user_id: ImportBatch(given.at, **part) for user_id, part in sorted(parts.items())}
