"""summary/download: a link that expires, and the file it leads to, which says what the list says."""

import csv
import io
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cells import lines
from summaries.files import COLUMNS
from tests import servers
from tests.api.wire import DOUBLE, MATHS, SINGLE, TRIPLE, ago, refusal
from tests.servers import Server
from tests.summaries.wire import Learner, bring, complete, enrol, listed, load

DONE = ago(days=10)


def link(server: Server, user: str, query: str = "", base: str = "/v1/summary/download/") -> str:
    answer = server.client.get(f"{base}{user}{query}")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["id"] == "api.summary.download"
    url: str = body["result"]["url"]
    return url


def fetched(server: Server, user: str, query: str = "") -> httpx.Response:
    answer = server.client.get(link(server, user, query))
    assert answer.status_code == 200, answer.text
    return answer


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), strict=True))


def past(user: str) -> list[dict[str, Any]]:
    where = {"userid": user, "courseid": MATHS, "batchid": "batch-1"}
    view = {"table": "user_content_consumption", **where, "last_access_time": DONE}
    score = {"total_score": 6.5, "total_max_score": 10, "last_attempted_on": DONE}
    return [
        {"table": "user_enrolments", **where, "active": True, "enrolled_date": DONE},
        {**view, "contentid": SINGLE, "status": 2, "last_completed_time": DONE},
        {**view, "contentid": DOUBLE, "status": 1},
        {"table": "assessment_aggregator", **where, "content_id": TRIPLE, "attempt_id": "a", **score},
    ]


def test_json_holds_the_records_of_the_list(school: Server, learner: Learner) -> None:
    rahul = learner()
    bring(school, *past(rahul))
    enrol(school, rahul, "batch-2")
    complete(school, rahul, DOUBLE, "batch-2")
    for query in ("", "?format=json", "?format=JSON"):
        answer = fetched(school, rahul, query)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["summary"] == listed(school, rahul)


def test_csv_has_a_line_for_each_record_in_the_lists_order(school: Server, learner: Learner) -> None:
    rahul = learner()
    load(school, learners=[{"userId": rahul, "firstName": "Rahul", "lastName": "Rao"}])
    bring(school, *past(rahul))
    enrol(school, rahul, "batch-2")
    answer = fetched(school, rahul, "?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    first, second = rows(answer)
    assert tuple(first) == COLUMNS
    record = listed(school, rahul)[0]
    assert (first["User ID"], first["Name"], first["Collection ID"]) == (rahul, "Rahul Rao", MATHS)
    assert (first["Collection"], first["Batch ID"]) == ("Class 1 Maths", "batch-1")
    assert (first["Status"], first["Progress (%)"], first["Completed contents"]) == (
        "In progress",
        str(record["completionPercentage"]),
        str(record["progress"]),
    )
    assert first["Scores"] == f"{TRIPLE}: 6.5/10 (1 attempt)"
    assert (first["Next content"], first["Enrolment active"]) == (record["nextContent"], "yes")
    assert first["Last access"].endswith("+05:30")
    assert (second["Batch ID"], second["Status"], second["Last access"]) == ("batch-2", "Not started", "")


def test_a_learner_without_anything_gets_an_empty_file(school: Server, learner: Learner) -> None:
    nobody = learner()
    assert fetched(school, nobody).json()["summary"] == []
    assert fetched(school, nobody, "?format=csv").content.decode() == ",".join(COLUMNS) + "\r\n"


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_path_ends_with_the_name_the_file_is_kept_under(school: Server, learner: Learner, kind: str) -> None:
    user = f"{learner()} ü:1"
    url = link(school, user, f"?format={kind}")
    assert unquote(urlsplit(url).path).endswith(f"/{user}_viewer_summary.{kind}")
    answer = school.client.get(url)
    assert answer.headers["content-disposition"].startswith("attachment; filename")
    assert answer.headers["cache-control"] == "private, no-store"


def test_each_family_links_into_itself(school: Server, learner: Learner) -> None:
    rahul = learner()
    for base in ("/v1/summary/", "/api/summary/v1/"):
        url = link(school, rahul, base=f"{base}download/")
        assert url.startswith(f"{school.url}{base}file/")
        assert school.client.get(url).status_code == 200


def test_a_format_that_is_none_is_refused(school: Server, learner: Learner) -> None:
    body = refusal(school.client.get(f"/v1/summary/download/{learner()}?format=xls"), 400, "ERR_INVALID_FIELD")
    assert list(body["result"]) == ["format"]


def test_a_link_that_was_changed_leads_nowhere(school: Server, learner: Learner) -> None:
    rahul, other = learner(), learner()
    token, name = urlsplit(link(school, rahul)).path.rsplit("/", 2)[1:]
    mended = [f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}", token.replace(":", "", 1), "x", "::", "%00", ""]
    for wrong in mended:
        body = refusal(school.client.get(f"/v1/summary/file/{wrong}/{name}"), 404, "ERR_NOT_FOUND")
        assert body["result"] == {}
    told = school.client.get(f"/v1/summary/file/{token}/{other}_viewer_summary.json").json()
    assert told["userId"] == rahul, "the token alone says whose it is"
    refused = school.client.post(f"/v1/summary/file/{token}/{name}")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_link_expires(tmp_path: Path) -> None:
    with servers.running(tmp_path, VIEWER_LINK_SECONDS="1", VIEWER_WORKER="off") as server:
        url = link(server, "rahul")
        deadline = time.monotonic() + 10
        while server.client.get(url).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # between two polls of a condition that has a deadline
        refusal(server.client.get(url), 404, "ERR_NOT_FOUND")
        assert server.client.get(link(server, "rahul")).status_code == 200


def test_names_that_are_formulas_are_only_text(school: Server, learner: Learner) -> None:
    rahul = learner()
    load(school, learners=[{"userId": rahul, "firstName": '=HYPERLINK("http://x","y")', "lastName": 'a,"b"\nराहुल'}])
    enrol(school, rahul)
    (row,) = rows(fetched(school, rahul, "?format=csv"))
    assert row["Name"] == '\'=HYPERLINK("http://x","y") a,"b"\nराहुल'


@given(st.lists(st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=2, max_size=2), max_size=5))
def test_every_cell_comes_back_and_none_is_a_formula(cells: list[list[str]]) -> None:
    text = lines(("one", "two"), cells)
    _, *back = csv.reader(io.StringIO(text, newline=""), strict=True)
    for row, given_row in zip(back, cells, strict=True):
        for cell, original in zip(row, given_row, strict=True):
            assert cell in (original, f"'{original}")
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
