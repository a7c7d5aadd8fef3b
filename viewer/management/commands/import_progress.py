"""`manage.py import_progress FILE`: rows, attempts, enrolments and aggregates with their own times, as JSON lines."""

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common import timestamps
from common.errors import Unavailable
from viewer.importer import MAX_BATCH, NO_TABLE, BadLine, Import, SkippedLine, Stored, read_lines
from viewer.store import get_store

MAX_TOLD = 50
SECONDS_BETWEEN = 2.0


class Command(BaseCommand):
    """Imports the good lines, names the bad ones, and ends with one line of counts."""

    help = (
        "Merge learners' progress from a file of JSON lines into the tables: each line is one row of "
        "user_content_consumption, assessment_aggregator, user_enrolments or user_activity_agg with its own times. "
        "The greater wins; importing the same file again changes nothing. See docs/import.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """FILE, --batch-size and --dry-run."""
        parser.add_argument("file", metavar="FILE", help="path of the JSON lines, or - for standard input")
        parser.add_argument(
            "--batch-size", type=int, default=500, help=f"rows in one transaction, 1 to {MAX_BATCH} (default 500)"
        )
        parser.add_argument("--dry-run", action="store_true", help="check and count, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, tell, sum up. Raises CommandError when a line was bad, or the file or store failed."""
        if not 1 <= options["batch_size"] <= MAX_BATCH:
            raise CommandError(f"--batch-size must be from 1 to {MAX_BATCH}")
        dry_run: bool = options["dry_run"]
        work = Import(get_store(), timestamps.now(), batch_size=options["batch_size"], dry_run=dry_run)
        with _opened(options["file"]) as stream:
            try:
                self._follow(work, stream, options["verbosity"])
            except Unavailable as error:
                raise CommandError(f"{error.message} ({_summary(work)})") from None
        if options["verbosity"] >= 1:
            self.stdout.write(f"{'Dry run, nothing written' if dry_run else 'Imported'}: {_summary(work)}")
        if work.bad:
            raise CommandError(f"{work.bad} bad lines were not imported")

    def _follow(self, work: Import, stream: BinaryIO, verbosity: int) -> None:
        began = told_at = time.monotonic()
        told: dict[type, int] = {BadLine: 0, SkippedLine: 0}
        for notice in work.run(read_lines(stream)):
            match notice:
                case BadLine():
                    told[BadLine] += 1
                    if told[BadLine] <= MAX_TOLD:
                        self.stderr.write(f"line {notice.line}: {notice.message}")
                case SkippedLine():
                    if (notice.skipped.phantom and verbosity >= 1) or verbosity >= 2:
                        told[SkippedLine] += 1
                        if told[SkippedLine] <= MAX_TOLD:
                            self.stdout.write(f"line {notice.line}: skipped, {notice.skipped.reason}")
                case Stored():
                    now = time.monotonic()
                    if verbosity >= 2 or (verbosity == 1 and now - told_at >= SECONDS_BETWEEN):
                        told_at = now
                        rate = notice.lines / max(now - began, 1e-3)
                        self.stdout.write(f"{notice.lines} lines, {rate:.0f} rows/s")
        if told[BadLine] > MAX_TOLD:
            self.stderr.write(f"and {told[BadLine] - MAX_TOLD} more bad lines")


def _summary(work: Import) -> str:
    """Each table's counts; lines that name no table only where there were any."""
    parts = [f"{table} {tally}" for table, tally in work.tallies.items() if table != NO_TABLE or tally.read]
    return "; ".join(parts)


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    """The file, or standard input for "-", which stays open."""
    if name == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror or error}") from None
