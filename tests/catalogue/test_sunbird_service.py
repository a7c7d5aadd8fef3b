"""A service whose courses and batches are Sunbird's: learners are served from them, and also without them."""

import time
import uuid
from typing import Any

import pytest

from tests import servers
from tests.api.wire import READ
from tests.catalogue.neighbours import batch, neighbours, tree, until
from tests.servers import Server
from tests.summaries.wire import AGG, ENROLL, SUMMARY, complete, enrol, listed, seat, summary

BATCH, MATHS = "batch-of-sunbird", "maths-of-sunbird"
IDS = 3  # a tree, a batch, the list of the course's batches
PROCESSES = 3  # the server, the worker and its child


def answers(server: Server, user: str) -> list[Any]:
    """What every call that reads says of the learner; each must succeed, in time."""
    started = time.monotonic()
    context = {"userId": user, "collectionId": MATHS, "contextId": BATCH}
    told: list[Any] = [
        server.result(READ, context),
        server.result(SUMMARY, seat(user, BATCH, MATHS)),
        server.result(AGG, context),
    ]
    told.append(listed(server, user))
    assert time.monotonic() - started < 20
    return told


@pytest.mark.parametrize("tier", ["sqlite", "postgres"])
def test_learners_are_served_with_sunbird_and_without(tier, tmp_path):
    with neighbours() as sunbird, servers.own_tier(tier, "viewer_sunbird") as database:
        sunbird.trees[MATHS] = tree(MATHS, "single-digit-addition", "double-digit-addition")
        sunbird.batches[BATCH] = batch(BATCH, MATHS)
        settings = {
            **database,
            "VIEWER_CONTENT_SERVICE_URL": sunbird.url("content"),
            "VIEWER_BATCH_SERVICE_URL": sunbird.url("batch"),
            "VIEWER_HIERARCHY_SECONDS": "1",
            "VIEWER_BATCH_SECONDS": "1",
            "VIEWER_SUNBIRD_TIMEOUT_MS": "10000",
            "VIEWER_SWEEP_SECONDS": "1",
        }
        user = f"rahul-{uuid.uuid4().hex[:8]}"
        with servers.running(tmp_path, **settings) as server:
            enrol(server, user, BATCH, MATHS)
            complete(server, user, "single-digit-addition", BATCH, MATHS)
            until(lambda: summary(server, user, BATCH, MATHS)["completionPercentage"] == 50)
            assert listed(server, user)[0]["collection"]["name"] == f"Course {MATHS}"

            # The course is published anew: learners who do nothing are counted anew, as after load_catalogue.
            sunbird.trees[MATHS] = tree(MATHS, *(f"{size}-digit-addition" for size in ("single", "double", "triple")))
            until(lambda: summary(server, user, BATCH, MATHS)["completionPercentage"] == 33, seconds=60)

            before = answers(server, user)
            sunbird.behave("500")
            calls, began = sunbird.calls(), time.monotonic()
            for _ in range(10):
                assert answers(server, user) == before
            rounds = 1 + (time.monotonic() - began) / 10  # after a failure nobody asks for so long
            assert sunbird.calls() - calls <= PROCESSES * IDS * rounds

            sunbird.close()
            for _ in range(3):
                assert answers(server, user) == before
            enrol(server, f"{user}-2", BATCH, MATHS)
            complete(server, f"{user}-2", "double-digit-addition", BATCH, MATHS)
            until(lambda: summary(server, f"{user}-2", BATCH, MATHS)["completionPercentage"] == 33)
            refused = server.call(ENROLL, seat(user, "no-batch", MATHS))
            assert refused.status_code == 400
        with servers.running(tmp_path, **settings) as server:
            assert answers(server, user) == before
