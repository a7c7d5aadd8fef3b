"""The mode tables as a story: each scenario is one step, its calls what Rahul does and its last reads what he is shown.

Also how a service is prepared for the scenarios of a mode.
"""

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from demo_runner import Answer, Call, Step, Story, Table, Unexpected, Value
from demo_scenarios import (
    Enrol,
    EnrolProgram,
    ModeTables,
    Opens,
    Row,
    Scenario,
    View,
    batches,
    import_lines,
)
from demo_server import NotPlayable
from demo_steps import STATUS, Name, completes, contents, enrol, view, word


class Manage(Protocol):
    """Runs manage.py with the environment of a service."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The finished command, whatever its exit code."""


def learner(name: Name, scenario: Scenario) -> str:
    """Who plays the scenario: each has a learner of his own, so that none leans on another."""
    return name(f"Rahul-{scenario.number}")


def prepare(tables: ModeTables, manage: Manage, name: Name) -> None:
    """Sets the mode of an empty service, loads the batches and imports what happened long ago. Raises NotPlayable."""
    now = datetime.now(UTC)
    rules = ("--rules", "-") if tables.rules else ()
    _run(manage, "set_mode", tables.mode, *rules, "--yes", stdin=json.dumps(tables.rules))
    _run(manage, "load_catalogue", "-", stdin=json.dumps({"batches": batches(now.date())}))
    if past := "".join(import_lines(learner(name, each), each.past, now) for each in tables.scenarios):
        _run(manage, "import_progress", "-", stdin=past)


def _run(manage: Manage, *arguments: str, stdin: str | None = None) -> None:
    done = manage(*arguments, stdin=stdin)
    if done.returncode:
        raise NotPlayable(f"manage.py {' '.join(arguments)} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")


def story(tables: ModeTables, name: Name) -> Story:
    """Every scenario of the mode, in the order of its tables."""
    rules = f" Rules: {json.dumps(tables.rules)}." if tables.rules else ""
    about = f"{tables.about}{rules} Every row is played by a learner of its own."
    steps = tuple(step_of(scenario, learner(name, scenario)) for scenario in tables.scenarios)
    return Story(f"{tables.title} ({tables.mode})", about, (Table("Entry in DB, and what Rahul is shown", steps),))


def step_of(scenario: Scenario, user_id: str) -> Step:
    """The scenario, to be played by this learner."""
    did = tuple(call for action in scenario.actions for call in _calls(action, user_id))
    reads = tuple(_read(expected, user_id) for expected in scenario.expects)

    def pick(answers: Sequence[Answer]) -> Value:
        refused = [answer.told for answer in answers[: len(did)] if answer.status != 200]
        if refused:
            raise Unexpected(f"refused: {', '.join(refused)}")
        seen = zip(scenario.expects, answers[len(did) :], strict=True)
        return ", ".join(_seen(expected, answer) for expected, answer in seen)

    return Step(scenario.number, scenario.title, outcome(scenario), pick, (*did, *reads))


def outcome(scenario: Scenario) -> str:
    """What must be shown, in the words of the tables: "Complete", or "2 (copied)" of an entry in the DB."""
    return ", ".join(_expected(each) for each in scenario.expects)


def _calls(action: Enrol | EnrolProgram | View, user_id: str) -> tuple[Call, ...]:
    match action:
        case Enrol(place):
            return (enrol(userId=user_id, **place.ids()),)
        case EnrolProgram(program, batch):
            return (Call("/v1/program/enroll", {"userId": user_id, "programId": program, "batchId": batch}),)
        case View(content, place, ago):
            told = {"lastAccessTime": _epoch_ms(ago.before(datetime.now(UTC)))} if ago else {}
            return completes(userId=user_id, contentId=content, **place.ids(), **told)


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _read(expected: Opens | Row, user_id: str) -> Call:
    match expected:
        case Opens(content, place):
            return view("read", userId=user_id, contentId=content, **place.ids())
        case Row(collection, context, content):
            place_ids = {"collectionId": collection, "contextId": context}
            return view("read", userId=user_id, contentId=content, **place_ids)


def _expected(expected: Opens | Row) -> str:
    match expected:
        case Opens():
            return STATUS[expected.status] + (f" in {expected.named}" if expected.named else "")
        case Row():
            return f"{expected.status} (copied)" if expected.copied else str(expected.status)


def _seen(expected: Opens | Row, answer: Answer) -> str:
    """What the answer shows, in the words of `_expected`; a row that tells another place is told with it."""
    (found,) = contents(answer)
    match expected:
        case Opens():
            return word(found) + (f" in {found['contextId']}" if expected.named else "")
        case Row():
            place = (found["collectionId"], found["contextId"], found["contentId"])
            if place != (expected.collection, expected.context, expected.content):
                return f"{found['status']} in {', '.join(map(str, place))}"
            return f"{found['status']} (copied)" if found["origin"] is not None else str(found["status"])
