"""`manage.py import_progress` as an operator runs it, and what learners then read over HTTP."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server

Learner = Callable[..., str]
COLLECTION, BATCH = "class-1-maths", "batch-1"


def ids(user_id: str) -> dict[str, str]:
    return {"userId": f"f:provider:{user_id}", "courseId": COLLECTION, "batchId": BATCH}


def lines(*rows: dict[str, Any] | str) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def progress_of(user_id: str) -> str:
    completed = {"last_access_time": "2024-03-01 15:30:00:000+0530", "last_completed_time": 1709283600250}
    row = {"table": "user_content_consumption", **ids(user_id)}
    return lines(
        {**row, "contentId": "imported-video", "status": 2, **completed},
        {**row, "contentId": "imported-page", "status": 1, "progress": 40},
        {"table": "assessment_aggregator", **ids(user_id), "contentId": "imported-quiz", "attempt_id": "a-1",
         "total_score": 1.33, "total_max_score": 3, "last_attempted_on": 1709283600250},
        {"table": "user_enrolments", **ids(user_id), "enrolleddate": "2024-03-01 10:00:00:000+0000"},
        {"table": "user_enrolments", **ids(user_id), "batchId": "batch-2", "active": None},
        {"table": "user_activity_agg", **ids(user_id), "batchId": f"cb:{BATCH}",
         "content_status": {"archived-video": 2, "archived-quiz": 1},
         "aggregates": {"score:archived-quiz": 2.5, "max_score:archived-quiz": 4, "attempts_count:archived-quiz": 3}},
    )  # fmt: skip


def read(server: Server, user_id: str) -> dict[str, dict[str, Any]]:
    place = {"userId": user_id, "collectionId": COLLECTION, "contextId": BATCH}
    result: Any = server.result("/v1/view/read", place)
    return {item["identifier"]: item for item in result["contents"]}


def test_what_was_imported_is_what_learners_read(server: Server, learner: Learner) -> None:
    user_id = learner()
    done = server.manage("import_progress", "-", stdin=progress_of(user_id))
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    assert told[0] == "line 5: skipped, active is null: a legacy write to an enrolment that never was"
    assert told[-1] == (
        "Imported: user_content_consumption 2 read, 2 changed, 0 unchanged, 0 skipped, 0 bad; "
        "assessment_aggregator 1 read, 1 changed, 0 unchanged, 0 skipped, 0 bad; "
        "user_enrolments 2 read, 1 changed, 0 unchanged, 1 skipped, 0 bad; "
        "user_activity_agg 1 read, 1 changed, 0 unchanged, 0 skipped, 0 bad"
    )
    contents = read(server, user_id)
    video, page = contents["imported-video"], contents["imported-page"]
    assert (video["status"], video["progress"]) == (2, 100)
    assert (video["lastAccessTime"], video["lastCompletedTime"]) == (1709287200000, 1709283600250)
    assert (page["status"], page["progress"], page["lastCompletedTime"]) == (1, 40, None)
    assert (contents["imported-quiz"]["score"], contents["imported-quiz"]["max_score"]) == (1.33, 3)
    archived = contents["archived-video"], contents["archived-quiz"]
    assert [(item["status"], item["progress"]) for item in archived] == [(2, 100), (1, 0)]
    assert (archived[1]["score"], archived[1]["max_score"]) == (2.5, 4)


def test_an_imported_completion_is_a_revisit_and_an_imported_start_may_be_ended(
    server: Server, learner: Learner
) -> None:
    user_id = learner()
    assert server.manage("import_progress", "-", stdin=progress_of(user_id)).returncode == 0
    place = {"userId": user_id, "collectionId": COLLECTION, "contextId": BATCH}
    server.result("/v1/view/start", {**place, "contentId": "archived-video"})
    server.result("/v1/view/end", {**place, "contentId": "imported-page"})
    contents = read(server, user_id)
    assert (contents["archived-video"]["status"], contents["imported-page"]["status"]) == (2, 2)


def test_a_second_run_changes_nothing(server: Server, learner: Learner, tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(progress_of(learner()), encoding="utf-8")
    first = server.manage("import_progress", str(path), "--batch-size", "1")
    again = server.manage("import_progress", str(path), "--verbosity", "2")
    assert (first.returncode, again.returncode) == (0, 0)
    assert re.findall(r"(\d+) changed, (\d+) unchanged", again.stdout) == [("0", "2"), *[("0", "1")] * 3]
    assert "6 lines, " in again.stdout


def test_bad_lines_are_named_and_counted_and_the_others_imported(server: Server, learner: Learner) -> None:
    user_id = learner()
    row = {"table": "user_content_consumption", **ids(user_id), "contentId": "imported-video", "status": 1}
    many = [{**row, "last_access_time": "yesterday"}] * 60
    done = server.manage("import_progress", "-", stdin=lines(row, "", *many, "nonsense"))
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert told[0] == "line 3: last_access_time is not a time"
    assert [line for line in told if line.startswith("line ")][-1] == "line 52: last_access_time is not a time"
    assert told[-2:] == ["and 11 more bad lines", "CommandError: 61 bad lines were not imported"]
    assert "user_content_consumption 61 read, 1 changed, 0 unchanged, 0 skipped, 60 bad" in done.stdout
    assert "no table 1 read, 0 changed, 0 unchanged, 0 skipped, 1 bad" in done.stdout
    assert set(read(server, user_id)) >= {"imported-video"}


def test_a_dry_run_writes_nothing(server: Server, learner: Learner) -> None:
    user_id = learner()
    done = server.manage("import_progress", "-", "--dry-run", stdin=progress_of(user_id))
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith(
        "Dry run, nothing written: user_content_consumption 2 read, 2 changed,"
    )
    assert "imported-video" not in read(server, user_id)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/such/file"], "/no/such/file cannot be read: No such file or directory"),
        (["/"], "/ cannot be read: Is a directory"),
        (["-", "--batch-size", "0"], "--batch-size must be from 1 to 5000"),
    ],
)
def test_an_operators_mistake_is_one_sentence(server: Server, arguments: list[str], message: str) -> None:
    done = server.manage("import_progress", *arguments, stdin="")
    assert (done.returncode, done.stderr) == (1, f"CommandError: {message}\n")


def test_quiet_means_quiet(server: Server, learner: Learner) -> None:
    done = server.manage("import_progress", "-", "--verbosity", "0", stdin=progress_of(learner()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
