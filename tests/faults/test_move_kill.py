"""kill -9 of everything while learners are moved: each ends in one place with all he had, and nobody is told twice."""

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import servers
from tests.faults.writers import Writers

MATHS, PROGRAM = "class-1-maths", "program-batch-1"
BATCHES = ["batch-1", "batch-2"]
LEAVES = [f"{size}-digit-addition" for size in ("single", "double", "triple")]
SECONDS = 5  # spent in each content of each batch
RULES = {"match": "any", "rules": [{"type": "ongoingBatch"}]}
WRITERS, LEARNERS, ENOUGH = 4, 40, 6  # ENOUGH: learners who joined the program before the kill
LATEST = 0.1  # seconds after them in which it falls
Learner = Callable[..., str]
PREPARED = """
from django.core.management import call_command
call_command("load_catalogue", {catalogue!r})
call_command("set_mode", "move", "--yes", "--rules", {rules!r})
"""
FINISHED = """
from django.core.management import call_command
from viewer.store import get_store
for user in {users!r}:
    for record in get_store().provenance(user):
        print(user, record.facts["source"][1], record.state)
call_command("recompute", "--dry-run")
"""


class Joiners(Writers):
    """Learners who viewed in two batches join a program, many at once, and are moved."""

    def __init__(self, url: str, users: list[str]) -> None:
        super().__init__(url, [self._join] * WRITERS)
        self.waiting = list(users)
        self.joined: set[str] = set()

    def _join(self, client: httpx.Client) -> None:
        if not self.waiting:
            client.get("/ready")  # until the service is killed
            return
        user = self.waiting.pop()
        _post(client, "/v1/program/enroll", {"userId": user, "programId": "program-abc", "batchId": PROGRAM})
        self.joined.add(user)
        if len(self.joined) >= ENOUGH:
            self.enough.set()


def viewed(client: httpx.Client, user: str) -> None:
    """The learner views everything in both batches and completes it."""
    events: list[dict[str, Any]] = []
    for batch in BATCHES:
        place = {"collectionId": MATHS, "contextId": batch}
        _post(client, "/v1/course/enroll", {"userId": user, **place})
        events += [
            {"id": f"{batch}-{leaf}-{verb}", "type": verb, "ts": 1_790_000_000_000, **place, "contentId": leaf, **more}
            for leaf in LEAVES
            for verb, more in (("start", {}), ("update", {"timespent": SECONDS}), ("end", {}))
        ]
    _post(client, "/v1/view/sync", {"userId": user, "events": events})


def _post(client: httpx.Client, path: str, fields: dict[str, Any]) -> None:
    answer = client.post(path, json={"request": fields})
    assert answer.status_code == 200, answer.text


def answers(server: servers.Server, user: str) -> list[Any]:
    """What is told of the learner in each of his places, the contents of the program first."""
    places = [{"userId": user, "collectionId": MATHS, "contextId": context} for context in (PROGRAM, *BATCHES)]
    contents = [server.result("/v1/view/read", place)["contents"] for place in places]
    return [*contents, server.client.get(f"{server.url}/v1/summary/list/{user}").json()["result"]["summary"]]


def is_whole(server: servers.Server, user: str) -> None:
    """The program has all that the learner did in both batches, once, and the batches have nothing."""
    program, *batches, listed = answers(server, user)
    there = {item["contentId"]: (item["status"], item["timespent"], item["viewCount"]) for item in program}
    assert there == dict.fromkeys(LEAVES, (2, SECONDS * len(BATCHES), len(BATCHES)))
    assert [item["status"] for contents in batches for item in contents] == [0] * len(LEAVES) * len(BATCHES)
    told = {one["contextId"]: (one["status"], one["progress"], one["movedTo"]) for one in listed}
    assert told == {PROGRAM: (2, len(LEAVES), None)} | dict.fromkeys(BATCHES, (0, 0, PROGRAM))


@pytest.mark.parametrize("tier", ["sqlite", "postgres", "cluster"])
def test_every_move_is_finished_whatever_was_killed(tier: str, tmp_path: Path, learner: Learner) -> None:
    with ExitStack() as stack:
        settings = stack.enter_context(servers.own_tier(tier, "viewer_move_kill"))
        server = servers.start(tmp_path, **settings)
        stack.callback(server.kill)
        rules = tmp_path / "rules.json"
        rules.write_text(json.dumps(RULES))
        prepared = PREPARED.format(catalogue=servers.SAMPLE, rules=str(rules))
        done = server.manage("shell", "-v0", "-c", prepared)
        assert done.returncode == 0, done.stderr
        users = [learner() for _ in range(LEARNERS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda user: viewed(server.client, user), users))
        joiners = Joiners(server.url, users)
        joiners.start()
        assert joiners.enough.wait(60)
        threading.Event().wait(random.random() * LATEST)  # so that the kill falls anywhere in a move
        server.kill()
        joiners.join()
        server = servers.start(tmp_path, **settings)
        stack.callback(server.kill)
        for user in users:
            # A read folds what is marked, and does not wait for the turn of a worker that was killed.
            assert server.client.get(f"/v1/summary/list/{user}").status_code == 200
        for user in joiners.joined:
            is_whole(server, user)
        stored = server.manage("shell", "-v0", "-c", FINISHED.format(users=users))
        *records, folds = stored.stdout.splitlines()
        assert {line.split()[-1] for line in records} == {"done"}, "also of those who were not told that they joined"
        assert {f"{user} {batch} done" for user in joiners.joined for batch in BATCHES} <= set(records)
        assert "saved 0" in folds, "the aggregates are what the rows add up to"
        assert server.stop() == 0
