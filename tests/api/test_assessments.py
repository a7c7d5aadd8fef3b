"""Assessment submit over HTTP: what stays of each attempt, and whose (seed: Content Submit Assess; DESIGN §9)."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests import servers
from tests.api.assessments import GATEWAY, SCORES, SUBMIT, answers, best, event, read, submission, submit, tries
from tests.api.tokens import Key
from tests.api.wire import BATCH, DOUBLE, MATHS, SINGLE, START, ago, now_ms, place, refusal, view
from tests.servers import Server

Learner = Callable[..., str]

# Of the sample catalogue: two courses, their self-assessments and how many questions these have.
COURSE, STORIES = "do_214157026482000001", "do_214157026482000002"
SAMPLE = [
    (COURSE, "do_214157026482000139", 8),
    (COURSE, "do_214157026482000148", 12),
    (STORIES, "do_214157026482000155", 5),
]

SPEC_SUBMIT = """{
    "request": {
        "userId": "{{userId}}",
        "collectionId" : "{{collectionId}}",
        "contextId": "{{batchId}}",
        "contentId": "{{contentId}}",
        "assessments": [{{assess_event}}]
    }
}"""
SPEC_READ = """{
    "request": {
        "userId": "{{userId}}",
        "contentId": ["{{contentId}}", "do_1234"],
        "collectionId" : "{{collectionId}}",
        "contextId": "{{batchId}}"
   }
}"""


# --- the seeds' examples ------------------------------------------------------------------------------------------


@pytest.fixture(params=[str, GATEWAY.__getitem__], ids=["v1", "gateway"])
def family(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Both forms of every path."""
    chosen: Callable[[str], str] = request.param
    return chosen


def _filled(template: str, user: str) -> dict[str, Any]:
    values = {"userId": user, "collectionId": MATHS, "batchId": BATCH, "contentId": SINGLE}
    for name, value in values.items():
        template = template.replace("{{" + name + "}}", value)
    filled: dict[str, Any] = json.loads(template.replace("{{assess_event}}", json.dumps(event("q1", 0.5))))
    return filled


def _assert_envelope(body: dict[str, Any], api_id: str) -> None:
    assert list(body) == ["id", "ver", "ts", "params", "responseCode", "result"]
    assert (body["id"], body["ver"], body["responseCode"]) == (api_id, "v1", "OK")
    assert {name: body["params"][name] for name in ("resmsgid", "err", "status", "errmsg")} == {
        "resmsgid": None, "err": None, "status": "success", "errmsg": None,
    }  # fmt: skip


def test_submit_and_read_answer_as_the_spec_shows(
    server: Server, learner: Learner, family: Callable[[str], str]
) -> None:
    user = learner()
    body = server.client.post(family(SUBMIT), json=_filled(SPEC_SUBMIT, user)).json()
    _assert_envelope(body, "api.view.assess")
    assert body["result"] == {SINGLE: "SUCCESS"}
    body = server.client.post(family(SCORES), json=_filled(SPEC_READ, user)).json()
    _assert_envelope(body, "api.assessment.read")
    result = body["result"]
    assert list(result) == ["userId", "collectionId", "contextId", "contents", "assessments", "count"]
    assert (result["userId"], result["collectionId"], result["contextId"]) == (user, MATHS, BATCH)
    where = {"collectionId": MATHS, "contextId": BATCH}
    assert result["contents"] == [
        {"identifier": SINGLE, "contentId": SINGLE, **where, "score": 0.5, "max_score": 1.0, "attempts": 1},
        {"identifier": "do_1234", "contentId": "do_1234", **where, "score": None, "max_score": None, "attempts": 0},
    ]
    (attempt,) = result["assessments"]
    assert len(attempt.pop("attemptId")) == 32
    assert 0 <= now_ms() - attempt.pop("createdOn") < 60_000
    assert attempt == {
        "identifier": SINGLE, "contentId": SINGLE, **where, "score": 0.5, "max_score": 1.0, "grandTotal": "0.5/1.0",
        "lastAttemptedOn": ago(hours=1),
    }  # fmt: skip
    assert result["count"] == 1


def test_submit_completes_the_view_at_the_time_of_the_attempt(server: Server, learner: Learner) -> None:
    user = learner()
    submit(server, user, event("q1", 0), assessmentTs=ago(hours=3))
    item = view(server, place(user))
    assert (item["status"], item["progress"], item["viewCount"]) == (2, 100, 1)
    assert (item["lastAccessTime"], item["lastCompletedTime"]) == (ago(hours=3), ago(hours=3))


def test_submit_completes_a_view_in_progress_and_leaves_a_completed_one(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(START, place(user, progressDetails={"page": 1}))
    submit(server, user, event("q1", 1), assessmentTs=ago(hours=3))
    before = view(server, place(user))
    assert (before["status"], before["progressDetails"]) == (2, {"page": 1})
    submit(server, user, event("q1", 0), assessmentTs=ago(hours=1))
    assert view(server, place(user)) == before
    assert best(server, user) == (1.0, 1.0, 2)


def test_legacy_names_and_shapes_say_the_same(server: Server, learner: Learner) -> None:
    ts = ago(hours=2)
    inner = {"assessmentTs": ts, "attemptId": "A", "events": [event("q1", 1)]}
    ids = {"contentId": SINGLE, "courseId": MATHS, "batchId": BATCH}
    said: list[dict[str, Any]] = [
        {**ids, "assessments": [event("q1", 1)], "attemptId": "A", "assessmentTs": ts},
        {**ids, "events": [event("q1", 1)], "attemptId": " A ", "assessmentTimestamp": str(ts)},
        {**ids, "assessments": [inner], "score": "junk", "maxScore": [], "force": "perhaps", "x": {}},
        {**ids, "assessments": [{**ids, **inner}], "attemptid": "A"},
        {"assessments": [{**ids, **inner, "userId": "USER"}]},
        {**ids, "ASSESSMENTS": [event("q1", "1", str(ago(hours=1)), "1")], "attemptId": "A",
         "assessmentTs": f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M:%S}:000+0000"},
        {**ids, "assessments": [{"questionId": "q1", "score": 1, "maxScore": "1", "timestamp": ts}], "attemptId": "A",
         "assessmentTs": f"{datetime.fromtimestamp(ts / 1000, UTC) + timedelta(hours=5.5):%Y-%m-%dT%H:%M:%S}+05:30"},
    ]  # fmt: skip
    for request in said:
        user = learner()
        own = json.loads(json.dumps({"userId": user, **request}).replace('"USER"', json.dumps(user)))
        assert server.result(SUBMIT, own) == {SINGLE: "SUCCESS"}
        assert tries(server, user) == [("A", 1.0, 1.0, ts)], request
        assert view(server, place(user))["status"] == 2


def test_several_attempts_in_one_call_are_each_kept(server: Server, learner: Learner) -> None:
    user = learner()
    sent = [
        {"attemptId": "A", "assessmentTs": ago(hours=2), "events": [event("q1", 1), event("q2", 0.33)]},
        {"assessmentTs": ago(hours=3), "events": [event("q1", 0)]},
        {"assessmentTs": ago(hours=1), "events": [event("q1", 0.5)], "contentId": SINGLE},
    ]
    assert server.result(SUBMIT, place(user, assessments=sent)) == {SINGLE: "SUCCESS"}
    assert [one[1:] for one in tries(server, user)] == [
        (0.5, 1.0, ago(hours=1)),
        (1.33, 2.0, ago(hours=2)),
        (0.0, 1.0, ago(hours=3)),
    ]
    assert best(server, user) == (1.33, 2.0, 3)
    item = view(server, place(user))
    assert (item["lastAccessTime"], item["lastCompletedTime"]) == (ago(hours=1), ago(hours=3))


def test_assessment_outside_any_course_has_a_row_of_its_own(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(SUBMIT, {"userId": user, "contentId": SINGLE, "assessments": [event("q1", 1)]})
    assert best(server, user) == (None, None, 0)
    result = server.result(SCORES, {"userId": user, "contentId": SINGLE})
    assert (result["collectionId"], result["contextId"], result["count"]) == (SINGLE, SINGLE, 1)
    assert view(server, {"userId": user, "contentId": SINGLE})["status"] == 2


# --- which account of an attempt stays ----------------------------------------------------------------------------


def test_pipeline_fixture_ends_as_the_pipeline_does(server: Server, learner: Learner) -> None:
    """facts/pipeline.md §4: attempt A, an older account of it, a newer one, then attempt B."""
    user = learner()
    first = [event("q801", 0, 1), event("q801", 0, 2), event("q801", 1, 3), event("q2bc", 0.33, 3)]
    submit(server, user, *first, attemptId="A", assessmentTs=1568891729576)
    assert best(server, user) == (1.33, 2.0, 1)
    submit(server, user, event("q801", 1), event("q2bc", 1), attemptId="A", assessmentTs=1567073236195)
    assert tries(server, user) == [("A", 1.33, 2.0, 1568891729576)]
    newer = [event("q801", 1, 1), event("q801", 0, 2), event("q801dr", 1), event("q2bc", 1)]
    submit(server, user, *newer, attemptId="A", assessmentTs=1587988642000)
    submit(server, user, *first, event("q3", 0), attemptId="B", assessmentTs=1568891735461)
    assert tries(server, user) == [("A", 2.0, 3.0, 1587988642000), ("B", 1.33, 3.0, 1568891735461)]
    assert [one["grandTotal"] for one in read(server, user)["assessments"]] == ["2.0/3.0", "1.33/3.0"]
    assert best(server, user) == (2.0, 3.0, 2)


def test_4_of_10_beats_3_of_3(server: Server, learner: Learner) -> None:
    user = learner()
    submit(server, user, event("q1", 3, None, 3), attemptId="A")
    submit(server, user, event("q1", 4, None, 10), attemptId="B")
    assert best(server, user) == (4.0, 10.0, 2)


def test_newer_submission_keeps_when_the_attempt_was_made(server: Server, learner: Learner) -> None:
    user = learner()
    submit(server, user, event("q1", 0), attemptId="A", assessmentTs=ago(hours=2))
    (made,) = read(server, user)["assessments"]
    submit(server, user, event("q1", 1), attemptId="A", assessmentTs=ago(hours=1))
    (now,) = read(server, user)["assessments"]
    assert now == made | {"score": 1.0, "grandTotal": "1.0/1.0", "lastAttemptedOn": ago(hours=1)}


@pytest.mark.parametrize("scores", [(1, 3), (3, 1)], ids=["lower first", "higher first"])
def test_of_equal_times_the_higher_total_stays(server: Server, learner: Learner, scores: tuple[int, int]) -> None:
    user = learner()
    for score in scores:
        submit(server, user, event("q1", score, None, 5), attemptId="A", assessmentTs=ago(hours=1))
    assert tries(server, user) == [("A", 3.0, 5.0, ago(hours=1))]


@pytest.mark.parametrize(
    "more", [{"attemptId": "A"}, {"assessmentTs": 1568891729576}, {}], ids=["own id", "own time", "times of events"]
)
def test_replay_is_the_same_attempt(server: Server, learner: Learner, more: dict[str, Any]) -> None:
    user = learner()
    states = []
    for _ in range(3):
        submit(server, user, *answers(3), **more)
        states.append((read(server, user), view(server, place(user))))
    assert states[0] == states[1] == states[2]
    assert states[0][0]["count"] == 1


def test_attempts_of_other_times_contents_and_learners_are_others(server: Server, learner: Learner) -> None:
    users, ids = (learner("rahul"), learner("meera")), []
    for user in users:
        for content in (SINGLE, DOUBLE):
            for ts in (1, 2):
                submit(server, user, event("q1", 1), content=content, assessmentTs=ts)
        ids += [one[0] for one in tries(server, user, [SINGLE, DOUBLE])]
    assert len(ids) == len(set(ids)) == 8


def test_attempt_without_any_time_happened_now_and_its_repeated_call_is_the_same(
    server: Server, learner: Learner
) -> None:
    user, before = learner(), now_ms()
    request = place(user, assessments=[{"questionId": "q1", "score": 1, "maxScore": 1}])
    body = {"params": {"msgid": "once"}, "request": request}
    for _ in range(2):
        assert server.client.post(SUBMIT, json=body).status_code == 200
    ((_, score, _, at),) = tries(server, user)
    assert score == 1.0
    assert before <= at <= now_ms()


@pytest.mark.parametrize("ts", [0, 1, -1, "1999-12-31T23:59:59.999Z", ago(days=-3650)], ids=str)
def test_time_of_an_attempt_is_never_clamped_but_its_completion_is(server: Server, learner: Learner, ts: Any) -> None:
    user = learner()
    submit(server, user, event("q1", 1), assessmentTs=ts)
    told = 946684799999 if isinstance(ts, str) else ts
    assert [one[3] for one in tries(server, user)] == [told]
    completed = view(server, place(user))["lastCompletedTime"]
    assert -60_000 < completed - (now_ms() if told > now_ms() else now_ms() - 90 * 86_400_000) <= 0


@pytest.mark.parametrize("seed", range(4))
def test_order_and_repetition_of_submissions_do_not_matter(server: Server, learner: Learner, seed: int) -> None:
    said = [
        {"attemptId": name, "assessmentTs": ago(hours=hours), "assessments": answers(questions, score)}
        for name, hours, questions, score in (
            ("A", 5, 2, 1), ("A", 4, 3, 0.1), ("A", 4, 3, 0.5), ("B", 3, 1, 2), ("B", 2, 1, 1), ("C", 1, 4, 0.35),
        )
    ]  # fmt: skip
    orders = [said, random.Random(seed).sample(said * 2, 2 * len(said))]
    ends = []
    for order in orders:
        user = learner()
        for one in order:
            server.result(SUBMIT, place(user, **one))
        item = view(server, place(user))
        ends.append((tries(server, user), best(server, user), item["status"], item["lastCompletedTime"]))
    assert ends[0] == ends[1]
    assert ends[0][:2] == (
        [("C", 1.4, 4.0, ago(hours=1)), ("B", 1.0, 1.0, ago(hours=2)), ("A", 1.5, 3.0, ago(hours=4))],
        (1.5, 3.0, 3),
    )


# --- the catalogue ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("course", "quiz", "total"), SAMPLE)
def test_self_assessments_of_the_sample_take_as_many_questions_as_they_have(
    server: Server, learner: Learner, course: str, quiz: str, total: int
) -> None:
    user = learner()
    where = {"userId": user, "courseId": course, "batchId": "b", "contentId": quiz}
    message = f"{total + 1} questions were answered, {quiz} has only {total}"
    too_many = server.call(SUBMIT, {**where, "assessments": answers(total + 1)})
    assert refusal(too_many, 400, "ERR_TOO_MANY_QUESTIONS")["result"] == {"assessments": message}
    assert view(server, where)["status"] == 0
    server.result(SUBMIT, {**where, "assessments": answers(total) + answers(total, 0.5, ago(minutes=1))})
    found: Any = server.result(SCORES, where)["contents"]
    assert [(item["score"], item["max_score"], item["attempts"]) for item in found] == [(total / 2, total, 1)]
    assert view(server, where)["status"] == 2


@pytest.mark.parametrize("content", ["do_1", SAMPLE[2][1], MATHS])
def test_content_outside_a_known_collection_is_refused(server: Server, learner: Learner, content: str) -> None:
    user = learner()
    answer = server.call(SUBMIT, submission(user, event("q1", 1), content=content))
    message = f"{content} is not a content of {MATHS}"
    assert refusal(answer, 400, "ERR_NOT_IN_COLLECTION")["result"] == {"contentId": message}
    assert read(server, user, content)["count"] == 0
    assert view(server, place(user, content))["status"] == 0


def test_unknown_collection_takes_any_content(server: Server, learner: Learner) -> None:
    user = learner()
    where = {"userId": user, "collectionId": "nobody-knows", "contentId": "do_1"}
    server.result(SUBMIT, {**where, "assessments": answers(100)})
    assert server.result(SCORES, where)["count"] == 1


def test_collection_loaded_a_moment_ago_is_known(server: Server, learner: Learner) -> None:
    """A tree is kept for a second; a refusal reads it anew first."""
    name = learner("course")
    leaf = {"identifier": "do_1", "mimeType": "application/pdf", "name": "One"}
    tree = {
        "identifier": name, "name": name, "mimeType": "application/vnd.ekstep.content-collection",
        "contentType": "Course", "status": "Live", "leafNodesCount": 1, "children": [leaf],
    }  # fmt: skip

    def load(children: list[dict[str, Any]]) -> None:
        document = {"collections": [{**tree, "children": children, "leafNodesCount": len(children)}]}
        loaded = server.manage("load_catalogue", "-", stdin=json.dumps(document))
        assert loaded.returncode == 0, loaded.stderr

    user = learner()
    where = {"userId": user, "collectionId": name, "contentId": "do_2"}
    load([leaf])
    refusal(server.call(SUBMIT, {**where, "assessments": answers(1)}), 400, "ERR_NOT_IN_COLLECTION")
    load([leaf, {**leaf, "identifier": "do_2"}])
    server.result(SUBMIT, {**where, "assessments": answers(1)})


# --- whose it is --------------------------------------------------------------------------------------------------


def test_attempt_of_another_learner_is_403_and_nothing_is_done(server: Server, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    inner = {"userId": meera, "events": [event("q1", 1)]}
    for sent in ([inner], [{"events": [event("q1", 1)]}, inner]):
        answer = server.call(SUBMIT, place(rahul, assessments=sent))
        assert list(refusal(answer, 403, "ERR_FORBIDDEN_USER")["result"]) == ["userId"]
    for user in (rahul, meera):
        assert best(server, user) == (None, None, 0)
        assert view(server, place(user))["status"] == 0


def test_token_decides_whose_attempt_it_is(tmp_path_factory: pytest.TempPathFactory, learner: Learner) -> None:
    rahul, meera, key = learner("rahul"), learner("meera"), Key.rsa()
    folder = tmp_path_factory.mktemp("guarded")
    with servers.running(folder, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=key.pem) as guarded:
        own = {"headers": {"Authorization": f"Bearer {key.token(rahul)}"}}
        request = {"contentId": SINGLE, "assessments": [{"userId": rahul, "events": [event("q1", 1)]}]}
        for path in (SUBMIT, SCORES):
            refusal(guarded.call(path, request), 401, "ERR_UNAUTHORIZED")
            refusal(guarded.call(path, {**request, "userId": meera}, **own), 403, "ERR_FORBIDDEN_USER")
        inner = {**request, "assessments": [{"userId": meera, "events": [event("q1", 1)]}]}
        refusal(guarded.call(SUBMIT, inner, **own), 403, "ERR_FORBIDDEN_USER")
        assert guarded.result(SCORES, request, **own)["count"] == 0
        assert guarded.result(SUBMIT, request, **own) == {SINGLE: "SUCCESS"}
        assert guarded.result(SCORES, request, **own) | {"assessments": []} == {
            "userId": rahul, "collectionId": SINGLE, "contextId": SINGLE, "count": 1, "assessments": [],
            "contents": [{"identifier": SINGLE, "contentId": SINGLE, "collectionId": SINGLE, "contextId": SINGLE,
                          "score": 1.0, "max_score": 1.0, "attempts": 1}],
        }  # fmt: skip


def test_federated_ids_of_one_learner_agree(server: Server, learner: Learner) -> None:
    user = learner()
    inner = {"userId": f"f:keycloak:{user}", "events": [event("q1", 1)]}
    server.result(SUBMIT, place(user, assessments=[inner]))
    assert best(server, user) == (1.0, 1.0, 1)


# --- the OpenAPI document -----------------------------------------------------------------------------------------


def test_document_tells_both_calls_and_their_answers_match_it(server: Server, learner: Learner) -> None:
    document = yaml.safe_load(server.client.get("/schema").text)
    user = learner()
    requests = [submission(user, *answers(2)), place(user, "never"), {"userId": user, "collectionId": MATHS}, {}]
    for path in (SUBMIT, SCORES):
        (method,) = document["paths"][path]
        call = document["paths"][path][method]
        assert set(call["responses"]) == {"200", "400", "401", "403", "413", "503"}
        assert GATEWAY[path] not in document["paths"]
        for request in requests:
            answer = server.call(path, request)
            schema = call["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
            Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)  # what this looks at is the same on both tiers
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("path", [SUBMIT, SCORES])
def test_requests_made_from_the_document_meet_no_server_error(
    server: Server, learner: Learner, path: str, mode: str
) -> None:
    operation = schemathesis.openapi.from_url(f"{server.url}/schema")[path]["POST"]
    user = learner()

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def run(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("request"), dict):
            case.body["request"]["userId"] = user
        answer = case.call()
        checks = [not_a_server_error] + [response_schema_conformance] * (answer.status_code < 300)
        case.validate_response(answer, checks=checks)

    run()
