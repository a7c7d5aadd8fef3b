"""The short form of the fault suite on each tier, and that its ledger would notice a broken promise."""

import re
import subprocess
import sys
from typing import Any

import pytest

from chaos.ledger import Kind, Ledger, Told
from chaos.tiers import TIERS
from tests.servers import ROOT

RAHUL, CONTENT = "rahul", "single-digit-addition"
ITEM = {
    "contentId": CONTENT, "status": 2, "progress": 100, "score": 3.0, "timespent": 5.0,
    "lastAccessTime": 2000, "lastCompletedTime": 3000,
}  # fmt: skip


@pytest.mark.parametrize("tier", TIERS)
def test_no_acknowledged_write_is_lost_whatever_is_killed(tier: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "chaos", "--tier", tier, "--short", "--seed", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    with capsys.disabled():
        print(f"\n{ran.stdout}", end="")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(re.findall(r"writes acknowledged +(\d+)", ran.stdout)[0]) >= 2000
    assert int(re.findall(r"contexts compared with a recompute +(\d+)", ran.stdout)[0]) > 0


@pytest.fixture
def ledger() -> Ledger:
    """An update and an attempt were acknowledged; a better attempt and an earlier end were sent and not answered."""
    made = Ledger()
    for call, answered, told in (
        ("start", True, Told(Kind.START, CONTENT, 1000)),
        ("update", True, Told(Kind.UPDATE, CONTENT, 2000, 40, 5.0)),
        ("assess", True, Told(Kind.ASSESS, CONTENT, 3000, attempt="first", score=3.0)),
        ("better", False, Told(Kind.ASSESS, CONTENT, 2500, attempt="second", score=4.0)),
    ):
        made.sent(call, RAHUL, [told], 5000)
        if answered:
            made.acknowledged(call, RAHUL, [told], 5000)
    return made


def told_of(ledger: Ledger, **shown: Any) -> list[str]:
    """What the ledger says of a read that shows this."""
    ledger.check(RAHUL, ledger.snapshot(RAHUL), [{**ITEM, **shown}])
    return [violation.text for violation in ledger.violations]


@pytest.mark.parametrize("shown", [{}, {"score": 4.0, "lastCompletedTime": 2500}])
def test_the_ledger_takes_what_was_acknowledged_and_what_may_have_been_done(
    ledger: Ledger, shown: dict[str, Any]
) -> None:
    assert told_of(ledger, **shown) == []


@pytest.mark.parametrize(
    ("shown", "word"),
    [
        ({"status": 1}, "status"),
        ({"status": 0, "progress": 0, "score": None, "timespent": 0.0}, "status"),
        ({"progress": 99}, "progress"),
        ({"lastCompletedTime": 3001}, "lastCompletedTime"),
        ({"lastCompletedTime": 2499}, "lastCompletedTime"),
        ({"lastAccessTime": 1999}, "lastAccessTime"),
        ({"timespent": 4.5}, "timespent"),
        ({"timespent": 10.0}, "timespent"),
        ({"score": 2.5}, "score"),
        ({"score": None}, "score"),
        ({"score": 4.5}, "score"),
    ],
)
def test_the_ledger_notices_what_is_less_than_promised_or_more_than_sent(
    ledger: Ledger, shown: dict[str, Any], word: str
) -> None:
    assert any(word in text for text in told_of(ledger, **shown))


@pytest.mark.parametrize("later", [{"score": 3.0}, {"lastCompletedTime": 3000}])
def test_the_ledger_notices_what_goes_back(ledger: Ledger, later: dict[str, Any]) -> None:
    further = {"score": 4.0, "lastCompletedTime": 2500}
    assert told_of(ledger, **further) == []
    assert len(told_of(ledger, **{**further, **later})) == 1


@pytest.mark.parametrize(
    ("attempts", "word"),
    [([], "lost"), ([("first", 2.0)], "lost"), ([("first", 3.0), ("third", 1.0)], "nobody sent")],
)
def test_the_ledger_notices_lost_and_invented_attempts(
    ledger: Ledger, attempts: list[tuple[str, float]], word: str
) -> None:
    shown = [{"contentId": CONTENT, "attemptId": name, "score": score} for name, score in attempts]
    ledger.check_attempts(RAHUL, ledger.snapshot(RAHUL), {"assessments": shown})
    assert any(word in violation.text for violation in ledger.violations)


def test_a_content_left_after_an_update_has_to_be_opened_again_until_a_later_start_is_acknowledged() -> None:
    made = Ledger()
    for call, told in (("one", Told(Kind.START, CONTENT)), ("two", Told(Kind.UPDATE, CONTENT, 1, 10))):
        made.sent(call, RAHUL, [told], 0)
        made.acknowledged(call, RAHUL, [told], 0)
    assert made.unfolded() == [(RAHUL, CONTENT)]
    made.sent("three", RAHUL, [Told(Kind.START, CONTENT)], 0)
    assert made.unfolded() == [(RAHUL, CONTENT)]
    made.acknowledged("three", RAHUL, [Told(Kind.START, CONTENT)], 0)
    assert made.unfolded() == []
