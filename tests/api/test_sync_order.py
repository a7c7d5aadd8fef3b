"""view/sync of a phone whose clock is wrong: its times are clamped, and still tell the order of its events."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.wire import BATCH, DAY_MS, MATHS, SINGLE, now_ms, place, sync, view
from tests.servers import Server

Learner = Callable[..., str]
HOUR_MS = 3_600_000
OFFSETS = {"a year ahead": 365 * DAY_MS, "two hours ahead": 2 * HOUR_MS, "100 days offline": -100 * DAY_MS,
           "ten years offline": -3650 * DAY_MS}  # fmt: skip


def event(id_: str, kind: str, ts: object, **more: Any) -> dict[str, Any]:
    return {
        "id": id_, "type": kind, "ts": ts, "collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE, **more
    }  # fmt: skip


def pages(began: int) -> list[dict[str, Any]]:
    """A start, then three pages an hour apart, in the order in which they happened."""
    return [
        event("0", "start", began),
        *[
            event(str(page), "update", began + page * HOUR_MS, timespent=1,
                  progressDetails={"page": page, f"seen{page}": True})
            for page in (1, 2, 3)
        ],
    ]  # fmt: skip


@pytest.mark.parametrize("offset", OFFSETS)
def test_the_later_page_wins_in_whatever_order_the_events_are_sent(
    server: Server, learner: Learner, offset: str
) -> None:
    happened = pages(now_ms() + OFFSETS[offset])
    for order in (range(4), range(3, -1, -1), (2, 0, 3, 1), (3, 1, 0, 2)):
        user = learner()
        results = sync(server, user, [happened[place] for place in order])
        assert {result["status"] for result in results} == {"applied"}
        item = view(server, place(user))
        assert item["progressDetails"] == {"page": 3, "seen1": True, "seen2": True, "seen3": True}
        assert (item["status"], item["timespent"]) == (1, 3)


@pytest.mark.parametrize("offset", OFFSETS)
def test_the_times_that_are_kept_are_clamped_all_the_same(server: Server, learner: Learner, offset: str) -> None:
    user = learner()
    sync(server, user, pages(now_ms() + OFFSETS[offset])[::-1])
    accessed = view(server, place(user))["lastAccessTime"]
    assert now_ms() - 90 * DAY_MS - 60_000 <= accessed <= now_ms()


def test_an_end_after_its_updates_completes_whatever_the_clock_says(server: Server, learner: Learner) -> None:
    for offset in OFFSETS.values():
        user = learner()
        began = now_ms() + offset
        events = [event("9", "end", began + 9 * HOUR_MS, timespent=5), *pages(began)[::-1]]
        assert {result["status"] for result in sync(server, user, events)} == {"applied"}
        item = view(server, place(user))
        assert (item["status"], item["progress"], item["timespent"]) == (2, 100, 8)
        assert item["progressDetails"]["page"] == 3
        assert now_ms() - 90 * DAY_MS - 60_000 <= item["lastCompletedTime"] <= now_ms()


def test_times_before_and_after_a_clamp_keep_their_order(server: Server, learner: Learner) -> None:
    """A clock that was set right in between: one page long ago, one now, one tomorrow."""
    times = [now_ms() - 200 * DAY_MS, now_ms() - 150 * DAY_MS, now_ms() - HOUR_MS, now_ms() + DAY_MS]
    events = [
        event("s", "start", times[0] - 1),
        *[event(f"u{at}", "update", ts, progressDetails={"page": at}) for at, ts in enumerate(times)],
    ]
    for order in itertools.islice(itertools.permutations(events), 0, 120, 17):
        user = learner()
        sync(server, user, list(order))
        assert view(server, place(user))["progressDetails"] == {"page": 3}


def test_events_without_a_time_come_before_those_of_the_future(server: Server, learner: Learner) -> None:
    user = learner()
    events = [
        event("later", "update", now_ms() + HOUR_MS, progressDetails={"page": 2}),
        event("now", "update", None, progressDetails={"page": 1}),
        event("s", "start", now_ms() - HOUR_MS),
    ]
    sync(server, user, events)
    assert view(server, place(user))["progressDetails"] == {"page": 2}
