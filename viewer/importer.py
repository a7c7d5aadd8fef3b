"""Rows from elsewhere: JSON lines in the seeds' or the legacy columns, parsed purely and merged in batches.

`parse_line` says what one line means and touches nothing; `Import` reads many, a bounded number at a time, and hands
them to the store, which merges and marks. Nothing here writes to a terminal: the command does. See docs/import.md.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby
from typing import Any, BinaryIO

import msgspec

from common import timestamps
from common.errors import FieldError, InvalidField, MissingField
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, Question, RowKey, Status
from modes import instance, keys
from viewer import merging, rekeying, statusmap
from viewer.import_columns import ACTIVITY_AGG, ATTEMPT, CONSUMPTION, ENROLMENT, Layout, read_columns
from viewer.lifecycle import PROGRESS_BEFORE_END, progress_of
from viewer.store import imports
from viewer.store.port import ImportBatch, Store

MAX_LINE = 4 * 2**20  # bytes of one line
MAX_WAITING = 4 * MAX_LINE  # bytes of the lines that wait to be stored
MAX_BATCH = 5000  # keys of five columns stay below the 32,766 values one SQLite statement takes

Row = Consumption | Attempt | Enrolment | ActivityAgg


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that is well formed and says nothing to keep. phantom: worth a look by whoever made the file."""

    reason: str
    phantom: bool = False


# --- one line -----------------------------------------------------------------------------------------------------


def parse_line(text: str | bytes, now: datetime) -> Row | Skipped:
    """What one line of an import says. `now`: when the import began, for rows that know no time.

    Raises MissingField, InvalidField, InvalidId, InvalidTime or ConflictingIds, naming the field as the line does.
    """
    table, columns = decode_line(text)
    return parse_columns(table, columns, now)


def decode_line(text: str | bytes) -> tuple[str, dict[str, Any]]:
    """The table a line is for, and its columns. Raises FieldError."""
    if len(text) > MAX_LINE:
        raise InvalidField("line", f"longer than {MAX_LINE} bytes")
    try:
        line = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise InvalidField("line", "not JSON") from None
    if not isinstance(line, dict):
        raise InvalidField("line", "not a JSON object")
    tables = [line.pop(name) for name in list(line) if name.lower() == "table"]
    if not tables or tables[0] is None:
        raise MissingField("table", "table is missing")
    name = tables[0].strip().lower() if isinstance(tables[0], str) else ""
    if name not in TARGETS or len(tables) > 1:
        raise InvalidField("table", f"table is not one of {', '.join(TARGETS)}")
    return name, line


def parse_columns(table: str, columns: Mapping[str, Any], now: datetime) -> Row | Skipped:
    """The row that these columns of `table` describe. Raises FieldError."""
    target = TARGETS[table]
    if table == "user_enrolments" and any(name.lower() == "active" and columns[name] is None for name in columns):
        return Skipped("active is null: a legacy write to an enrolment that never was", phantom=True)
    return target.build(read_columns(columns, target.columns), now)


def _context_key(values: Mapping[str, Any]) -> ContextKey:
    return ContextKey(values["user_id"], values["collection_id"], values["context_id"])


def _row_key(values: Mapping[str, Any]) -> RowKey:
    """The row in which this instance's mode keeps what was done there."""
    told = RowKey(*_context_key(values), values["content_id"])
    return keys.write_key(instance.current().mode, keys.viewed(told))


def _consumption(values: Mapping[str, Any], now: datetime) -> Consumption | Skipped:
    status = _status(values)
    if status is Status.NOT_STARTED:
        return Skipped("status 0 and nothing else")
    done = status is Status.COMPLETED
    access, completed = values["last_access_time"], values["last_completed_time"]
    own, origin = values["own_completed_time"], values["origin"]
    known = values["last_updated_time"] or merging.later(access, completed) or now
    completed = (completed or own) if done else None
    own = (own or (completed if origin is None else None)) if done else None
    return Consumption(
        key=_row_key(values),
        status=status,
        progress=100 if done else _progress(values),
        last_access_time=access,
        last_updated_time=known,
        last_completed_time=completed,
        own_completed_time=own,
        progress_details=values["progress_details"] or {},
        timespent=values["timespent"] or 0.0,
        view_count=max(values["view_count"] or 1, 1),
        origin=None if own else origin,
    )


def _status(values: Mapping[str, Any]) -> Status:
    """The row's status. Null is in progress, as the legacy jobs read it; so is 0 beside any trace of a view."""
    given = values["status"]
    if given is None or (given == Status.NOT_STARTED and _traces(values)):
        return Status.IN_PROGRESS
    return Status(given)


def _traces(values: Mapping[str, Any]) -> bool:
    return any(values[name] for name in ("progress", "progress_details", "timespent", "view_count"))


def _progress(values: Mapping[str, Any]) -> int:
    """Of a row not completed: its own column, else its details'; 100 is for completed ones."""
    given = values["progress"]
    return min(given, PROGRESS_BEFORE_END) if given is not None else progress_of(values["progress_details"]) or 0


def _attempt(values: Mapping[str, Any], now: datetime) -> Attempt:
    questions: tuple[Question, ...] = values["questions"] or ()
    score = _total("total_score", values, [question.score for question in questions])
    maximum = _total("total_max_score", values, [question.max_score for question in questions])
    answered = [question.assess_ts for question in questions if question.assess_ts]
    attempted = values["last_attempted_on"] or values["updated_on"] or max(answered, default=values["created_on"])
    if attempted is None:
        # The newest account of an attempt wins: the time of an import would make a second import win over the first.
        raise MissingField("last_attempted_on", "last_attempted_on is missing")
    return Attempt(
        key=_row_key(values),
        attempt_id=values["attempt_id"],
        total_score=score,
        total_max_score=maximum,
        grand_total=values["grand_total"] or f"{_decimal(score)}/{_decimal(maximum)}",
        created_on=values["created_on"] or attempted,
        last_attempted_on=attempted,
        updated_on=values["updated_on"] or attempted,
        questions=questions,
    )


def _total(name: str, values: Mapping[str, Any], parts: list[float]) -> float:
    """The column, else the questions' sum, exact in decimals. Raises MissingField without either."""
    given: float | None = values[name]
    if given is not None:
        return given
    if not parts:
        raise MissingField(name, f"{name} is missing")
    return float(sum(Decimal(str(part)) for part in parts))


def _decimal(score: float) -> str:
    """With one or two decimals, as the legacy text has them: 2.0, 1.33."""
    rounded = Decimal(str(score)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return f"{rounded:.1f}" if rounded == rounded.quantize(Decimal("0.1")) else f"{rounded:.2f}"


def _enrolment(values: Mapping[str, Any], now: datetime) -> Enrolment:
    status = Status(values["status"] or 0)
    done = status is Status.COMPLETED
    return Enrolment(
        *_context_key(values),
        active=values["active"] is not False,
        added_by=values["added_by"],
        # Reports list a batch by date: without one, the enrolment counts from when it was first imported.
        enrolled_date=values["enrolled_date"] or now,
        status=status,
        progress=values["progress"] or 0,
        completion_percentage=100 if done else values["completion_percentage"] or 0,
        completed_on=values["completed_on"] if done else None,
        content_status=values["content_status"] or {},
        issued_certificates=merging.certificates(values["issued_certificates"] or (), values["certificates"] or ()),
        last_read_content_id=values["last_read_content_id"],
        last_read_content_status=values["last_read_content_status"],
        last_content_access_time=values["last_content_access_time"],
        updated_at=values["updated_at"],
    )


def _activity_agg(values: Mapping[str, Any], now: datetime) -> ActivityAgg:
    kind = values["activity_type"]
    if kind is not None and kind.strip().lower() != "course":
        raise InvalidField("activity_type", "activity_type is not Course")
    return ActivityAgg(
        key=_context_key(values),
        content_status=values["content_status"] or {},
        agg=values["agg"] or {},
        aggregates=values["aggregates"] or {},
        kept=_kept_details(values),
        agg_last_updated=values["agg_last_updated"] or {},
        version=1,
    )


def _kept_details(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What an imported aggregate keeps: per content all that its columns tell, marked as kept by an import."""
    told = [_statuses(values["content_status"] or {}), _metrics(values), *_given_details(values["agg_details"] or {})]
    kept: dict[str, dict[str, Any]] = {}
    for account in told:
        for content, facts in account.items():
            kept[content] = merging.merge_kept(kept.get(content, {}), facts)
    entries = {content: _entry(content, facts) for content, facts in kept.items()}
    return {content: entry for content, entry in entries.items() if _says_something(content, entry)}


def _entry(content: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    if content == merging.WHOLE_CONTEXT:
        return {"by": merging.IMPORT, **facts}
    viewed = any(facts.get(name) for name in ("progress", "timespent", "viewCount"))
    status = Status(facts.get("status") or (Status.IN_PROGRESS if viewed else Status.NOT_STARTED))
    done = status is Status.COMPLETED
    progress = 100 if done else min(facts.get("progress", 0), PROGRESS_BEFORE_END)
    return {"by": merging.IMPORT, **facts, "status": int(status), "progress": progress}


def _says_something(content: str, entry: Mapping[str, Any]) -> bool:
    return content == merging.WHOLE_CONTEXT or bool(entry["status"]) or "score" in entry or "attempts" in entry


def _statuses(content_status: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    return {content: {"status": int(status)} for content, status in content_status.items()}


_FACT_OF = {"score": "score", "max_score": "max_score", "attempts_count": "attempts"}


def _metrics(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Scores, attempts and the count of `aggregates`, or of the int map `agg` where aggregates lacks them."""
    facts: dict[str, dict[str, Any]] = {}
    for metric, value in {**(values["agg"] or {}), **(values["aggregates"] or {})}.items():
        kind, colon, content = metric.partition(":")
        if colon and kind in _FACT_OF:
            fact = _FACT_OF[kind]
            facts.setdefault(content, {})[fact] = int(value) if fact == "attempts" else float(value)
        elif metric == "completedCount":
            facts[merging.WHOLE_CONTEXT] = {"completedCount": int(value)}
    return facts


def _given_details(given: Mapping[str, Any] | list[dict[str, Any]]) -> list[Mapping[str, dict[str, Any]]]:
    """The accounts in agg_details: our object is one; the legacy list has an attempt in each element."""
    if isinstance(given, Mapping):
        return [given]
    tries: dict[str, int] = {}
    for attempt in given:
        tries[attempt["content_id"]] = tries.get(attempt["content_id"], 0) + 1
    accounts: list[Mapping[str, dict[str, Any]]] = [{content: {"attempts": count} for content, count in tries.items()}]
    for attempt in given:
        scored = {name: attempt[name] for name in ("score", "max_score") if attempt[name] is not None}
        accounts.append({attempt["content_id"]: scored})
    return accounts


@dataclass(frozen=True, slots=True)
class Target:
    """One table of an import. place: the field of ImportBatch that takes its rows."""

    columns: Layout
    build: Callable[[Mapping[str, Any], datetime], Row | Skipped]
    place: str


TARGETS: Mapping[str, Target] = {
    "user_content_consumption": Target(CONSUMPTION, _consumption, "rows"),
    "assessment_aggregator": Target(ATTEMPT, _attempt, "attempts"),
    "user_enrolments": Target(ENROLMENT, _enrolment, "enrolments"),
    "user_activity_agg": Target(ACTIVITY_AGG, _activity_agg, "aggs"),
}


# --- many lines ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What became of the lines of one table. changed: stored rows that differ now; several lines may be one row."""

    read: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    bad: int = 0

    def __str__(self) -> str:
        return (
            f"{self.read} read, {self.changed} changed, {self.unchanged} unchanged,"
            f" {self.skipped} skipped, {self.bad} bad"
        )


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not imported. `message` begins with the field to blame."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class SkippedLine:
    """A line with nothing to keep."""

    line: int
    skipped: Skipped


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch is durable (or, in a dry run, was compared). lines: how many were read until now."""

    lines: int


NO_TABLE = "no table"


class Import:
    """One run over a file. `tallies`: table -> what became of its lines, `NO_TABLE` for lines that name none.

    At most `batch_size` rows of a table, and MAX_WAITING bytes of lines, wait in memory; each batch of one table is
    one call of the store, one transaction. Stopped half-way, the same file may be imported again.
    """

    def __init__(self, store: Store, now: datetime, *, batch_size: int = 500, dry_run: bool = False) -> None:
        self.tallies: dict[str, Tally] = {table: Tally() for table in (*TARGETS, NO_TABLE)}
        self._store = store
        self._now = now
        self._batch_size = min(batch_size, MAX_BATCH)
        self._dry_run = dry_run
        self._waiting: dict[str, list[Row]] = {table: [] for table in TARGETS}
        self._bytes = 0

    @property
    def bad(self) -> int:
        """How many lines were bad until now."""
        return sum(tally.bad for tally in self.tallies.values())

    def run(self, lines: Iterable[bytes]) -> Iterator[BadLine | SkippedLine | Stored]:
        """Imports the lines and tells what the operator may want to know, while it happens. Blank lines count as none.

        Raises Unavailable when the store does not answer; what was told as stored is durable.
        """
        number = 0
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            notice = self._take(number, line)
            if notice is not None:
                yield notice
            for table in self._full():
                self._save(table)
                yield Stored(number)
        for table in [table for table in TARGETS if self._waiting[table]]:
            self._save(table)
            yield Stored(number)

    def _take(self, number: int, line: bytes) -> BadLine | SkippedLine | None:
        table = NO_TABLE
        try:
            table, columns = decode_line(line)
            found = parse_columns(table, columns, self._now)
        except FieldError as error:
            self.tallies[table].read += 1
            self.tallies[table].bad += 1
            return BadLine(number, error.message)
        self.tallies[table].read += 1
        if isinstance(found, Skipped):
            self.tallies[table].skipped += 1
            return SkippedLine(number, found)
        self._waiting[table].append(found)
        self._bytes += len(line)
        return None

    def _full(self) -> list[str]:
        """The tables to store now."""
        too_much = self._bytes >= MAX_WAITING
        return [table for table, rows in self._waiting.items() if len(rows) >= self._batch_size or (rows and too_much)]

    def _save(self, table: str) -> None:
        rows, self._waiting[table] = self._waiting[table], []
        if not any(self._waiting.values()):
            self._bytes = 0
        batch = ImportBatch(at=timestamps.now(), **{TARGETS[table].place: rows})  # type: ignore[arg-type]
        changed = would_change(self._store, batch) if self._dry_run else self._imported(batch, rows)
        # An enrolment and what it tells of its context are two rows of the store and one line here.
        changed = min(changed, len(rows))
        tally = self.tallies[table]
        tally.changed += changed
        tally.unchanged += len(rows) - changed

    def _imported(self, batch: ImportBatch, rows: Iterable[Row]) -> int:
        """How many rows the batch changed; the status map forgets its learners, as it knows nothing of merges."""
        rekeying.bring(row.key.user_id for row in rows)
        with statusmap.writing({row.key.user_id for row in rows}) as written:
            changed = self._store.import_rows(batch)
            written.forget()
        return changed


def would_change(store: Store, batch: ImportBatch) -> int:
    """How many rows importing `batch` now would change. Cost: a read for each learner in it."""
    changed = 0
    for table, key_of, given in imports.tables(batch):
        stored = {key_of(row): row for row in _stored(store, given)}
        merged = imports.merge_all(table, key_of, stored, given)
        changed += sum(row is not stored.get(key) for key, row in merged.items())
    return changed


def _stored(store: Store, given: Iterable[Row]) -> Iterator[Row]:
    """What the store has under the keys of these rows, which are of one table; of their learners' other rows some."""

    def learner(row: Row) -> str:
        return row.key.user_id

    for user_id, of_one in groupby(sorted(given, key=learner), key=learner):
        rows = list(of_one)
        yield from store.rows([row.key for row in rows if isinstance(row, Consumption)])
        yield from store.attempts([row.key for row in rows if isinstance(row, Attempt)])
        yield from store.aggs([row.key for row in rows if isinstance(row, ActivityAgg)]).values()
        if any(isinstance(row, Enrolment) for row in rows):
            yield from store.enrolments(user_id)


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of `stream`, never more than one in memory: of a line beyond MAX_LINE only its beginning."""
    first = True
    while line := stream.readline(MAX_LINE + 1):
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE + 1)
        if first:
            line = line.removeprefix(b"\xef\xbb\xbf")  # files saved on Windows begin with a byte order mark
            first = False
        yield line
