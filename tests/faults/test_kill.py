"""kill -9 of the whole service during writes: every acknowledged write is there, with its mark."""

import os
import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests import servers
from tests.faults.writers import Writers

WRITERS = 6
ROUNDS = 3
ENOUGH = 150  # acknowledged writes before each kill


class Viewers(Writers):
    """Each learner starts and ends content after content."""

    def __init__(self, server: servers.Server, users: list[str]) -> None:
        super().__init__(server.url, [partial(self._view, user) for user in users])
        self.acknowledged: dict[str, dict[str, int]] = {user: {} for user in users}

    def _view(self, user: str, client: httpx.Client) -> None:
        content = f"do_{os.urandom(4).hex()}"
        for verb, status in (("start", 1), ("end", 2)):
            place = {"collectionId": "class-1-maths", "contextId": "batch-1"}
            request = {"userId": user, "contentId": content, **place}
            answer = client.post(f"/v1/view/{verb}", json={"request": request})
            assert answer.status_code == 200, answer.text
            self.acknowledged[user][content] = status
        if sum(map(len, self.acknowledged.values())) > ENOUGH:
            self.enough.set()


@pytest.mark.parametrize("tier", ["sqlite", "postgres"])
def test_no_acknowledged_write_is_lost_when_everything_is_killed(
    tier: str, tmp_path: Path, learner: Callable[..., str]
) -> None:
    with ExitStack() as stack:
        own = stack.enter_context(servers.own_tier(tier, "viewer_kill"))
        settings = {**own, "VIEWER_WORKER": "off"}  # so that the marks stay for us to see
        for _ in range(ROUNDS):
            server = servers.start(tmp_path, **settings)
            stack.callback(server.kill)
            users = [learner(f"writer-{number}") for number in range(WRITERS)]
            writers = Viewers(server, users)
            writers.start()
            assert writers.enough.wait(30)
            threading.Event().wait(random.random() * 0.05)  # so that the kill falls anywhere in a write
            server.kill()
            writers.join()
            server = servers.start(tmp_path, **settings)
            stack.callback(server.kill)
            marks = server.manage(
                "shell", "-v0", "-c",
                "from viewer.store import get_store; from common.timestamps import now;"
                "print(*{mark.key.user_id for mark in get_store().oldest_marks(100000, now(), now())})",
            )  # fmt: skip
            assert set(users) <= set(marks.stdout.split()), marks.stderr
            for user in users:
                acknowledged = writers.acknowledged[user]
                request = {"userId": user, "collectionId": "class-1-maths", "contextId": "batch-1"}
                read = server.result("/v1/view/read", request)
                found = {item["contentId"]: item["status"] for item in read["contents"]}  # type: ignore[attr-defined]
                assert {content: found.get(content) for content in acknowledged} | found == found
                lost = {content: status for content, status in acknowledged.items() if found[content] < status}
                assert lost == {}
            assert server.stop() == 0


def test_sigterm_lets_the_request_in_hand_finish(tmp_path: Path, learner: Callable[..., str]) -> None:
    server = servers.start(tmp_path)
    writers = Viewers(server, [learner()])
    writers.start()
    assert writers.enough.wait(30)
    assert server.stop() == 0
    writers.join()
    assert not servers.family(server.process.pid)
    with servers.running(tmp_path) as again:
        user, acknowledged = next(iter(writers.acknowledged.items()))
        request = {"userId": user, "collectionId": "class-1-maths", "contextId": "batch-1"}
        contents = again.result("/v1/view/read", request)["contents"]
        found = {item["contentId"]: item["status"] for item in contents}  # type: ignore[attr-defined]
        assert all(found[content] >= status for content, status in acknowledged.items())
