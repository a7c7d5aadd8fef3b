"""The one course everybody takes, and what a learner's device does in it: calls, and what each promises."""

import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from chaos.ledger import ENDING, Json, Kind, Told

COURSE, BATCH = "chaos-course", "chaos-batch"
VIDEOS = tuple(f"video-{number}" for number in range(6))
OPTIONAL = "video-optional"
TESTS = ("test-0", "test-1")
REQUIRED = (*VIDEOS, *TESTS)
LEAVES = (*REQUIRED, OPTIONAL)
QUESTIONS = 4
DAY_MS = 86_400_000
OLDEST_DAYS = 80  # within what a client's time may tell


@dataclass(frozen=True)
class Call:
    """One write. promises: what its acknowledgement means; enrols: it is an enrolment."""

    id: str
    path: str
    request: Json
    promises: tuple[Told, ...] = ()
    enrols: bool = False

    @property
    def user(self) -> str:
        """Whose."""
        return str(self.request["userId"])


def now_ms() -> int:
    """The time, as the wire tells it."""
    return time.time_ns() // 1_000_000


def catalogue() -> Json:
    """The course and its batch, as load_catalogue reads them."""
    leaf = {"mimeType": "video/mp4", "contentType": "Resource"}
    test = {"contentType": "SelfAssess", "totalQuestions": QUESTIONS}
    children = [
        {"identifier": name, "name": name, **leaf, **(test if name in TESTS else {}), "index": number}
        for number, name in enumerate(LEAVES, 1)
    ]
    course = {
        "identifier": COURSE, "name": COURSE, "mimeType": "application/vnd.ekstep.content-collection",
        "contentType": "Course", "status": "Live", "visibility": "Default", "leafNodesCount": len(children),
        "relationalMetadata": {OPTIONAL: {"optional": True}}, "children": children,
    }  # fmt: skip
    batch = {
        "batchId": BATCH, "courseId": COURSE, "status": 1, "enrollmentType": "open",
        "startDate": "2020-01-01", "endDate": "2099-12-31",
    }  # fmt: skip
    return {"collections": [course], "batches": [batch]}


class Device:
    """One of a learner's two devices: the calls it makes, in order. A content that could not be started is left."""

    def __init__(self, user: str, rng: random.Random, *, enrols: bool) -> None:
        self.user = user
        self._rng = rng
        self._enrols = enrols

    def plans(self) -> Iterator[list[Call]]:
        """Calls that belong together: when one of them fails for good, the rest of its plan is pointless."""
        share = self._rng.choice((0.4, 0.8, 1.0))
        contents = [name for name in self._rng.sample(LEAVES, len(LEAVES)) if self._rng.random() < share]
        enrols_after = self._rng.randrange(len(contents) + 1) if self._enrols and self._rng.random() < 0.9 else None
        for number, content in enumerate([*contents, None]):
            if number == enrols_after:
                yield [self._enrol()]
            if content is not None:
                yield self._plan(content)

    def _plan(self, content: str) -> list[Call]:
        if self._rng.random() < 0.3:
            sync = self._sync([content, *self._rng.sample(LEAVES, self._rng.randrange(3))])
            ended = {told.content for told in sync.promises if told.kind in ENDING}
            updated = dict.fromkeys(told.content for told in sync.promises if told.kind is Kind.UPDATE)
            return [sync, *(opened(self.user, name) for name in updated if name not in ended)]
        if content in TESTS:
            return [self._submit(content) for _ in range(self._rng.randint(1, 2))]
        started = self._time()
        calls = [_view(self.user, Told(Kind.START, content, started))]
        calls += [_view(self.user, self._update(content, started)) for _ in range(self._rng.randint(0, 3))]
        if self._rng.random() < 0.85:
            at = started + DAY_MS if self._rng.random() < 0.7 else None
            calls.append(_view(self.user, Told(Kind.END, content, at)))
        else:
            calls.append(opened(self.user, content))
        return calls

    def _enrol(self) -> Call:
        request = {"userId": self.user, "courseId": COURSE, "batchId": BATCH}
        return Call(uuid.uuid4().hex, "/v1/course/enroll", request, enrols=True)

    def _update(self, content: str, started: int) -> Told:
        at = started + self._rng.randrange(DAY_MS)
        return Told(Kind.UPDATE, content, at, self._rng.randrange(100), self._rng.randrange(1, 600) / 2)

    def _submit(self, content: str) -> Call:
        told = self._attempt(content, self._time())
        request = {"userId": self.user, "collectionId": COURSE, "contextId": BATCH, **_fields(told)}
        return Call(uuid.uuid4().hex, "/v1/assessment/submit", request, (told,))

    def _sync(self, contents: list[str]) -> Call:
        promises: list[Told] = []
        for content in dict.fromkeys(contents):
            at = self._time()
            if content in TESTS:
                promises.append(self._attempt(content, at))
                continue
            promises.append(Told(Kind.START, content, at))
            promises += [self._update(content, at + 1) for _ in range(self._rng.randrange(3))]
            if self._rng.random() < 0.8:
                promises.append(Told(Kind.END, content, at + 2 * DAY_MS))
        place = {"collectionId": COURSE, "contextId": BATCH}
        events = [
            {"id": uuid.uuid4().hex, "type": str(told.kind), "ts": told.at, **place, **_fields(told)}
            for told in promises
        ]
        self._rng.shuffle(events)
        return Call(uuid.uuid4().hex, "/v1/view/sync", {"userId": self.user, "events": events}, tuple(promises))

    def _attempt(self, content: str, at: int) -> Told:
        score = self._rng.randrange(2 * QUESTIONS + 1) / 2
        return Told(Kind.ASSESS, content, at, attempt=uuid.uuid4().hex, score=score)

    def _time(self) -> int:
        return now_ms() - self._rng.randrange(4 * DAY_MS, OLDEST_DAYS * DAY_MS)


def opened(user: str, content: str) -> Call:
    """A content is opened once more: no write, but what its updates left to fold is marked."""
    return _view(user, Told(Kind.START, content))


def _view(user: str, told: Told) -> Call:
    request = {"userId": user, "collectionId": COURSE, "contextId": BATCH, **_fields(told)}
    return Call(uuid.uuid4().hex, f"/v1/view/{told.kind}", request, (told,))


def _fields(told: Told) -> Json:
    """The call's own fields."""
    fields: Json = {"contentId": told.content}
    match told.kind:
        case Kind.START:
            fields["lastAccessTime"] = told.at
        case Kind.UPDATE:
            details = {"progress": told.progress}
            fields |= {"lastAccessTime": told.at, "progressDetails": details, "timespent": told.seconds}
        case Kind.END if told.at is not None:
            fields["lastCompletedTime"] = told.at
        case Kind.ASSESS:
            fields |= {"attemptId": told.attempt, "assessmentTs": told.at, "assessments": _answers(told)}
    return fields


def _answers(told: Told) -> list[Json]:
    """ASSESS events of one attempt whose scores add up to what is told."""
    share = told.score / QUESTIONS
    return [
        {
            "eid": "ASSESS", "ets": told.at, "mid": f"{told.attempt}:{number}",
            "edata": {"item": {"id": f"q{number}", "maxscore": 1}, "score": share, "pass": "No", "duration": 1},
        }
        for number in range(QUESTIONS)
    ]  # fmt: skip
