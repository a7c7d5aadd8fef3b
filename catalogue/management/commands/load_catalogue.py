"""`manage.py load_catalogue FILE`: collections, batches, programs and learners from a JSON file."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalogue.loader import load
from catalogue.reading import BadCatalogueFile, read


class Command(BaseCommand):
    """Loads a catalogue file, whole or not at all, and says how many rows it added, changed and left."""

    help = (
        "Load collections, batches, programs and learners from a JSON file: a catalogue file, one answer of the "
        "hierarchy API, or one content node. Loading the same file again changes nothing. See docs/catalogue.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """FILE and --dry-run."""
        parser.add_argument("file", metavar="FILE", help="path of the JSON file, or - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="check and count, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, check, store, and end with one line of counts. Raises CommandError and loads nothing otherwise."""
        name: str = options["file"]
        dry_run: bool = options["dry_run"]
        try:
            document = read(_text(name))
        except BadCatalogueFile as error:
            lines = [f"{name}: nothing was loaded", *(f"  {problem}" for problem in error.problems)]
            raise CommandError("\n".join(lines)) from None
        if options["verbosity"] >= 2:
            for note in document.notes:
                self.stdout.write(f"note: {note}")
        counts = load(document, dry_run=dry_run)
        if options["verbosity"] >= 1:
            parts = [f"{kind} {tally}" for kind, tally in counts.items()]
            parts += [f"notes {len(document.notes)}"] if document.notes else []
            opening = "Dry run, nothing written" if dry_run else "Loaded"
            self.stdout.write(f"{opening}: {'; '.join(parts)}")


def _text(name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror or error}") from None
    try:
        return content.decode("utf-8-sig")  # files saved on Windows begin with a byte order mark
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8: byte {error.start}") from None
