"""The demo's story of summaries and assessments: two enrolled learners, looked at from every side as they go.

What is expected is kept by the script (Book, Tries) from the sample's tree and from what it sent. The service's four
answers (summary/read, summary/list, view/read, assessment/read) must say that, and must agree.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo_runner import Answer, Call, Step, Story, Table, Unexpected, Value
from demo_sample import LOAD_SAMPLE, SAMPLE_BATCH, SAMPLE_COURSE, assessments, required_leaves, sample_tree, units_of
from demo_steps import (
    Name,
    acks,
    completes,
    contents,
    counts,
    enrol,
    item,
    refusal,
    summary_list,
    summary_read,
    view,
)

Pick = Callable[[Sequence[Answer]], Value]
Record = Mapping[str, Any]

STAGE = ("calls", "summary/read", "summary/list", "contentStatus", "view/read")
SCORES = ("submit", "assessment/read", "newest first", "view/read", "assessmentStatus", "summary/read")
ELSEWHERE = "single-digit-addition"
EVENT_SECONDS = 10


# --- the script's own bookkeeping ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Course:
    """The sample's course. leaves: all contents in course order; required: those that count, in that order.

    optional_nodes: what need not be completed, the units nothing of which is required and the contents.
    """

    title: str
    leaves: tuple[str, ...]
    first_unit: tuple[str, ...]
    required: tuple[str, ...]
    optional_nodes: tuple[str, ...]
    assessment: Mapping[str, Any]

    @classmethod
    def read(cls, sample: Path) -> "Course":
        """From the catalogue file."""
        tree = sample_tree(sample, SAMPLE_COURSE)
        root, first, *others = units_of(tree)
        must = required_leaves(tree)
        spare_units = [unit.id for unit in (first, *others) if must.isdisjoint(unit.leaves)]
        spare = [leaf for leaf in root.leaves if leaf not in must]
        return cls(
            title=root.title,
            leaves=root.leaves,
            first_unit=first.leaves,
            required=tuple(leaf for leaf in root.leaves if leaf in must),
            optional_nodes=(*spare_units, *spare),
            assessment=assessments(tree)[0],
        )

    @property
    def optional(self) -> tuple[str, ...]:
        """The contents that need not be completed."""
        return tuple(leaf for leaf in self.leaves if leaf not in self.required)


@dataclass
class Book:
    """What one learner has done in the course."""

    course: Course
    status: dict[str, int] = field(default_factory=dict)

    def start(self, content: str) -> None:
        """Never takes anything back."""
        self.status.setdefault(content, 1)

    def complete(self, content: str) -> None:
        """As end does, and a submission."""
        self.status[content] = 2

    def statuses(self) -> dict[str, int]:
        """Of every content of the course."""
        return {leaf: self.status.get(leaf, 0) for leaf in self.course.leaves}

    def told(self) -> str:
        """The numbers of a summary: "status 1, 3 done, 11 %"; with the mark of a date once completed."""
        needed = len(self.course.required)
        done = sum(self.status.get(leaf) == 2 for leaf in self.course.required)
        status = 2 if done == needed else 1 if self.status else 0
        return _numbers(status, done, 100 * done // needed, dated=status == 2)

    def row(self, calls: int) -> Value:
        """What a stage of this many calls must come to, in the columns of STAGE."""
        counted = counts(list(self.statuses().values()))
        return (f"{calls} x 200" if calls else "none", self.told(), self.told(), counted, counted)


@dataclass
class Tries:
    """The attempts at one assessment, in the order they were taken. maximum: of one attempt."""

    book: Book
    maximum: float
    scores: list[float] = field(default_factory=list)

    def row(self) -> Value:
        """What must be said of them everywhere, in the columns of SCORES."""
        best = f"{max(self.scores):g} of {self.maximum:g}"
        tried = f"{best} in {len(self.scores)}"
        newest_first = ", ".join(f"{score:g}" for score in reversed(self.scores))
        return ("SUCCESS", tried, newest_first, best, tried, self.book.told())


def _numbers(status: int, done: int, percentage: int, *, dated: bool) -> str:
    return f"status {status}, {done} done, {percentage} %" + (", completedOn set" if dated else "")


# --- picking -------------------------------------------------------------------------------------------------


def looks(user_id: str) -> tuple[Call, ...]:
    """The three questions every stage ends with."""
    place = {"userId": user_id, "collectionId": SAMPLE_COURSE, "contextId": SAMPLE_BATCH}
    return summary_read(**place), summary_list(user_id), view("read", **place)


def in_list(answer: Answer) -> Record:
    """The enrolment's record in the list. Raises Unexpected unless it is there once."""
    here = (SAMPLE_COURSE, SAMPLE_BATCH)
    found = [each for each in answer.result["summary"] if (each["collectionId"], each["contextId"]) == here]
    if len(found) != 1:
        raise Unexpected(f"listed {len(found)} times")
    record: Record = found[0]
    return record


def numbers(record: Record) -> str:
    """A record's own numbers, as Book tells them."""
    dated = record["completedOn"] is not None
    return _numbers(record["status"], record["progress"], record["completionPercentage"], dated=dated)


def counted(actual: Mapping[str, int], expected: Mapping[str, int]) -> str:
    """The counts of these statuses; the contents that have another one, or none, are named."""
    others = sorted(leaf for leaf in {*actual, *expected} if actual.get(leaf) != expected.get(leaf))
    return counts(list(actual.values())) + (f", but not {', '.join(others)}" if others else "")


def told(calls: Sequence[Answer]) -> str:
    """How many calls succeeded, and what the others were told."""
    said = [answer.told.removeprefix("HTTP ") for answer in calls]
    return ", ".join(f"{said.count(text)} x {text}" for text in dict.fromkeys(said)) or "none"


def stage_of(expected: Mapping[str, int]) -> Pick:
    """Picks the columns of STAGE; the last three answers are those of `looks`."""

    def pick(answers: Sequence[Answer]) -> Value:
        *calls, read, listing, viewed = answers
        seen = {str(each["identifier"]): int(each["status"]) for each in contents(viewed)}
        return (
            told(calls),
            numbers(read.result),
            numbers(in_list(listing)),
            counted(read.result["contentStatus"], expected),
            counted(seen, expected),
        )

    return pick


def same_record(answers: Sequence[Answer]) -> Value:
    """Picks a record's numbers, and whether every answer that has the record says the same of every field.

    They are summary/read, flat and under `summary`, summary/list, and view/agg where it was called just before.
    """
    *aggregated, read, listing, _ = answers
    record = _flat(read)
    others = [read.result["summary"], in_list(listing), *map(_flat, aggregated)]
    differing = {key for other in others for key in {**record, **other} if record.get(key) != other.get(key)}
    return f"{numbers(record)}; " + (f"not the same: {', '.join(sorted(differing))}" if differing else "the same")


def _flat(answer: Answer) -> Record:
    return {key: value for key, value in answer.result.items() if key != "summary"}


def left_out(course: Course) -> Pick:
    """Picks what contentStatus says of the optional contents, and whether optional_nodes lists just what it should."""

    def pick(answers: Sequence[Answer]) -> Value:
        record = answers[-3].result
        statuses = counts([record["contentStatus"][leaf] for leaf in course.optional])
        same = sorted(record["optional_nodes"]) == sorted(course.optional_nodes)
        return f"{statuses}; {len(record['optional_nodes'])} nodes, {'the same' if same else 'others'}"

    return pick


def date_of(course: Course) -> Pick:
    """Picks whether completedOn is the time the last required content was completed, and no time before enrolment."""

    def pick(answers: Sequence[Answer]) -> Value:
        record, viewed = answers[-3].result, answers[-1]
        newest = max(item(viewed, leaf)["lastCompletedTime"] for leaf in course.required)
        if record["completedOn"] != max(newest, record["enrolledDate"]):
            return f"{record['completedOn']}, the last content at {newest}, enrolled at {record['enrolledDate']}"
        return "when the last required content was"

    return pick


def changed(content: str) -> Pick:
    """Picks which fields of the record the calls in between changed. What was read last is told by itself."""

    def pick(answers: Sequence[Answer]) -> Value:
        before, after = answers[0].result["summary"], answers[-3].result["summary"]
        fields = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        kept = sorted(key for key in fields if not key.startswith("last"))
        last = "it" if after["lastReadContentId"] == content else str(after["lastReadContentId"])
        return f"changed: {', '.join(kept)}; last read: {last}"

    return pick


def scores_of(content: str) -> Pick:
    """Picks the columns of SCORES from the answers of submit, assessment/read, view/read and summary/read."""

    def pick(answers: Sequence[Answer]) -> Value:
        submitted, assessed, viewed, read = answers[-4:]
        best, shown = item(assessed, content), item(viewed, content)
        of_summary = read.result["assessmentStatus"][content]
        listed = assessed.result["assessments"]
        newest_first = ", ".join(f"{each['score']:g}" for each in listed)
        if len({each["attemptId"] for each in listed}) < len(listed):
            newest_first += ", some twice"
        return (acks([submitted]), _tried(best), newest_first, _best(shown), _tried(of_summary), numbers(read.result))

    return pick


def _best(given: Record) -> str:
    if given["score"] is None:
        return "no score"
    return f"{given['score']:g} of {given['max_score']:g}"


def _tried(given: Record) -> str:
    return f"{_best(given)} in {given['attempts']}"


def untouched(content: str) -> Pick:
    """Picks the refusal of a submission, and whether assessment/read afterwards knows nothing of its content."""

    def pick(answers: Sequence[Answer]) -> Value:
        refused, assessed = answers
        known = {each["identifier"] for each in (*contents(assessed), *assessed.result["assessments"])}
        return f"{refusal([refused])}, " + ("yet kept" if content in known else "nothing kept")

    return pick


def published(events: Path, user_id: str) -> Pick:
    """Picks what of this learner's enrolment was published, each event once however often it was written.

    Publishing is a worker's work: this looks until both events of a completion are there, at most EVENT_SECONDS long.
    """

    def pick(_: Sequence[Answer]) -> Value:
        deadline = time.monotonic() + EVENT_SECONDS
        while len(found := _events_of(events, user_id)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        return "; ".join(sorted(found.values())) or "none"

    return pick


def _events_of(events: Path, user_id: str) -> dict[str, str]:
    """Event id -> what it says, of the events about this learner."""
    found: dict[str, str] = {}
    for file in sorted(events.glob("*.jsonl")):
        # Another process writes the file: its last line may still be half a line.
        complete, _, _ = file.read_text(encoding="utf-8").rpartition("\n")
        for line in complete.splitlines():
            entry = json.loads(line)
            event = entry["event"]
            data = event["edata"]
            if data.get("userIds") == [user_id]:
                found[entry["id"]] = f"{data['action']} for {data['batchId']} of {data['courseId']}"
            elif event["object"]["id"] == user_id:
                found[entry["id"]] = f"{data['type']} in {event['object']['rollup']['l1']}"
    return found


# --- making calls --------------------------------------------------------------------------------------------


def telemetry(content: str, questions: int, right: int, points: float, at_ms: int) -> list[dict[str, Any]]:
    """An attempt as a player reports it: one ASSESS event a question, the first `right` of them answered well."""
    return [
        {
            "eid": "ASSESS",
            "ets": at_ms + number * 30_000,
            "edata": {
                "item": {"id": f"{content}-q{number:02}", "maxscore": points, "type": "mcq"},
                "score": points if number <= right else 0,
                "pass": "Yes" if number <= right else "No",
                "duration": 20,
                "resvalues": [],
            },
        }
        for number in range(1, questions + 1)
    ]


def submission(events: list[dict[str, Any]], **place: object) -> Call:
    """A submit of one attempt."""
    return Call("/v1/assessment/submit", {**place, "assessmentTs": events[-1]["ets"], "assessments": events})


# --- the story -----------------------------------------------------------------------------------------------


@dataclass
class Learner:
    """One learner's part of the story: does things, keeps them in the book, and says the step of each stage."""

    user_id: str
    prefix: str
    book: Book
    number: int = 0

    @property
    def place(self) -> dict[str, str]:
        """Who and where, as every call says it."""
        return {"userId": self.user_id, "collectionId": SAMPLE_COURSE, "contextId": SAMPLE_BATCH}

    def next_id(self) -> str:
        """The id of the next step."""
        self.number += 1
        return f"{self.prefix}-{self.number}"

    def enrols(self) -> tuple[Call, ...]:
        """Joins the batch."""
        return (enrol(**self.place),)

    def starts(self, content: str) -> tuple[Call, ...]:
        """Opens one content."""
        self.book.start(content)
        return (view("start", **self.place, contentId=content),)

    def does(self, leaves: Sequence[str]) -> tuple[Call, ...]:
        """Starts and ends what of these is not complete."""
        left = [leaf for leaf in leaves if self.book.status.get(leaf) != 2]
        for leaf in left:
            self.book.complete(leaf)
        return tuple(call for leaf in left for call in completes(**self.place, contentId=leaf))

    def stage(self, title: str, calls: tuple[Call, ...]) -> Step:
        """A row of a STAGE table: the calls, then what everyone says of the learner."""
        pick = stage_of(self.book.statuses())
        return Step(self.next_id(), title, self.book.row(len(calls)), pick, (*calls, *looks(self.user_id)))


def two_learners(name: Name, sample: Path, events: Path | None) -> Story:
    """Asha completes the sample's rich course, Brian stops half-way and retries its assessment.

    events: the folder the service publishes to; None where that is out of reach.
    """
    course = Course.read(sample)
    needed = len(course.required)
    asha = Learner(name("Asha"), "ASHA", Book(course))
    tables = [*_asha(asha), *_brian(Learner(name("Brian"), "BRIAN", Book(course)))]
    if events is not None:
        tables.append(_certificates(asha, events))
    about = (
        f"{course.title} ({SAMPLE_COURSE}, batch {SAMPLE_BATCH}): {len(course.leaves)} contents, {needed} of them "
        f"required, percentage = floor(100 * done / {needed}). Each stage asks summary/read, summary/list and "
        "view/read; contentStatus and view/read are counted: complete / in progress / not started. Scores are told as "
        "best of maximum in attempts. A read adds up first what is pending, so nothing is waited for."
    )
    return Story(
        "Story 5: two enrolled learners, their summaries and assessments",
        about,
        tuple(tables),
        SAMPLE_COURSE,
        LOAD_SAMPLE,
    )


def _asha(asha: Learner) -> list[Table]:
    """All of the course, in stages."""
    course = asha.book.course
    required, optional = course.required, course.optional
    half = len(required) // 2
    extra = optional[0]
    first_unit = [leaf for leaf in course.first_unit if leaf in required]
    stages = (
        asha.stage("Asha enrols", asha.enrols()),
        asha.stage("She starts the first content", asha.starts(required[0])),
        asha.stage(f"She completes the first unit, its {len(first_unit)} required contents", asha.does(first_unit)),
        asha.stage("She completes half of what is required", asha.does(required[:half])),
        asha.stage("All but one", asha.does(required[:-1])),
        asha.stage("And the last one", asha.does(required)),
    )
    untaken = counts([0] * len(optional))
    looked = (
        Step(
            asha.next_id(),
            "The record in summary/list, and under `summary`, field by field",
            f"{asha.book.told()}; the same",
            same_record,
            looks(asha.user_id),
        ),
        Step(
            asha.next_id(),
            "Optional contents in contentStatus; optional_nodes lists them, and the units that need not be done",
            f"{untaken}; {len(course.optional_nodes)} nodes, the same",
            left_out(course),
        ),
        Step(asha.next_id(), "completedOn", "when the last required content was", date_of(course)),
        Step(
            asha.next_id(),
            f"She completes an optional content too, {extra}",
            "changed: contentStatus, nextContent; last read: it",
            changed(extra),
            (summary_read(**asha.place), *asha.does([extra]), *looks(asha.user_id)),
        ),
    )
    after = (asha.stage("The same numbers as before, one more content complete", ()),)
    again = (
        Step(
            asha.next_id(),
            "All is added up anew by POST /v1/view/agg: its record, field by field",
            f"{asha.book.told()}; the same",
            same_record,
            (view("agg", **asha.place), *looks(asha.user_id)),
        ),
        Step(
            asha.next_id(),
            "She enrols once more",
            "400 USER_ALREADY_ENROLLED_COURSE",
            refusal,
            asha.enrols(),
        ),
    )
    return [
        Table("Asha completes the course", stages, STAGE),
        Table("What her record says now", looked),
        Table("After the optional content", after, STAGE),
        Table("And afterwards", again),
    ]


def _brian(brian: Learner) -> list[Table]:
    """Up to the half-way check, and that several times."""
    course = brian.book.course
    check = str(course.assessment["identifier"])
    questions, maximum = int(course.assessment["totalQuestions"]), float(course.assessment["maxScore"])
    points = maximum / questions
    here = {**brian.place, "contentId": check}
    before = [leaf for leaf in course.leaves[: course.leaves.index(check)] if leaf in course.required]
    stages = (
        brian.stage("Brian enrols", brian.enrols()),
        brian.stage(f"He completes the {len(before)} required contents before the check {check}", brian.does(before)),
    )

    began = int(time.time() * 1000) - 6 * 3600 * 1000
    asked = (Call("/v1/assessment/read", here), view("read", **here), summary_read(**brian.place))
    tries = Tries(brian.book, maximum)

    def attempt(right: int) -> Call:
        """One more attempt, an hour after the one before."""
        tries.scores.append(right * points)
        brian.book.complete(check)
        at = began + len(tries.scores) * 3600 * 1000
        return submission(telemetry(check, questions, right, points, at), **here)

    def scored(title: str, call: Call) -> Step:
        return Step(brian.next_id(), title, tries.row(), scores_of(check), (call, *asked))

    first = attempt(1)
    attempts = (
        scored(f"He submits the check: 1 of {questions} right", first),
        scored("He retries it and does better", attempt(questions - 1)),
        scored("Once more, and worse: the best counts", attempt(questions // 2)),
        scored("His phone sends the first submission again: nothing changes", first),
    )
    elsewhere = telemetry(ELSEWHERE, 1, 1, 1.0, began)
    too_many = telemetry(check, questions + 1, 1, points, began)
    refused = (
        Step(
            brian.next_id(),
            f"He submits {ELSEWHERE}, which is no content of this course",
            "400 ERR_NOT_IN_COLLECTION, nothing kept",
            untouched(ELSEWHERE),
            (
                submission(elsewhere, **brian.place, contentId=ELSEWHERE),
                Call("/v1/assessment/read", {**brian.place}),
            ),
        ),
        Step(
            brian.next_id(),
            f"He submits {questions + 1} answers to the {questions} questions of the check",
            "400 ERR_TOO_MANY_QUESTIONS",
            refusal,
            (submission(too_many, **here),),
        ),
    )
    return [
        Table("Brian stops half-way", stages, STAGE),
        Table(f"His attempts at {course.assessment['name']}", attempts, SCORES),
        Table("What is refused", refused),
        Table("Where he stopped: the check is complete whatever its score", (brian.stage("Looking again", ()),), STAGE),
    ]


def _certificates(asha: Learner, events: Path) -> Table:
    """What the completed enrolment let the rest of the platform know."""
    expected = f"enrol-complete in {SAMPLE_COURSE}; issue-certificate for {SAMPLE_BATCH} of {SAMPLE_COURSE}"
    step = Step(asha.next_id(), "Asha's completion, in the events folder", expected, published(events, asha.user_id))
    return Table("Certificate", (step,))
