"""Assess events of view/sync: the same fields as submit, each with its own result, beside the other events."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.assessments import answers, best, event, tries
from tests.api.wire import BATCH, DOUBLE, MATHS, SINGLE, ago, now_ms, place, refusal, sync, view
from tests.servers import Server

Learner = Callable[..., str]
WHERE = {"collectionId": MATHS, "contextId": BATCH}


def item(id_: str, kind: str, ts: object = None, content: str = SINGLE, /, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": kind, "ts": ts, **WHERE, "contentId": content, **more}


def assess(id_: str, ts: object, score: float = 1, content: str = SINGLE, /, **more: Any) -> dict[str, Any]:
    """An attempt of three questions, answered alike."""
    return item(id_, "assess", ts, content, **{"assessments": answers(3, score), "assessmentTs": ts, **more})


def told(results: list[dict[str, Any]]) -> list[tuple[str | None, str, str | None]]:
    return [(result["id"], result["status"], result["err"]) for result in results]


def afternoon() -> list[dict[str, Any]]:
    """Rahul reads, is tested, reads on; and is tested in another content three times."""
    return [
        item("s", "start", ago(hours=9)),
        item("u", "update", ago(hours=8), timespent=5, progressDetails={"progress": 40}),
        assess("a", ago(hours=7), 0.5),
        assess("d1", ago(hours=6), 1, DOUBLE),
        assess("d2", ago(hours=5), 0.1, DOUBLE),
        assess("d3", ago(hours=4), 2, DOUBLE, attemptId="own"),
        item("e", "end", ago(hours=3)),
    ]


def state(server: Server, user: str) -> list[Any]:
    contents = (SINGLE, DOUBLE)
    return [(view(server, place(user, one)), best(server, user, one), tries(server, user, one)) for one in contents]


def test_assess_events_are_applied_beside_the_others(server: Server, learner: Learner) -> None:
    user = learner()
    results = sync(server, user, afternoon())
    assert told(results)[:-1] == [(name, "applied", None) for name in ("s", "u", "a", "d1", "d2", "d3")]
    assert told(results)[-1] == ("e", "older", None)
    done = view(server, place(user))
    assert (done["status"], done["timespent"], done["lastCompletedTime"]) == (2, 5, ago(hours=7))
    assert best(server, user) == (1.5, 3.0, 1)
    assert best(server, user, DOUBLE) == (6.0, 3.0, 3)
    assert [one[0] == "own" for one in tries(server, user, DOUBLE)] == [True, False, False]
    assert view(server, place(user, DOUBLE))["lastCompletedTime"] == ago(hours=6)


@pytest.mark.parametrize("seed", range(4))
def test_order_of_the_events_does_not_matter(server: Server, learner: Learner, seed: int) -> None:
    in_order, shuffled = learner(), learner()
    sync(server, in_order, afternoon())
    sync(server, shuffled, random.Random(seed).sample(afternoon(), 7))
    without_ids = [
        [(seen, scored, [one[1:] for one in tried]) for seen, scored, tried in state(server, user)]
        for user in (in_order, shuffled)
    ]
    assert without_ids[0] == without_ids[1]


def test_replay_is_a_duplicate_and_changes_nothing(server: Server, learner: Learner) -> None:
    user = learner()
    sync(server, user, afternoon())
    before = state(server, user)
    for replay in (afternoon(), afternoon()[::-1], afternoon()[2:4]):
        results = {result["id"]: result["status"] for result in sync(server, user, replay)}
        assert {status for name, status in results.items() if name in {"a", "d1", "d2", "d3"}} == {"duplicate"}
        assert state(server, user) == before


def test_assess_goes_between_update_and_end_of_its_instant(server: Server, learner: Learner) -> None:
    user, when = learner(), ago(hours=1)
    events = [
        item("e", "end", when),
        assess("a", when),
        item("u", "update", when, timespent=7),
        item("s", "start", when),
    ]
    assert told(sync(server, user, events)) == [
        ("e", "older", None), ("a", "applied", None), ("u", "applied", None), ("s", "applied", None),
    ]  # fmt: skip
    assert view(server, place(user))["timespent"] == 7


def test_attempt_sent_twice_in_one_call_counts_once(server: Server, learner: Learner) -> None:
    user = learner()
    results = sync(server, user, [assess("a", ago(hours=1)), assess("a", ago(hours=1)), assess("b", ago(hours=1))])
    assert told(results) == [("a", "applied", None), ("a", "duplicate", None), ("b", "duplicate", None)]
    assert best(server, user) == (3.0, 3.0, 1)


def test_sync_and_submit_of_one_attempt_are_the_same(server: Server, learner: Learner) -> None:
    user = learner()
    sync(server, user, [assess("a", ago(hours=1))])
    before = state(server, user)
    server.result("/v1/assessment/submit", place(user, assessments=answers(3), assessmentTs=ago(hours=1)))
    assert state(server, user) == before


def test_older_account_of_an_attempt_adds_nothing(server: Server, learner: Learner) -> None:
    user = learner()
    sync(server, user, [assess("a", ago(hours=1), 1, attemptId="A")])
    late = sync(server, user, [assess("b", ago(hours=2), 9, attemptId="A")])
    assert told(late) == [("b", "applied", None)], "it completed the view earlier than known"
    assert view(server, place(user))["lastCompletedTime"] == ago(hours=2)
    assert told(sync(server, user, [assess("c", ago(minutes=90), 9, attemptId="A")])) == [("c", "duplicate", None)]
    assert tries(server, user) == [("A", 3.0, 3.0, ago(hours=1))]


def test_time_of_the_event_is_the_attempts_when_nothing_else_tells_it(server: Server, learner: Learner) -> None:
    user, before = learner(), now_ms()
    timeless = [{"questionId": "q", "score": 1, "maxScore": 1}]
    sync(server, user, [item("a", "assess", 1000, assessments=timeless)])
    sync(server, user, [item("b", "assess", assessments=timeless)])
    sync(server, user, [item("b", "assess", assessments=timeless)])
    first, second = (one[3] for one in tries(server, user))
    assert before <= first <= now_ms()
    assert second == 1000


def test_same_id_with_other_answers_is_a_conflict_and_nothing_is_kept(server: Server, learner: Learner) -> None:
    user = learner()
    assert told(sync(server, user, [assess("a", ago(hours=1), 1)])) == [("a", "applied", None)]
    for events in ([assess("a", ago(minutes=1), 9)], [item("a", "assess", events=answers(1))]):
        (result,) = sync(server, user, events)
        assert (result["status"], result["err"], result["code"]) == ("rejected", "ERR_EVENT_CONFLICT", 409)
    other = learner()
    results = sync(server, other, [assess("a", ago(hours=1), 9), assess("a", ago(hours=2), 1)])
    assert [result["status"] for result in results] == ["rejected", "applied"]
    for one in (user, other):
        assert best(server, one) == (3.0, 3.0, 1)


BAD: list[tuple[dict[str, Any], str, int]] = [
    ({"id": None}, "ERR_MISSING_FIELD", 400),
    ({"assessments": None}, "ERR_MISSING_FIELD", 400),
    ({"assessments": []}, "ERR_NO_ANSWERS", 400),
    ({"assessments": [{}]}, "ERR_MISSING_FIELD", 400),
    ({"assessments": "x"}, "ERR_INVALID_FIELD", 400),
    ({"assessments": [event("q", "lots")]}, "ERR_INVALID_FIELD", 400),
    ({"assessments": [event("q", 1, "soon")]}, "ERR_INVALID_TIME", 400),
    ({"assessments": answers(1001)}, "ERR_TOO_MANY", 400),
    ({"assessmentTs": "x"}, "ERR_INVALID_TIME", 400),
    ({"ts": "x"}, "ERR_INVALID_TIME", 400),
    ({"ts": 10**30}, "ERR_INVALID_TIME", 400),
    ({"attemptId": "a/b"}, "ERR_INVALID_ID", 400),
    ({"contentId": None}, "ERR_MISSING_FIELD", 400),
    ({"contentId": "do_1"}, "ERR_NOT_IN_COLLECTION", 400),
    ({"collectionId": None}, "ERR_CONTEXT_WITHOUT_COLLECTION", 400),
    ({"collectionId": "do_214157026482000001", "contentId": "do_214157026482000139", "assessments": answers(9)},
     "ERR_TOO_MANY_QUESTIONS", 400),
    ({"userId": "meera"}, "ERR_FORBIDDEN_USER", 403),
    ({"assessments": [{"userId": "meera", "events": answers(1)}]}, "ERR_FORBIDDEN_USER", 403),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "code", "status"), BAD, ids=[f"{row[1]} {str(row[0])[:40]}" for row in BAD])
def test_bad_assess_is_rejected_and_never_fails_the_rest(
    server: Server, learner: Learner, bad: dict[str, Any], code: str, status: int
) -> None:
    user = learner()
    events = [item("s", "start", ago(hours=2)), assess("bad", ago(hours=1), 1, DOUBLE) | bad, assess("a", ago(hours=1))]
    results = sync(server, user, events)
    assert [result["status"] for result in results] == ["applied", "rejected", "applied"]
    assert (results[1]["err"], results[1]["code"]) == (code, status)
    assert isinstance(results[1]["errmsg"], str)
    assert best(server, user) == (3.0, 3.0, 1)
    assert best(server, user, DOUBLE) == (None, None, 0)
    assert view(server, place(user, DOUBLE))["status"] == 0


def test_unknown_type_names_those_there_are(server: Server, learner: Learner) -> None:
    (result,) = sync(server, learner(), [item("a", "submit")])
    assert (result["err"], result["errmsg"]) == ("ERR_INVALID_FIELD", "type must be start, update, end or assess")


def test_500_attempts_are_taken_in_one_call(server: Server, learner: Learner) -> None:
    user = learner()
    events = [assess(f"a{number}", ago(minutes=number), number % 5) for number in range(500)]
    assert {result["status"] for result in sync(server, user, events)} == {"applied"}
    assert best(server, user) == (12.0, 3.0, 500)
    assert view(server, place(user))["lastCompletedTime"] == ago(minutes=499)
    assert {result["status"] for result in sync(server, user, events)} == {"duplicate"}


def test_501_attempts_are_refused_and_none_is_kept(server: Server, learner: Learner) -> None:
    user = learner()
    events = [assess(f"a{number}", ago(minutes=number)) for number in range(501)]
    refusal(server.call("/v1/view/sync", {"userId": user, "events": events}), 400, "ERR_TOO_MANY")
    assert best(server, user) == (None, None, 0)
