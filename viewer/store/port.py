"""What the service asks of a store, and what a store promises.

Written in the domain's terms: no queryset, session or driver error passes this line. A store that does not answer
raises `common.errors.Unavailable`, and then nothing of the call was acknowledged. The contract suite
(tests/contract/) runs the same tests on every adapter.

Promises that hold for every method:

P1  A method that returns has made its write durable.
P2  A write to a row and the mark of its context are one: both are there or neither is.
P3  No method ever reads or writes another learner's rows than the ones its key names.
P4  Times come back as they were given, in whole milliseconds, UTC.
    JSON comes back with equal values; a number beyond 2**53 keeps its value as a double.
P5  Ids are compared exactly, byte by byte: no folding of case, blanks or accents.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, Provenance, RowKey, StaleMark
from viewer.lifecycle import Outcome, ViewEvent
from viewer.outbox import OutboxEvent
from viewer.progress import Folded, Sources


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one event.

    new_mark: its context was not marked before, so somebody has to be woken. row: the row as this event wrote it; None
    where it wrote nothing.
    """

    outcome: Outcome
    new_mark: bool = False
    row: Consumption | None = None


class Store(Protocol):
    """The learner's tables."""

    def apply(self, key: RowKey, event: ViewEvent) -> Applied:
        """Does to the row of `key` what `viewer.lifecycle.fold` says, as one atomic conditional write.

        Events on one row are serialised: of any number of concurrent calls each sees the row as some order of the
        others left it. A written start or end marks the context, an update does not. An event that writes nothing
        marks it too when the row is newer than its aggregate. An absent row that its aggregate keeps (archived or
        imported) counts as if it were there. A new row registers its context among the learner's contexts.
        Cost: one round trip on PostgreSQL when something is written, one or two more otherwise.
        """
        ...

    def apply_all(self, user_id: str, events: Sequence[tuple[RowKey, ViewEvent]]) -> list[Applied]:
        """Applies one learner's events in the given order, all in one transaction, each as `apply` would.

        Returns what became of each, in the same order; of several events that marked one context only the first says
        so. Either every outcome is durable or none. Cost: a fixed number of statements, however many events.
        """
        ...

    def rows(self, keys: Sequence[RowKey]) -> list[Consumption]:
        """The rows of one learner with these keys, in no particular order; absent ones are left out. One query."""
        ...

    def sources(self, key: ContextKey) -> Sources:
        """Everything a fold of one context starts from, but the hierarchy. The aggregate is read before the rows.

        Rows and attempts are ordered by content (and attempt) id. A fixed number of partition reads.
        """
        ...

    def aggs(self, keys: Sequence[ContextKey]) -> dict[ContextKey, ActivityAgg]:
        """The aggregates of one learner for these contexts; never folded ones are left out. One query."""
        ...

    def attempts(self, keys: Sequence[RowKey]) -> list[Attempt]:
        """All attempts of one learner at these contents, by content and attempt id. One query."""
        ...

    def contexts(self, user_id: str) -> list[ContextKey]:
        """Every context where the learner has progress, by collection and context id. One partition read."""
        ...

    def contexts_after(self, after: ContextKey | None, limit: int) -> list[ContextKey]:
        """The next `limit` contexts of all learners behind `after` (None: the first), by user, collection, context.

        For commands that walk everything; costs one page.
        """
        ...

    def enrolments(self, user_id: str) -> list[Enrolment]:
        """Every enrolment of the learner, inactive ones too, by collection and context id. One partition read."""
        ...

    def batch_enrolments(self, context_id: str) -> Iterable[Enrolment]:
        """The enrolments of one batch by enrolment date and user id, streamed; only the columns a report needs."""
        ...

    def marks(self, user_id: str) -> list[StaleMark]:
        """The learner's contexts that wait for a fold, by key. One partition read."""
        ...

    def oldest_marks(self, limit: int, before: datetime, now: datetime) -> list[StaleMark]:
        """At most `limit` marks of all learners made before `before`, oldest first: what a sweep serves.

        Marks that were deferred beyond `now` are left out.
        """
        ...

    def mark(self, key: ContextKey, at: datetime) -> None:
        """Marks one context: for writes whose effect on an aggregate the store cannot see."""
        ...

    def clear_mark(self, mark: StaleMark) -> bool:
        """Takes the mark away unless a new reason came since it was read. True when it is gone."""
        ...

    def defer_mark(self, mark: StaleMark, until: datetime) -> None:
        """Hides the mark from `oldest_marks` until then, unless a new reason came since it was read."""
        ...

    def undefer_marks(self, collection_ids: Collection[str]) -> None:
        """Makes every deferred mark of these collections due again: their trees have become known."""
        ...

    def watermark(self, name: str) -> datetime | None:
        """How far a periodic job of this name got; None before its first run."""
        ...

    def set_watermark(self, name: str, at: datetime) -> None:
        """Keeps how far the job got; an earlier time never replaces a later one."""
        ...

    def enrolment(self, key: ContextKey) -> Enrolment | None:
        """The learner's enrolment in this context, active or not; None when there never was one. One read."""
        ...

    def save_enrolment(self, enrolment: Enrolment, expected_version: int, at: datetime) -> bool:
        """Stores the enrolment and marks its context, if the stored one still has `expected_version` (0: is absent).

        False when another writer was first: read again. The batch's list follows in the same transaction.
        """
        ...

    def save_attempts(self, attempts: Sequence[Attempt], at: datetime) -> list[Outcome]:
        """Keeps the newer account of each of one learner's attempts (equally old: the higher total).

        The first `created_on` stays. What became of each, in the same order: APPLIED, and its context marked and
        registered with it; OLDER when the stored one already says as much. A fixed number of statements.
        """
        ...

    def save_fold(self, sources: Sources, folded: Folded, events: Sequence[OutboxEvent]) -> bool:
        """Stores what a fold of `sources` says: its events, the enrolment and the aggregate.

        False, and nothing stored, when the aggregate changed since `sources` were read, or an enrolment that this
        fold changes did. An enrolment it leaves as it is, is not written. An event whose id is there already is not
        written again. Events are durable before the status that causes them.
        """
        ...

    def marks_of(self, user_ids: Sequence[str]) -> list[StaleMark]:
        """The marks of these learners, by key."""
        ...

    def sources_of(self, keys: Sequence[ContextKey]) -> list[Sources]:
        """As `sources`, of many contexts of any learners, in the order of `keys`. On SQL a fixed number of queries."""
        ...

    def save_folds(self, folds: Sequence["Fold"]) -> bool:
        """Stores many folds, each as `save_fold` would. False where any of them was not stored: fold each by itself.

        On SQL then none is.
        """
        ...

    def clear_marks(self, marks: Sequence[StaleMark]) -> None:
        """As `clear_mark`, of many marks."""
        ...

    def unpublished(self, limit: int) -> list[OutboxEvent]:
        """At most `limit` events nobody has published yet, oldest first."""
        ...

    def mark_published(self, ids: Sequence[str], at: datetime) -> None:
        """Takes these events out of `unpublished`."""
        ...

    def import_rows(self, batch: "ImportBatch") -> int:
        """Merges rows from elsewhere into the stored ones and marks what changed; the number of rows changed.

        The greater wins column by column (status, progress, counts, timespent, latest access; the earliest
        completion; per attempt the latest): importing the same twice changes nothing. One transaction.
        """
        ...

    def provenance(self, user_id: str) -> list[Provenance]:
        """Every record of the learner, by id. One partition read."""
        ...

    def carry(self, carries: Sequence["Carry"], at: datetime) -> list[bool]:
        """Stores one learner's carries, each by itself and in the given order; whether each was stored.

        True: the row, its record (over one with the same id), its attempts, the mark of its context and the context
        among the learner's are there. An attempt that is there already stays where it is as new (`save_attempts`).
        False: the stored row no longer had the expected version, and nothing of that carry is stored; on Cassandra a
        record in the state "planned" may stay, which names a row that is not there. One that is lost stops no other.
        What only an aggregate keeps is no row here. A row that went and was made again since it was read has version 1
        again: it is taken for the one that was read if that had version 1 too.

        On Cassandra whoever is killed in between, or gets Unavailable, leaves a planned record and a mark: the next try
        under the same id completes it and says True. Two processes that store the same at once under one id may both
        say True. Cost: a fixed number of statements for each carry.
        """
        ...

    def take_back(self, taken: "TakenBack", at: datetime) -> bool:
        """Undoes one carry: its row is as it was before or gone, its attempts are gone, its context is marked.

        False, and nothing changed, where the row no longer has the expected version; of a row that was made again the
        same holds as in `carry`. On Cassandra whoever is killed in between leaves the record planned, with its
        `undone_at`: the next try completes it and says True; two processes that undo the same at once may both say so.
        """
        ...

    def keep_record(self, record: Provenance) -> None:
        """Keeps one record, over one with the same id. One write."""
        ...

    def move_rows(self, moved: "MovedRows", at: datetime) -> bool:
        """Writes rows of one learner over what they were read as, removes others and marks all their contexts.

        All of it or nothing, and no single read finds a part of it. True: it is there, and the contexts of the written
        rows are among the learner's. False: what is stored no longer had an expected version, and nothing was changed;
        on Cassandra such a context may be among the learner's already. What only an aggregate keeps is no row here. Of
        a row that was made again since it was read the same holds as in `carry`.
        Cost: a fixed number of statements on SQL; on Cassandra one conditional write, of at most 16 MiB.
        """
        ...

    def remove_attempts(self, attempts: Sequence[Attempt], at: datetime) -> None:
        """Removes these attempts of one learner and marks their contexts.

        Each only if it is stored exactly as given: one that changed since stays, one that is gone is no error. All in
        one transaction on SQL, those of one collection in one write on Cassandra. A fixed number of statements on SQL.
        """
        ...

    def all_rows(self, user_id: str) -> list[Consumption]:
        """Every row of the learner, by key. One partition read."""
        ...

    def attempts_in(self, keys: Sequence[ContextKey]) -> list[Attempt]:
        """All attempts of one learner in these contexts, by key and id. At most one read for each collection."""
        ...

    def learners_after(self, after: str | None, limit: int) -> list[str]:
        """The next `limit` learners behind `after` (None: the first) who have anything in any of their tables.

        Attempts and aggregates are looked for where the learner has rows, contexts or enrolments: a write that makes
        one makes the other. In an order of the store's own that is always the same; none is left out. Costs one page.
        """
        ...

    def dump(self, user_id: str) -> "LearnerDump":
        """Everything stored of one learner. A fixed number of partition reads, which are not one snapshot."""
        ...

    def load(self, dump: "LearnerDump") -> None:
        """Replaces everything stored of the learner by `dump`, as it stands; the batches' lists follow.

        An empty dump removes the learner. Doing it again changes nothing. Atomic on SQL. Not to be called while
        others write to the same learner.
        """
        ...

    def outbox_after(self, after: str | None, limit: int) -> list["OutboxEntry"]:
        """The next `limit` events behind the one with the id `after` (None: the first), published ones too.

        In an order of the store's own that is always the same. Costs one page.
        """
        ...

    def outbox_entries(self, ids: Sequence[str]) -> list["OutboxEntry"]:
        """The events with these ids, in no particular order; absent ones are left out."""
        ...

    def load_outbox(self, entries: Sequence["OutboxEntry"], gone: Collection[str] = ()) -> None:
        """Stores these events as they stand, over what was stored under their ids, and removes those in `gone`."""
        ...

    def watermarks(self) -> dict[str, datetime]:
        """Every watermark by its name."""
        ...

    def load_watermarks(self, watermarks: Mapping[str, datetime]) -> None:
        """Replaces all watermarks by these, earlier ones too. Not to be called while jobs run."""
        ...


@dataclass(frozen=True, slots=True)
class Fold:
    """What a fold of `sources` says should be stored, and the events that go before it."""

    sources: Sources
    folded: Folded
    events: Sequence[OutboxEvent] = ()

    @property
    def changes_enrolment(self) -> bool:
        """True where the enrolment is another after this fold."""
        stored, after = self.sources.enrolment, self.folded.enrolment
        return stored is not None and after is not None and after is not stored


@dataclass(frozen=True, slots=True)
class Carry:
    """One row to be carried into a context, with the record of why.

    record: kept with it, in the state "done". row: as it is to be; its version is the store's to give.
    expected_version: of the stored row it replaces; 0: there must be none. attempts: those that follow, under the row's
    key.
    """

    record: Provenance
    row: Consumption
    expected_version: int
    attempts: tuple[Attempt, ...] = ()

    @property
    def written(self) -> Consumption:
        """The row as it is stored."""
        return replace(self.row, version=self.expected_version + 1)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """One carry undone.

    record: with its `undone_at`. key: the row's place. row: as it was before, its version the store's to give; None:
    there was none. expected_version: of the carried row. attempts: ids of those to remove under the key.
    """

    record: Provenance
    key: RowKey
    row: Consumption | None
    expected_version: int
    attempts: tuple[str, ...] = ()

    @property
    def written(self) -> Consumption | None:
        """The row as it is stored; its version goes on, so that nobody takes it for the one of before."""
        return replace(self.row, version=self.expected_version + 1) if self.row is not None else None


@dataclass(frozen=True, slots=True)
class MovedRows:
    """Rows of one learner that change places in one write.

    rows: each as it is to be, with the version of the stored row it replaces (0: there must be none); its own version
    is the store's to give. gone: the keys of rows to remove, with their versions. No key comes twice.
    """

    rows: tuple[tuple[Consumption, int], ...] = ()
    gone: tuple[tuple[RowKey, int], ...] = ()

    @property
    def written(self) -> list[Consumption]:
        """The rows as they are stored, by key."""
        return sorted((replace(row, version=version + 1) for row, version in self.rows), key=lambda row: row.key)

    @property
    def expected(self) -> dict[RowKey, int]:
        """Key -> the version that has to be stored there, by key; 0: none."""
        return dict(sorted([*((row.key, version) for row, version in self.rows), *self.gone]))

    @property
    def contexts(self) -> list[ContextKey]:
        """Every context that rows come into or leave, by key."""
        return sorted({key.context for key in self.expected})


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """Rows from elsewhere with the times they had there. `at`: when the marks they cause are made."""

    at: datetime
    rows: Sequence[Consumption] = ()
    attempts: Sequence[Attempt] = ()
    enrolments: Sequence[Enrolment] = ()
    aggs: Sequence[ActivityAgg] = ()


OutboxEntry = tuple[OutboxEvent, datetime | None]
"""One event, and when it was published; None: it waits."""


@dataclass(frozen=True, slots=True)
class LearnerDump:
    """Everything one learner has in a store, exactly; each table by its key, ids ordered as Python orders text."""

    user_id: str
    rows: tuple[Consumption, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    aggs: tuple[ActivityAgg, ...] = ()
    enrolments: tuple[Enrolment, ...] = ()
    contexts: tuple[ContextKey, ...] = ()
    marks: tuple[StaleMark, ...] = ()
    provenance: tuple[Provenance, ...] = ()
