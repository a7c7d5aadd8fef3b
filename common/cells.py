"""Cells of a CSV file: RFC 4180, and nothing that a spreadsheet would run as a formula. Pure."""

import csv
import io
from collections.abc import Iterable
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # also their wide forms


def safe(value: Any) -> str:
    """The value as a cell. A text that a spreadsheet could take for a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


def lines(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A whole file: the header, then each row, every cell made safe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(safe, header))
    writer.writerows(map(safe, row) for row in rows)
    return text.getvalue()
