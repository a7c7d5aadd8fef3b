"""One truth: after any history view/read, summary/list, summary/read and view/agg say the same numbers."""

import os
import random
import time
from typing import Any

from tests.api.wire import DOUBLE, END, MATHS, SINGLE, START, TRIPLE, UPDATE, ago
from tests.servers import Server
from tests.summaries.wire import AGG, ENROLL, UNENROLL, Learner, listed, seat, statuses, summary

SECONDS = 7.0  # for each tier
ADDITION = [SINGLE, DOUBLE, TRIPLE]
PLACES: dict[tuple[str, str], list[str]] = {
    ("batch-1", MATHS): ADDITION,
    ("batch-2", MATHS): ADDITION,
    ("class-2-batch-1", "class-2-maths"): [*ADDITION[:2], "beside"],
    ("optional-unit-1", "optional-unit"): ["must-1", "must-2", "may-1", "may-2", "may-3"],
    ("all-optional-1", "all-optional"): ["extra-1", "extra-2"],
    (SINGLE, SINGLE): [SINGLE],
}
LAST_READ = ("lastReadContentId", "lastReadContentStatus", "lastContentAccessTime", "lastRead", "timespent")
REQUIRED = {
    MATHS: set(ADDITION),
    "class-2-maths": set(ADDITION[:2]),
    "optional-unit": {"must-1", "must-2"},
    "all-optional": set(),
}


def step(server: Server, chance: random.Random, user: str) -> None:
    """One call of a learner's app, of those a learner's app sends."""
    place = chance.choice(list(PLACES))
    if chance.random() < 0.25:
        answer = server.call(chance.choice([ENROLL, ENROLL, UNENROLL]), seat(user, *place))
        assert answer.status_code in (200, 400), answer.text
        return
    path = chance.choice([START, UPDATE, END, END])
    view: dict[str, Any] = {"userId": user, "contextId": place[0], "collectionId": place[1]}
    view |= {"contentId": chance.choice(PLACES[place]), "force": chance.random() < 0.7}
    if chance.random() < 0.3:
        view |= {"lastAccessTime": ago(minutes=chance.randint(1, 5000))}
    if path == UPDATE:
        view["progressDetails"] = {"progress": chance.randint(0, 100)}
    assert server.call(path, view).status_code in (200, 404)


def check(server: Server, user: str) -> None:
    """Every surface, and what the numbers must be.

    An update moves the last access and the time of its row and marks nothing: the record learns of it with the next
    fold, view/agg's at the latest, and then on every surface.
    """
    everything = {(one["contextId"], one["collectionId"]): one for one in listed(server, user, "?type=all")}
    enrolled = {(one["contextId"], one["collectionId"]): one for one in listed(server, user)}
    assert {place: one for place, one in everything.items() if one["enrolledDate"]} == enrolled
    link: Any = server.client.get(f"/v1/summary/download/{user}").json()["result"]["url"]
    assert server.client.get(link).json()["summary"] == listed(server, user)
    for place, record in everything.items():
        assert record == summary(server, user, *place, type="all")
        seen = statuses(server, user, *place)
        assert seen == record["contentStatus"], place
        anew: Any = server.result(AGG, seat(user, *place))["summary"]
        assert {**anew, **{name: record[name] for name in LAST_READ}} == record
        assert anew == summary(server, user, *place, type="all")
        assert anew in listed(server, user, "?type=all")
        if place[1] in REQUIRED:
            counted(record, seen, REQUIRED[place[1]])


def counted(record: dict[str, Any], seen: dict[str, int], required: set[str]) -> None:
    """The record's numbers from the statuses alone."""
    done = {content for content, status in seen.items() if status == 2}
    own = {content: status for content, status in seen.items() if content != "beside"}
    complete = required <= done if required else bool(done & set(own))
    status = 2 if complete else int(any(own.values()))
    percent = 100 if complete else 100 * len(required & done) // len(required) if required else 0
    assert (record["status"], record["progress"], record["completionPercentage"]) == (
        status,
        len(required & done),
        percent,
    )
    assert (record["completedOn"] is not None) is complete


def test_every_surface_says_the_same_after_any_history(school: Server, learner: Learner) -> None:
    seed = int(os.environ.get("VIEWER_TEST_SEED", "0")) or random.randrange(1, 10**9)
    print(f"VIEWER_TEST_SEED={seed}")
    chance = random.Random(seed)
    deadline = time.monotonic() + SECONDS
    histories = 0
    while time.monotonic() < deadline or histories < 3:
        user = learner()
        for _ in range(chance.randint(2, 5)):
            for _ in range(chance.randint(1, 15)):
                step(school, chance, user)
            check(school, user)
        histories += 1
