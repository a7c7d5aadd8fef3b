"""The modes that keep no context, where a fold of one place counts in others: over HTTP on the three tiers."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TIERS
from tests.modes import scenarios
from tests.servers import Server

MATHS, MATHS_2, BATCH, OTHER = "class-1-maths", "class-2-maths", "batch-1", "batch-2"
LEAVES = SINGLE, DOUBLE, TRIPLE = [f"{size}-digit-addition" for size in ("single", "double", "triple")]
MANY = 200


@pytest.fixture(scope="module", params=TIERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with scenarios.running(request.param, "nocontext", tmp_path_factory.mktemp("nocontext")) as running:
        tables = next(one for one in scenarios.ALL if one.mode == "no_context_content")
        scenarios.prepare(tables, running.manage, lambda name: f"{name}-nocontext")
        leaves = [{"identifier": f"leaf-{number}", "contentType": "Resource"} for number in range(MANY)]
        course = {"identifier": "long-course", "name": "Long", "contentType": "Course", "children": leaves}
        batch = {"batchId": "long-batch", "courseId": "long-course", "enrollmentType": "open"}
        given = json.dumps({"collections": [course], "batches": [batch]})
        loaded = running.manage("load_catalogue", "-", stdin=given)
        assert loaded.returncode == 0, loaded.stderr + loaded.stdout
        yield running


@pytest.fixture
def user() -> str:
    return f"rahul-{uuid.uuid4().hex[:10]}"


def ask(server: Server, path: str, user: str, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.result(path, {"userId": user, **fields})
    return found


def summary(server: Server, user: str, collection: str, context: str) -> tuple[int, int, int]:
    found = ask(server, "/v1/summary/read", user, collectionId=collection, contextId=context)
    return found["status"], found["progress"], found["completionPercentage"]


def test_everything_of_one_sync_is_in_the_summary_that_is_asked_for_next(server: Server, user: str) -> None:
    ask(server, "/v1/course/enroll", user, collectionId="long-course", contextId="long-batch")
    assert summary(server, user, "long-course", "long-batch") == (0, 0, 0)
    place = {"collectionId": "long-course", "contextId": "long-batch"}
    ends = [
        {"id": f"e-{number}", "type": "end", "ts": 1_790_000_000_000 + number, "force": True, **place}
        | {"contentId": f"leaf-{number}"}
        for number in range(MANY)
    ]
    done = ask(server, "/v1/view/sync", user, events=ends)
    assert {one["status"] for one in done["results"]} == {"applied"}
    assert summary(server, user, "long-course", "long-batch") == (2, MANY, 100)
    whole = ask(server, "/v1/view/read", user, **place)["contents"]
    assert [one["status"] for one in whole] == [2] * MANY


def test_one_completion_counts_in_every_enrolment_that_holds_the_content(server: Server, user: str) -> None:
    for collection, batch in ((MATHS, BATCH), (MATHS_2, "class-2-batch-1")):
        ask(server, "/v1/course/enroll", user, collectionId=collection, contextId=batch)
    ask(server, "/v1/view/end", user, contentId=DOUBLE, force=True)
    assert summary(server, user, MATHS, BATCH) == (1, 1, 33)
    assert summary(server, user, MATHS_2, "class-2-batch-1") == (1, 1, 50)


def test_scores_count_wherever_the_content_is(server: Server, user: str) -> None:
    answered = {"eid": "ASSESS", "ets": 1_700_000_000_000, "edata": {"item": {"id": "q1", "maxscore": 2}, "score": 1}}
    ask(server, "/v1/assessment/submit", user, contentId=SINGLE, attemptId="try-1", assessments=[answered])
    ask(server, "/v1/course/enroll", user, collectionId=MATHS, contextId=BATCH)
    found = ask(server, "/v1/summary/read", user, collectionId=MATHS, contextId=BATCH)
    assert found["assessmentStatus"] == {SINGLE: {"score": 1, "max_score": 2, "attempts": 1}}
    read = ask(server, "/v1/assessment/read", user, collectionId=MATHS, contextId=BATCH, contentId=SINGLE)
    assert [(one["contextId"], one["score"]) for one in read["contents"]] == [(BATCH, 1)]


def test_what_is_imported_is_kept_where_this_mode_looks(server: Server, user: str) -> None:
    where = {"userid": user, "collectionid": MATHS, "contextid": BATCH, "contentid": SINGLE}
    line = {"table": "user_content_consumption", **where, "status": 2, "last_completed_time": 1_790_000_000_000}
    done = server.manage("import_progress", "-", stdin=json.dumps(line))
    assert done.returncode == 0, done.stderr + done.stdout
    ask(server, "/v1/course/enroll", user, collectionId=MATHS, contextId=OTHER)
    (item,) = ask(server, "/v1/view/read", user, collectionId=MATHS, contextId=OTHER, contentId=SINGLE)["contents"]
    assert item["status"] == 2
    assert summary(server, user, MATHS, OTHER) == (1, 1, 33)


def test_an_enrolment_is_added_up_anew_from_rows_that_are_kept_elsewhere(server: Server, user: str) -> None:
    ask(server, "/v1/course/enroll", user, collectionId=MATHS, contextId=BATCH)
    for content in LEAVES:
        ask(server, "/v1/view/end", user, contentId=content, force=True)
    assert summary(server, user, MATHS, BATCH) == (2, 3, 100)
    assert server.manage("recompute", "--user", user).returncode == 0
    done = server.manage("recompute", "--user", user, "--dry-run")
    assert done.returncode == 0
    assert "folded 4, saved 0" in done.stdout, "three contents and the enrolment, all as they are"
    found = ask(server, "/v1/view/agg", user, collectionId=MATHS, contextId=BATCH)
    assert (found["status"], found["completionPercentage"]) == (2, 100)
