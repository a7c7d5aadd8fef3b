"""Who is in a batch."""

from typing import Any

import pytest

from tests.servers import Server
from tests.summaries.wire import (
    PROGRAM_ENROLL,
    UNENROLL,
    Learner,
    batch,
    course,
    enrol,
    leaf,
    legacy_refusal,
    load,
    seat,
)

LIST = "/v1/batch/participants/list"


def listed(server: Server, **asked: Any) -> dict[str, Any]:
    found: Any = server.result(LIST, {"batch": asked})["batch"]
    return dict(found)


@pytest.fixture
def own(school: Server, learner: Learner) -> str:
    """A batch of a course that nobody else is in."""
    name = learner("crowd")
    load(school, collections=[course(name, leaf("a"))], batches=[batch(f"{name}-1", name)])
    return name


def test_the_first_enrolled_is_first_and_pages_are_parts_of_one_order(
    school: Server, learner: Learner, own: str
) -> None:
    users = [learner() for _ in range(5)]
    for user in users:
        enrol(school, user, f"{own}-1", own)
    whole = {"batchId": f"{own}-1", "count": 5, "participants": users, "next": None}
    assert listed(school, batchId=f"{own}-1") == whole
    first = listed(school, batchId=f"{own}-1", limit=2)
    second = listed(school, batchId=f"{own}-1", limit=2, offset=first["next"])
    third = listed(school, batchId=f"{own}-1", limit=2, offset=second["next"])
    assert [*first["participants"], *second["participants"], *third["participants"]] == users
    assert third["next"] is None
    assert listed(school, batchId=f"{own}-1", offset=5)["participants"] == []


def test_who_left_is_told_when_asked_for(school: Server, learner: Learner, own: str) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    for user in (rahul, meera):
        enrol(school, user, f"{own}-1", own)
    school.result(UNENROLL, seat(rahul, f"{own}-1", own))
    assert listed(school, batchId=f"{own}-1")["participants"] == [meera]
    assert listed(school, batchId=f"{own}-1", active=False)["participants"] == [rahul]


def test_a_learner_of_a_program_is_told_once(school: Server, learner: Learner) -> None:
    rahul, name = learner(), learner("trio")
    collections = ["class-1-maths", "class-2-maths"]
    load(
        school,
        programs=[{"programId": name, "name": name, "collections": collections}],
        batches=[batch(f"{name}-1", programId=name)],
    )
    school.result(PROGRAM_ENROLL, {"userId": rahul, "programId": name, "batchId": f"{name}-1"})
    assert listed(school, batchId=f"{name}-1")["participants"] == [rahul]


def test_the_batch_may_stand_beside_as_well(school: Server, learner: Learner, own: str) -> None:
    rahul = learner()
    enrol(school, rahul, f"{own}-1", own)
    for path in (LIST, "/api/batch/v1/participants/list"):
        found: Any = school.result(path, {"batchId": f"{own}-1"})["batch"]
        assert found["participants"] == [rahul]


def test_a_batch_nobody_knows_is_refused(school: Server, learner: Learner) -> None:
    answer = school.call(LIST, {"batch": {"batchId": learner("none")}})
    legacy_refusal(answer, "INVALID_COURSE_BATCH_ID", "Invalid course batch id ")
    legacy_refusal(
        school.call(LIST, {"batch": {}}), "MANDATORY_PARAMETER_MISSING", "Mandatory parameter batchId is missing."
    )


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": "x"}, {"limit": 1001}, {"offset": -1}, {"active": "yes"}])
def test_a_field_that_means_nothing_is_refused(school: Server, wrong: dict[str, Any]) -> None:
    answer = school.call(LIST, {"batch": {"batchId": "batch-1", **wrong}})
    assert (answer.status_code, answer.json()["params"]["err"]) == (400, "ERR_INVALID_FIELD")
