"""Enrol and unenrol: every check of the older contract in its order with its exact text, and what is kept."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.wire import BATCH, DOUBLE, MATHS, SINGLE, TRIPLE, ago, now_ms, place, refusal, view
from tests.servers import Server
from tests.summaries.wire import (
    ENROLL,
    SUMMARY,
    UNENROLL,
    Learner,
    batch,
    complete,
    day,
    enrol,
    legacy_refusal,
    listed,
    load,
    seat,
    statuses,
    summary,
)

INVALID = ("INVALID_COURSE_BATCH_ID", "Invalid course batch id ")
TYPE = ("ENROLLMENT_TYPE_VALIDATION", "Enrollment type should be invite-only.")
OVER = ("COURSE_BATCH_ALREADY_COMPLETED", "Course batch is already completed.")
TOO_LATE = ("COURSE_BATCH_ENROLLMENT_DATE_ENDED", "Course batch enrollment date has ended.")
ALREADY = ("USER_ALREADY_ENROLLED_COURSE", "User has already Enrolled this course .")
NOT_ENROLLED = ("USER_NOT_ENROLLED_COURSE", "User is not enrolled to given course batch.")
MISSING = "MANDATORY_PARAMETER_MISSING"

Ask = Callable[[str, dict[str, Any]], httpx.Response]


@pytest.fixture
def ask(school: Server) -> Ask:
    """Sends one call."""
    return school.call


# --- the table ------------------------------------------------------------------------------------------

MANDATORY = [
    ({}, "courseId/collectionId"),
    ({"userId": "u"}, "courseId/collectionId"),
    ({"courseId": " ", "batchId": BATCH, "userId": "u"}, "courseId/collectionId"),
    ({"collectionId": None, "userId": "u"}, "courseId/collectionId"),
    ({"courseId": MATHS}, "batchId"),
    ({"collectionId": MATHS, "userId": "u"}, "batchId"),
    ({"collectionId": MATHS, "contextId": "", "userId": "u"}, "batchId"),
    ({"courseId": MATHS, "batchId": BATCH}, "userId"),
    ({"courseId": MATHS, "batchId": "no-such-batch", "userId": "  "}, "userId"),
]


@pytest.mark.parametrize("path", [ENROLL, UNENROLL])
@pytest.mark.parametrize(("request_", "name"), MANDATORY)
def test_what_is_mandatory_is_asked_for_first_and_in_order(
    ask: Ask, path: str, request_: dict[str, Any], name: str
) -> None:
    legacy_refusal(ask(path, request_), MISSING, f"Mandatory parameter {name} is missing.")


BATCHES_REFUSED = [
    ("no-such-batch", MATHS, INVALID, INVALID),
    ("spare-1", "class-2-maths", INVALID, INVALID),
    ("program-batch-1", MATHS, INVALID, INVALID),
    ("spare-nominated", MATHS, TYPE, TYPE),
    ("spare-untyped", MATHS, TYPE, TYPE),
    ("spare-nominated-over", MATHS, TYPE, TYPE),
    ("spare-over", MATHS, OVER, OVER),
    ("spare-ended", MATHS, OVER, OVER),
    ("spare-over-both", MATHS, OVER, OVER),
    ("spare-enrolment-over", MATHS, TOO_LATE, NOT_ENROLLED),
    ("spare-upcoming", MATHS, None, NOT_ENROLLED),
    ("spare-last-day", MATHS, None, NOT_ENROLLED),
    ("spare-invite", MATHS, None, NOT_ENROLLED),
    ("spare-dateless", MATHS, None, NOT_ENROLLED),
    ("unlisted-1", "unlisted-course", None, NOT_ENROLLED),
]


@pytest.mark.parametrize(("batch_id", "course", "enrolling", "leaving"), BATCHES_REFUSED)
def test_each_batch_says_who_may_come_and_go(
    ask: Ask,
    learner: Learner,
    batch_id: str,
    course: str,
    enrolling: tuple[str, str] | None,
    leaving: tuple[str, str],
) -> None:
    request = seat(learner(), batch_id, course)
    legacy_refusal(ask(UNENROLL, request), *leaving)
    answer = ask(ENROLL, request)
    if enrolling:
        legacy_refusal(answer, *enrolling)
    else:
        assert answer.json()["result"] == {"response": "SUCCESS"}
        legacy_refusal(ask(ENROLL, request), *ALREADY)
        assert ask(UNENROLL, request).json()["result"] == {"response": "SUCCESS"}
        legacy_refusal(ask(UNENROLL, request), *NOT_ENROLLED)


def test_a_batch_is_checked_before_the_learner(school: Server, ask: Ask, learner: Learner) -> None:
    """Of an enrolled learner the batch's own end is told, first the last day to enrol and then its end."""
    name = learner("closing")
    request = seat(learner(), name)
    load(school, batches=[batch(name)])
    enrol(school, request["userId"], name)
    legacy_refusal(ask(ENROLL, request), *ALREADY)
    load(school, batches=[batch(name, enrollmentEndDate=day(-1))])
    legacy_refusal(ask(ENROLL, request), *TOO_LATE)
    assert ask(UNENROLL, request).status_code == 200
    legacy_refusal(ask(UNENROLL, request), *NOT_ENROLLED)
    load(school, batches=[batch(name, endDate=day(-1), enrollmentEndDate=day(-1))])
    legacy_refusal(ask(ENROLL, request), *OVER)
    legacy_refusal(ask(UNENROLL, request), *OVER)


def test_whoever_completed_the_course_cannot_leave_it(school: Server, ask: Ask, learner: Learner) -> None:
    """The last end was acknowledged just before: it counts, though no worker has added it up."""
    rahul = learner()
    enrol(school, rahul)
    for content in (SINGLE, DOUBLE):
        complete(school, rahul, content)
    assert ask(UNENROLL, seat(rahul)).status_code == 200
    enrol(school, rahul)
    complete(school, rahul, TRIPLE)
    legacy_refusal(ask(UNENROLL, seat(rahul)), *OVER)
    assert summary(school, rahul)["active"] is True


# --- envelope, routes, names ----------------------------------------------------------------------------

PATHS = {
    "enroll": ["/v1/course/enroll", "/v1/course/enrol", "/api/course/v1/enrol", "/api/course/v1/enroll"],
    "unenroll": ["/v1/course/unenroll", "/v1/course/unenrol", "/api/course/v1/unenrol", "/api/course/v1/unenroll"],
}


@pytest.mark.parametrize(("enrolling", "leaving"), list(zip(*PATHS.values(), strict=True)))
def test_each_path_answers_success_in_the_envelope(
    school: Server, learner: Learner, enrolling: str, leaving: str
) -> None:
    request = seat(learner())
    for path, api_id in ((enrolling, "api.course.enroll"), (leaving, "api.course.unenroll")):
        body = school.client.post(path, json={"request": request, "params": {"msgid": "m-1"}}).json()
        assert body.pop("ts")
        assert body == {
            "id": api_id,
            "ver": "v1",
            "params": {"resmsgid": None, "msgid": "m-1", "err": None, "status": "success", "errmsg": None},
            "responseCode": "OK",
            "result": {"response": "SUCCESS"},
        }


def test_an_error_has_the_id_of_its_call(ask: Ask, learner: Learner) -> None:
    assert ask(ENROLL, {}).json()["id"] == "api.course.enroll"
    assert ask(UNENROLL, seat(learner())).json()["id"] == "api.course.unenroll"


def test_both_vocabularies_in_any_case_name_one_enrolment(school: Server, ask: Ask, learner: Learner) -> None:
    rahul = learner()
    assert ask(ENROLL, {"userid": rahul, "COLLECTIONID": MATHS, "contextId": BATCH}).status_code == 200
    legacy_refusal(ask(ENROLL, seat(rahul)), *ALREADY)
    legacy_refusal(ask(ENROLL, seat(f"f:keycloak:{rahul}")), *ALREADY)
    assert [one["userId"] for one in listed(school, rahul)] == [rahul]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "ERR_INVALID_REQUEST"),
        (b"[]", "ERR_INVALID_REQUEST"),
        (b"{", "ERR_INVALID_REQUEST"),
        (b'{"request": []}', "ERR_INVALID_REQUEST"),
        (b'{"request": {"courseId": 5}}', "ERR_INVALID_ID"),
        (b'{"request": {"courseId": "a/b"}}', "ERR_INVALID_ID"),
        (b'{"request": {"courseId": "a", "batchId": ["b"]}}', "ERR_INVALID_ID"),
        (b'{"request": {"courseId": "a", "batchId": "b", "userId": true}}', "ERR_INVALID_ID"),
        (b'{"request": {"courseId": "a", "collectionId": "b"}}', "ERR_CONFLICTING_IDS"),
        (b'{"request": {"batchId": "a", "contextId": "b"}}', "ERR_CONFLICTING_IDS"),
    ],
)
@pytest.mark.parametrize("path", [ENROLL, UNENROLL])
def test_malformed_calls_are_told_in_the_older_envelope_too(school: Server, path: str, body: bytes, code: str) -> None:
    answer = school.client.post(path, content=body)
    legacy_refusal(answer, code, answer.json()["params"]["errmsg"])


def test_other_methods_are_refused(school: Server) -> None:
    answer = school.client.get(ENROLL)
    assert answer.status_code == 405
    assert answer.json()["params"]["status"] == "ERR_METHOD_NOT_ALLOWED"
    assert answer.headers["allow"].startswith("POST")


# --- what is stored -------------------------------------------------------------------------------------


def test_a_new_enrolment_is_active_and_at_nothing(school: Server, learner: Learner) -> None:
    rahul = learner()
    before = now_ms()
    enrol(school, rahul)
    record = summary(school, rahul)
    assert before <= record["enrolledDate"] <= now_ms()
    told = {name: record[name] for name in ("active", "status", "progress", "completionPercentage", "completedOn")}
    assert told == {"active": True, "status": 0, "progress": 0, "completionPercentage": 0, "completedOn": None}
    assert record["contentStatus"] == {SINGLE: 0, DOUBLE: 0, TRIPLE: 0}


def test_enrolling_again_finds_dates_and_progress(school: Server, ask: Ask, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul)
    complete(school, rahul)
    before = summary(school, rahul)
    assert ask(UNENROLL, seat(rahul)).status_code == 200
    left = summary(school, rahul)
    assert left == {**before, "active": False}
    enrol(school, rahul)
    assert summary(school, rahul) == before


def test_views_after_leaving_are_kept_and_counted(school: Server, ask: Ask, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul)
    assert ask(UNENROLL, seat(rahul)).status_code == 200
    complete(school, rahul)
    enrol(school, rahul)
    assert summary(school, rahul)["progress"] == 1


def test_views_before_the_enrolment_count_after_it(school: Server, learner: Learner) -> None:
    rahul = learner()
    complete(school, rahul, SINGLE, lastCompletedTime=ago(days=2))
    complete(school, rahul, DOUBLE)
    assert listed(school, rahul) == []
    refusal(school.call(SUMMARY, seat(rahul)), 404, "ERR_NOT_FOUND")
    enrol(school, rahul)
    record = summary(school, rahul)
    assert (record["progress"], record["status"], record["completionPercentage"]) == (2, 1, 66)
    assert record["contentStatus"] == {SINGLE: 2, DOUBLE: 2, TRIPLE: 0} == statuses(school, rahul)


def test_a_course_completed_before_the_enrolment_is_completed_with_it(school: Server, learner: Learner) -> None:
    rahul = learner()
    for content in (SINGLE, DOUBLE, TRIPLE):
        complete(school, rahul, content)
    enrol(school, rahul)
    record = summary(school, rahul)
    assert (record["status"], record["completionPercentage"]) == (2, 100)
    assert record["completedOn"] == record["enrolledDate"], "never before the learner was enrolled"


def test_enrolments_of_one_course_are_apart(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul, "batch-1")
    enrol(school, rahul, "batch-2")
    complete(school, rahul, batch_id="batch-2")
    assert summary(school, rahul, "batch-1")["progress"] == 0
    assert summary(school, rahul, "batch-2")["progress"] == 1
    assert view(school, place(rahul))["status"] == 0


# --- many at once ---------------------------------------------------------------------------------------


def test_of_sixteen_callers_at_once_one_enrols(school: Server, learner: Learner) -> None:
    rahul = learner()
    for path, other in ((ENROLL, ALREADY[0]), (UNENROLL, NOT_ENROLLED[0]), (ENROLL, ALREADY[0])):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _, path=path: school.call(path, seat(rahul)), range(16)))
        told = sorted(answer.json()["params"]["status"] for answer in answers)
        assert told == [other] * 15 + ["success"]
    assert [one["active"] for one in listed(school, rahul)] == [True]


def test_enrolling_while_viewing_loses_neither(school: Server, learner: Learner) -> None:
    rahul = learner()
    with ThreadPoolExecutor(11) as pool:
        waiting: list[Future[Any]] = [pool.submit(school.call, ENROLL, seat(rahul)) for _ in range(8)]
        waiting += [pool.submit(complete, school, rahul, content) for content in (SINGLE, DOUBLE, TRIPLE)]
    told = sorted(answer.status_code for answer in [one.result() for one in waiting][:8])
    assert told == [200] + [400] * 7
    record = summary(school, rahul)
    assert (record["status"], record["progress"]) == (2, 3)
