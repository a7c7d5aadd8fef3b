"""view/sync (DESIGN §6): what a phone collected offline, in any order, each event with its own result."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.wire import (
    BATCH,
    DOUBLE,
    END,
    MATHS,
    SINGLE,
    START,
    SYNC,
    TRIPLE,
    UPDATE,
    ago,
    contents,
    now_ms,
    place,
    refusal,
    sync,
    view,
)
from tests.servers import Server

Learner = Callable[..., str]
WHERE = {"collectionId": MATHS, "contextId": BATCH}


def event(id_: str, kind: str, ts: object = None, content: str = SINGLE, **more: Any) -> dict[str, Any]:
    """One event of class-1-maths in batch-1."""
    return {"id": id_, "type": kind, "ts": ts, **WHERE, "contentId": content, **more}


def afternoon() -> list[dict[str, Any]]:
    """Rahul's offline afternoon: one content completed, one in progress, one read outside any course."""
    return [
        event("e1", "start", ago(hours=5)),
        event("e2", "update", ago(hours=4), timespent=60.5, progressDetails={"progress": 40, "page": 4}),
        event("e3", "update", ago(hours=3), timespent=30, progressDetails={"progress": 80, "page": 8}),
        event("e4", "end", ago(hours=2), timespent=9.5),
        event("e5", "start", ago(hours=2), DOUBLE),
        event("e6", "update", ago(hours=1), DOUBLE, timespent=5, progressDetails={"progress": 20}),
        {"id": "e7", "type": "start", "ts": ago(minutes=50), "contentId": TRIPLE},
        {"id": "e8", "type": "end", "ts": ago(minutes=40), "contentId": TRIPLE},
    ]


def told(results: list[dict[str, Any]]) -> list[tuple[str | None, str, str | None]]:
    return [(result["id"], result["status"], result["err"]) for result in results]


def state(server: Server, user: str) -> list[dict[str, Any]]:
    """Everything the learner has in this suite's places."""
    here = contents(server, {"userId": user, **WHERE})
    return here + contents(server, {"userId": user, "contentId": [SINGLE, DOUBLE, TRIPLE]})


def test_every_event_has_a_result_and_is_applied(server: Server, learner: Learner) -> None:
    user = learner()
    results = sync(server, user, afternoon())
    assert results == [{"id": f"e{n}", "status": "applied", "err": None, "errmsg": None} for n in range(1, 9)]
    done = view(server, place(user))
    assert (done["status"], done["progress"], done["timespent"]) == (2, 100, 100.0)
    assert done["progressDetails"] == {"progress": 80, "page": 8}
    assert (done["lastAccessTime"], done["lastCompletedTime"]) == (ago(hours=2), ago(hours=2))
    half = view(server, place(user, DOUBLE))
    assert (half["status"], half["progress"], half["timespent"]) == (1, 20, 5)
    assert view(server, {"userId": user, "contentId": TRIPLE})["status"] == 2


@pytest.mark.parametrize("seed", range(8))
def test_order_of_the_events_does_not_matter(server: Server, learner: Learner, seed: int) -> None:
    events = afternoon()
    in_order, shuffled = learner(), learner()
    sync(server, in_order, events)
    mixed = random.Random(seed).sample(events, len(events))
    results = sync(server, shuffled, mixed)
    assert [result["id"] for result in results] == [one["id"] for one in mixed]
    assert {result["status"] for result in results} == {"applied"}
    assert state(server, shuffled) == state(server, in_order)


def test_order_of_several_calls_does_not_matter_for_what_counts(server: Server, learner: Learner) -> None:
    """Start first; then the parts of an afternoon arrive in whatever order the network likes."""
    events = afternoon()[:4]
    outcomes = set()
    for order in ([1, 2, 3], [3, 2, 1], [2, 1, 3], [3, 1, 2]):
        user = learner()
        sync(server, user, events[:1])
        for index in order:
            sync(server, user, [events[index]])
        item = view(server, place(user))
        outcomes.add((item["status"], item["progress"], item["lastCompletedTime"], item["score"]))
    assert outcomes == {(2, 100, ago(hours=2), None)}


def test_sync_ends_as_the_single_calls_do(server: Server, learner: Learner) -> None:
    synced, called = learner(), learner()
    events = afternoon()
    sync(server, synced, events)
    for one in events:
        fields = {key: value for key, value in one.items() if key not in {"id", "type", "ts"}}
        path = {"start": START, "update": UPDATE, "end": END}[one["type"]]
        server.result(path, {"userId": called, "lastAccessTime": one["ts"], **fields})
    assert state(server, called) == state(server, synced)


def test_events_of_one_instant_go_start_update_end(server: Server, learner: Learner) -> None:
    user, when = learner(), ago(hours=1)
    events = [
        event("c", "end", when, timespent=1),
        event("b", "update", when, timespent=2, progressDetails={"progress": 50}),
        event("a", "start", when),
    ]
    assert told(sync(server, user, events)) == [(name, "applied", None) for name in "cba"]
    item = view(server, place(user))
    assert (item["status"], item["timespent"], item["progressDetails"]) == (2, 3, {"progress": 50})


def test_events_without_a_time_happened_now(server: Server, learner: Learner) -> None:
    user, before = learner(), now_ms()
    assert told(sync(server, user, [event("b", "end"), event("a", "start")])) == [
        ("b", "applied", None),
        ("a", "applied", None),
    ]
    assert view(server, place(user))["lastCompletedTime"] >= before - 1


def test_own_times_of_an_event_win_over_its_ts(server: Server, learner: Learner) -> None:
    user = learner()
    end = event("b", "end", ago(hours=2), lastAccessTime=ago(hours=3), lastCompletedTime=ago(hours=4))
    sync(server, user, [event("a", "start", ago(hours=5)), end])
    item = view(server, place(user))
    assert (item["lastAccessTime"], item["lastCompletedTime"]) == (ago(hours=3), ago(hours=4))


@pytest.mark.parametrize("ts", [0, "1970-01-01T00:00:00Z", ago(days=400)], ids=str)
def test_events_older_than_90_days_are_clamped_and_kept(server: Server, learner: Learner, ts: object) -> None:
    user = learner()
    assert told(sync(server, user, [event("a", "end", ts, force=True)])) == [("a", "applied", None)]
    assert 0 <= now_ms() - view(server, place(user))["lastCompletedTime"] - 90 * 86_400_000 < 60_000


def test_replay_of_a_whole_sync_changes_nothing(server: Server, learner: Learner) -> None:
    user, events = learner(), afternoon()
    sync(server, user, events)
    before = state(server, user)
    for replay in (events, events[::-1], events[2:5]):
        results = sync(server, user, replay)
        assert {result["status"] for result in results} <= {"duplicate", "older"}
        assert state(server, user) == before


def test_event_sent_twice_in_one_call_counts_once(server: Server, learner: Learner) -> None:
    user = learner()
    update = event("u", "update", ago(hours=1), timespent=10)
    results = sync(server, user, [update, event("s", "start", ago(hours=2)), update, update])
    assert [result["status"] for result in results] == ["applied", "applied", "duplicate", "duplicate"]
    assert view(server, place(user))["timespent"] == 10


def test_event_of_an_earlier_call_is_a_duplicate(server: Server, learner: Learner) -> None:
    user = learner()
    first = [event("s", "start", ago(hours=2)), event("u", "update", ago(hours=1), timespent=10)]
    sync(server, user, first)
    later = [*first, event("u2", "update", ago(minutes=5), timespent=1)]
    assert [result["status"] for result in sync(server, user, later)] == ["duplicate", "duplicate", "applied"]
    assert view(server, place(user))["timespent"] == 11


def test_spelling_of_a_replay_does_not_matter(server: Server, learner: Learner) -> None:
    user = learner()
    sync(server, user, [event("s", "start", ago(hours=2)), event("u", "update", ago(hours=1), timespent=10)])
    again = {
        "ID": "u", "TYPE": "update", "TS": ago(hours=1), "courseid": f" {MATHS} ", "BATCHID": BATCH,
        "contentid": SINGLE, "timeSpent": 10, "userid": f"f:keycloak:{user}",
    }  # fmt: skip
    assert told(sync(server, user, [again])) == [("u", "duplicate", None)]
    assert view(server, place(user))["timespent"] == 10


def _conflict(server: Server, user: str, events: list[dict[str, Any]], at: int) -> None:
    result = sync(server, user, events)[at]
    assert (result["status"], result["err"], result["code"]) == ("rejected", "ERR_EVENT_CONFLICT", 409)
    assert result["errmsg"]


def test_same_id_with_other_content_is_a_conflict(server: Server, learner: Learner) -> None:
    user = learner()
    sync(server, user, [event("s", "start", ago(hours=2)), event("u", "update", ago(hours=1), timespent=10)])
    _conflict(server, user, [event("u", "update", ago(hours=1), timespent=11)], 0)
    _conflict(server, user, [event("u", "end", ago(hours=1), timespent=10)], 0)
    item = view(server, place(user))
    assert (item["status"], item["timespent"]) == (1, 10)


def test_same_id_with_other_content_in_one_call_is_a_conflict_and_the_rest_is_done(
    server: Server, learner: Learner
) -> None:
    user = learner()
    events = [
        event("s", "start", ago(hours=3)),
        event("u", "update", ago(hours=1), DOUBLE, timespent=11),
        event("u", "update", ago(hours=2), timespent=10),
        event("d", "start", ago(hours=3), DOUBLE),
    ]
    results = sync(server, user, events)
    assert [result["status"] for result in results] == ["applied", "rejected", "applied", "applied"]
    assert (results[1]["err"], results[1]["code"]) == ("ERR_EVENT_CONFLICT", 409)
    assert [view(server, place(user, content))["timespent"] for content in (SINGLE, DOUBLE)] == [10, 0]


def test_events_of_a_completed_content_are_older(server: Server, learner: Learner) -> None:
    user = learner()
    sync(server, user, [event("s", "start", ago(hours=5)), event("e", "end", ago(hours=4))])
    before = state(server, user)
    late = [
        event("s2", "start", ago(hours=3)),
        event("u2", "update", ago(hours=2), timespent=10, progressDetails={"progress": 5}),
        event("e2", "end", ago(hours=1)),
    ]
    assert told(sync(server, user, late)) == [(name, "older", None) for name in ("s2", "u2", "e2")]
    assert state(server, user) == before


def test_earlier_end_corrects_the_completion(server: Server, learner: Learner) -> None:
    user = learner()
    sync(server, user, [event("s", "start", ago(hours=5)), event("e", "end", ago(hours=1))])
    assert told(sync(server, user, [event("e2", "end", ago(hours=4))])) == [("e2", "applied", None)]
    assert view(server, place(user))["lastCompletedTime"] == ago(hours=4)


def test_update_or_end_without_a_start_is_rejected_and_tells_how_to_force(server: Server, learner: Learner) -> None:
    user = learner()
    results = sync(server, user, [event("u", "update", ago(hours=2)), event("e", "end", ago(hours=1))])
    assert told(results) == [(name, "rejected", "ERR_VIEW_NOT_STARTED") for name in ("u", "e")]
    assert [result["code"] for result in results] == [404, 404]
    assert '"force": true' in results[1]["errmsg"]
    assert view(server, place(user))["status"] == 0
    # It was not done, so that the same event may come again once its start is there.
    assert told(sync(server, user, [event("s", "start", ago(hours=3)), event("e", "end", ago(hours=1))])) == [
        ("s", "applied", None),
        ("e", "applied", None),
    ]


def test_forced_end_without_a_start_completes(server: Server, learner: Learner) -> None:
    user = learner()
    assert told(sync(server, user, [event("e", "end", ago(hours=1), force=True)])) == [("e", "applied", None)]
    assert view(server, place(user))["lastCompletedTime"] == ago(hours=1)


def test_start_that_happened_after_its_end_does_not_undo_it(server: Server, learner: Learner) -> None:
    user = learner()
    events = [event("s", "start", ago(hours=1)), event("e", "end", ago(hours=2), force=True)]
    assert told(sync(server, user, events)) == [("s", "older", None), ("e", "applied", None)]
    assert view(server, place(user))["status"] == 2


BAD_ITEMS: list[tuple[dict[str, Any], str]] = [
    ({}, "ERR_MISSING_FIELD"),
    ({"id": ""}, "ERR_MISSING_FIELD"),
    ({"id": None}, "ERR_MISSING_FIELD"),
    ({"id": 5}, "ERR_INVALID_FIELD"),
    ({"id": "x" * 257}, "ERR_INVALID_ID"),
    ({"id": "a\x00"}, "ERR_INVALID_ID"),
    ({"type": None}, "ERR_MISSING_FIELD"),
    ({"type": "finish"}, "ERR_INVALID_FIELD"),
    ({"type": ["start"]}, "ERR_INVALID_FIELD"),
    ({"type": "assess"}, "ERR_MISSING_FIELD"),
    ({"ts": "yesterday"}, "ERR_INVALID_TIME"),
    ({"ts": True}, "ERR_INVALID_FIELD"),
    ({"contentId": None}, "ERR_MISSING_FIELD"),
    ({"contentId": "a/b"}, "ERR_INVALID_ID"),
    ({"contentId": [DOUBLE]}, "ERR_INVALID_FIELD"),
    ({"collectionId": None}, "ERR_CONTEXT_WITHOUT_COLLECTION"),
    ({"courseId": "other"}, "ERR_CONFLICTING_IDS"),
    ({"ID": "other"}, "ERR_CONFLICTING_IDS"),
    ({"collectionId": 5}, "ERR_INVALID_ID"),
    ({"userId": 5}, "ERR_INVALID_ID"),
    ({"progressDetails": "x"}, "ERR_INVALID_FIELD"),
    ({"progressDetails": {"a": "\x00"}}, "ERR_INVALID_FIELD"),
    ({"progressDetails": {"a": "x" * 20_000}}, "ERR_INVALID_FIELD"),
    ({"type": "update", "timespent": -1}, "ERR_INVALID_FIELD"),
    ({"type": "update", "timespent": "10"}, "ERR_INVALID_FIELD"),
    ({"type": "end", "force": "yes"}, "ERR_INVALID_FIELD"),
    ({"type": "end", "lastCompletedTime": "x"}, "ERR_INVALID_TIME"),
    ({"lastAccessTime": "x"}, "ERR_INVALID_TIME"),
]


@pytest.mark.parametrize(("bad", "code"), BAD_ITEMS, ids=[f"{code} {str(bad)[:40]}" for bad, code in BAD_ITEMS])
def test_bad_item_is_rejected_and_never_fails_the_rest(
    server: Server, learner: Learner, bad: dict[str, Any], code: str
) -> None:
    user = learner()
    item = {"type": "start", **WHERE, "contentId": DOUBLE, **({"id": "bad"} if bad else {}), **bad}
    results = sync(server, user, [event("s", "start", ago(hours=2)), item, event("e", "end", ago(hours=1))])
    assert [result["status"] for result in results] == ["applied", "rejected", "applied"]
    named = item.get("id") if isinstance(item.get("id"), str) else None
    assert list(results[1]) == ["id", "status", "err", "errmsg", "code"]
    assert (results[1]["id"], results[1]["err"], results[1]["code"]) == (named, code, 400)
    assert results[1]["errmsg"]
    assert [view(server, place(user, content))["status"] for content in (SINGLE, DOUBLE)] == [2, 0]


def test_event_of_another_learner_is_rejected_and_the_rest_is_done(server: Server, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    events = [event("a", "start", userId=rahul), event("b", "start", userId=meera), event("c", "start", None, DOUBLE)]
    results = sync(server, rahul, events)
    assert told(results) == [("a", "applied", None), ("b", "rejected", "ERR_FORBIDDEN_USER"), ("c", "applied", None)]
    assert results[1]["code"] == 403
    assert {item["status"] for item in state(server, meera)} == {0}


def test_ids_are_each_learners_own(server: Server, learner: Learner) -> None:
    for user in (learner("rahul"), learner("meera")):
        assert told(sync(server, user, [event("same", "start", ago(hours=1))])) == [("same", "applied", None)]


def test_no_events_no_results(server: Server, learner: Learner) -> None:
    assert sync(server, learner(), []) == []


def _five_hundred() -> list[dict[str, Any]]:
    """A hundred contents, five events each, in no order."""
    events = []
    for number in range(100):
        content = f"do_{number}"
        events.append(event(f"{content}-s", "start", ago(hours=9), content))
        events += [event(f"{content}-u{n}", "update", ago(hours=8 - n), content, timespent=n + 0.5) for n in range(3)]
        events.append(event(f"{content}-e", "end", ago(hours=1), content))
    return random.Random(500).sample(events, len(events))


def test_500_events_are_taken_and_their_replay_changes_nothing(server: Server, learner: Learner) -> None:
    user, events = learner(), _five_hundred()
    results = sync(server, user, events)
    assert told(results) == [(one["id"], "applied", None) for one in events]
    before = contents(server, {"userId": user, **WHERE})
    done = [item for item in before if item["status"] == 2]
    assert len(done) == 100
    assert {(item["progress"], item["timespent"]) for item in done} == {(100, 4.5)}
    again = sync(server, user, events)
    assert {result["status"] for result in again} == {"duplicate"}
    assert contents(server, {"userId": user, **WHERE}) == before


def test_500_events_of_one_content_are_taken(server: Server, learner: Learner) -> None:
    user = learner()
    updates = [event(f"u{n}", "update", ago(minutes=500 - n), timespent=1) for n in range(498)]
    results = sync(server, user, [event("e", "end", ago(minutes=1)), *updates, event("s", "start", ago(hours=9))])
    assert {result["status"] for result in results} == {"applied"}
    item = view(server, place(user))
    assert (item["status"], item["timespent"]) == (2, 498)


def test_501_events_are_refused_and_nothing_is_done(server: Server, learner: Learner) -> None:
    user = learner()
    events = [event(f"e{n}", "start", None, f"do_{n}") for n in range(501)]
    body = refusal(server.call(SYNC, {"userId": user, "events": events}), 400, "ERR_TOO_MANY")
    assert list(body["result"]) == ["events"]
    assert {item["status"] for item in state(server, user)} == {0}
