"""The explanation of an answer, and that it is the decision that was acted on: over HTTP on the three tiers."""

import json
import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import TIERS
from tests.modes import scenarios
from tests.servers import Server

MATHS, BATCH, OTHER = "class-1-maths", "batch-1", "batch-2"
LEAVES = SINGLE, DOUBLE, TRIPLE = [f"{size}-digit-addition" for size in ("single", "double", "triple")]
RULES = {"match": "any", "rules": [{"type": "completedWithin", "unit": "months", "value": 3}]}
Place = dict[str, str]


def place(content: str | None = None, context: str | None = None) -> Place:
    """A content alone, or in a batch of the course."""
    named = {"contentId": content, "contextId": context, "collectionId": MATHS if context else None}
    return {name: value for name, value in named.items() if value is not None}


class School:
    """A service that copies contents, and one learner after another."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.user = ""

    def new_learner(self) -> None:
        self.user = f"rahul-{uuid.uuid4().hex[:10]}"

    def ask(self, path: str, **fields: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.server.result(path, {"userId": self.user, **fields})
        return found

    def complete(self, content: str, context: str | None = None) -> None:
        self.ask("/v1/view/end", force=True, **place(content, context))

    def enrol(self, context: str) -> None:
        self.ask("/v1/course/enroll", collectionId=MATHS, contextId=context)

    def read(self, content: str, context: str | None = None) -> dict[str, Any]:
        (item,) = self.ask("/v1/view/read", **place(content, context))["contents"]
        found: dict[str, Any] = item
        return found

    def explain(self, content: str, context: str | None = None) -> dict[str, Any]:
        params = {"userId": self.user, **place(content, context)}
        answer = self.server.client.get(f"{self.server.url}/v1/view/explain", params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["result"]
        return found

    def whole(self) -> list[Any]:
        """Everything that is told of the learner."""
        listed = self.server.client.get(f"{self.server.url}/v1/summary/list/{self.user}").json()["result"]
        shown = [self.ask("/v1/view/read", collectionId=MATHS, contextId=context) for context in (BATCH, OTHER)]
        return [listed, *shown, *(self.read(content) for content in LEAVES)]

    def set_mode(self, mode: str) -> None:
        done = self.server.manage("set_mode", mode, "--yes", "--rules", "-", stdin=json.dumps(RULES))
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=TIERS)
def school(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    tables = scenarios.ALL[0]
    with scenarios.running(request.param, "explain", tmp_path_factory.mktemp("explain")) as server:
        scenarios.prepare(tables, server.manage, lambda name: f"{name}-explain")
        made = School(server)
        made.set_mode("copy_content")
        yield made


@pytest.fixture(autouse=True)
def _learner(school: School) -> None:
    school.new_learner()


def test_a_copy_is_explained_by_its_record(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    told = school.explain(SINGLE, BATCH)
    assert (told["status"], told["progress"], told["mode"]) == (2, 100, "copy_content")
    assert told["origin"] == told["carried"]["id"] == school.read(SINGLE, BATCH)["origin"]
    assert told["carried"]["source"] == [SINGLE, SINGLE, SINGLE]
    assert told["carried"]["target"] == [MATHS, BATCH, SINGLE]
    assert told["carried"]["held"] == RULES["rules"]
    assert told["carried"]["trigger"] == "enrolment"
    assert told["carried"]["completedTime"] == school.read(SINGLE)["lastCompletedTime"]
    assert told["decision"]["refusal"] == "carried"
    assert told["row"] == {"collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE}
    words = " ".join(told["sentences"])
    assert f"{SINGLE} is complete in {MATHS}, {BATCH}." in words
    assert "completed within the last 3 months" in words


def test_a_completion_after_the_enrolment_is_carried_because_of_itself(school: School) -> None:
    school.enrol(BATCH)
    school.complete(SINGLE)
    told = school.explain(SINGLE, BATCH)
    assert told["carried"]["trigger"] == "completion"
    assert told["carried"]["evaluatedTime"] == told["carried"]["completedTime"]


def test_an_own_completion_is_the_learners_and_nothing_is_carried_over_it(school: School) -> None:
    school.enrol(BATCH)
    school.complete(SINGLE, BATCH)
    school.complete(SINGLE)
    told = school.explain(SINGLE, BATCH)
    assert (told["origin"], told["carried"], told["decision"]["refusal"]) == (None, None, "own_completion")
    assert [one["collectionId"] for one in told["decision"]["candidates"]] == [SINGLE]


def test_a_copy_that_is_done_again_here_becomes_the_learners_own(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    assert school.read(SINGLE, BATCH)["origin"] is not None
    school.complete(SINGLE, BATCH)
    told = school.explain(SINGLE, BATCH)
    assert (told["status"], told["progress"], told["origin"]) == (2, 100, None)
    assert told["decision"]["refusal"] == "own_completion"


def test_who_is_not_enrolled_is_told_so(school: School) -> None:
    school.complete(SINGLE)
    told = school.explain(SINGLE, BATCH)
    assert (told["status"], told["row"], told["decision"]) == (0, None, None)
    assert "The learner is not enrolled here." in told["sentences"]


def test_what_nobody_completed_anywhere_has_no_candidates(school: School) -> None:
    school.enrol(BATCH)
    told = school.explain(SINGLE, BATCH)
    assert (told["status"], told["decision"]["refusal"], told["decision"]["candidates"]) == (0, None, [])
    assert "The learner has not completed this content anywhere else." in told["sentences"]


@pytest.mark.parametrize(
    "fields", [{}, {"contentId": ""}, {"contentId": "a/b"}, {"contextId": BATCH, "contentId": SINGLE}]
)
def test_a_question_that_names_no_content_is_refused(school: School, fields: Place) -> None:
    answer = school.server.client.get(f"{school.server.url}/v1/view/explain", params={"userId": school.user, **fields})
    assert answer.status_code == 400
    assert answer.json()["id"] == "api.view.explain"


def test_scores_follow_a_copy(school: School) -> None:
    answered = {"eid": "ASSESS", "ets": 1_700_000_000_000, "edata": {"item": {"id": "q1", "maxscore": 2}, "score": 2}}
    school.ask("/v1/assessment/submit", contentId=SINGLE, attemptId="try-1", assessments=[answered])
    school.enrol(BATCH)
    found = school.ask("/v1/assessment/read", **place(SINGLE, BATCH))
    assert [(one["score"], one["max_score"], one["attempts"]) for one in found["contents"]] == [(2, 2, 1)]
    assert [one["attemptId"] for one in found["assessments"]] == ["try-1"]
    assert school.read(SINGLE, BATCH)["score"] == 2


@pytest.mark.parametrize("seed", range(12))
def test_the_explanation_agrees_with_what_is_answered_whatever_was_done(school: School, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(dice.randint(3, 10)):
        context = dice.choice([None, BATCH, OTHER])
        if dice.random() < 0.3 and context:
            school.server.call(
                "/v1/course/enroll", {"userId": school.user, "collectionId": MATHS, "contextId": context}
            )
        else:
            school.complete(dice.choice(LEAVES), context)
    for content in LEAVES:
        for context in (None, BATCH, OTHER):
            read, told = school.read(content, context), school.explain(content, context)
            assert (told["status"], told["progress"], told["origin"]) == (
                read["status"],
                read["progress"],
                read["origin"],
            )
            assert (told["carried"] or {}).get("id") == read["origin"]
            if read["status"] != 2 and told["decision"] and told["decision"]["refusal"] is None:
                assert "taken" not in [one["verdict"] for one in told["decision"]["candidates"]]


def test_strict_hides_what_was_carried_and_the_way_back_leaves_every_answer_as_before(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    school.ask("/v1/view/start", **place(DOUBLE, BATCH))
    school.ask("/v1/view/update", **place(DOUBLE, BATCH), progressDetails={"progress": 40})
    school.complete(DOUBLE)
    before = school.whole()
    assert [school.read(content, BATCH)["status"] for content in (SINGLE, DOUBLE)] == [2, 2]
    school.set_mode("strict")
    try:
        shown = [school.read(content, BATCH) for content in (SINGLE, DOUBLE)]
        assert [(one["status"], one["progress"], one["origin"]) for one in shown] == [(0, 0, None), (1, 40, None)]
        assert school.explain(SINGLE, BATCH)["decision"]["refusal"] == "mode"
        assert school.read(SINGLE)["status"] == 2
    finally:
        school.set_mode("copy_content")
    assert school.whole() == before


def numbers(school: School) -> dict[str, tuple[int, int, int]]:
    """Context -> what the summary says."""
    listed = school.server.client.get(f"{school.server.url}/v1/summary/list/{school.user}").json()["result"]["summary"]
    told = ("status", "progress", "completionPercentage")
    return {one["contextId"]: tuple(one[name] for name in told) for one in listed}


def what_if(school: School, mode: str, **fields: Any) -> dict[str, tuple[int, int, int]]:
    """Context -> what the summary would say."""
    found = school.ask("/v1/summary/whatif", mode=mode, **fields)["enrolments"]
    told = ("status", "progress", "completionPercentage")
    return {one["contextId"]: tuple(one["then"][name] for name in told) for one in found}


def test_what_would_be_is_what_is_after_the_change(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    school.complete(DOUBLE, BATCH)
    school.enrol(OTHER)
    before = numbers(school)
    assert what_if(school, "copy_content") == before
    strict, collections = (what_if(school, mode) for mode in ("strict", "copy_collection"))
    assert strict == {BATCH: (1, 1, 33), OTHER: (0, 0, 0)}
    assert collections == {BATCH: (1, 2, 66), OTHER: (1, 2, 66)}, "what was copied stays when the rules get tighter"
    assert numbers(school) == before, "nothing was changed by asking"
    school.set_mode("strict")
    try:
        assert numbers(school) == strict
        assert what_if(school, "copy_content", rules=RULES) == before
        assert what_if(school, "copy_content", rules={"rules": []}) == before, "and nothing new would be carried"
    finally:
        school.set_mode("copy_content")
    assert numbers(school) == before


def test_a_completion_by_copies_is_hidden_with_them_and_comes_back_as_it_was(school: School) -> None:
    for content in LEAVES:
        school.complete(content)
    school.enrol(BATCH)
    before = school.whole()
    assert numbers(school) == {BATCH: (2, 3, 100)}
    school.set_mode("strict")
    try:
        assert numbers(school) == {BATCH: (0, 0, 0)}
    finally:
        school.set_mode("copy_content")
    assert school.whole() == before


def test_what_would_be_without_contexts(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    school.complete(DOUBLE, BATCH)
    school.enrol(OTHER)
    assert what_if(school, "no_context_content") == {BATCH: (1, 2, 66), OTHER: (1, 2, 66)}
    assert what_if(school, "no_context_collection") == {BATCH: (1, 1, 33), OTHER: (1, 1, 33)}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"mode": "none"}, "mode"),
        ({}, "mode"),
        ({"mode": "copy_content", "rules": {"rules": [{"type": "never"}]}}, "rules"),
        ({"mode": "copy_content", "rules": 5}, "rules"),
    ],
)
def test_a_question_nobody_could_answer_is_refused(school: School, fields: dict[str, Any], field: str) -> None:
    answer = school.server.call("/v1/summary/whatif", {"userId": school.user, **fields})
    assert answer.status_code == 400
    assert set(answer.json()["result"]) == {field}


def test_a_carry_that_is_taken_back_is_gone_for_good_and_the_explanation_says_so(school: School) -> None:
    school.ask("/v1/view/start", **place(DOUBLE, BATCH))
    school.ask("/v1/view/update", **place(DOUBLE, BATCH), progressDetails={"progress": 40})
    for content in LEAVES:
        school.complete(content)
    school.enrol(BATCH)
    completed = school.ask("/v1/summary/read", collectionId=MATHS, contextId=BATCH)
    assert (completed["status"], completed["completionPercentage"]) == (2, 100)
    for content, left in ((SINGLE, (0, 0)), (DOUBLE, (1, 40))):
        record = school.read(content, BATCH)["origin"]
        for _ in range(2):  # again: nothing more happens
            done = school.server.manage("carry_forward", "--user", school.user, "--undo", record)
            assert done.returncode == 0, done.stderr
        item = school.read(content, BATCH)
        assert (item["status"], item["progress"], item["origin"]) == (*left, None)
        told = school.explain(content, BATCH)
        assert (told["status"], told["decision"]["refusal"]) == (left[0], "undone")
    summary = school.ask("/v1/summary/read", collectionId=MATHS, contextId=BATCH)
    assert (summary["status"], summary["progress"], summary["completedOn"]) == (1, 1, None)
    school.server.manage("carry_forward", "--user", school.user)
    assert school.read(SINGLE, BATCH)["status"] == 0
    school.complete(SINGLE, BATCH)
    assert school.read(SINGLE, BATCH)["status"] == 2, "his own completion counts"


def test_what_cannot_be_taken_back_is_told(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    record = school.read(SINGLE, BATCH)["origin"]
    school.complete(SINGLE, BATCH)
    for arguments, told in (
        (("--user", school.user, "--undo", record), "no longer as carry"),
        (("--user", school.user, "--undo", "no-such-record"), "has no carry"),
        (("--undo", record), "--undo needs the --user"),
    ):
        done = school.server.manage("carry_forward", *arguments)
        assert done.returncode == 1
        assert told in done.stderr


def summary_explained(school: School, **fields: str) -> Any:
    params = {"userId": school.user, "collectionId": MATHS, "contextId": BATCH, **fields}
    return school.server.client.get(f"{school.server.url}/v1/summary/explain", params=params)


def test_an_enrolment_is_explained_by_what_counts_and_what_is_missing(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    school.ask("/v1/view/start", **place(DOUBLE, BATCH))
    answer = summary_explained(school)
    assert answer.status_code == 200, answer.text
    told = answer.json()["result"]
    record = school.ask("/v1/summary/read", collectionId=MATHS, contextId=BATCH)
    for name in ("status", "progress", "completionPercentage", "completedOn"):
        assert told[name] == record[name]
    assert (told["required"], told["completed"], told["inProgress"]) == (3, [SINGLE], [DOUBLE])
    assert told["notStarted"] == [TRIPLE]
    assert told["carried"] == {SINGLE: school.read(SINGLE, BATCH)["origin"]}
    assert told["sentences"][0] == "The enrolment is at 33 %: 1 of 3 contents that count are done."
    assert f"Carried here from elsewhere: {SINGLE}." in told["sentences"]


@pytest.mark.parametrize(
    ("fields", "status"), [({"contextId": ""}, 400), ({"collectionId": ""}, 400), ({"contextId": "batch-2"}, 404)]
)
def test_an_explanation_of_no_enrolment_is_refused_as_its_reading_is(
    school: School, fields: dict[str, str], status: int
) -> None:
    answer = summary_explained(school, **fields)
    assert answer.status_code == status
    assert answer.json()["id"] == "api.summary.explain"


# --- found by review --------------------------------------------------------------------------------------------------


def test_what_is_written_over_a_hidden_copy_is_shown_and_kept(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    assert school.read(SINGLE, BATCH)["status"] == 2
    school.set_mode("strict")
    try:
        school.ask("/v1/view/start", **place(SINGLE, BATCH))
        school.ask("/v1/view/update", **place(SINGLE, BATCH), progressDetails={"progress": 60}, timespent=30)
        item = school.read(SINGLE, BATCH)
        assert (item["status"], item["progress"], item["timespent"], item["origin"]) == (1, 60, 30, None)
    finally:
        school.set_mode("copy_content")
    item = school.read(SINGLE, BATCH)
    assert (item["status"], item["timespent"]) == (2, 30), "and under a mode that copies it is carried again"


def test_a_sync_over_a_hidden_copy_is_shown_too(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    school.read(SINGLE, BATCH)
    school.set_mode("strict")
    try:
        event = {"id": "e-1", "type": "start", "ts": 1_700_000_000_000, **place(SINGLE, BATCH)}
        done = school.ask("/v1/view/sync", events=[event])
        assert [one["status"] for one in done["results"]] == ["applied"]
        assert school.read(SINGLE, BATCH)["status"] == 1
    finally:
        school.set_mode("copy_content")


def test_the_attempts_of_a_hidden_copy_are_hidden_however_they_are_asked_for(school: School) -> None:
    answered = {"eid": "ASSESS", "ets": 1_700_000_000_000, "edata": {"item": {"id": "q1", "maxscore": 2}, "score": 2}}
    school.ask("/v1/assessment/submit", contentId=SINGLE, attemptId="try-1", assessments=[answered])
    school.enrol(BATCH)
    school.read(SINGLE, BATCH)
    school.set_mode("strict")
    try:
        for fields in (place(SINGLE, BATCH), {"collectionId": MATHS, "contextId": BATCH}):
            found = school.ask("/v1/assessment/read", **fields)
            assert found["assessments"] == []
            assert [one["attempts"] for one in found["contents"]] in ([0], [])
        assert school.ask("/v1/assessment/read", **place(SINGLE))["count"] == 1
    finally:
        school.set_mode("copy_content")


def test_a_completion_in_a_collection_nobody_knows_is_carried(school: School) -> None:
    school.enrol(BATCH)
    school.ask("/v1/view/end", force=True, contentId=SINGLE, collectionId="unknown-course", contextId="b")
    assert school.read(SINGLE, BATCH)["status"] == 2


def test_the_best_context_of_a_collection_is_the_one_with_the_most_progress(school: School) -> None:
    for context in ("aa", "bb"):
        fields = {"collectionId": MATHS, "contextId": context, "contentId": SINGLE}
        school.ask("/v1/view/start", **fields)
        if context == "bb":
            school.ask("/v1/view/update", **fields, progressDetails={"progress": 70})
    (item,) = school.ask("/v1/view/read", collectionId=MATHS, contentId=SINGLE)["contents"]
    assert (item["contextId"], item["progress"]) == ("bb", 70)


def test_an_imported_completion_is_the_learners_own(school: School) -> None:
    school.enrol(BATCH)
    school.complete(SINGLE)
    where = {"userid": school.user, "courseid": MATHS, "batchid": OTHER}
    line = {"table": "user_enrolments", **where, "active": True, "contentstatus": {SINGLE: 2}}
    done = school.server.manage("import_progress", "-", stdin=json.dumps(line))
    assert done.returncode == 0, done.stderr + done.stdout
    assert school.explain(SINGLE, OTHER)["decision"]["refusal"] == "own_completion"
    assert school.read(SINGLE, OTHER)["origin"] is None


def test_enrolling_while_completing_carries_everything_whoever_is_first(school: School) -> None:
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(school.complete, content) for content in LEAVES]
        waiting += [pool.submit(school.enrol, context) for context in (BATCH, OTHER)]
        for one in waiting:
            one.result()
    for context in (BATCH, OTHER):
        found = [school.read(content, context) for content in LEAVES]
        assert [one["status"] for one in found] == [2, 2, 2]
        assert all(one["origin"] for one in found)
    assert numbers(school) == {BATCH: (2, 3, 100), OTHER: (2, 3, 100)}


def test_a_completion_here_and_one_elsewhere_at_once_leave_the_own_one(school: School) -> None:
    school.enrol(BATCH)
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(school.complete, content, context) for content in LEAVES for context in (None, BATCH)]
        for one in waiting:
            one.result()
    found = [school.read(content, BATCH) for content in LEAVES]
    assert [(one["status"], one["origin"]) for one in found] == [(2, None)] * 3


def test_an_undo_that_is_sent_again_takes_nothing_of_what_came_after(school: School) -> None:
    for content in LEAVES:
        school.complete(content)
    school.enrol(BATCH)
    record = school.read(SINGLE, BATCH)["origin"]
    assert numbers(school) == {BATCH: (2, 3, 100)}
    assert school.server.manage("carry_forward", "--user", school.user, "--undo", record).returncode == 0
    assert numbers(school) == {BATCH: (1, 2, 66)}
    school.complete(SINGLE, BATCH)
    before = school.whole()
    assert numbers(school) == {BATCH: (2, 3, 100)}
    assert school.server.manage("carry_forward", "--user", school.user, "--undo", record).returncode == 0
    assert school.whole() == before


def test_an_undo_that_was_killed_half_way_is_finished_by_whoever_folds_next(school: School) -> None:
    for content in LEAVES:
        school.complete(content)
    school.enrol(BATCH)
    record = school.read(SINGLE, BATCH)["origin"]
    assert numbers(school) == {BATCH: (2, 3, 100)}
    only_taken_back = (
        "from viewer import carrying; from common.timestamps import now; "
        f"carrying.undo('{school.user}', '{record}', now())"
    )
    done = school.server.manage("shell", "-v0", "-c", only_taken_back)
    assert done.returncode == 0, done.stderr
    assert numbers(school) == {BATCH: (1, 2, 66)}


def test_three_batches_in_a_row_copy_from_the_one_where_it_was_done(school: School) -> None:
    school.enrol(BATCH)
    school.complete(SINGLE, BATCH)
    school.enrol(OTHER)
    school.ask("/v1/program/enroll", programId="program-abc", batchId="program-batch-1")
    for context in (OTHER, "program-batch-1"):
        assert school.explain(SINGLE, context)["carried"]["source"] == [MATHS, BATCH, SINGLE]
    told = school.explain(SINGLE, "program-batch-1")["decision"]["candidates"]
    assert [one["contextId"] for one in told] == [BATCH], "a copy is never the source of another"


def test_the_explanation_of_what_strict_hides_says_that_it_is_hidden(school: School) -> None:
    school.complete(SINGLE)
    school.enrol(BATCH)
    assert school.read(SINGLE, BATCH)["status"] == 2
    school.set_mode("strict")
    try:
        told = school.explain(SINGLE, BATCH)
        assert (told["status"], told["origin"], told["row"]) == (0, None, None)
        assert told["carried"] is None
        words = " ".join(told["sentences"])
        assert "is hidden in this mode" in words
        assert "The answer is the learner's row" not in words
    finally:
        school.set_mode("copy_content")
