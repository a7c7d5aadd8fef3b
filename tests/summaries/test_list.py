"""summary/list: which records, in which order, on which page."""

from typing import Any

import pytest

from tests.api.wire import BATCH, DOUBLE, END, MATHS, SINGLE, START, ago, place, refusal
from tests.servers import Server
from tests.summaries.wire import UNENROLL, Learner, bring, complete, enrol, listed, seat, summary


def names(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["collectionId"], one["contextId"]) for one in records]


def enrolled(user: str, course: str, batch: str, date: int | None, accessed: int | None = None) -> dict[str, Any]:
    """An enrolment from elsewhere, in a collection nobody knows, so that nothing moves its times."""
    line = {"table": "user_enrolments", "userid": user, "courseid": course, "batchid": batch, "active": True}
    return {**line, "enrolled_date": date, "lastcontentaccesstime": accessed}


def test_a_learner_without_anything_has_an_empty_list(school: Server, learner: Learner) -> None:
    answer = school.client.get(f"/v1/summary/list/{learner()}")
    assert answer.json()["result"] == {"summary": [], "count": 0, "next": None}


def test_the_last_accessed_is_first_then_the_last_enrolled_then_by_ids(school: Server, learner: Learner) -> None:
    rahul = learner()
    bring(
        school,
        enrolled(rahul, "c", "b1", ago(days=9)),
        enrolled(rahul, "d", "b1", ago(days=3)),
        enrolled(rahul, "b", "b2", ago(days=9)),
        enrolled(rahul, "b", "b1", ago(days=9)),
        enrolled(rahul, "x", "b1", ago(days=50), ago(days=2)),
        enrolled(rahul, "y", "b1", ago(days=1), ago(days=40)),
        enrolled(rahul, "z", "b1", ago(days=70), ago(days=1)),
    )
    expected = [("z", "b1"), ("x", "b1"), ("y", "b1"), ("d", "b1"), ("b", "b1"), ("b", "b2"), ("c", "b1")]
    records = listed(school, rahul)
    assert names(records) == expected
    assert [one["lastContentAccessTime"] for one in records[:3]] == [ago(days=1), ago(days=2), ago(days=40)]
    assert [one["lastContentAccessTime"] for one in records[3:]] == [None] * 4


def test_a_view_brings_its_enrolment_to_the_top(school: Server, learner: Learner) -> None:
    rahul = learner()
    for batch in ("batch-1", "batch-2", "spare-1"):
        enrol(school, rahul, batch)
    for batch in ("batch-2", "batch-1", "spare-1", "batch-2"):
        school.result(START, place(rahul) | {"contextId": batch})
        school.result(END, place(rahul) | {"contextId": batch})
    assert names(listed(school, rahul))[0] == (MATHS, "spare-1"), "a revisit is no access: it writes nothing"
    school.result(START, place(rahul, DOUBLE) | {"contextId": "batch-1"})
    assert names(listed(school, rahul))[0] == (MATHS, "batch-1")


def test_pages_are_parts_of_one_order(school: Server, learner: Learner) -> None:
    rahul = learner()
    bring(school, *(enrolled(rahul, f"c{n:02}", "b", ago(days=n + 1)) for n in range(25)))
    whole = listed(school, rahul)
    assert [one["collectionId"] for one in whole] == [f"c{n:02}" for n in range(25)]
    for limit in (1, 7, 24, 25, 1000):
        pages: list[dict[str, Any]] = []
        for offset in range(0, 25, limit):
            answer = school.client.get(f"/v1/summary/list/{rahul}?limit={limit}&offset={offset}").json()["result"]
            assert answer["count"] == 25
            assert len(answer["summary"]) <= limit
            pages += answer["summary"]
        assert pages == whole
    beyond = school.client.get(f"/v1/summary/list/{rahul}?offset=25").json()["result"]
    assert beyond == {"summary": [], "count": 25, "next": None}


def test_more_than_a_thousand_come_in_pages(school: Server, learner: Learner) -> None:
    rahul = learner()
    bring(school, *(enrolled(rahul, f"c{n:04}", "b", ago(days=5)) for n in range(1003)))
    first = school.client.get(f"/v1/summary/list/{rahul}").json()["result"]
    assert (len(first["summary"]), first["count"]) == (1000, 1003)
    assert len(listed(school, rahul, "?offset=1000")) == 3


def test_inactive_enrolments_are_listed_and_told(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul)
    assert school.call(UNENROLL, seat(rahul)).status_code == 200
    (record,) = listed(school, rahul)
    assert record["active"] is False


# --- types ------------------------------------------------------------------------------------


def test_types_divide_what_there_is(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul)
    complete(school, rahul, lastAccessTime=ago(days=5), lastCompletedTime=ago(days=5))
    complete(school, rahul, DOUBLE, "batch-2", lastAccessTime=ago(days=3), lastCompletedTime=ago(days=3))
    alone = {"userId": rahul, "contentId": SINGLE, "lastAccessTime": ago(days=1)}
    school.result(START, alone)
    enrolment, viewed, content = (MATHS, BATCH), (MATHS, "batch-2"), (SINGLE, SINGLE)
    assert names(listed(school, rahul)) == [enrolment]
    assert names(listed(school, rahul, "?type=enrolment")) == [enrolment]
    assert names(listed(school, rahul, "?type=organic")) == [content, viewed]
    assert names(listed(school, rahul, "?type=all")) == [content, viewed, enrolment]
    by_name = dict(zip((content, viewed), listed(school, rahul, "?type=organic"), strict=True))
    assert by_name[viewed]["contentStatus"] == {SINGLE: 0, DOUBLE: 2, "triple-digit-addition": 0}
    assert (by_name[viewed]["progress"], by_name[viewed]["completionPercentage"]) == (1, 33)
    assert (by_name[viewed]["enrolledDate"], by_name[viewed]["active"]) == (None, True)
    assert by_name[content]["contentStatus"] == {SINGLE: 1}
    assert by_name[content]["collection"]["name"] is None
    enrol(school, rahul, "batch-2")
    assert names(listed(school, rahul)) == [viewed, enrolment]
    assert names(listed(school, rahul, "?type=organic")) == [content]


def test_types_are_paged_together(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul)
    complete(school, rahul)
    for number in range(4):
        school.result(START, {"userId": rahul, "contentId": f"do_{number}", "lastAccessTime": ago(days=number + 1)})
    whole = listed(school, rahul, "?type=all")
    assert names(whole) == [(MATHS, BATCH), *((f"do_{number}", f"do_{number}") for number in range(4))]
    assert [one for n in range(5) for one in listed(school, rahul, f"?type=all&limit=1&offset={n}")] == whole


def test_many_contents_viewed_by_themselves_are_all_listed(school: Server, learner: Learner) -> None:
    """More than one statement has room for."""
    rahul = learner()
    viewed = {"table": "user_content_consumption", "userid": rahul, "status": 1, "last_access_time": ago(days=2)}
    rows = [{**viewed, **dict.fromkeys(("collectionid", "contextid", "contentid"), f"do_{n:04}")} for n in range(1100)]
    bring(school, *rows)
    answer = school.client.get(f"/v1/summary/list/{rahul}?type=organic&limit=5").json()["result"]
    assert (answer["count"], len(answer["summary"])) == (1100, 5)


# --- asking -----------------------------------------------------------------------------------

BAD_QUERIES = [
    ("limit=0", "limit"),
    ("limit=1001", "limit"),
    ("limit=-1", "limit"),
    ("limit=1.5", "limit"),
    ("limit=ten", "limit"),
    ("limit=1e2", "limit"),
    ("limit=٣", "limit"),
    ("limit=99999999999999999999", "limit"),
    ("LIMIT=0", "limit"),
    ("offset=-1", "offset"),
    ("offset=x", "offset"),
    ("offset=2147483648", "offset"),
    ("cursor=x", "cursor"),
    ("cursor=%F0%9F", "cursor"),
    ("cursor=WzEsMl0", "cursor"),
    ("status=3", "status"),
    ("status=0,x", "status"),
    ("status=completed", "status"),
    ("updatedSince=yesterday", "updatedSince"),
    ("updatedSince=-1", "updatedSince"),
    ("offset=%00", "offset"),
    ("type=organics", "type"),
    ("type=ALL", "type"),
    ("type=enrolment,organic", "type"),
    ("limit=5&limit=6", "limit"),
    ("type=all&type=organic", "type"),
]


@pytest.mark.parametrize(("query", "field"), BAD_QUERIES)
def test_a_query_that_means_nothing_is_refused(school: Server, learner: Learner, query: str, field: str) -> None:
    answer = school.client.get(f"/v1/summary/list/{learner()}?{query}")
    code = "ERR_CONFLICTING_IDS" if query.count(field) == 2 else "ERR_INVALID_FIELD"
    body = refusal(answer, 400, code)
    assert list(body["result"]) == [field]
    assert body["id"] == "api.summary.list"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "limit=1&offset=0",
        "limit=1000",
        "limit=&offset=",
        "Limit=3",
        "userId=x&courseId=a/b",
        "limit=5&limit=5",
        "status=0,1,2",
        "updatedSince=0",
    ],
)
def test_a_query_that_means_something_is_answered(school: Server, learner: Learner, query: str) -> None:
    rahul = learner()
    enrol(school, rahul)
    assert len(listed(school, rahul, f"?{query}")) == 1


@pytest.mark.parametrize(
    ("written", "user"),
    [
        ("f:keycloak:{}", "{}"),
        ("f%3Akeycloak%3A{}", "{}"),
        ("%20{}%20", "{}"),
        ("{}%20b", "{} b"),
        ("{}%3Ab%2B", "{}:b+"),
        ("{}+b", "{}+b"),
        ("{}%C3%A9", "{}é"),
        ("{}%2540", "{}%40"),
        ("{}%3F", "{}?"),
    ],
)
def test_the_learner_of_the_path_is_decoded_once(school: Server, learner: Learner, written: str, user: str) -> None:
    rahul = learner()
    user = user.format(rahul)
    enrol(school, user)
    assert [one["userId"] for one in listed(school, written.format(rahul))] == [user]
    assert summary(school, user)["userId"] == user


@pytest.mark.parametrize(
    ("written", "code"),
    [
        *((written, "ERR_INVALID_ID") for written in ("a%2Fb", "a/b", "a%5Cb", "a%00b", "a%0Ab", "..%2F..", "a..b")),
        ("x" * 257, "ERR_INVALID_ID"),
        ("%20", "ERR_MISSING_FIELD"),
    ],
)
def test_what_is_no_id_in_the_path_is_refused(school: Server, written: str, code: str) -> None:
    body = refusal(school.client.get(f"/v1/summary/list/{written}"), 400, code)
    assert list(body["result"]) == ["userId"]


def test_a_path_that_names_nobody_is_no_route(school: Server) -> None:
    assert school.client.get("/v1/summary/list/").status_code == 404
    assert school.client.get("/v1/summary/list").status_code == 404
    assert school.client.post("/v1/summary/list/rahul", json={"request": {}}).status_code == 405
    assert school.client.head("/v1/summary/list/rahul").status_code == 200
