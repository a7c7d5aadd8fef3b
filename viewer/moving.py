"""Moves everything from one store to another and compares the two as wholes.

Every learner of the source is read on both sides and loaded where the two differ, so a second run moves only what
changed since the first. Then every learner of the target is: what the source no longer has, goes. Each side is added
up from its own reads: the source's in the first round, the target's in the second.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from django.db import connections

from common.timestamps import to_epoch_ms
from viewer.store.port import LearnerDump, OutboxEntry, Store

ItemT = TypeVar("ItemT")
MODULUS = 2**128
TABLES = {
    "rows": "user_content_consumption",
    "attempts": "assessment_aggregator",
    "aggs": "user_activity_agg",
    "enrolments": "user_enrolments",
    "contexts": "user_contexts",
    "marks": "stale_marks",
    "provenance": "provenance",
}


class Mismatch(Exception):
    """The target does not hold what was loaded into it. `owner`: the learner or the event; `table`: where."""

    def __init__(self, owner: str, table: str) -> None:
        super().__init__(f"{owner}: what was loaded into {table} is not what is there now")
        self.owner, self.table = owner, table


# --- what is compared: pure ----------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """JSON that is the same for equal values: maps sorted, times as epoch ms, numbers as the doubles they are."""
    return msgspec.json.encode(_plain(msgspec.to_builtins(value, builtin_types=(datetime,))), order="deterministic")


def _plain(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() | float():
            return _number(value)
        case datetime():
            return to_epoch_ms(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


def _number(value: float) -> float:
    """One spelling for 1 and 1.0, and for a number beyond 2**53 the double that every store keeps."""
    try:
        double = float(value)
    except OverflowError:
        return value
    return int(double) if double.is_integer() else double


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is compared of one learner: table -> digest of its rows, and how many rows that are."""

    digests: dict[str, bytes]
    counts: dict[str, int]
    number: int

    def differs(self, other: "Fingerprint") -> tuple[str, ...]:
        """The tables that are not equal."""
        return tuple(table for table, digest in self.digests.items() if digest != other.digests[table])

    @property
    def empty(self) -> bool:
        """True where the store has nothing of the learner."""
        return not any(self.counts.values())


def fingerprint(dump: LearnerDump) -> Fingerprint:
    """The same for equal dumps, whichever store they came from."""
    rows = {table: getattr(dump, name) for name, table in TABLES.items()}
    digests = {table: hashlib.sha256(canonical(of_table)).digest() for table, of_table in rows.items()}
    whole = _number_of(dump.user_id.encode() + b"".join(digests.values()))
    return Fingerprint(digests, {table: len(of_table) for table, of_table in rows.items()}, whole)


def _number_of(text: bytes) -> int:
    return int.from_bytes(hashlib.sha256(text).digest()) % MODULUS


@dataclass(slots=True)
class Side:
    """What was read of one store: rows by table, and one sum over all of it that does not depend on the order."""

    counts: dict[str, int] = field(default_factory=dict)
    checksum: int = 0

    def add(self, counts: dict[str, int], number: int) -> None:
        """Counts one learner, event or watermark in."""
        for table, count in counts.items():
            self.counts[table] = self.counts.get(table, 0) + count
        self.checksum = (self.checksum + number) % MODULUS

    def add_learner(self, seen: Fingerprint) -> None:
        """Counts a learner in; one who vanished since his id was listed is nobody."""
        if not seen.empty:
            self.add({"learners": 1, **seen.counts}, seen.number)


# --- how far a move got --------------------------------------------------------------------------------------


class Phase(StrEnum):
    """The rounds of a move, in this order."""

    LEARNERS = "learners"
    LEFT_OVER = "learners of the target"
    OUTBOX = "outbox"
    OUTBOX_LEFT_OVER = "outbox of the target"
    WATERMARKS = "watermarks"
    DONE = "done"


@dataclass(slots=True)
class Position:
    """How far a move got and what it saw.

    after: the last id of this round's pages that is done. total: learners in the source as the move began. moved:
    learners and events that differed; removed: those only the target had; changed: those that a writer changed
    between the two rounds.
    """

    phase: Phase = Phase.LEARNERS
    after: str | None = None
    total: int | None = None
    seen: int = 0
    source: Side = field(default_factory=Side)
    target: Side = field(default_factory=Side)
    moved: int = 0
    removed: int = 0
    changed: int = 0

    @property
    def equal(self) -> bool:
        """True when the move is over and both sides added up to the same."""
        return self.phase is Phase.DONE and self.source == self.target

    def enter(self, phase: Phase) -> None:
        """Begins a round."""
        self.phase, self.after, self.seen = phase, None, 0


@dataclass(frozen=True, slots=True)
class _Kept:
    source: str
    target: str
    position: Position


def kept_position(path: Path, source: str, target: str) -> Position | None:
    """Where the interrupted move from `source` to `target` stands; None: there is none, or it went another way."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return kept.position if (kept.source, kept.target) == (source, target) else None


def keep_position(path: Path, source: str, target: str, position: Position) -> None:
    """Replaces the kept position at once: a reader finds the old one or the new one."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(msgspec.json.encode(_Kept(source, target, position)))
    draft.replace(path)


# --- the move ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One learner, event or job that was not equal on both sides, and in which tables."""

    owner: str
    tables: tuple[str, ...]


class Move:
    """Everything of `source` into `target`. dry_run: only compares.

    page: learners read at a time, the most that are done again after an interruption. workers: threads for them.
    position: where an interrupted move stands; always as far as everything before it is durable.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        *,
        position: Position | None = None,
        page: int = 200,
        workers: int = 4,
        dry_run: bool = False,
    ) -> None:
        self.position = position or Position()
        self._source, self._target = source, target
        self._page, self._workers, self._dry_run = page, workers, dry_run

    def run(self) -> Iterator[list[Difference]]:
        """The differences of each page, once it is done; `position` is then behind it.

        Raises Mismatch, and Unavailable when a store does not answer.
        """
        rounds: dict[Phase, Callable[[ThreadPoolExecutor], Iterator[list[Difference]]]] = {
            Phase.LEARNERS: self._learners,
            Phase.LEFT_OVER: self._left_over,
            Phase.OUTBOX: self._outbox,
            Phase.OUTBOX_LEFT_OVER: self._outbox_left_over,
            Phase.WATERMARKS: self._watermarks,
        }
        if self.position.total is None:
            self.position.total = sum(len(page) for page in _pages(self._source.learners_after, None, str, self._page))
        phases = list(Phase)
        with ThreadPoolExecutor(self._workers, thread_name_prefix="move") as pool:
            while (phase := self.position.phase) is not Phase.DONE:
                yield from rounds[phase](pool)
                self.position.enter(phases[phases.index(phase) + 1])

    def _learners(self, pool: ThreadPoolExecutor) -> Iterator[list[Difference]]:
        for page in _pages(self._source.learners_after, self.position.after, str, self._page):
            found = self._shared_out(pool, self._compared, page)
            differences = [Difference(user_id, differs) for user_id, (_, _, differs) in found if differs]
            for _, (wanted, _, _) in found:
                self.position.source.add_learner(wanted)
            self.position.moved += len(differences)
            yield self._done(page[-1], len(page), differences)

    def _left_over(self, pool: ThreadPoolExecutor) -> Iterator[list[Difference]]:
        """Reads both sides again: the target's rows are added up as they are there, not as they were sent."""
        for page in _pages(self._target.learners_after, self.position.after, str, self._page):
            differences = []
            for user_id, (wanted, there, differs) in self._shared_out(pool, self._compared, page):
                self.position.target.add_learner(there)
                if differs and wanted.empty:
                    self.position.removed += 1
                    differences.append(Difference(user_id, differs))
                elif differs and not self._dry_run:
                    self.position.changed += 1
                    differences.append(Difference(user_id, differs))
            yield self._done(page[-1], len(page), differences)

    def _compared(self, user_id: str) -> tuple[Fingerprint, Fingerprint, tuple[str, ...]]:
        """The learner in the source, in the target as this leaves him, and the tables in which he differed."""
        dump = self._source.dump(user_id)
        wanted, there = fingerprint(dump), fingerprint(self._target.dump(user_id))
        differs = wanted.differs(there)
        if not differs or self._dry_run:
            return wanted, there, differs
        self._target.load(dump)
        loaded = fingerprint(self._target.dump(user_id))
        if wrong := wanted.differs(loaded):
            raise Mismatch(user_id, wrong[0])
        return wanted, loaded, differs

    def _outbox(self, _: ThreadPoolExecutor) -> Iterator[list[Difference]]:
        for page in _pages(self._source.outbox_after, self.position.after, _id, self._page):
            differing = _unlike(page, self._target.outbox_entries(list(map(_id, page))))
            if differing and not self._dry_run:
                self._target.load_outbox(differing)
                if wrong := _unlike(differing, self._target.outbox_entries(list(map(_id, differing)))):
                    raise Mismatch(_id(wrong[0]), "outbox")
            self._count_events(self.position.source, page)
            self.position.moved += len(differing)
            yield self._done(_id(page[-1]), 0, [Difference(_id(entry), ("outbox",)) for entry in differing])

    def _outbox_left_over(self, _: ThreadPoolExecutor) -> Iterator[list[Difference]]:
        for page in _pages(self._target.outbox_after, self.position.after, _id, self._page):
            known = set(map(_id, self._source.outbox_entries(list(map(_id, page)))))
            gone = [entry for entry in page if _id(entry) not in known]
            if gone and not self._dry_run:
                self._target.load_outbox((), gone=list(map(_id, gone)))
            self._count_events(self.position.target, page if self._dry_run else _without(page, gone))
            self.position.removed += len(gone)
            yield self._done(_id(page[-1]), 0, [Difference(_id(entry), ("outbox",)) for entry in gone])

    def _watermarks(self, _: ThreadPoolExecutor) -> Iterator[list[Difference]]:
        if self.position.after is not None:
            return  # this round is one page, and an interrupted move had done it
        wanted, there = self._source.watermarks(), self._target.watermarks()
        names = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        if names and not self._dry_run:
            self._target.load_watermarks(wanted)
            there = self._target.watermarks()
        for side, watermarks in ((self.position.source, wanted), (self.position.target, there)):
            side.add({"watermarks": len(watermarks)}, _number_of(canonical(watermarks)))
        yield self._done(Phase.WATERMARKS, 0, [Difference(name, ("watermarks",)) for name in names])

    def _count_events(self, side: Side, entries: Iterable[OutboxEntry]) -> None:
        for entry in entries:
            side.add({"outbox": 1}, _number_of(canonical(entry)))

    def _done(self, last: str, learners: int, differences: list[Difference]) -> list[Difference]:
        self.position.after = last
        self.position.seen += learners
        return differences

    def _shared_out(
        self, pool: ThreadPoolExecutor, work: Callable[[str], ItemT], page: Sequence[str]
    ) -> list[tuple[str, ItemT]]:
        """What `work` gives for each learner of the page, done by the pool's threads."""

        def some(user_ids: Sequence[str]) -> list[tuple[str, ItemT]]:
            try:
                return [(user_id, work(user_id)) for user_id in user_ids]
            finally:
                connections.close_all()  # this thread's own: it may not be the one that does the next page

        shares = [page[first :: self._workers] for first in range(min(self._workers, len(page)))]
        return [found for share in pool.map(some, shares) for found in share]


def _pages(
    read: Callable[[str | None, int], list[ItemT]], after: str | None, id_of: Callable[[ItemT], str], size: int
) -> Iterator[list[ItemT]]:
    """The pages behind `after`."""
    while page := read(after, size):
        yield page
        after = id_of(page[-1])


def _id(entry: OutboxEntry) -> str:
    return entry[0].id


def _unlike(wanted: Sequence[OutboxEntry], there: Sequence[OutboxEntry]) -> list[OutboxEntry]:
    """Those of `wanted` that are not there as they are."""
    stored = {_id(entry): canonical(entry) for entry in there}
    return [entry for entry in wanted if stored.get(_id(entry)) != canonical(entry)]


def _without(entries: Sequence[OutboxEntry], gone: Sequence[OutboxEntry]) -> list[OutboxEntry]:
    ids = set(map(_id, gone))
    return [entry for entry in entries if _id(entry) not in ids]
