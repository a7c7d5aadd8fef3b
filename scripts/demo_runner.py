"""The demo's runner: plays steps over HTTP, sets what came beside what was expected, prints tables.

It knows nothing of the stories it plays (demo_stories) and nothing of the service but its envelope.
"""

import http.client
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

WIDTH = 120
CALL_SECONDS = 30
NO_ANSWER = 0

# One text, or one text per column of the table the step stands in.
Value = str | tuple[str, ...]


class Unexpected(Exception):
    """An answer that is not what a pick can read; its text stands in the table as the actual value."""


@dataclass(frozen=True, slots=True)
class Call:
    """One POST of {"request": request}, or a GET, which has no body."""

    path: str
    request: Mapping[str, Any] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. status: of HTTP, NO_ANSWER where there was none; body: {} where it was no JSON object."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the service broke: a 5xx, or no answer at all. No story may expect that."""
        return self.status == NO_ANSWER or self.status >= 500

    @property
    def told(self) -> str:
        """The status and the error's code: "404 ERR_VIEW_NOT_STARTED"."""
        if self.status == NO_ANSWER:
            return "no answer"
        params = self.body.get("params")
        code = params.get("err") if isinstance(params, Mapping) else None
        return f"{self.status} {code}" if code else f"HTTP {self.status}"

    @property
    def result(self) -> Mapping[str, Any]:
        """The envelope's result. Raises Unexpected unless the call succeeded."""
        result = self.body.get("result")
        if self.status != 200 or not isinstance(result, Mapping):
            raise Unexpected(self.told)
        return result


Caller = Callable[[Call], Answer]
Write = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a table: what is done, what must come of it, and how to read that from the answers.

    calls: made in order; without any, the answers of the step before are looked at again.
    """

    id: str
    title: str
    expected: Value
    pick: Callable[[Sequence[Answer]], Value]
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Steps under one caption. columns: the names of the values where a value has several parts."""

    caption: str
    steps: tuple[Step, ...]
    columns: tuple[str, ...] = ()
    action: str = "Action"


@dataclass(frozen=True, slots=True)
class Story:
    """Tables told in one go. needs: the collection the service must know; hint: what to do where it does not.

    optional: whether a story whose collection is unknown may be left out.
    """

    title: str
    about: str
    tables: tuple[Table, ...]
    needs: str | None = None
    hint: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A step that was played. failures: its calls that the service broke on."""

    step: Step
    actual: Value
    ok: bool
    failures: int = 0


@dataclass
class Tally:
    """Everything one run found."""

    results: list[Result] = field(default_factory=list)
    left_out: list[Story] = field(default_factory=list)
    played: int = 0

    @property
    def differing(self) -> list[Result]:
        """The steps that did not come out as expected."""
        return [result for result in self.results if not result.ok]

    def add(self, other: "Tally") -> None:
        """Takes over what another run found."""
        self.results += other.results
        self.left_out += other.left_out
        self.played += other.played

    def exit_code(self, *, ci: bool) -> int:
        """1 for any difference, and for a story left out that may not be; `ci`: then none may be."""
        missed = any(ci or not story.optional for story in self.left_out)
        return 1 if self.differing or missed or not self.results else 0

    def closing(self) -> str:
        """Each difference on a line of its own, and the count line."""
        wrong = len(self.differing)
        failures = sum(result.failures for result in self.results)
        told = [
            f"{len(self.results)} steps: {len(self.results) - wrong} ok, {wrong} DIFFERS",
            f"{failures} calls without an answer or with HTTP 5xx",
            f"{self.played} stories played, {len(self.left_out)} left out",
        ]
        differing = [
            f"DIFFERS {result.step.id}: expected {_plain(result.step.expected)}, got {_plain(result.actual)}"
            for result in self.differing
        ]
        return "\n".join([*differing, "; ".join(told) + "."])


def http_caller(url: str) -> Caller:
    """A caller of the service at `url`. What goes wrong on the way is an Answer too, never an exception."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection

    def call(each: Call) -> Answer:
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=CALL_SECONDS)
        body = None if each.method == "GET" else json.dumps({"request": each.request}).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(each.method, parts.path.rstrip("/") + each.path, body, headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException):
            return Answer(NO_ANSWER)
        finally:
            connection.close()
        try:
            given = json.loads(text)
        except ValueError:
            given = {}
        return Answer(status, given if isinstance(given, dict) else {})

    return call


def judge(step: Step, answers: Sequence[Answer]) -> Result:
    """The step beside what came. A broken service differs whatever the step expects."""
    failed = [answer for answer in answers if answer.failed]
    try:
        actual = failed[0].told if failed else step.pick(answers)
    except Unexpected as error:
        actual = str(error)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        actual = f"unreadable answer: {type(error).__name__} {error}"
    return Result(step, actual, not failed and actual == step.expected, len(failed) if step.calls else 0)


def play(story: Story, call: Caller, write: Write) -> list[Result]:
    """Plays one story and prints each of its tables as soon as it is complete."""
    write(f"\n{story.title}\n{'=' * len(story.title)}")
    write(textwrap.fill(story.about, WIDTH))
    results: list[Result] = []
    answers: tuple[Answer, ...] = ()
    for table in story.tables:
        rows = []
        for step in table.steps:
            if step.calls:
                answers = tuple(call(each) for each in step.calls)
            rows.append(judge(step, answers))
        write("")
        write(render(table, rows))
        results += rows
    return results


def play_all(stories: Sequence[Story], call: Caller, knows: Callable[[str], bool], write: Write) -> Tally:
    """Plays the stories whose collection the service knows, and says which it left out."""
    tally = Tally()
    for story in stories:
        if story.needs is not None and not knows(story.needs):
            write(f"\n{story.title}\n{'=' * len(story.title)}")
            write(textwrap.fill(f"LEFT OUT: the service does not know {story.needs}. {story.hint}", WIDTH))
            tally.left_out.append(story)
            continue
        tally.results += play(story, call, write)
        tally.played += 1
    return tally


def render(table: Table, results: Sequence[Result]) -> str:
    """The table as text, at most WIDTH columns wide; long cells are wrapped, the mark stands on a row's first line."""
    blocks = [_parted(table, result) if table.columns else [_single(result)] for result in results]
    head = ["#", "", *table.columns, ""] if table.columns else ["#", table.action, "Expected", "Actual", ""]
    rows = [head, *(row for block in blocks for row in block)]
    widths = _widths(rows)
    rule = "─┼─".join("─" * width for width in widths)
    lines = [table.caption, _line(head, widths), rule]
    for block, result in zip(blocks, results, strict=True):
        if table.columns and result.step.title:
            lines.append(textwrap.fill(result.step.title, WIDTH))
        lines += [_line(row, widths) for row in block]
    return "\n".join(lines)


def _single(result: Result) -> list[str]:
    return [
        result.step.id,
        result.step.title,
        _plain(result.step.expected),
        _plain(result.actual),
        _mark(result),
    ]


def _parted(table: Table, result: Result) -> list[list[str]]:
    """Two lines, expected above actual, one cell for each part. The title stands above, as wide as the table."""
    return [
        [result.step.id, "expected", *_cells(result.step.expected, len(table.columns)), _mark(result)],
        ["", "actual", *_cells(result.actual, len(table.columns)), ""],
    ]


def _cells(value: Value, count: int) -> list[str]:
    parts = [value] if isinstance(value, str) else list(value)
    return (parts + [""] * count)[:count]


def _mark(result: Result) -> str:
    return "ok" if result.ok else "DIFFERS"


def _plain(value: Value) -> str:
    return value if isinstance(value, str) else " | ".join(value)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """What each column needs; the widest ones give way until the line fits."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    while sum(widths) + 3 * (len(widths) - 1) > WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for place in range(max(len(part) for part in wrapped)):
        texts = [part[place] if place < len(part) else "" for part in wrapped]
        padded = [text.ljust(width) for text, width in zip(texts, widths, strict=True)]
        lines.append(" │ ".join(padded).rstrip())
    return "\n".join(lines)


def _wrap(cell: str, width: int) -> list[str]:
    """The cell's lines. Leading blanks, the indent of a unit in its unit, stay."""
    bare = cell.lstrip(" ")
    indent = cell[: len(cell) - len(bare)]
    return textwrap.wrap(bare, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False) or [""]
