"""The Cassandra store's second half: attempts, enrolments, what a fold saves and the outbox.

These tables have partitions of their own, so a mark cannot be one write with them: it is made before, for whoever is
killed in between, and again after, for a fold that read and cleared it meanwhile.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from cassandra import ConsistencyLevel

from common.rows import ActivityAgg, Attempt, ContextKey, Enrolment, RowKey, StaleMark
from common.timestamps import EPOCH, from_epoch_ms, to_epoch_ms
from viewer import merging
from viewer.lifecycle import Outcome
from viewer.outbox import OutboxEvent
from viewer.progress import Folded, Sources
from viewer.store import codec, imports
from viewer.store.batch import keep_attempts
from viewer.store.cassandra import cql, queue, rows, session, typed
from viewer.store.cassandra.marks import BUCKETS
from viewer.store.cassandra.session import available
from viewer.store.codec import AGG_KEY, ATTEMPT_KEY, ENROLMENT_KEY, agg_key_values
from viewer.store.port import Fold

LOOK_BACK = timedelta(days=1)


class Merge(Protocol):
    """Takes one account of a row into the stored one. dry: only tells whether that would change it."""

    def __call__(self, *, dry: bool) -> bool | None:
        """True where it changed something, None where another writer was in between."""
        ...


class FoldTables:
    """Everything a fold reads and writes."""

    def sources(self, key: ContextKey) -> Sources:
        """See the port. The rows are a serial read: what any writer's mark promises is in them.

        The aggregate is read first: a row written after it makes the save fail, not go missing.
        """
        return self.sources_of([key])[0]

    def enrolment(self, key: ContextKey) -> Enrolment | None:
        """See the port."""
        with available():
            found = session.run(cql.select(cql.ENROLMENTS, codec.ENROLMENT, ENROLMENT_KEY), key)
        return typed.enrolment_from(found[0]) if found else None

    def save_fold(self, sources: Sources, folded: Folded, events: Sequence[OutboxEvent]) -> bool:
        """See the port. Events, then the aggregate, then the enrolment: whoever is killed in between is repeated.

        What is lost already when this begins stores nothing. Where another writer comes in during it, the events and
        the aggregate may stand: the fold that follows gives the same.
        """
        stored, after = sources.enrolment, folded.enrolment
        changes = stored is not None and after is not None and after is not stored
        with available():
            agg_version, enrolment_version = self._versions(sources.key)
            if agg_version != sources.agg.version or (changes and stored and enrolment_version != stored.version):
                return False
            self._write_outbox(events)
            if not self._save_agg(folded.agg, sources.agg):
                return False
            if changes and after is not None:
                if not self._write_enrolment(after, stored):
                    return False
                self._list(sources.key)
        return True

    def marks_of(self, user_ids: Sequence[str]) -> list[StaleMark]:
        """See the port."""
        with available():
            found = rows.look(sorted(set(user_ids)))
        return [mark for _, marks in sorted(found.items()) for mark in marks.told()]

    def sources_of(self, keys: Sequence[ContextKey]) -> list[Sources]:
        """See the port. All that was asked for is in flight together, each context's aggregate before the rest."""
        aggs = self.aggs(keys)
        reads = [call for key in keys for call in _source_calls(key)]
        with available():
            found = session.together(reads)
        each = len(reads) // len(keys) if keys else 1
        return [
            _sources(key, aggs.get(key), found[place * each : (place + 1) * each]) for place, key in enumerate(keys)
        ]

    def save_folds(self, folds: Sequence[Fold]) -> bool:
        """See the port."""
        return all(session.side_by_side(lambda fold: self.save_fold(fold.sources, fold.folded, fold.events), folds))

    def save_enrolment(self, enrolment: Enrolment, expected_version: int, at: datetime) -> bool:
        """See the port."""
        with available():
            stored = self.enrolment(enrolment.key)
            if (stored.version if stored else 0) != expected_version:
                return False

            def save() -> bool:
                saved = self._write_enrolment(enrolment, stored)
                if saved:
                    self._list(enrolment.key)
                return saved

            return self._marked(enrolment.key, at, save)

    def save_attempts(self, attempts: Sequence[Attempt], at: datetime) -> list[Outcome]:
        """See the port. A replay marks what its aggregate has not seen: its sender may have been killed before."""
        if not attempts:
            return []
        with available():
            outcomes = self._keep_attempts(attempts, at)
            old = [one for one, outcome in zip(attempts, outcomes, strict=True) if outcome is Outcome.OLDER]
            if unseen := self._unseen(old):
                self._mark(unseen, at)
        return outcomes

    def _keep_attempts(self, attempts: Sequence[Attempt], at: datetime, *, imported: bool = False) -> list[Outcome]:
        """What became of each; those of one collection are one conditional write."""
        user_id = attempts[0].key.user_id
        known, outcomes = keep_attempts(
            {key: one for key, (one, _) in self._stored(attempts).items()}, attempts, imported=imported
        )
        contexts = sorted(
            {one.key.context for one, told in zip(attempts, outcomes, strict=True) if told is Outcome.APPLIED}
        )
        if not contexts:
            return outcomes
        session.together([(cql.insert("user_contexts", cql.CONTEXT), tuple(key)) for key in contexts])
        self._mark(contexts, at)
        for collection_id in sorted({key[1] for key in known}):
            part = [(place, one) for place, one in enumerate(attempts) if one.key.collection_id == collection_id]
            tried: dict[int, list[Outcome]] = {}
            written = rows.again(
                user_id, partial(self._write_attempts, [one for _, one in part], tried, imported=imported)
            )
            for (place, _), outcome in zip(part, written, strict=True):
                outcomes[place] = outcome
        self._mark(contexts, at)
        return outcomes

    def _write_attempts(
        self,
        attempts: Sequence[Attempt],
        tried: dict[int, list[Outcome]],
        *,
        imported: bool = False,
        renewed: Collection[tuple[str, ...]] = (),
    ) -> list[Outcome] | None:
        """What became of the attempts in one collection; None where another writer was in between.

        tried: as in `CassandraStore._apply`. renewed: keys of those that are written even where nothing is new, so that
        this is their last writer.
        """
        found = self._stored(attempts)
        for write_id in {last for _, last in found.values()} & tried.keys():
            return tried[write_id]
        stored = {key: one for key, (one, _) in found.items()}
        known, outcomes = keep_attempts(stored, attempts, imported=imported)
        write_id = secrets.randbits(62)
        tried[write_id] = outcomes
        statements = []
        for key, one in sorted(known.items()):
            values = typed.attempt_values(one)
            if key not in stored:
                statements.append(session.bound(cql.insert_new(cql.ATTEMPTS), [*values, write_id]))
            elif one is not stored[key] or key in renewed:
                given = [*values[len(ATTEMPT_KEY) :], write_id, *key, found[key][1]]
                statements.append(session.bound(cql.update(cql.ATTEMPTS, cql.WRITE_ID), given))
        if statements and not session.settled(lambda: session.conditional(statements), lambda: False):
            return None  # also where the answer was lost: reading again tells what there is
        return outcomes

    def _stored(self, attempts: Sequence[Attempt]) -> dict[tuple[str, ...], tuple[Attempt, int]]:
        """(row key, attempt id) -> these attempts as they are stored, and who wrote them last."""
        return self._stored_at([(*attempt.key, attempt.attempt_id) for attempt in attempts])

    def _stored_at(self, keys: Collection[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[Attempt, int]]:
        """As `_stored`, by the attempts' keys."""
        where = ("user_id", "collection_id", "context_id", "content_id")
        text = cql.select(cql.ATTEMPTS, (*codec.ATTEMPT, cql.WRITE_ID), where, within="attempt_id")
        ids: dict[RowKey, list[str]] = {}
        for *place, attempt_id in keys:
            ids.setdefault(RowKey(*place), []).append(attempt_id)
        found = session.together([(text, (*key, sorted(set(own)))) for key, own in ids.items()])
        return {tuple(row[: len(ATTEMPT_KEY)]): (typed.attempt_from(row), row[-1]) for part in found for row in part}

    def _unseen(self, attempts: Sequence[Attempt]) -> list[ContextKey]:
        """The contexts whose aggregate has not seen what is stored of these attempts."""
        stored = [one for one, _ in self._stored(attempts).values()] if attempts else []
        aggs = self.aggs(sorted({one.key.context for one in stored}))
        return sorted({one.key.context for one in stored if not _seen(one, aggs.get(one.key.context))})

    def unpublished(self, limit: int) -> list[OutboxEvent]:
        """See the port. Looks from the oldest event that may wait: what was published before leaves tombstones."""
        text = f"{cql.select('outbox_waiting', cql.WAITING, ('bucket',))} AND created_at >= ? LIMIT ?"
        event_text = cql.select("outbox", codec.EVENT, ("id",))
        with available():
            place = queue.watermark(queue.EVENTS_PLACE) or EPOCH
            parts = session.together([(text, (part, place, limit)) for part in range(BUCKETS)])
            waiting = sorted((row for part in parts for row in part), key=lambda row: (row[1], row[2]))[:limit]
            found = session.together([(event_text, (row[2],)) for row in waiting])
            done = [row for row, event in zip(waiting, found, strict=True) if event and event[0][4] is not None]
            session.together([self._no_longer_waiting(row) for row in done])
            self._move_place(place, codec.time(waiting[0][1]) if waiting else None)
        return [codec.event_from(event[0])[0] for event in found if event and event[0][4] is None]

    def _move_place(self, place: datetime, oldest: datetime | None) -> None:
        """Keeps from where on events may wait: the oldest that does, or a day ago where that is earlier.

        An event is entered within seconds of being made, or anew when its fold is repeated.
        """
        latest = from_epoch_ms(session.server_time_ms()) - LOOK_BACK
        reached = min(latest, oldest) if oldest is not None else latest
        if reached - place > LOOK_BACK / 24:
            queue.set_watermark(queue.EVENTS_PLACE, reached)

    def mark_published(self, ids: Sequence[str], at: datetime) -> None:
        """See the port."""
        found_text, text = (
            cql.select("outbox", codec.EVENT, ("id",)),
            f"UPDATE {cql.table('outbox')} SET published_at = ?",
        )
        with available():
            found = session.together([(found_text, (event_id,)) for event_id in ids])
            rows_found = [part[0] for part in found if part]
            for row in rows_found:
                session.conditional([session.bound(f"{text} WHERE id = ? IF EXISTS", (at, row[0]))])
            waiting = [(queue.outbox_bucket(row[0]), row[3], row[0]) for row in rows_found]
            session.together([self._no_longer_waiting(row) for row in waiting])

    # --- one table each ------------------------------------------------------------------------------------------

    def aggs(self, keys: Sequence[ContextKey]) -> dict[ContextKey, ActivityAgg]:
        """See the port."""
        text = cql.select(cql.AGGS, codec.AGG, AGG_KEY)
        with available():
            parts = session.each([(text, agg_key_values(key)) for key in sorted(set(keys))])
            found = [typed.agg_from(row) for part in parts for row in part]
        return {agg.key: agg for agg in found}

    def _agg(self, key: ContextKey) -> ActivityAgg | None:
        found = session.run(cql.select(cql.AGGS, codec.AGG, AGG_KEY), agg_key_values(key))
        return typed.agg_from(found[0]) if found else None

    def _save_agg(self, agg: ActivityAgg, before: ActivityAgg) -> bool:
        """False where the aggregate is no longer `before`."""
        values, key, write_id = typed.agg_values(agg), agg_key_values(agg.key), secrets.randbits(62)
        if before.version == 0:
            return self._cas(cql.AGGS, cql.insert_new(cql.AGGS), [*values, write_id], key, write_id, None)
        given = [*values[len(AGG_KEY) :], write_id, *key, before.version]
        return self._cas(cql.AGGS, cql.update(cql.AGGS), given, key, write_id, before.version)

    def _merge_agg(self, agg: ActivityAgg, *, dry: bool) -> bool | None:
        """Takes in what another system tells of a context."""
        stored = self._agg(agg.key)
        merged = agg if stored is None else merging.merge_agg(stored, agg)
        if merged is stored or dry:
            return merged is not stored
        return self._save_agg(merged, stored or ActivityAgg(agg.key)) or None

    def _merge_enrolment(self, enrolment: Enrolment, *, dry: bool) -> bool | None:
        """Takes in what another system tells of an enrolment."""
        stored = self.enrolment(enrolment.key)
        merged = enrolment if stored is None else merging.merge_enrolment(stored, enrolment)
        if merged is stored or dry:
            return merged is not stored
        if not self._write_enrolment(merged, stored):
            return None
        self._list(enrolment.key)
        return True

    def _merge_all(self, user_id: str, merges: Sequence[tuple[ContextKey, Merge]], at: datetime) -> int:
        """How many of one learner's rows these merges changed; their contexts are marked before and after.

        Only those that would change something, so that importing twice marks nothing.
        """
        adds = session.side_by_side(lambda one: one[1](dry=True), merges)
        wanted = [one for one, adding in zip(merges, adds, strict=True) if adding]
        if not wanted:
            return 0
        contexts = sorted({key for key, _ in wanted})
        session.together([(cql.insert("user_contexts", cql.CONTEXT), tuple(key)) for key in contexts])
        self._mark(contexts, at)
        changed = [rows.again(user_id, partial(merge, dry=False)) for _, merge in wanted]
        self._mark(contexts, at)
        return sum(changed)

    def _versions(self, key: ContextKey) -> tuple[int, int]:
        """The stored aggregate's version and the enrolment's; 0 where there is none."""
        found = session.together(
            [
                (cql.select(cql.AGGS, ("version",), AGG_KEY), agg_key_values(key)),
                (cql.select(cql.ENROLMENTS, ("version",), ENROLMENT_KEY), key),
            ]
        )
        agg, enrolment = (int(part[0][0]) if part else 0 for part in found)
        return agg, enrolment

    def _write_enrolment(self, enrolment: Enrolment, stored: Enrolment | None) -> bool:
        """False where the enrolment is no longer `stored`."""
        values, write_id = typed.enrolment_values(enrolment), secrets.randbits(62)
        if stored is None:
            text = f"{cql.insert(cql.ENROLMENTS, (*codec.ENROLMENT, cql.WRITE_ID, 'listed_date'))} IF NOT EXISTS"
            given = typed.written([*values, write_id, enrolment.enrolled_date])
            return self._cas(cql.ENROLMENTS, text, given, (*enrolment.key,), write_id, None)
        bound = typed.written(values, typed.enrolment_values(stored))
        given = [*bound[len(ENROLMENT_KEY) :], write_id, *enrolment.key, stored.version]
        return self._cas(cql.ENROLMENTS, cql.update(cql.ENROLMENTS), given, (*enrolment.key,), write_id, stored.version)

    def _list(self, key: ContextKey) -> None:
        """Copies the enrolment into its batch's list, whatever it is by now.

        The copy bears the write time of what it copies: however many copy at once, the newest stands.
        """
        columns = (*codec.ENROLMENT, "listed_date", "WRITETIME(version)")
        found = session.run(cql.select(cql.ENROLMENTS, columns, ENROLMENT_KEY), key)
        enrolment = typed.enrolment_from(found[0]) if found else None
        if enrolment is None or enrolment.enrolled_date is None:
            return
        listed, stamp = codec.from_time(found[0][-2]), found[0][-1]
        place = (key.context_id, imports.bucket(key.user_id))
        if listed != enrolment.enrolled_date and not self._relist(enrolment, listed, stamp):
            return
        entry = (*place, enrolment.enrolled_date, key.user_id, key.collection_id)
        text = f"{cql.insert(cql.LIST, imports.BY_BATCH)} USING TIMESTAMP ?"
        session.run(text, (*entry, *typed.listed_values(enrolment), stamp))

    def _relist(self, enrolment: Enrolment, listed: datetime | None, stamp: int) -> bool:
        """Takes the entry under the date of before away, and says under which the next one will be.

        In this order: whoever finds another date said here removes that entry, even one that is written later. False
        where another writer was in between: that one lists.
        """
        key = enrolment.key
        if listed is not None:
            entry = (key.context_id, imports.bucket(key.user_id), listed, key.user_id, key.collection_id)
            text = f"DELETE FROM {cql.table(cql.LIST)} USING TIMESTAMP ? WHERE {cql.matches(imports.BY_BATCH_KEY)}"
            session.run(text, (stamp, *entry))
        where = f"WHERE {cql.matches(ENROLMENT_KEY)} IF version = ?"
        text = f"UPDATE {cql.table(cql.ENROLMENTS)} SET listed_date = ? {where}"
        return session.conditional([session.bound(text, (enrolment.enrolled_date, *key, enrolment.version))])

    # --- writing -------------------------------------------------------------------------------------------------

    def _cas(
        self, table: str, text: str, values: Sequence[Any], key: Sequence[Any], write_id: int, before: int | None
    ) -> bool:
        """One conditional write of one row; True where it took place.

        before: the version it replaces, None for a new row.
        """
        found = cql.select(table, ("version", cql.WRITE_ID), tuple(cql.KEYS[table]))
        return session.settled(
            lambda: session.conditional([session.bound(text, values)]),
            lambda: rows.told(session.serial(found, key), write_id, before),
        )

    def _marked(self, key: ContextKey, at: datetime, work: Callable[[], bool]) -> bool:
        """`work` between two marks: one for whoever is killed, one for a fold that was in between.

        Nothing is said by the second where `work` did nothing.
        """
        self._mark([key], at)
        done = work()
        if done:
            self._mark([key], at)
        return done

    def _mark(self, keys: Sequence[ContextKey], at: datetime) -> None:
        """One more reason to fold each of one learner's contexts."""
        user_id = keys[0].user_id

        def attempt() -> bool | None:
            marks = rows.look([user_id])[user_id]
            return rows.Writing({}, marks).write(reasons=dict.fromkeys(keys, at)) or None

        rows.again(user_id, attempt)

    # --- outbox --------------------------------------------------------------------------------------------------

    def _write_outbox(self, events: Sequence[OutboxEvent]) -> None:
        """Keeps each event once; one that is there and not published waits again, whoever wrote it."""
        text = f"{cql.insert('outbox', codec.EVENT[:4])} IF NOT EXISTS"
        for event in events:
            session.conditional([session.bound(text, codec.event_values(event)[:4])])
            kept = session.run(cql.select("outbox", codec.EVENT, ("id",)), (event.id,))
            if kept and kept[0][4] is None:
                waiting = (queue.outbox_bucket(event.id), kept[0][3], event.id)
                session.run(cql.insert("outbox_waiting", cql.WAITING), waiting)

    def _no_longer_waiting(self, row: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        return f"DELETE FROM {cql.table('outbox_waiting')} WHERE {cql.matches(cql.WAITING)}", row


def _source_calls(key: ContextKey) -> list[session.Call]:
    """What is read of a context after its aggregate."""
    attempts = ("user_id", "collection_id", "context_id")
    return [
        (cql.select(cql.UCC, codec.CONSUMPTION, cql.CONTEXT), key, ConsistencyLevel.LOCAL_SERIAL),
        (cql.select(cql.ATTEMPTS, codec.ATTEMPT, attempts), key),
        (cql.select(cql.ENROLMENTS, codec.ENROLMENT, ENROLMENT_KEY), key),
    ]


def _sources(key: ContextKey, agg: ActivityAgg | None, found: Sequence[Sequence[Any]]) -> Sources:
    """What `_source_calls` found."""
    consumption, attempts, enrolments = found
    return Sources(
        agg=agg or ActivityAgg(key),
        rows=[codec.consumption_from(row) for row in consumption],
        attempts=[typed.attempt_from(row) for row in attempts],
        enrolment=typed.enrolment_from(enrolments[0]) if enrolments else None,
    )


def _seen(attempt: Attempt, agg: ActivityAgg | None) -> bool:
    """True where the aggregate has this account of the attempt."""
    facts = agg.agg_details.get(attempt.key.content_id, {}) if agg else {}
    told = (attempt.attempt_id, to_epoch_ms(attempt.last_attempted_on), attempt.total_score)
    return told in [(one["attemptId"], one["lastAttemptedOn"], one["score"]) for one in facts.get("tries", ())]
