"""What is sent, and what has to be there before: a course of 30 contents, learners, and request bodies.

Ids tell what a learner is for (`end-17` has one started content that waits for its end), so that the service, the
floors and the age of aggregates are all measured on the same bodies.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

COURSE, BATCH = "bench-course", "bench-batch"
LEAVES = tuple(f"bench-content-{number}" for number in range(1, 31))
QUIZ = LEAVES[-1]
QUESTIONS = 10
SYNC_EVENTS = 500
READERS = 200  # learners whose whole course is read
REPEATED = 2000  # learners whose rows are written again and again
Json = dict[str, Any]


def catalogue() -> Json:
    """The catalogue file: three units of ten contents, the last one a self-assessment, and one open batch."""
    units = [
        {
            "identifier": f"bench-unit-{unit + 1}",
            "mimeType": "application/vnd.ekstep.content-collection",
            "contentType": "CourseUnit",
            "children": [_leaf(content) for content in LEAVES[10 * unit : 10 * unit + 10]],
        }
        for unit in range(3)
    ]
    course = {
        "identifier": COURSE,
        "name": "A course of 30 contents",
        "mimeType": "application/vnd.ekstep.content-collection",
        "contentType": "Course",
        "status": "Live",
        "leafNodesCount": len(LEAVES),
        "children": units,
    }
    batch = {
        "batchId": BATCH,
        "courseId": COURSE,
        "name": "The batch of the bench",
        "status": 1,
        "enrollmentType": "open",
        "startDate": "2026-01-01",
        "endDate": "2099-12-31",
    }
    return {"collections": [course], "batches": [batch]}


def _leaf(content: str) -> Json:
    node = {"identifier": content, "name": content, "mimeType": "video/mp4", "contentType": "Resource"}
    if content == QUIZ:
        node |= {"contentType": "SelfAssess", "mimeType": "application/vnd.sunbird.questionset"}
        return {**node, "totalQuestions": QUESTIONS}
    return node


def learner_content(number: int) -> str:
    """The content that learner `number` of a kind works on."""
    return LEAVES[number % (len(LEAVES) - 1)]


# --- lines for import_progress -----------------------------------------------------------------------------------


def started(kind: str, count: int) -> Iterator[Json]:
    """One started content for each of `count` learners."""
    for number in range(count):
        yield _row(f"{kind}-{number}", learner_content(number), 1)


def readers() -> Iterator[Json]:
    """Learners who have completed 29 contents and are enrolled."""
    for number in range(READERS):
        user = f"reader-{number}"
        yield enrolment(user)
        for content in LEAVES[:-1]:
            yield _row(user, content, 2)


def crowd(learners: int, each: int) -> Iterator[Json]:
    """Enrolled learners who have each started so many contents: what the load of ends completes."""
    for number in range(learners):
        user = f"crowd-{number}"
        yield enrolment(user)
        for content in LEAVES[:each]:
            yield _row(user, content, 1)


def enrolment(user: str) -> Json:
    """An enrolment in the batch."""
    return {
        "table": "user_enrolments",
        "userid": user,
        "courseid": COURSE,
        "batchid": BATCH,
        "enrolled_date": "2026-01-02T00:00:00Z",
        "active": True,
    }


def _row(user: str, content: str, status: int) -> Json:
    row: Json = {
        "table": "user_content_consumption",
        "userid": user,
        "collectionid": COURSE,
        "contextid": BATCH,
        "contentid": content,
        "status": status,
        "last_access_time": "2026-01-03T09:00:00Z",
        "timespent": 30,
        "view_count": 1,
        "progressdetails": {"page": 3, "of": 12},
    }
    return row | ({"last_completed_time": "2026-01-03T09:00:00Z"} if status == 2 else {"progress": 25})


# --- request bodies ----------------------------------------------------------------------------------------------


def start(number: int) -> bytes:
    """The first view of a learner nobody has seen."""
    return _body(_place(f"start-{number}", learner_content(number)))


def update(number: int) -> bytes:
    """Progress inside a started content; its values differ each time, or a database would have nothing to write."""
    who = number % REPEATED
    more = {"progressDetails": {"page": number % 97, "of": 97, "progress": number % 100}, "timespent": 10 + number % 7}
    return _body(_place(f"update-{who}", learner_content(who)) | more)


def end(number: int) -> bytes:
    """The end of a content that is in progress; each at most once."""
    more = {"progressDetails": {"page": 12, "of": 12}, "timespent": 10 + number % 7}
    return _body(_place(f"end-{number}", learner_content(number)) | more)


def repeated_end(number: int) -> bytes:
    """The same for a floor, whose upsert of a few thousand rows is an update each time."""
    more = {"progressDetails": {"page": 12, "of": 12}, "timespent": 10 + number % 7}
    who = number % REPEATED
    return _body(_place(f"end-{who}", learner_content(who)) | more)


def crowd_end(number: int, learners: int) -> bytes:
    """The end of one of the crowd's contents: all learners' first ones, then all learners' second ones."""
    user, content = f"crowd-{number % learners}", LEAVES[number // learners]
    return _body(_place(user, content) | {"timespent": 10})


def read(number: int) -> bytes:
    """The whole course of a learner who has viewed it."""
    return _body({"userId": f"reader-{number % READERS}", "collectionId": COURSE, "contextId": BATCH})


def sync(number: int) -> bytes:
    """500 events of one phone, each on a content of its own: 500 rows are written, as the floor does."""
    now = int(time.time() * 1000)
    contents = [*LEAVES, *(f"bench-extra-{extra}" for extra in range(SYNC_EVENTS - len(LEAVES)))]
    return synced(f"sync-{number}", contents, now)


def synced(user: str, contents: list[str], now: int) -> bytes:
    """A sync of one start for each content. `now`: epoch ms."""
    events = [
        {
            "id": f"{user}-{at}",
            "type": "start",
            "ts": now - len(contents) + at,
            "collectionId": COURSE,
            "contextId": BATCH,
            "contentId": content,
            "progressDetails": {"page": 3, "of": 12},
        }
        for at, content in enumerate(contents)
    ]
    return _body({"userId": user, "events": events})


def submit(number: int) -> bytes:
    """A self-assessment of ten answers by a learner nobody has seen."""
    now = int(time.time() * 1000)
    answers = [_answer(question, now - QUESTIONS + question) for question in range(QUESTIONS)]
    return _body(_place(f"submit-{number}", QUIZ) | {"attemptId": f"attempt-{number}", "assessments": answers})


def _answer(question: int, ets: int) -> Json:
    item = {"id": f"q{question}", "maxscore": 1, "type": "mcq", "params": [{"1": "4"}], "title": f"Question {question}"}
    return {
        "eid": "ASSESS",
        "ver": "3.1",
        "mid": f"ASSESS:{question}",
        "ets": ets,
        "actor": {"id": "anonymous", "type": "User"},
        "object": {"id": QUIZ, "type": "Content"},
        "edata": {"item": item, "pass": "Yes", "score": question % 2, "resvalues": [{"1": "4"}], "duration": 2},
    }


def _place(user: str, content: str) -> Json:
    return {"userId": user, "collectionId": COURSE, "contextId": BATCH, "contentId": content}


def _body(request: Json) -> bytes:
    return json.dumps({"request": request}).encode()
