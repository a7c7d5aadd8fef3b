"""A batch's progress goes over into a program, and comes back: over HTTP on the three tiers."""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TIERS
from tests.modes import scenarios
from tests.servers import ROOT, Server

MATHS, BATCH, OTHER, THIRD = "class-1-maths", "batch-1", "batch-2", "batch-3"
ABC, XYZ = ("program-abc", "program-batch-1"), ("program-xyz", "program-batch-x")
PROGRAM, SECOND = ABC[1], XYZ[1]
LEAVES = SINGLE, DOUBLE, TRIPLE = [f"{size}-digit-addition" for size in ("single", "double", "triple")]
OPEN = {"enrollmentType": "open", "startDate": "2026-01-05", "endDate": "2035-12-31"}
CATALOGUE = {
    "batches": [{"batchId": THIRD, "courseId": MATHS, **OPEN}, {"batchId": SECOND, "programId": XYZ[0], **OPEN}],
    "programs": [{"programId": XYZ[0], "name": "Program XYZ", "collections": [MATHS]}],
}
RULES = {"match": "any", "rules": [{"type": "ongoingBatch"}]}
ALWAYS = {"match": "any", "rules": [{"type": "always"}]}
DONE_LONG_AGO = 1_767_700_000_000
OFFICE = """
import contextlib, io, json, sys
import django
django.setup()
from django.core.management import call_command
from viewer.store import get_store
for line in sys.stdin:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(json.loads(line))
    print(json.dumps(told.getvalue()), flush=True)
"""
COMPLETIONS = """
after = None
while page := get_store().outbox_after(after, 500):
    for event, _ in page:
        if {user!r} in event.payload.get("edata", {{}}).get("userIds", ()):
            print(event.payload["edata"]["batchId"])
    after = page[-1][0].id
"""
Place = dict[str, str]


class School:
    """A service that moves what is under way, an operator at its commands, and one learner after another."""

    def __init__(self, server: Server, office: "subprocess.Popen[str]", folder: Path) -> None:
        self.server = server
        self._office = office
        self._folder = folder
        self.user = ""

    def new_learner(self) -> None:
        self.user = f"rahul-{uuid.uuid4().hex[:10]}"

    def operate(self, source: str) -> str:
        """What this prints, in a process set up as manage.py is: one for all of them, since each start takes long."""
        assert self._office.stdin is not None
        assert self._office.stdout is not None
        print(json.dumps(source), file=self._office.stdin, flush=True)
        answer = self._office.stdout.readline()
        assert answer, "the command failed"
        told: str = json.loads(answer)
        return told

    def command(self, *arguments: str) -> str:
        return self.operate(f"call_command(*{arguments!r})")

    def set_mode(self, mode: str, rules: dict[str, Any] | None = None) -> None:
        file = self._folder / "rules.json"
        file.write_text(json.dumps(rules or RULES))
        self.command("set_mode", mode, "--yes", "--rules", str(file))

    def ask(self, path: str, **fields: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.server.result(path, {"userId": self.user, **fields})
        return found

    def place(self, content: str | None, context: str) -> Place:
        named = {"contentId": content, "contextId": context, "collectionId": MATHS}
        return {name: value for name, value in named.items() if value is not None}

    def enrol(self, *contexts: str) -> None:
        for context in contexts:
            self.ask("/v1/course/enroll", collectionId=MATHS, contextId=context)

    def join(self, program: tuple[str, str] = ABC) -> None:
        self.ask("/v1/program/enroll", programId=program[0], batchId=program[1])

    def begin(self, content: str, context: str = BATCH, seconds: int = 0, progress: int = 0) -> None:
        place = self.place(content, context)
        self.ask("/v1/view/start", **place)
        if seconds or progress:
            self.ask("/v1/view/update", **place, timespent=seconds, progressDetails={"progress": progress})

    def complete(self, *contents: str, context: str = BATCH) -> None:
        for content in contents:
            self.ask("/v1/view/end", force=True, **self.place(content, context))

    def answer(self, content: str, score: int, attempt: str, context: str = BATCH) -> None:
        item = {"item": {"id": "q1", "maxscore": 4}, "score": score}
        answered = {"eid": "ASSESS", "ets": 1_790_000_000_000, "edata": item}
        self.ask("/v1/assessment/submit", attemptId=attempt, assessments=[answered], **self.place(content, context))

    def bring(self, context: str, *contents: str, **enrolment: Any) -> None:
        """Imports an enrolment in which these contents were completed long ago."""
        where = {"userid": self.user, "collectionid": MATHS, "contextid": context}
        lines: list[dict[str, Any]] = [
            {"table": "user_content_consumption", **where, "contentid": content, "status": 2}
            | {"last_completed_time": DONE_LONG_AGO}
            for content in contents
        ]
        course = {"userid": self.user, "courseid": MATHS, "batchid": context, "active": True}
        lines.append({"table": "user_enrolments", **course, "enrolled_date": DONE_LONG_AGO, **enrolment})
        file = self._folder / "lines.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)))
        self.command("import_progress", str(file))

    def read(self, context: str) -> dict[str, dict[str, Any]]:
        """What is told of each content in this context."""
        return {one["contentId"]: one for one in self.ask("/v1/view/read", **self.place(None, context))["contents"]}

    def statuses(self, context: str) -> list[int]:
        found = self.read(context)
        return [found[content]["status"] for content in LEAVES]

    def summary(self, context: str) -> dict[str, Any]:
        return self.ask("/v1/summary/read", collectionId=MATHS, contextId=context)

    def numbers(self, context: str) -> tuple[int, int, int, str | None]:
        found = self.summary(context)
        return found["status"], found["progress"], found["completionPercentage"], found["movedTo"]

    def scores(self, content: str, context: str) -> list[str]:
        found = self.ask("/v1/assessment/read", **self.place(content, context))["assessments"]
        return sorted(one["attemptId"] for one in found)

    def completions(self) -> list[str]:
        """The batches whose completion the rest of the platform was told."""
        return self.operate(COMPLETIONS.format(user=self.user)).split()

    def records(self, content: str = SINGLE, context: str = BATCH) -> list[dict[str, Any]]:
        params = {"userId": self.user, **self.place(content, context)}
        answer = self.server.client.get(f"{self.server.url}/v1/view/explain", params=params)
        assert answer.status_code == 200, answer.text
        moved: list[dict[str, Any]] = answer.json()["result"]["moved"]
        return moved

    def carry_forward(self, *arguments: str) -> str:
        return self.command("carry_forward", "--user", self.user, *arguments)

    def undo(self, record: str) -> None:
        self.carry_forward("--undo", record)

    def whole(self) -> list[Any]:
        """Everything that is told of the learner."""
        listed = self.server.client.get(f"{self.server.url}/v1/summary/list/{self.user}").json()["result"]
        shown = [self.read(context) for context in (BATCH, OTHER, PROGRAM, SECOND)]
        tried = [self.scores(content, context) for content in LEAVES for context in (BATCH, PROGRAM)]
        return [listed, shown, tried]


@pytest.fixture(scope="module", params=TIERS)
def school(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    folder = tmp_path_factory.mktemp("moves")
    with scenarios.running(request.param, "moves", folder) as server:
        loaded = server.manage("load_catalogue", "-", stdin=json.dumps(CATALOGUE))
        assert loaded.returncode == 0, loaded.stderr
        office = subprocess.Popen(
            [sys.executable, "-c", OFFICE],
            cwd=ROOT,
            env=server.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with office:
            made = School(server, office, folder)
            made.set_mode("move")
            yield made
            assert office.stdin is not None
            office.stdin.close()


@pytest.fixture(autouse=True)
def _learner(school: School) -> None:
    school.new_learner()


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """The results of all calls, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result() for one in [pool.submit(call) for call in calls]]


# --- forth -----------------------------------------------------------------------------------------------------------


def test_rows_of_any_status_go_along_with_attempts_and_scores(school: School) -> None:
    school.enrol(BATCH)
    school.complete(SINGLE)
    school.begin(DOUBLE, seconds=30, progress=40)
    school.answer(SINGLE, 3, "try-1")
    before = school.read(BATCH)
    school.join()
    after = school.read(PROGRAM)
    assert {name: {**one, "contextId": BATCH} for name, one in after.items()} == before
    assert (after[DOUBLE]["progress"], after[DOUBLE]["timespent"], after[SINGLE]["score"]) == (40, 30, 3)
    assert (school.scores(SINGLE, PROGRAM), school.scores(SINGLE, BATCH)) == (["try-1"], [])
    assert school.statuses(BATCH) == [0, 0, 0]
    assert school.numbers(PROGRAM) == (1, 1, 33, None)
    assert school.numbers(BATCH) == (0, 0, 0, PROGRAM)
    assert school.summary(PROGRAM)["assessmentStatus"][SINGLE]["score"] == 3
    assert school.summary(BATCH)["assessmentStatus"] == {}


def test_what_the_program_had_takes_in_what_comes(school: School) -> None:
    school.enrol(BATCH)
    school.begin(SINGLE, PROGRAM, seconds=5, progress=60)
    school.begin(DOUBLE, PROGRAM, seconds=7)
    school.complete(DOUBLE, context=PROGRAM)
    school.begin(SINGLE, seconds=30, progress=40)
    school.begin(DOUBLE, seconds=20, progress=10)
    school.complete(TRIPLE)
    school.join()
    told = {name: (one["status"], one["progress"], one["timespent"]) for name, one in school.read(PROGRAM).items()}
    assert told == {SINGLE: (1, 60, 35), DOUBLE: (2, 100, 27), TRIPLE: (2, 100, 0)}
    assert [school.read(PROGRAM)[content]["viewCount"] for content in LEAVES] == [2, 2, 1]
    assert school.numbers(PROGRAM) == (1, 2, 66, None)


def test_a_completion_and_certificates_go_along_and_nobody_is_told_twice(school: School) -> None:
    school.bring(BATCH, SINGLE, DOUBLE, issued_certificates=[{"identifier": "c-1", "name": "Half way"}])
    school.complete(TRIPLE)
    was = school.summary(BATCH)
    assert (was["status"], school.completions()) == (2, [BATCH])
    school.join()
    now = school.summary(PROGRAM)
    assert (now["status"], now["progress"], now["completionPercentage"]) == (2, 3, 100)
    assert now["completedOn"] == was["completedOn"]
    assert [one["name"] for one in now["issuedCertificates"]] == ["Half way"]
    assert school.numbers(BATCH) == (0, 0, 0, PROGRAM)
    assert (school.summary(BATCH)["issuedCertificates"], school.summary(BATCH)["completedOn"]) == ([], None)
    school.command("recompute", "--user", school.user)
    assert school.completions() == [BATCH]


def test_what_is_completed_only_with_what_the_program_had_is_told_for_the_program(school: School) -> None:
    school.enrol(BATCH)
    school.complete(SINGLE, context=PROGRAM)
    school.complete(DOUBLE, TRIPLE)
    school.join()
    assert school.numbers(PROGRAM) == (2, 3, 100, None)
    assert school.completions() == [PROGRAM]


def test_later_views_in_the_old_batch_begin_anew_and_stay_until_they_are_asked_for(school: School) -> None:
    school.enrol(BATCH)
    school.begin(SINGLE, seconds=10)
    school.join()
    assert school.statuses(PROGRAM) == [1, 0, 0]
    school.begin(SINGLE, seconds=3)
    school.complete(DOUBLE)
    school.complete(TRIPLE, context=PROGRAM)
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([1, 2, 0], [1, 0, 2])
    assert school.read(BATCH)[SINGLE]["timespent"] == 3
    assert school.numbers(BATCH) == (1, 1, 33, PROGRAM)
    told = school.carry_forward("--dry-run")
    assert "1 carried" in told
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([1, 2, 0], [1, 0, 2])
    assert school.carry_forward().endswith("Done: 1 learners, 1 carried\n")
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([0, 0, 0], [1, 2, 2])
    assert school.read(PROGRAM)[SINGLE]["timespent"] == 13
    before = school.whole()
    assert school.carry_forward() == "Done: 1 learners, 0 carried\n"
    assert school.whole() == before


def test_a_batch_without_progress_is_left_as_it_is_and_what_follows_stays_in_it(school: School) -> None:
    school.enrol(BATCH)
    school.join()
    assert school.numbers(BATCH) == (0, 0, 0, None)
    school.complete(SINGLE)
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([2, 0, 0], [0, 0, 0])
    assert school.numbers(BATCH) == (1, 1, 33, None)


def test_three_batches_in_a_row_go_into_one_program(school: School) -> None:
    school.enrol(BATCH, OTHER, THIRD)
    for seconds, content, context in ((1, SINGLE, BATCH), (2, DOUBLE, OTHER), (4, SINGLE, THIRD)):
        school.begin(content, context, seconds=seconds)
    school.answer(SINGLE, 1, "try-1", BATCH)
    school.answer(SINGLE, 2, "try-3", THIRD)
    school.join()
    found = school.read(PROGRAM)
    assert [found[content]["timespent"] for content in LEAVES] == [5, 2, 0]
    assert school.scores(SINGLE, PROGRAM) == ["try-1", "try-3"]
    for context in (BATCH, OTHER, THIRD):
        assert school.numbers(context) == (0, 0, 0, PROGRAM)
    assert school.numbers(PROGRAM) == (1, 1, 33, None), "a test that was handed in is complete"


def test_from_a_program_nothing_goes_to_another(school: School) -> None:
    school.enrol(BATCH)
    school.complete(SINGLE)
    school.join()
    assert school.statuses(PROGRAM) == [2, 0, 0]
    school.complete(DOUBLE)
    school.join(XYZ)
    assert school.statuses(SECOND) == [0, 2, 0], "what was begun anew in the batch, and nothing of the other program's"
    assert (school.statuses(PROGRAM), school.statuses(BATCH)) == ([2, 0, 0], [0, 0, 0])
    assert school.numbers(BATCH) == (0, 0, 0, SECOND)


def test_who_enrolled_before_the_mode_was_set_is_moved_when_an_operator_asks(school: School) -> None:
    school.set_mode("strict")
    try:
        school.enrol(BATCH)
        school.complete(SINGLE)
        school.answer(SINGLE, 3, "try-1")
        school.join()
        before = school.whole()
    finally:
        school.set_mode("move")
    assert school.whole() == before
    school.complete(DOUBLE)
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([2, 2, 0], [0, 0, 0])
    assert "1 carried" in school.carry_forward()
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([0, 0, 0], [2, 2, 0])


def test_what_an_earlier_mode_copied_is_not_taken_for_the_learners_own(school: School) -> None:
    school.set_mode("copy_content", ALWAYS)
    try:
        school.enrol(BATCH)
        school.complete(SINGLE)
        school.answer(SINGLE, 3, "try-1")
        school.enrol(OTHER)
        school.join()
        for context in (OTHER, PROGRAM):
            assert (school.statuses(context), school.scores(SINGLE, context)) == ([2, 0, 0], ["try-1"])
    finally:
        school.set_mode("move")
    for context in (OTHER, PROGRAM):
        assert (school.statuses(context), school.scores(SINGLE, context)) == ([0, 0, 0], [])
    before = school.whole()
    assert "1 carried" in school.carry_forward(), "from the batch where he did it himself"
    found = school.read(PROGRAM)[SINGLE]
    assert (found["status"], found["score"], found["origin"]) == (2, 3, None)
    assert school.scores(SINGLE, PROGRAM) == ["try-1"]
    assert (school.numbers(BATCH), school.numbers(OTHER)) == ((0, 0, 0, PROGRAM), (0, 0, 0, None))
    (record,) = school.records()
    school.undo(record["id"])
    assert school.whole() == before


# --- back ------------------------------------------------------------------------------------------------------------


def test_an_undoing_of_what_nobody_touched_leaves_every_answer_as_before(school: School) -> None:
    school.begin(SINGLE, PROGRAM, seconds=5, progress=20)
    school.bring(BATCH, SINGLE, DOUBLE, issued_certificates=[{"identifier": "c-1", "name": "Half way"}])
    school.complete(TRIPLE)
    school.answer(SINGLE, 3, "try-1")
    before = [school.summary(BATCH), school.read(BATCH), school.read(PROGRAM), school.scores(SINGLE, BATCH)]
    school.join()
    assert school.numbers(PROGRAM)[0] == 2
    (record,) = school.records()
    school.undo(record["id"])
    after = [school.summary(BATCH), school.read(BATCH), school.read(PROGRAM), school.scores(SINGLE, BATCH)]
    assert after == before
    assert school.numbers(PROGRAM) == (1, 0, 0, None)
    assert (school.summary(PROGRAM)["issuedCertificates"], school.scores(SINGLE, PROGRAM)) == ([], [])
    assert school.completions() == [BATCH]
    again = school.whole()
    school.undo(record["id"])
    assert "0 carried" in school.carry_forward(), "what an operator took back is not moved again"
    assert school.whole() == again


def test_a_program_that_had_nothing_is_not_started_after_an_undoing(school: School) -> None:
    school.enrol(BATCH)
    school.begin(SINGLE)
    school.join()
    assert school.numbers(PROGRAM)[0] == 1
    school.undo(school.records()[0]["id"])
    assert (school.numbers(PROGRAM), school.numbers(BATCH)) == ((0, 0, 0, None), (1, 0, 0, None))
    assert school.summary(PROGRAM)["lastReadContentId"] is None
    school.join(XYZ)
    assert school.statuses(SECOND) == [1, 0, 0], "another program may have it"


def test_what_the_learner_did_in_the_program_since_stays_there(school: School) -> None:
    school.enrol(BATCH)
    school.begin(SINGLE, seconds=10)
    school.complete(DOUBLE)
    school.join()
    assert school.statuses(PROGRAM) == [1, 2, 0]
    school.complete(SINGLE, TRIPLE, context=PROGRAM)
    assert school.numbers(PROGRAM) == (2, 3, 100, None)
    school.undo(school.records()[0]["id"])
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([1, 2, 0], [2, 0, 2])
    assert (school.numbers(BATCH)[:2], school.numbers(PROGRAM)[:2]) == ((1, 1), (1, 2))
    school.complete(DOUBLE, context=PROGRAM)
    assert school.numbers(PROGRAM) == (2, 3, 100, None)
    assert school.completions() == [PROGRAM], "told when it was complete for the first time"


def test_what_the_learner_began_anew_in_the_batch_is_not_less_after_an_undoing(school: School) -> None:
    school.enrol(BATCH)
    school.begin(SINGLE, seconds=10, progress=50)
    school.complete(DOUBLE)
    school.join()
    assert school.statuses(PROGRAM) == [1, 2, 0]
    school.begin(DOUBLE, seconds=4)
    school.complete(SINGLE)
    school.undo(school.records()[0]["id"])
    assert (school.statuses(BATCH), school.statuses(PROGRAM)) == ([2, 2, 0], [0, 0, 0])
    found = school.read(BATCH)
    assert (found[SINGLE]["timespent"], found[DOUBLE]["timespent"]) == (10, 4)
    assert school.numbers(BATCH) == (1, 2, 66, None)


# --- at the same moment ----------------------------------------------------------------------------------------------


def test_nobody_sees_what_was_completed_in_neither_place(school: School) -> None:
    school.enrol(BATCH)
    school.complete(*LEAVES)
    assert school.numbers(BATCH)[0] == 2
    moved = threading.Event()
    missed: list[object] = []

    def watch() -> None:
        while not moved.is_set():
            shown = [school.statuses(context) for context in (BATCH, PROGRAM)]  # in the direction of the move
            missed.extend([shown] if [max(pair) for pair in zip(*shown, strict=True)] != [2, 2, 2] else [])

    def watch_the_list() -> None:
        while not moved.is_set():
            listed = school.server.client.get(f"{school.server.url}/v1/summary/list/{school.user}").json()
            records = listed["result"]["summary"]
            missed.extend([records] if max(one["progress"] for one in records) != 3 else [])

    def move() -> None:
        try:
            school.join()
            school.summary(PROGRAM)
            school.statuses(PROGRAM)
        finally:
            moved.set()

    at_once(watch, watch, watch_the_list, move)
    assert missed == []
    assert (school.numbers(PROGRAM), school.numbers(BATCH)) == ((2, 3, 100, None), (0, 0, 0, PROGRAM))
    assert school.completions() == [BATCH]


@pytest.mark.parametrize("turn", range(4))
def test_of_two_programs_at_once_one_has_everything(school: School, turn: int) -> None:
    school.bring(BATCH, SINGLE, DOUBLE, issued_certificates=[{"identifier": "c-1", "name": "Half way"}])
    school.complete(TRIPLE)
    school.answer(SINGLE, 3, "try-1")
    assert school.numbers(BATCH)[0] == 2

    def join(program: tuple[str, str]) -> None:
        school.join(program)
        school.summary(program[1])

    programs = (ABC, XYZ) if turn % 2 else (XYZ, ABC)
    at_once(*[lambda one=one: join(one) for one in programs])
    places = [PROGRAM, SECOND]
    has_it = [context for context in places if school.summary(context)["status"] == 2]
    assert len(has_it) == 1
    for context in places:
        has = context in has_it
        assert school.statuses(context) == ([2, 2, 2] if has else [0, 0, 0])
        assert school.scores(SINGLE, context) == (["try-1"] if has else [])
        assert len(school.summary(context)["issuedCertificates"]) == has
        assert school.summary(context)["progress"] == (3 if has else 0)
    assert school.numbers(BATCH) == (0, 0, 0, *has_it)
    assert [record["target"][1] for record in school.records()] == has_it
    assert school.completions() == [BATCH]


def test_views_while_a_move_runs_are_in_one_of_both_places(school: School) -> None:
    school.enrol(BATCH, OTHER)
    for context in (BATCH, OTHER):
        school.begin(SINGLE, context, seconds=1)
    taken: list[int] = []

    def view(context: str) -> None:
        for _ in range(12):
            place = school.place(SINGLE, context)
            assert school.server.call("/v1/view/start", {"userId": school.user, **place}).status_code == 200
            answer = school.server.call("/v1/view/update", {"userId": school.user, **place, "timespent": 1})
            taken.append(answer.status_code == 200)

    def end() -> None:
        school.complete(DOUBLE, TRIPLE)

    at_once(lambda: view(BATCH), lambda: view(OTHER), lambda: view(PROGRAM), end, school.join)
    found = [school.read(context) for context in (BATCH, OTHER, PROGRAM)]
    assert sum(one[SINGLE]["timespent"] for one in found) == sum(taken) + 2
    for content in (DOUBLE, TRIPLE):
        assert sorted(one[content]["status"] for one in found) == [0, 0, 2]
    assert school.carry_forward()
    assert school.statuses(PROGRAM) == [1, 2, 2]
    assert school.read(PROGRAM)[SINGLE]["timespent"] == sum(taken) + 2
    assert (school.numbers(BATCH), school.numbers(PROGRAM)) == ((0, 0, 0, PROGRAM), (1, 2, 66, None))
