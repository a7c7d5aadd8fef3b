"""Changes of a service in use: learners nobody touches get what new rules allow, and no write is lost meanwhile."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.modes.walks import walk_of
from tests.servers import Server

MATHS, BATCH, OTHER = "class-1-maths", "batch-1", "batch-2"
LEAVES = SINGLE, DOUBLE, TRIPLE = [f"{size}-digit-addition" for size in ("single", "double", "triple")]
PATIENCE = 60
STRICT, CONTENT, CHANGING = "strict", "no_context_content", "changing"
WRITERS, EACH_PERIOD, AT_LEAST = 3, 20, 40  # AT_LEAST: completions acknowledged under each mode
Learner = Callable[..., str]


def test_new_rules_reach_learners_nobody_touches(tmp_path: Path) -> None:
    with servers.running(tmp_path, VIEWER_SWEEP_SECONDS="1") as server:
        assert server.manage("set_mode", "copy_content", "--yes").returncode == 0
        place = {"userId": "rahul", "collectionId": MATHS}
        for context in (BATCH, OTHER):
            server.result("/v1/course/enroll", {**place, "contextId": context})
        server.result("/v1/view/end", {**place, "contextId": OTHER, "contentId": SINGLE, "force": True})
        asked = {**place, "contextId": BATCH, "contentId": SINGLE}
        assert [one["status"] for one in contents(server, asked)] == [0]
        code = (
            "from common import timestamps; from modes.rules import Kind, Rule, RuleSet; from modes import switching;"
            "always = RuleSet(rules=(Rule(Kind.ALWAYS),));"
            "switching.save_rules('instance', '', always, 'alice', timestamps.now())"
        )
        done = server.manage("shell", "-v0", "-c", code)
        assert done.returncode == 0, done.stderr
        deadline = time.monotonic() + PATIENCE
        while not walk_of(tmp_path).finished:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # between two polls of a condition that has a deadline
        assert (walk_of(tmp_path).learners, walk_of(tmp_path).carried) == (1, 1)
        assert [one["status"] for one in contents(server, asked)] == [2]


def contents(server: Server, asked: dict[str, Any]) -> Any:
    return server.result("/v1/view/read", asked)["contents"]


class Period:
    """The mode by which every process goes now; CHANGING while they may differ."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.learners = threading.Semaphore(0)  # so many may begin: a walk comes to each of them
        self.begin(STRICT)

    def begin(self, mode: str) -> None:
        self.mode = mode
        self.learners.release(EACH_PERIOD)


class Writer(threading.Thread):
    """Completes contents and submits attempts as one learner after another, on any of the servers."""

    def __init__(self, services: list[Server], learner: Learner, period: Period) -> None:
        super().__init__()
        self._services, self._learner, self._period = services, learner, period
        self.acknowledged: list[tuple[str, dict[str, str]]] = []
        """Under which mode, and what was completed where."""
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._period.over.is_set():
                if self._period.learners.acquire(timeout=0.1):
                    self._one_learner(self._learner())
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            self.error = error

    def _one_learner(self, user: str) -> None:
        for context in (BATCH, OTHER):
            self._ask("/v1/course/enroll", {"userId": user, "collectionId": MATHS, "contextId": context})
        views = [
            {"userId": user, "collectionId": MATHS, "contextId": context, "contentId": content}
            for context in (BATCH, OTHER)
            for content in LEAVES
        ]
        for view in random.sample(views, 4):
            mode = self._period.mode
            self._complete(view)
            (item,) = self._ask("/v1/view/read", view)["contents"]
            stayed = mode == self._period.mode != CHANGING
            assert item["status"] == 2 or not stayed, "he reads what he wrote, on whichever server"
            self.acknowledged.append((mode if stayed else CHANGING, view))

    def _complete(self, view: dict[str, str]) -> None:
        if random.random() < 0.5:
            self._ask("/v1/view/end", {**view, "force": True})
            return
        told = {"eid": "ASSESS", "ets": 1_790_000_000_000, "edata": {"item": {"id": "q", "maxscore": 1}, "score": 1}}
        self._ask("/v1/assessment/submit", {**view, "attemptId": "try-1", "assessments": [told]})

    def _ask(self, path: str, request: dict[str, Any]) -> Any:
        return random.choice(self._services).result(path, request)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[list[Server]]:
    """Two services on one PostgreSQL and one Redis."""
    with ExitStack() as stack:
        settings = stack.enter_context(servers.own_tier("postgres", "viewer_walks"))
        both = [stack.enter_context(servers.running(tmp_path / one, **settings)) for one in ("one", "other")]
        servers.load_sample(both[0])
        yield both


def test_no_write_is_lost_while_the_mode_goes_there_and_back(services: list[Server], learner: Learner) -> None:
    period = Period()
    writers = [Writer(services, learner, period) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        enough(writers, STRICT)
        for mode in (CONTENT, STRICT):
            period.begin(CHANGING)
            done = services[0].manage("set_mode", mode, "--yes")
            assert done.returncode == 0, done.stdout + done.stderr
            period.begin(mode)
            enough(writers, mode)
    finally:
        period.over.set()
        for writer in writers:
            writer.join(PATIENCE)
    for mode, view in [one for writer in writers for one in writer.acknowledged]:
        organic = {"userId": view["userId"], "contentId": view["contentId"]}
        found = [contents(services[1], asked)[0]["status"] for asked in (view, organic)]
        assert found[mode == CONTENT] == 2 if mode != CHANGING else 2 in found, (mode, view, found)
    assert services[0].manage("sweep").returncode == 0
    done = services[0].manage("recompute", "--dry-run")
    assert ", saved 0" in done.stdout, done.stdout


def enough(writers: list[Writer], mode: str) -> None:
    """Waits until so much was written under `mode` that what comes next is worth it. Raises what a writer raised."""
    deadline = time.monotonic() + PATIENCE
    while sum(one == mode for writer in writers for one, _ in writer.acknowledged[:]) < AT_LEAST:
        assert time.monotonic() < deadline
        for writer in writers:
            if writer.error is not None:
                raise writer.error
        time.sleep(0.02)  # between two polls of a condition that has a deadline
