"""Assessment read over HTTP: pages, lists and whole collections (seed: Content Assesment Read; DESIGN §9)."""

import json
from collections.abc import Callable
from typing import Any

from tests.api.assessments import SCORES, SUBMIT, best, event, read, submit, tries
from tests.api.wire import BATCH, DOUBLE, END, MATHS, SINGLE, TRIPLE, ago, place
from tests.servers import Server

Learner = Callable[..., str]


def test_whole_collection_lists_only_what_was_tried_in_course_order(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(END, place(user, DOUBLE, force=True))
    for content in (TRIPLE, SINGLE):
        submit(server, user, event("q1", 1), content=content)
    result = read(server, user, None)
    assert [item["contentId"] for item in result["contents"]] == [SINGLE, TRIPLE]
    assert {one["contentId"] for one in result["assessments"]} == {SINGLE, TRIPLE}
    assert read(server, learner(), None) | {"userId": user} == result | {
        "contents": [], "assessments": [], "count": 0,
    }  # fmt: skip


def test_list_of_contents_without_a_collection_reads_each_ones_own(server: Server, learner: Learner) -> None:
    user = learner()
    submit(server, user, event("q1", 1))
    for content in ("do_1", "do_2"):
        server.result(SUBMIT, {"userId": user, "contentId": content, "assessments": [event("q1", 0.5)]})
    result: dict[str, Any] = server.result(SCORES, {"userId": user, "contentId": ["do_2", SINGLE, "do_1", "do_2"]})
    assert (result["collectionId"], result["contextId"], result["count"]) == (None, None, 2)
    assert [(item["contentId"], item["score"]) for item in result["contents"]] == [
        ("do_2", 0.5), (SINGLE, None), ("do_1", 0.5),
    ]  # fmt: skip


def test_attempts_come_by_pages_and_without_a_limit_on_their_number(server: Server, learner: Learner) -> None:
    user = learner()
    sent = [{"assessmentTs": number, "events": [event("q1", number % 7)]} for number in range(1, 231)]
    server.result(SUBMIT, place(user, assessments=sent))
    whole = read(server, user, limit=1000)
    assert (whole["count"], len(whole["assessments"])) == (230, 230)
    assert [one["lastAttemptedOn"] for one in whole["assessments"]] == list(range(230, 0, -1))
    assert (whole["contents"][0]["score"], whole["contents"][0]["attempts"]) == (6.0, 230)
    pages = [read(server, user, limit=100, offset=offset) for offset in (0, 100, 200, 300)]
    assert [len(page["assessments"]) for page in pages] == [100, 100, 30, 0]
    assert [one for page in pages for one in page["assessments"]] == whole["assessments"]
    assert {page["count"] for page in pages} == {230}
    assert len(read(server, user)["assessments"]) == 200


def test_imported_scores_count_among_the_best(server: Server, learner: Learner) -> None:
    user = learner()
    aggregate = {
        "activity_type": "Course", "activity_id": MATHS, "user_id": user, "context_id": f"cb:{BATCH}",
        "aggregates": {f"score:{SINGLE}": 7.5, f"max_score:{SINGLE}": 10, f"attempts_count:{SINGLE}": 4},
    }  # fmt: skip
    line = json.dumps({"table": "user_activity_agg", **aggregate})
    done = server.manage("import_progress", "-", stdin=line)
    assert done.returncode == 0, done.stderr
    assert best(server, user) == (7.5, 10.0, 4)
    assert tries(server, user) == []
    submit(server, user, event("q1", 8, None, 9))
    assert best(server, user) == (8.0, 9.0, 4)


def test_ids_and_texts_of_all_the_world_are_kept(server: Server, learner: Learner) -> None:
    user, name = learner("राहुल"), "प्रयास:1 ✓"
    odd = event("सवाल \U0001f600", 1, resvalues=[{"उत्तर": "\\u0000", "\n": None, "": [1, {"x": "é"}]}])
    submit(server, user, odd, attemptId=name)
    assert tries(server, user) == [(name, 1.0, 1.0, ago(hours=1))]
