"""Loads a checked catalogue file, so that the process that did it answers from it at once."""

from datetime import datetime

from catalogue.api import forget_hierarchies
from catalogue.reading import Document
from catalogue.storing import Tally, store


def load(document: Document, *, dry_run: bool = False, now: datetime | None = None) -> dict[str, Tally]:
    """What became of the document's rows, as `storing.store` tells it. Drops this process's parsed trees."""
    counts = store(document, dry_run=dry_run, now=now)
    forget_hierarchies()
    return counts
