"""summary/list a page at a time, only some of it, and not at all where the client has it already."""

from typing import Any

import pytest

from tests.api.wire import DOUBLE, END, MATHS, SINGLE, START, ago, now_ms
from tests.servers import Server
from tests.summaries.wire import Learner, bring, complete, enrol, listed

Pages = list[list[str]]


def enrolled(user: str, course: str, days: int, status: int = 0) -> dict[str, Any]:
    """An enrolment from elsewhere, in a collection nobody knows, last accessed and changed so many days ago."""
    line = {"table": "user_enrolments", "userid": user, "courseid": course, "batchid": "b", "active": True}
    return {**line, "status": status, "lastcontentaccesstime": ago(days=days), "datetime": ago(days=days)}


def page(server: Server, user: str, query: str) -> tuple[list[str], str | None]:
    answer = server.client.get(f"/v1/summary/list/{user}?{query}")
    assert answer.status_code == 200, answer.text
    found = answer.json()["result"]
    return [one["collectionId"] for one in found["summary"]], found["next"]


def test_cursors_lead_through_all_of_it_in_order(school: Server, learner: Learner) -> None:
    rahul = learner()
    bring(school, *(enrolled(rahul, f"c{n:02}", n + 1) for n in range(11)))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        found, cursor = page(school, rahul, f"limit=4&cursor={cursor}")
        seen += found
    assert seen == [f"c{n:02}" for n in range(11)]


def test_what_changes_between_two_pages_is_not_missed(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul, "batch-1")
    bring(school, *(enrolled(rahul, f"c{n}", n + 1) for n in range(4)))
    first, cursor = page(school, rahul, "limit=2")
    assert first == ["c0", "c1"]
    complete(school, rahul, SINGLE, "batch-1")  # which was the last, and would now be the first
    second, cursor = page(school, rahul, f"limit=2&cursor={cursor}")
    third, cursor = page(school, rahul, f"limit=2&cursor={cursor}")
    assert (second, third, cursor) == (["c2", "c3"], [MATHS], None)


def test_what_was_seen_and_changes_comes_once_more(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul, "batch-1")
    complete(school, rahul, SINGLE, "batch-1")
    bring(school, *(enrolled(rahul, f"c{n}", n + 1) for n in range(2)))
    first, cursor = page(school, rahul, "limit=2")
    assert first == [MATHS, "c0"]
    complete(school, rahul, DOUBLE, "batch-1")
    assert page(school, rahul, f"limit=2&cursor={cursor}") == (["c1", MATHS], None)


def test_a_cursor_and_an_offset_exclude_each_other(school: Server, learner: Learner) -> None:
    rahul = learner()
    bring(school, *(enrolled(rahul, f"c{n}", n + 1) for n in range(2)))
    _, cursor = page(school, rahul, "limit=1")
    answer = school.client.get(f"/v1/summary/list/{rahul}?cursor={cursor}&offset=1")
    assert (answer.status_code, list(answer.json()["result"])) == (400, ["cursor"])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("0", ["c0"]),
        ("1", ["c1"]),
        ("2", ["c2"]),
        ("0,2", ["c0", "c2"]),
        ("2, 1", ["c1", "c2"]),
        ("", ["c0", "c1", "c2"]),
    ],
)
def test_only_of_some_statuses(school: Server, learner: Learner, asked: str, expected: list[str]) -> None:
    rahul = learner()
    bring(school, *(enrolled(rahul, f"c{status}", status + 1, status) for status in range(3)))
    answer = school.client.get(f"/v1/summary/list/{rahul}", params={"status": asked}).json()["result"]
    assert [one["collectionId"] for one in answer["summary"]] == expected
    assert answer["count"] == len(expected)


def test_statuses_of_what_was_viewed_without_enrolment(school: Server, learner: Learner) -> None:
    rahul = learner()
    for content, path in ((SINGLE, START), (DOUBLE, END)):
        school.result(path, {"userId": rahul, "contentId": content, "force": True})
    assert [one["collectionId"] for one in listed(school, rahul, "?type=organic&status=1")] == [SINGLE]
    assert [one["collectionId"] for one in listed(school, rahul, "?type=all&status=2")] == [DOUBLE]


def test_only_what_changed_since(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul, "batch-1")
    enrol(school, rahul, "batch-2")
    assert len(listed(school, rahul)) == 2
    since = now_ms()
    assert listed(school, rahul, f"?updatedSince={since}") == []
    complete(school, rahul, SINGLE, "batch-2")
    (changed,) = listed(school, rahul, f"?updatedSince={since}")
    assert changed["contextId"] == "batch-2"
    assert len(listed(school, rahul, "?updatedSince=0")) == 2


def test_what_the_client_has_is_not_sent_again(school: Server, learner: Learner) -> None:
    rahul = learner()
    enrol(school, rahul, "batch-1")
    path = f"/v1/summary/list/{rahul}"
    first = school.client.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    for given in (tag, f'"other", {tag}', "*"):
        again = school.client.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert school.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    complete(school, rahul, SINGLE, "batch-1")
    changed = school.client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_one_page_and_another_have_their_own_tags(school: Server, learner: Learner) -> None:
    rahul = learner()
    bring(school, *(enrolled(rahul, f"c{n}", n + 1) for n in range(2)))
    tags = {school.client.get(f"/v1/summary/list/{rahul}?{query}").headers["etag"] for query in ("limit=1", "limit=2")}
    assert len(tags) == 2
    same = {school.client.get(f"/v1/summary/list/{rahul}?limit=1").headers["etag"] for _ in range(2)}
    assert len(same) == 1, "a page that is not the last one too"
