"""Programs: one call enrols into every collection, and after a crash into the rest."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.wire import DOUBLE, SINGLE, refusal
from tests.servers import Server
from tests.summaries.wire import (
    PROGRAM_ENROLL,
    PROGRAM_UNENROLL,
    Learner,
    batch,
    complete,
    listed,
    load,
    summary,
)

TRIO = ["class-1-maths", "class-2-maths", "optional-unit"]


def trio(user: str, **more: Any) -> dict[str, Any]:
    return {"userId": user, "programId": "trio", "batchId": "trio-1", **more}


def test_a_learner_is_enrolled_into_each_collection_with_the_programs_batch(school: Server, learner: Learner) -> None:
    rahul = learner()
    answer = school.call(PROGRAM_ENROLL, trio(rahul))
    body = answer.json()
    assert body["id"] == "api.program.enroll"
    assert body["result"] == {"response": "SUCCESS", "enrolled": TRIO}
    records = listed(school, rahul)
    assert {one["collectionId"]: one["contextId"] for one in records} == dict.fromkeys(TRIO, "trio-1")
    assert len({one["enrolledDate"] for one in records}) == 1
    refused = refusal(school.call(PROGRAM_ENROLL, trio(rahul)), 400, "USER_ALREADY_ENROLLED_COURSE")
    assert refused["responseCode"] == "BAD_REQUEST"
    assert refused["params"]["errmsg"] == "User has already Enrolled this course ."


def test_what_a_crash_left_out_is_done_by_the_same_call(school: Server, learner: Learner) -> None:
    """The first call ends after one collection: then the program had only this one."""
    rahul, program = learner(), learner("program")
    call = {"userId": rahul, "programId": program, "contextId": f"{program}-1"}
    load(
        school,
        programs=[{"programId": program, "name": "Grows", "collections": TRIO[:1]}],
        batches=[batch(f"{program}-1", programId=program)],
    )
    assert school.result(PROGRAM_ENROLL, call)["enrolled"] == TRIO[:1]
    load(school, programs=[{"programId": program, "name": "Grows", "collections": TRIO}])
    assert school.result(PROGRAM_ENROLL, call)["enrolled"] == TRIO[1:]
    refusal(school.call(PROGRAM_ENROLL, call), 400, "USER_ALREADY_ENROLLED_COURSE")


def test_leaving_ends_what_is_not_completed(school: Server, learner: Learner) -> None:
    rahul = learner()
    refusal(school.call(PROGRAM_UNENROLL, trio(rahul)), 400, "USER_NOT_ENROLLED_COURSE")
    school.result(PROGRAM_ENROLL, trio(rahul))
    for content in (SINGLE, DOUBLE):
        complete(school, rahul, content, "trio-1", "class-2-maths")
    body = school.call(PROGRAM_UNENROLL, trio(rahul)).json()
    assert body["id"] == "api.program.unenroll"
    assert body["result"] == {"response": "SUCCESS", "unenrolled": ["class-1-maths", "optional-unit"]}
    assert {one["collectionId"] for one in listed(school, rahul) if one["active"]} == {"class-2-maths"}
    refusal(school.call(PROGRAM_UNENROLL, trio(rahul)), 400, "COURSE_BATCH_ALREADY_COMPLETED")
    assert school.result(PROGRAM_ENROLL, trio(rahul))["enrolled"] == ["class-1-maths", "optional-unit"]


def test_views_in_a_program_count_in_the_program_only(school: Server, learner: Learner) -> None:
    rahul = learner()
    school.result(PROGRAM_ENROLL, {"userId": rahul, "programId": "program-abc", "batchId": "program-batch-1"})
    complete(school, rahul, batch_id="program-batch-1")
    assert summary(school, rahul, "program-batch-1")["completionPercentage"] == 33
    assert len(listed(school, rahul, "?type=all")) == 1


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("an unknown program", {"programId": "no-such"}, "ERR_INVALID_PROGRAM", "programId"),
    ("no collections", {"programId": "hollow", "batchId": "hollow-1"}, "ERR_INVALID_PROGRAM", "programId"),
    ("no program", {"programId": " "}, "ERR_MISSING_FIELD", "programId"),
    ("a program of another type", {"programId": 5}, "ERR_INVALID_ID", "programId"),
    ("a program id with a slash", {"programId": "a/b"}, "ERR_INVALID_ID", "programId"),
    ("no batch", {"batchId": None}, "ERR_MISSING_FIELD", "batchId"),
    ("an unknown batch", {"batchId": "no-such"}, "INVALID_COURSE_BATCH_ID", ""),
    ("another program's batch", {"batchId": "program-batch-1"}, "INVALID_COURSE_BATCH_ID", ""),
    ("a course's batch", {"batchId": "batch-1"}, "INVALID_COURSE_BATCH_ID", ""),
    ("a batch that is over", {"batchId": "trio-over"}, "COURSE_BATCH_ALREADY_COMPLETED", ""),
    ("no learner", {"userId": ""}, "ERR_MISSING_FIELD", "userId"),
]  # fmt: skip


@pytest.mark.parametrize("path", [PROGRAM_ENROLL, PROGRAM_UNENROLL])
@pytest.mark.parametrize(("given", "code", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_no_program_of_this_batch_is_refused(
    school: Server, learner: Learner, path: str, given: dict[str, Any], code: str, field: str
) -> None:
    rahul = learner()
    body = refusal(school.call(path, trio(rahul) | given), 400, code)
    assert list(body["result"]) == ([field] if field else [])
    assert listed(school, rahul, "?type=all") == []


@pytest.mark.parametrize(
    "path", ["/v1/program/enrol", "/api/program/v1/enroll", "/api/program/v1/enrol", "/v1/program/enroll"]
)
def test_each_spelling_of_the_path_enrols(school: Server, learner: Learner, path: str) -> None:
    assert school.result(path, trio(learner()))["response"] == "SUCCESS"


def test_of_many_callers_at_once_each_collection_is_entered_once(school: Server, learner: Learner) -> None:
    rahul = learner()
    with ThreadPoolExecutor(16) as pool:
        answers = [answer.json() for answer in pool.map(lambda _: school.call(PROGRAM_ENROLL, trio(rahul)), range(16))]
    entered = [one for body in answers for one in body["result"].get("enrolled", [])]
    assert sorted(entered) == sorted(TRIO)
    assert {body["params"]["err"] for body in answers} == {None, "USER_ALREADY_ENROLLED_COURSE"}
