"""kill -9 of everything while completions are carried: each acknowledged one is carried, once, and told as it is."""

import json
import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import servers
from tests.faults.writers import Writers

MATHS, BATCH = "class-1-maths", "batch-1"
LEAVES = [f"{size}-digit-addition" for size in ("single", "double", "triple")]
RULES = {"rules": [{"type": "always"}]}
WRITERS, ROUNDS, ENOUGH = 4, 2, 12  # ENOUGH: learners who began before each kill
Learner = Callable[..., str]


class Completers(Writers):
    """Each enrols one learner after another and completes contents elsewhere, in any order."""

    def __init__(self, url: str, learner: Learner) -> None:
        super().__init__(url, [self._complete] * WRITERS)
        self.learner = learner
        self.acknowledged: dict[str, set[str]] = {}

    def _complete(self, client: httpx.Client) -> None:
        user = self.learner()
        place = {"userId": user, "collectionId": MATHS, "contextId": BATCH}
        calls: list[tuple[str, dict[str, Any], str]] = [("/v1/course/enroll", place, "")]
        calls += [("/v1/view/end", {"userId": user, "contentId": leaf, "force": True}, leaf) for leaf in LEAVES]
        random.shuffle(calls)
        for path, fields, told in calls:
            answer = client.post(path, json={"request": fields})
            assert answer.status_code == 200, answer.text
            self.acknowledged.setdefault(user, set()).add(told)
        if len(self.acknowledged) > ENOUGH:
            self.enough.set()


def is_whole(server: servers.Server, user: str, acknowledged: set[str]) -> None:
    """What was acknowledged of this learner is carried, and every answer about it says the same."""
    place = {"userId": user, "collectionId": MATHS, "contextId": BATCH}
    contents: Any = server.result("/v1/view/read", place)["contents"]
    carried = {item["contentId"]: item["origin"] for item in contents if item["status"] == 2}
    if "" not in acknowledged:
        return  # nobody knows whether he is enrolled
    assert acknowledged - {""} <= set(carried)
    assert all(carried.values())
    record: Any = server.result("/v1/summary/read", place)
    assert (record["progress"], record["status"]) == (len(carried), 2 if len(carried) == 3 else 1 if carried else 0)
    for content, origin in carried.items():
        told = server.client.get(f"{server.url}/v1/view/explain", params={**place, "contentId": content}).json()
        assert told["result"]["carried"]["id"] == origin


@pytest.mark.parametrize("tier", ["sqlite", "postgres", "cluster"])
def test_every_acknowledged_completion_is_carried_whatever_was_killed(
    tier: str, tmp_path: Path, learner: Learner
) -> None:
    with ExitStack() as stack:
        settings = stack.enter_context(servers.own_tier(tier, "viewer_carry"))
        prepared = False
        for _ in range(ROUNDS):
            server = servers.start(tmp_path, **settings)
            stack.callback(server.kill)
            if not prepared:
                prepared = True
                done = server.manage("set_mode", "copy_content", "--yes", "--rules", "-", stdin=json.dumps(RULES))
                assert done.returncode == 0, done.stderr
                servers.load_sample(server)
            writers = Completers(server.url, learner)
            writers.start()
            assert writers.enough.wait(60)
            threading.Event().wait(random.random() * 0.05)  # so that the kill falls anywhere in a write
            server.kill()
            writers.join()
            server = servers.start(tmp_path, **settings)
            stack.callback(server.kill)
            for user, acknowledged in writers.acknowledged.items():
                is_whole(server, user, acknowledged)
            assert server.stop() == 0
