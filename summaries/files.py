"""What a learner may keep, as files: the records of his list as JSON or CSV, and an archive of all his rows. Pure."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from common.cells import lines
from common.rows import Status
from common.timestamps import from_epoch_ms

Record = Mapping[str, Any]


class Table(NamedTuple):
    """One table of an archive: its columns in order, and its rows by column."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


EXPORTED = (
    "Everything stored of one learner. Each .jsonl file is a table, one row a line; import_progress takes all but "
    "provenance. The .csv file beside it holds the same. Times are ms since 1970."
)
WORDS = {Status.NOT_STARTED: "Not started", Status.IN_PROGRESS: "In progress", Status.COMPLETED: "Completed"}
COLUMNS = (
    "User ID",
    "Name",
    "Collection ID",
    "Collection",
    "Batch ID",
    "Enrolled",
    "Enrolment active",
    "Status",
    "Progress (%)",
    "Completed contents",
    "Contents",
    "Completed on",
    "Last access",
    "Last content",
    "Next content",
    "Time spent (s)",
    "Scores",
    "Certificates",
)


def as_json(user_id: str, name: str, records: Sequence[Record], at: datetime) -> bytes:
    """The records as the list answers them. at: when they were read."""
    told = {"userId": user_id, "name": name, "createdOn": at.isoformat(timespec="milliseconds"), "summary": records}
    return msgspec.json.format(msgspec.json.encode(told), indent=2)


def as_csv(name: str, records: Iterable[Record], zone: ZoneInfo) -> bytes:
    """One line for each record, in UTF-8; times in `zone`, with its offset."""
    return lines(COLUMNS, (_row(name, one, zone) for one in records)).encode()


def as_archive(manifest: Mapping[str, Any], tables: Mapping[str, Table], summary: Mapping[str, bytes]) -> bytes:
    """A zip: manifest.json, each table as JSON lines and as CSV, and the files of the summary by their names."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        counts = {name: len(table.rows) for name, table in tables.items()}
        told = {"about": EXPORTED, **manifest, "rows": counts}
        archive.writestr("manifest.json", msgspec.json.format(msgspec.json.encode(told), indent=2))
        for name, table in tables.items():
            archive.writestr(f"{name}.jsonl", _as_lines(name, table))
            cells = ([_cell(row[column]) for column in table.columns] for row in table.rows)
            archive.writestr(f"{name}.csv", lines(table.columns, cells).encode())
        for name, content in summary.items():
            archive.writestr(name, content)
    return held.getvalue()


def _as_lines(name: str, table: Table) -> bytes:
    return b"".join(msgspec.json.encode({"table": name, **row}) + b"\n" for row in table.rows)


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _row(name: str, record: Record, zone: ZoneInfo) -> list[Any]:
    collection = record["collection"]
    return [
        record["userId"],
        name,
        record["collectionId"],
        collection["name"],
        record["contextId"],
        _time(record["enrolledDate"], zone),
        "yes" if record["active"] else "no",
        WORDS[Status(record["status"])],
        record["completionPercentage"],
        record["progress"],
        collection["leafNodesCount"],
        _time(record["completedOn"], zone),
        _time(record["lastContentAccessTime"], zone),
        record["lastReadContentId"],
        record["nextContent"],
        record["timespent"],
        "; ".join(_score(content, told) for content, told in record["assessmentStatus"].items()),
        "; ".join(one["name"] or one["id"] or "" for one in record["issuedCertificates"]),
    ]


def _score(content: str, told: Mapping[str, Any]) -> str:
    tries = "1 attempt" if told["attempts"] == 1 else f"{told['attempts']} attempts"
    return f"{content}: {told['score']:g}/{told['max_score']:g} ({tries})"


def _time(ms: int | None, zone: ZoneInfo) -> str:
    return "" if ms is None else from_epoch_ms(ms).astimezone(zone).isoformat(timespec="seconds")
