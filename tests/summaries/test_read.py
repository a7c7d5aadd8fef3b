"""summary/read and view/agg: one record, as the seeds show it and as far as the learner is."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.wire import BATCH, DOUBLE, MATHS, SINGLE, START, TRIPLE, UPDATE, ago, place, refusal, view
from tests.servers import Server
from tests.summaries.wire import (
    AGG,
    COLLECTION,
    SUMMARY,
    Learner,
    batch,
    bring,
    complete,
    course,
    enrol,
    leaf,
    listed,
    load,
    seat,
    statuses,
    summary,
)

ENROLLED_AT, DONE_AT, TRIED_AT = ago(days=60), ago(days=40), ago(days=41)
CERTIFICATE = {"name": "Merit", "token": "A1B2C3", "lastIssuedOn": "2026-02-01T00:00:00.000+0000"}


def brought(user: str) -> list[dict[str, Any]]:
    """Rahul's past: enrolled, certified, two attempts at triple-digit-addition, two contents completed."""
    where = {"userid": user, "courseid": MATHS, "batchid": BATCH}
    view_of = {"table": "user_content_consumption", **where, "status": 2}
    attempt = {"table": "assessment_aggregator", **where, "content_id": TRIPLE, "total_max_score": 10}
    return [
        {
            "table": "user_enrolments",
            **where,
            "enrolled_date": ENROLLED_AT,
            "active": True,
            "issued_certificates": [{**CERTIFICATE, "identifier": "cert-1"}],
        },
        {**view_of, "contentid": SINGLE, "last_access_time": DONE_AT, "last_completed_time": DONE_AT},
        {**view_of, "contentid": TRIPLE, "last_access_time": TRIED_AT, "last_completed_time": TRIED_AT},
        {**attempt, "attempt_id": "a-1", "total_score": 6.5, "last_attempted_on": TRIED_AT},
        {**attempt, "attempt_id": "a-2", "total_score": 3, "last_attempted_on": TRIED_AT + 1000},
    ]


def golden(user: str) -> dict[str, Any]:
    """The seeds' record, with every value it holds for Rahul's past."""
    return {
        "userId": user,
        "collectionId": MATHS,
        "contextId": BATCH,
        "enrolledDate": ENROLLED_AT,
        "active": True,
        "contentStatus": {SINGLE: 2, DOUBLE: 0, TRIPLE: 2},
        "assessmentStatus": {TRIPLE: {"score": 6.5, "max_score": 10.0, "attempts": 2}},
        "collection": {
            "identifier": MATHS,
            "name": "Class 1 Maths",
            "logo": "https://content.example.org/icons/class-1-maths.png",
            "leafNodesCount": 3,
            "description": "Adding with one, two and three digits.",
        },
        "issuedCertificates": [{**CERTIFICATE, "id": "cert-1"}],
        "completedOn": None,
        "progress": 2,
        "status": 1,
        "completionPercentage": 66,
        "optional_nodes": [],
        "lastReadContentId": SINGLE,
        "lastReadContentStatus": 2,
        "lastContentAccessTime": DONE_AT,
        "movedTo": None,
        "nextContent": DOUBLE,
        "lastRead": {"contentId": SINGLE, "status": 2, "time": DONE_AT},
        "timespent": 0,
        "units": [],
    }


def envelope(body: dict[str, Any], api_id: str) -> dict[str, Any]:
    """The seeds' envelope; gives its result."""
    result: dict[str, Any] = body.pop("result")
    assert body.pop("ts")
    msgid = body["params"].pop("msgid")
    assert len(msgid) == 36
    params = {"resmsgid": None, "err": None, "status": "success", "errmsg": None}
    assert body == {"id": api_id, "ver": "v1", "params": params, "responseCode": "OK"}
    return result


@pytest.mark.parametrize("path", [SUMMARY, "/api/summary/v1/read"])
def test_read_answers_as_the_seeds_show_and_once_more_under_summary(
    school: Server, learner: Learner, path: str
) -> None:
    rahul = learner("Rahul")
    bring(school, *brought(rahul))
    request = {"userId": rahul, "collectionId": MATHS, "contextId": BATCH}
    result = envelope(school.call(path, request).json(), "api.summary.read")
    assert result == {**golden(rahul), "summary": golden(rahul)}
    assert view(school, place(rahul, TRIPLE))["score"] == 6.5


@pytest.mark.parametrize("path", ["/v1/summary/list/{}", "/api/summary/v1/list/{}"])
def test_list_answers_as_the_seeds_show(school: Server, learner: Learner, path: str) -> None:
    rahul = learner("Rahul")
    bring(school, *brought(rahul))
    result = envelope(school.client.get(path.format(rahul)).json(), "api.summary.list")
    assert result == {"summary": [golden(rahul)], "count": 1, "next": None}


@pytest.mark.parametrize("path", [AGG, "/api/view/v1/agg"])
def test_agg_answers_the_same_record(school: Server, learner: Learner, path: str) -> None:
    rahul = learner("Rahul")
    bring(school, *brought(rahul))
    result = envelope(school.call(path, seat(rahul)).json(), "api.view.agg")
    assert result == {**golden(rahul), "summary": golden(rahul)}


def aggregated(
    server: Server, user: str, where: tuple[str, str], seen: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """What view/agg answers once it has `seen` what was just loaded: a server's trees are up to a second old."""
    deadline = time.monotonic() + 5
    while True:
        record: Any = server.result(AGG, seat(user, *where))["summary"]
        if seen(record):
            return dict(record)
        assert time.monotonic() < deadline, record
        time.sleep(0.05)  # between two polls of a condition that has a deadline


# --- how far ----------------------------------------------------------------------------------


def test_percent_is_rounded_down_and_a_hundred_only_at_the_end(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul)
    school.result(START, place(rahul))
    record = summary(school, rahul)
    assert (record["status"], record["progress"], record["completionPercentage"]) == (1, 0, 0)
    for content, progress, percent, status in ((SINGLE, 1, 33, 1), (DOUBLE, 2, 66, 1), (TRIPLE, 3, 100, 2)):
        complete(school, rahul, content)
        record = summary(school, rahul)
        assert (record["progress"], record["completionPercentage"], record["status"]) == (progress, percent, status)
        assert (record["lastReadContentId"], record["lastReadContentStatus"]) == (content, 2)
        assert (record["completedOn"] is None) is (status != 2)
    assert record["enrolledDate"] <= record["completedOn"] == record["lastContentAccessTime"]
    assert record == listed(school, rahul)[0]


def test_optional_contents_are_shown_and_not_asked_for(school: Server, learner: Learner) -> None:
    rahul = learner()
    where = ("optional-unit-1", "optional-unit")
    enrol(school, rahul, *where)
    complete(school, rahul, "may-1", *where)
    record = summary(school, rahul, *where)
    assert (record["progress"], record["completionPercentage"], record["status"]) == (0, 0, 1)
    assert record["optional_nodes"] == ["bonus", "may-1", "may-2", "may-3"]
    assert record["collection"]["leafNodesCount"] == 5
    complete(school, rahul, "must-1", *where)
    assert summary(school, rahul, *where)["completionPercentage"] == 50
    complete(school, rahul, "must-2", *where)
    record = summary(school, rahul, *where)
    assert (record["progress"], record["completionPercentage"], record["status"]) == (2, 100, 2)
    assert record["contentStatus"] == {"must-1": 2, "must-2": 2, "may-1": 2, "may-2": 0, "may-3": 0}


def test_where_all_is_optional_the_first_content_completes(school: Server, learner: Learner) -> None:
    rahul = learner()
    where = ("all-optional-1", "all-optional")
    enrol(school, rahul, *where)
    assert summary(school, rahul, *where)["status"] == 0
    complete(school, rahul, "extra-2", *where)
    record = summary(school, rahul, *where)
    assert (record["progress"], record["completionPercentage"], record["status"]) == (0, 100, 2)


def test_nothing_to_do_is_never_done(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul, "empty-1", "empty-course")
    record = summary(school, rahul, "empty-1", "empty-course")
    assert (record["status"], record["completionPercentage"], record["contentStatus"]) == (0, 0, {})


def test_a_nested_course_of_the_sample_says_what_need_not_be_done(school: Server, learner: Learner) -> None:
    rahul, numbers = learner(), "do_214157026482000001"
    enrol(school, rahul, "0141570264820010", numbers)
    complete(school, rahul, "do_214157026482000101", "0141570264820010", numbers)
    record = summary(school, rahul, "0141570264820010", numbers)
    assert record["optional_nodes"][0] == "do_214157026482000117"
    required = set(record["contentStatus"]) - set(record["optional_nodes"])
    assert record["collection"]["leafNodesCount"] == len(record["contentStatus"])
    assert (record["progress"], record["completionPercentage"]) == (1, 100 // len(required))


def test_a_new_edition_shows_its_contents_and_takes_nothing_back(school: Server, learner: Learner) -> None:
    rahul, name = learner(), learner("growing")
    where = (f"{name}-1", name)
    load(school, collections=[course(name, leaf("a"), leaf("b"))], batches=[batch(*where)])
    enrol(school, rahul, *where)
    for content in ("a", "b"):
        complete(school, rahul, content, *where)
    before = summary(school, rahul, *where)
    assert (before["status"], before["completionPercentage"]) == (2, 100)
    load(school, collections=[course(name, leaf("a"), leaf("b"), leaf("c"))])
    after = aggregated(school, rahul, where, lambda record: "c" in record["contentStatus"])
    shown = {"contentStatus": {"a": 2, "b": 2, "c": 0}, "collection": {**before["collection"], "leafNodesCount": 3}}
    assert after == {**before, **shown, "nextContent": "c"} == summary(school, rahul, *where)


# --- what is not known ------------------------------------------------------------------------


def test_an_unknown_collection_keeps_its_record_with_its_statuses(school: Server, learner: Learner) -> None:
    rahul = learner()
    where = ("unlisted-1", "unlisted-course")
    enrol(school, rahul, *where)
    complete(school, rahul, "x", *where)
    record = summary(school, rahul, *where)
    nulls = dict.fromkeys(("name", "logo", "leafNodesCount", "description"))
    assert record["collection"] == {"identifier": "unlisted-course", **nulls}
    assert record["contentStatus"] == {"x": 2} == statuses(school, rahul, *where)
    assert (record["status"], record["progress"]) == (0, 0), "nobody can say yet how far that is"
    assert listed(school, rahul) == [record]


def test_a_retired_collection_keeps_its_record(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul, "retired-1", "retired-course")
    complete(school, rahul, "old-1", "retired-1", "retired-course")
    record = summary(school, rahul, "retired-1", "retired-course")
    assert record["collection"]["identifier"] == "retired-course"
    assert (record["status"], record["completionPercentage"]) == (2, 100)


def test_a_collection_that_becomes_known_counts_what_was_done(school: Server, learner: Learner) -> None:
    rahul, name = learner(), learner("late")
    where = (f"{name}-1", name)
    load(school, batches=[batch(*where)])
    enrol(school, rahul, *where)
    complete(school, rahul, "a", *where)
    assert summary(school, rahul, *where)["progress"] == 0
    load(school, collections=[course(name, leaf("a"), leaf("b"))])
    record = aggregated(school, rahul, where, lambda record: record["progress"] > 0)
    assert (record["progress"], record["completionPercentage"]) == (1, 50)


# --- which record -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SUMMARY, AGG])
def test_what_is_nowhere_is_not_found_and_leaves_nothing(school: Server, learner: Learner, path: str) -> None:
    rahul = learner()
    for request in (seat(rahul), seat(rahul, "no-such", "no-such"), {**seat(rahul), "type": "all"}):
        refusal(school.call(path, request), 404, "ERR_NOT_FOUND")
    enrol(school, rahul, "batch-2")
    refusal(school.call(path, seat(rahul)), 404, "ERR_NOT_FOUND")
    assert len(listed(school, rahul, "?type=all")) == 1


def test_what_was_viewed_without_enrolment_is_read_when_asked_for(school: Server, learner: Learner) -> None:
    rahul = learner()
    complete(school, rahul)
    refusal(school.call(SUMMARY, seat(rahul)), 404, "ERR_NOT_FOUND")
    record = summary(school, rahul, type="organic")
    assert (record["enrolledDate"], record["active"], record["completionPercentage"]) == (None, True, 33)
    assert record == summary(school, rahul, type="all") == listed(school, rahul, "?type=organic")[0]
    assert record == school.result(AGG, seat(rahul))["summary"]
    enrol(school, rahul)
    refusal(school.call(SUMMARY, {**seat(rahul), "type": "organic"}), 404, "ERR_NOT_FOUND")
    assert summary(school, rahul)["completionPercentage"] == 33


def test_progress_inside_a_content_is_its_records_percent_at_once(school: Server, learner: Learner) -> None:
    """An update marks nothing: what a content viewed by itself is at comes from its row."""
    rahul = learner()
    alone = {"userId": rahul, "contentId": SINGLE}
    school.result(START, alone)
    assert listed(school, rahul, "?type=organic")[0]["completionPercentage"] == 0
    for percent in (20, 45):
        school.result(UPDATE, {**alone, "progressDetails": {"progress": percent}})
        assert view(school, alone)["progress"] == percent
        record = listed(school, rahul, "?type=organic")[0]
        assert (record["completionPercentage"], record["progress"], record["status"]) == (percent, 0, 1)
        assert record == summary(school, rahul, SINGLE, SINGLE, type="organic")


@pytest.mark.parametrize("context", ["batch-1:class-1-maths", "गणित बैच", "f:x:y", "a b"])
def test_a_context_is_whatever_the_client_calls_it(school: Server, learner: Learner, context: str) -> None:
    rahul = learner()
    complete(school, rahul, batch_id=context)
    record = school.result(AGG, seat(rahul, context))
    assert (record["contextId"], record["progress"]) == (context, 1)


def test_learners_do_not_see_each_other(school: Server, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    for user in (rahul, meera):
        enrol(school, user)
    complete(school, rahul)
    assert summary(school, rahul)["progress"] == 1
    assert summary(school, meera)["progress"] == 0
    assert [one["userId"] for one in listed(school, meera)] == [meera]


def test_a_child_courses_tree_is_known_from_its_parents(school: Server, learner: Learner) -> None:
    rahul, name = learner(), learner("parent")
    child = {**course(f"{name}-child", leaf("a"), leaf("b")), "mimeType": COLLECTION}
    load(school, collections=[course(name, child, leaf("c"))])
    complete(school, rahul, "a", f"{name}-1:{name}-child", f"{name}-child")
    record = school.result(AGG, seat(rahul, f"{name}-1:{name}-child", f"{name}-child"))
    assert (record["progress"], record["completionPercentage"]) == (1, 50)
