"""The checks afterwards, with everything up again: from the outside, through every web process."""

import random
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from chaos.course import BATCH, COURSE, LEAVES, REQUIRED
from chaos.ledger import Bounds, Json
from chaos.load import Api, Load, Reader
from chaos.service import ended
from chaos.tiers import World

SETTLE_SECONDS = 30  # some sweeps, and less than a mark is put off whose collection is not known: here each is
READERS = 6
CERTIFICATES, AUDIT = "certificate.request", "telemetry.audit"
ALIKE = ("status", "progress", "score", "max_score", "lastCompletedTime", "lastAccessTime", "timespent")
Summaries = Mapping[str, Json]


@dataclass
class Found:
    """What the checks looked at. settled: seconds until nothing waited; repeats: lines of events beyond the first."""

    settled: float = 0.0
    learners: int = 0
    completed: int = 0
    contexts: int = 0
    events: int = 0
    repeats: int = 0


def verify(world: World, load: Load) -> Found:
    """Checks everything; what is wrong is added to the ledger's violations."""
    found = Found()
    for name in ended(world.service):
        load.ledger.broken("", "", f"{name} ended by itself")
    found.settled = _settle(world, load)
    summaries = _read_all(world, load)
    found.learners = len(summaries)
    found.completed = sum(1 for record in summaries.values() if _completed(record))
    _check_events(world, load, summaries, found)
    _recompute(world, load, found)
    return found


def _settle(world: World, load: Load) -> float:
    """Waits until no mark and no event is left; how many seconds that took."""
    began = time.monotonic()
    while any(counts := world.waiting.counts()):
        if time.monotonic() - began > SETTLE_SECONDS:
            marks, events = counts
            text = f"{marks} marks and {events} events still wait after {SETTLE_SECONDS} s"
            load.ledger.broken("", "", text)
            break
        time.sleep(0.3)  # between two looks at a condition that has a deadline
    return time.monotonic() - began


# --- every learner, through every web process --------------------------------------------------------------------


def _read_all(world: World, load: Load) -> dict[str, Json]:
    """Reads every learner; {user: summary} of those who have one."""
    users = load.ledger.users()
    with ThreadPoolExecutor(READERS) as pool:
        parts = [users[number::READERS] for number in range(READERS)]
        shown = [pool.submit(_read_some, world, load, part) for part in parts]
        return {user: record for job in shown for user, record in job.result().items()}


def _read_some(world: World, load: Load, users: Sequence[str]) -> dict[str, Json]:
    api = Api(world.urls, random.Random(0), load.counts)
    learners = Learners(Reader(api, load.ledger, load.counts), load, len(world.urls))
    try:
        return {user: record for user in users if (record := learners.read(user)) is not None}
    finally:
        api.close()


class Learners:
    """Reads learners one by one and compares what the calls say of each."""

    def __init__(self, reader: Reader, load: Load, webs: int) -> None:
        self._reader, self._load, self._webs = reader, load, webs

    def read(self, user: str) -> Json | None:
        """The learner's summary, once all answers were compared; None where nothing of him is stored."""
        before = self._load.ledger.snapshot(user)
        answers = [self._answers(user, before, web) for web in range(self._webs)]
        if any(one != answers[0] for one in answers):
            self._broken(user, f"two processes differ: {answers}")
        return answers[0][1]

    def _answers(self, user: str, before: Mapping[str, Bounds], web: int) -> tuple[dict[str, Json], Json | None]:
        """The comparable part of each content, and the summary, of one process."""
        contents = self._reader.contents(user, None, web)
        told_attempts = self._reader.attempts(user, web)
        record = self._reader.summary(user, web)
        if contents is None or not told_attempts:
            self._broken(user, f"web process {web} does not answer")
            return {}, None
        for content in before.keys() - contents.keys():
            self._broken(user, f"{content} is not in the answer")
        if record is not None:
            self._compare(user, contents, record)
        elif any(bounds.status for bounds in before.values()) or user in self._load.ledger.enrolled:
            self._broken(user, f"web process {web} has no summary")
        return {content: {name: item[name] for name in ALIKE} for content, item in contents.items()}, record

    def _compare(self, user: str, contents: Mapping[str, Json], record: Json) -> None:
        """The summary says what the contents say, and adds them up right."""
        statuses = {content: item["status"] for content, item in contents.items()}
        if record["contentStatus"] != statuses:
            self._broken(user, f"summary {record['contentStatus']} but view/read {statuses}")
        scores = {content: item["score"] for content, item in contents.items() if item["score"] is not None}
        told = {content: one["score"] for content, one in record["assessmentStatus"].items()}
        if scores != told:
            self._broken(user, f"summary scores {told} but view/read {scores}")
        done = sum(statuses[content] == 2 for content in REQUIRED)
        touched = any(statuses[content] for content in LEAVES)
        status = 2 if done == len(REQUIRED) else int(touched)
        expected = (done, 100 * done // len(REQUIRED), status)
        shown = (record["progress"], record["completionPercentage"], record["status"])
        if shown != expected:
            self._broken(user, f"summary (progress, percentage, status) {shown}, expected {expected}")
        if (status == 2) is not (record["completedOn"] is not None):
            self._broken(user, f"status {status} with completedOn {record['completedOn']}")
        if user in self._load.ledger.enrolled and record["enrolledDate"] is None:
            self._broken(user, "an acknowledged enrolment is not there")

    def _broken(self, user: str, text: str) -> None:
        self._load.ledger.broken(user, "", text)


# --- events and aggregates -----------------------------------------------------------------------------------------


def _completed(record: Json) -> bool:
    """True for a completed enrolment: only these cause events."""
    return record["enrolledDate"] is not None and record["status"] == 2


def _check_events(world: World, load: Load, summaries: Summaries, found: Found) -> None:
    """Both events of each completed enrolment under one id each, and no others."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in world.events:
        ids[event["topic"], _learner_of(event)].add(event["id"])
        found.events += 1
    expected = {
        (topic, user) for user, record in summaries.items() if _completed(record) for topic in (CERTIFICATES, AUDIT)
    }
    found.repeats = found.events - sum(map(len, ids.values()))
    for topic, user in expected - ids.keys():
        load.ledger.broken(user, "", f"no {topic} event of a completed enrolment")
    for topic, user in ids.keys() - expected:
        load.ledger.broken(user, "", f"a {topic} event without a completed enrolment")
    for (topic, user), told in ids.items():
        if len(told) > 1:
            load.ledger.broken(user, "", f"{len(told)} ids of one {topic} event")


def _learner_of(event: dict[str, Any]) -> str:
    """Whose completion of the course an event tells of; another course or batch spoils the id."""
    told = event["event"]
    if event["topic"] == CERTIFICATES:
        data = told["edata"]
        place, user = (data["courseId"], data["batchId"]), data["userIds"][0]
    else:
        of = {one["type"]: one["id"] for one in told["context"]["cdata"]}
        place, user = (of["Course"], of["CourseBatch"]), told["object"]["id"]
    return str(user) if place == (COURSE, BATCH) else f"{user} in {place}"


def _recompute(world: World, load: Load, found: Found) -> None:
    """A recompute from the rows would change nothing."""
    told = world.webs[0].manage("recompute", "--dry-run", "-v0").strip().splitlines()[-1]
    counts = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", told)}
    found.contexts = counts["folded"]
    if counts["folded"] < found.learners or any(count for name, count in counts.items() if name != "folded"):
        load.ledger.broken("", "", f"recompute of {found.learners} learners: {told}")
