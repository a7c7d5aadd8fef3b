"""kill -9 of the command that changes the mode, while it comes to learners: a sweep goes on where it was."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tests import servers
from tests.modes.walks import walk_of
from tests.servers import Server

MATHS, BATCH, OTHER = "class-1-maths", "batch-1", "batch-2"
SINGLE = "single-digit-addition"
ASKED = {"collectionId": MATHS, "contextId": OTHER}
LEARNERS = 160
PATIENCE = 60


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "viewer.sqlite3")) as database, database:
        database.execute(statement)


def begin(server: Server, mode: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "manage.py", "set_mode", mode, "--yes"]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=servers.ROOT, env=server.env, stdout=nowhere, stderr=nowhere)


def test_a_walk_whose_command_was_killed_is_finished_by_a_sweep(tmp_path: Path) -> None:
    with servers.running(tmp_path, VIEWER_SWEEP_SECONDS="3600") as server:
        users = [f"rahul-{number:04}" for number in range(LEARNERS)]
        for user in users:
            place = {"userId": user, "collectionId": MATHS}
            server.result("/v1/course/enroll", {**place, "contextId": OTHER})
            server.result("/v1/view/end", {**place, "contextId": BATCH, "contentId": SINGLE, "force": True})
        command = begin(server, "no_context_content")
        deadline = time.monotonic() + PATIENCE
        while not walk_of(tmp_path).learners:
            assert time.monotonic() < deadline
            assert command.poll() is None
            time.sleep(0.01)  # between two polls of a condition that has a deadline
        command.send_signal(signal.SIGKILL)
        command.wait(10)
        walked = walk_of(tmp_path)
        assert 0 < walked.learners < LEARNERS
        assert (walked.finished, walked.after) == (False, users[walked.learners - 1])
        change(tmp_path, "UPDATE modes_walk SET leased_until = NULL")  # as after the minute it was leased for
        swept = server.manage("shell", "-v0", "-c", "from viewer import tasks; tasks.sweep()")
        assert swept.returncode == 0, swept.stderr
        assert walk_of(tmp_path)[:4] == (LEARNERS, 0, True, users[-1])
        for user in users:
            assert server.result("/v1/summary/read", {"userId": user, **ASKED})["progress"] == 1
        done = server.manage("recompute", "--dry-run")
        assert ", saved 0" in done.stdout, done.stdout
