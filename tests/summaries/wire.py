"""What the tests of enrolments and summaries say over and over."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from tests.api.wire import BATCH, END, MATHS, READ, SINGLE, START
from tests.servers import Server

Learner = Callable[..., str]
ENROLL, UNENROLL = "/v1/course/enroll", "/v1/course/unenroll"
PROGRAM_ENROLL, PROGRAM_UNENROLL = "/v1/program/enroll", "/v1/program/unenroll"
SUMMARY, AGG = "/v1/summary/read", "/v1/view/agg"
POSTS = (ENROLL, UNENROLL, PROGRAM_ENROLL, PROGRAM_UNENROLL, SUMMARY, AGG)
COLLECTION = "application/vnd.ekstep.content-collection"
TODAY = datetime.now(UTC).astimezone(ZoneInfo("Asia/Kolkata")).date()


def day(delta: int) -> str:
    """The day so many days from today, where batches have their days."""
    return (TODAY + timedelta(days=delta)).isoformat()


def batch(batch_id: str, course: str = MATHS, /, **more: Any) -> dict[str, Any]:
    """An open batch of `course`, going on; a programId among `more` makes it the program's."""
    owner = {} if "programId" in more else {"courseId": course}
    days = {"startDate": day(-30), "endDate": day(30)}
    return {"batchId": batch_id, **owner, "status": 1, "enrollmentType": "open", **days, **more}


def leaf(identifier: str, **more: Any) -> dict[str, Any]:
    return {"identifier": identifier, "name": identifier, "mimeType": "video/mp4", "contentType": "Resource", **more}


def unit(identifier: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    node = {"identifier": identifier, "name": identifier, "mimeType": COLLECTION, "contentType": "CourseUnit"}
    return {**node, "visibility": "Parent", "children": list(children), **more}


def course(identifier: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = {"contentType": "Course", "visibility": "Default", "status": "Live", "leafNodesCount": len(children)}
    return unit(identifier, *children, **{**told, **more})


def load(server: Server, **catalogue: list[dict[str, Any]]) -> None:
    """Adds collections, batches and programs to the server's catalogue."""
    loaded = server.manage("load_catalogue", "-", stdin=json.dumps(catalogue))
    assert loaded.returncode == 0, loaded.stderr


def bring(server: Server, *lines: dict[str, Any]) -> None:
    """Imports rows with their own times."""
    brought = server.manage("import_progress", "-", stdin="\n".join(map(json.dumps, lines)))
    assert brought.returncode == 0, brought.stderr
    assert not re.search(r"[1-9]\d* (bad|skipped)", brought.stdout), brought.stdout


def seat(user: str, batch_id: str = BATCH, course_id: str = MATHS) -> dict[str, Any]:
    """An enrolment, as the older calls name it."""
    return {"userId": user, "courseId": course_id, "batchId": batch_id}


def enrol(server: Server, user: str, batch_id: str = BATCH, course_id: str = MATHS) -> None:
    assert server.result(ENROLL, seat(user, batch_id, course_id)) == {"response": "SUCCESS"}


def complete(
    server: Server, user: str, content: str = SINGLE, batch_id: str = BATCH, course_id: str = MATHS, **more: Any
) -> None:
    """Starts and ends one content."""
    where = {"userId": user, "collectionId": course_id, "contextId": batch_id, "contentId": content, **more}
    server.result(START, where)
    server.result(END, where)


def summary(server: Server, user: str, batch_id: str = BATCH, course_id: str = MATHS, **more: Any) -> dict[str, Any]:
    """The record summary/read answers, which must stand there twice."""
    found = server.result(SUMMARY, {**seat(user, batch_id, course_id), **more})
    again: Any = found.pop("summary")
    assert found == again
    return found


def listed(server: Server, user: str, query: str = "") -> list[dict[str, Any]]:
    """The records summary/list answers."""
    answer = server.client.get(f"/v1/summary/list/{user}{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["result"]["summary"]
    return found


def statuses(server: Server, user: str, batch_id: str = BATCH, course_id: str = MATHS) -> dict[str, int]:
    """What view/read says of every content of the context."""
    found: Any = server.result(READ, {"userId": user, "collectionId": course_id, "contextId": batch_id})["contents"]
    return {item["contentId"]: item["status"] for item in found}


def legacy_refusal(answer: httpx.Response, code: str, text: str) -> None:
    """The older calls' error envelope, whole."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    msgid = body["params"]["msgid"]
    told = {"resmsgid": None, "msgid": msgid, "err": code, "status": code, "errmsg": text}
    assert body == {
        "id": body["id"],
        "ver": "v1",
        "ts": body["ts"],
        "params": told,
        "responseCode": "CLIENT_ERROR",
        "result": {},
    }
