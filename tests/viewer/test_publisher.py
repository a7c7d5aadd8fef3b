"""The published file: one JSON object a line, whatever the writer before left behind."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_contract import together
from tests.viewer.events import at
from viewer import publisher
from viewer.outbox import OutboxEvent


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.VIEWER_EVENTS_DIR = tmp_path / "events"
    return tmp_path / "events"


def event(number: int, name: str = "Rahul") -> OutboxEvent:
    return OutboxEvent(f"certificate:{number}", "certificate.request", {"name": name, "number": number}, at(number))


def text(folder: Path) -> bytes:
    """What the file of the day holds (of the two days, where midnight fell into the test)."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def ids(written: bytes) -> list[str]:
    """The ids on the lines that are whole."""
    found = []
    for line in written.split(b"\n"):
        try:
            found.append(json.loads(line)["id"])
        except ValueError:
            continue
    return found


def test_events_are_one_line_each_in_their_order(folder: Path) -> None:
    publisher.to_file([event(1, "रवि\nline two"), event(2)])
    publisher.to_file([event(3)])
    lines = text(folder).decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"certificate:{number}" for number in (1, 2, 3)]
    assert json.loads(lines[0])["event"] == {"name": "रवि\nline two", "number": 1}


@pytest.mark.parametrize("cut", [1, 2, 10, 25, 60])
def test_a_torn_last_line_costs_no_event_that_comes_after_it(folder: Path, cut: int) -> None:
    """A full disk or a power cut leaves half a line, cut in the middle of a character perhaps."""
    publisher.to_file([event(1), event(2, "अनीता 🙂")])
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    publisher.to_file([event(2, "अनीता 🙂"), event(3)])
    publisher.to_file([event(4)])
    found = ids(text(folder))
    assert found[0] == "certificate:1"
    assert found[-3:] == [f"certificate:{number}" for number in (2, 3, 4)]
    assert text(folder).startswith(whole[:-cut]), "what is there is only ever appended to"


def test_a_whole_file_gets_no_empty_lines(folder: Path) -> None:
    for number in range(3):
        publisher.to_file([event(number)])
    assert text(folder).count(b"\n") == 3
    assert b"\n\n" not in text(folder)
    assert not text(folder).startswith(b"\n")


def test_publishers_at_once_tear_none_of_each_others_lines(folder: Path) -> None:
    def publish(part: int) -> None:
        for number in range(20):
            publisher.to_file([event(part * 1000 + number * 2 + one, "x" * 5000) for one in range(2)])

    together(*[lambda part=part: publish(part) for part in range(4)])
    assert len(set(ids(text(folder)))) == text(folder).count(b"\n") == 4 * 40
