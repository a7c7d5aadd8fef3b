"""One object of a catalogue file, judged field by field. A problem is noted with its place, and reading goes on."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from catalogue.hierarchy import MAX_COUNT
from common import timestamps
from common.errors import InvalidId
from common.ids import check_id

_DAY_FIRST = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)", re.ASCII)
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class Problem(NamedTuple):
    """What is wrong, and where: `batches[3].startDate`; the place is "" for the file as a whole."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class Entry:
    """One object of the file. Each getter gives the value under a key, or notes a problem and gives None or ""."""

    def __init__(self, given: Mapping[str, Any], place: str, problems: list[Problem]) -> None:
        self.given = given
        self.place = place
        self._problems = problems

    def refuse(self, key: str, message: str) -> None:
        """Note that the value under `key` cannot be taken."""
        self._problems.append(Problem(below(self.place, key), message))

    def has(self, key: str) -> bool:
        """Whether there is anything but null and blanks under `key`."""
        value = self.given.get(key)
        return bool(value.strip()) if isinstance(value, str) else value is not None

    def id(self, key: str) -> str | None:
        """The id under `key`, which must be there; None when it was refused."""
        if not self.has(key):
            self.refuse(key, "is missing")
            return None
        return self.optional_id(key)

    def optional_id(self, key: str) -> str | None:
        """The id under `key`; None when it is absent, blank or was refused."""
        try:
            return check_id(key, self.given.get(key))
        except InvalidId as error:
            self.refuse(key, error.message.removeprefix(f"{key} "))
            return None

    def ids(self, key: str) -> list[str]:
        """The distinct ids of the list under `key`, in order; [] when it is absent or was refused."""
        value = self.given.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(key, f"must be a list, not {kind(value)}")
            return []
        items = Entry({f"{key}[{at}]": item for at, item in enumerate(value)}, self.place, self._problems)
        found = [items.id(place) for place in items.given]
        return list(dict.fromkeys(identifier for identifier in found if identifier))

    def text(self, key: str) -> str:
        """The text under `key` without outer blanks; "" when it is absent or was refused.

        A whole number is taken as its digits: exports write phone numbers and school codes without quotes.
        """
        value = self.given.get(key)
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            self.refuse(key, f"must be text, not {kind(value)}")
            return ""
        if _UNSTORABLE.search(value):
            self.refuse(key, "has a character no database keeps (NUL or half of a surrogate pair)")
            return ""
        return value.strip()

    def day(self, key: str) -> date | None:
        """The day under `key`; None when it is absent or was refused. Of a timestamp, the day as it is written."""
        written = self.text(key)
        if not written:
            return None
        try:
            if not _DAY_FIRST.match(written):
                raise ValueError
            if len(written) > len("yyyy-MM-dd"):
                timestamps.parse(written)
            return date.fromisoformat(written[:10])
        except ValueError:
            self.refuse(key, f'"{written[:40]}" is no date: write yyyy-MM-dd or a full timestamp')
            return None

    def days(self) -> tuple[date | None, date | None]:
        """The startDate and endDate, either of them None; an end before its start is refused."""
        start, end = self.day("startDate"), self.day("endDate")
        if start and end and end < start:
            self.refuse("endDate", f"{end} is before startDate {start}")
        return start, end

    def count(self, key: str, *, at_most: int = MAX_COUNT) -> int | None:
        """The whole number from 0 to `at_most` under `key`; None when it is absent or was refused."""
        value = self.given.get(key)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= at_most:
            self.refuse(key, f"must be a whole number from 0 to {at_most}")
            return None
        return value


def below(place: str, key: str) -> str:
    """The place of `key` inside `place`: "batches[3]" and "name" give "batches[3].name"."""
    return f"{place}.{key}" if place else key


def kind(value: object) -> str:
    """What JSON calls a value that is not what was expected, for messages."""
    names = {bool: "a boolean", dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), "a number")
