"""The demo is run as people run it; its comparing is tested on answers made up here."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from demo_aggregate import Book, Course, published, same_record
from demo_modes import step_of
from demo_runner import Answer, Call, Result, Step, Story, Table, Tally, http_caller, judge, play_all, render
from demo_scenarios import ALL, MATHS, Ago, Opens, Place, Row, Scenario
from demo_steps import summary_list, words_of
from demo_stories import Ledger

from tests import servers

COMMAND = [sys.executable, "scripts/demo.py"]
READ = Call("/v1/view/read", {})
SAMPLE = servers.ROOT / "catalogue" / "sample" / "catalogue.json"
# Of story 5; ASHA-14 looks into the service's own folder.
ASHA = [f"ASHA-{number}" for number in range(1, 15)]
BRIAN = [f"BRIAN-{number}" for number in range(1, 10)]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=servers.ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )


def marks(output: str) -> dict[str, str]:
    """The mark at the end of each row that begins with a step's id."""
    rows = re.findall(r"^([\w.-]+) +│.*│ (ok|DIFFERS)$", output, re.MULTILINE)
    assert len(dict(rows)) == len(rows), "an id twice"
    return dict(rows)


def step(expected: str = "200") -> Step:
    return Step("X.1", "Ask", expected, lambda answers: str(answers[-1].status), (READ,))


def story(*steps: Step, needs: str | None = None, optional: bool = False) -> Story:
    return Story("A story", "About it.", (Table("A table", steps),), needs, "Load it.", optional)


def played(*stories: Story, status: int = 200) -> tuple[Tally, str]:
    """The stories on a service that always answers `status` and knows no collection."""
    lines: list[str] = []
    tally = play_all(stories, lambda call: Answer(status, {"result": {}}), lambda collection: False, lines.append)
    return tally, "\n".join([*lines, tally.closing()])


def test_the_demo_finds_every_row_of_every_mode_ok_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run(TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    found = marks(done.stdout)
    tabled = [scenario.number for tables in ALL for scenario in tables.scenarios]
    for row in (*(f"STRICT-{number}" for number in range(1, 7)), *ASHA, *BRIAN, *tabled):
        assert found.get(row) == "ok", row
    assert str(len(found)) == lines[-1].split()[0]
    assert "DIFFERS " not in done.stdout
    assert re.fullmatch(r"(\d+) steps: \1 ok, 0 DIFFERS; 0 calls .*5xx; \d+ stories played, \d left out\.", lines[-1])
    tables = lines[lines.index("Story 1: scenarios 1-3") :]
    assert max(map(len, tables)) <= 120
    assert list(tmp_path.iterdir()) == []


def test_it_plays_twice_on_a_running_instance_and_ci_allows_no_story_left_out(tmp_path: Path) -> None:
    with servers.running(tmp_path) as server:
        first = run("--url", server.url, CI="")
        second = run("--url", server.url, CI="true")
        assert server.client.get("/ready").status_code == 200
    assert first.returncode == 0, first.stdout + first.stderr
    assert "4 stories played, 1 left out" in first.stdout
    for output in (first.stdout, second.stdout):
        assert [row for row in marks(output) if row.startswith(("ASHA", "BRIAN"))] == [*ASHA[:-1], *BRIAN]
    assert "LEFT OUT" in first.stdout
    assert second.returncode == 1
    assert ", 0 DIFFERS" in second.stdout


def test_it_says_when_there_is_nothing_to_play_on() -> None:
    done = run("--url", f"http://127.0.0.1:{servers.free_port()}")
    assert done.returncode == 2
    assert "cannot be played on" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_stops_its_service_when_it_is_asked_to_stop(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(COMMAND, cwd=servers.ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(line.split()[2].rstrip(",") for line in process.stdout if line.startswith("Playing on "))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert urlsplit(url).port
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_comes_out_otherwise_counts() -> None:
    tally, text = played(story(step(), step("404")))
    assert [result.ok for result in tally.results] == [True, False]
    assert tally.exit_code(ci=False) == 1
    assert "2 steps: 1 ok, 1 DIFFERS" in text
    assert "DIFFERS X.1: expected 404, got 200" in text
    assert played(story(step()))[0].exit_code(ci=True) == 0


def test_two_runs_are_counted_as_one() -> None:
    tally, _ = played(story(step()))
    tally.add(played(story(step("404")), story(step(), needs="do_1"))[0])
    assert "2 steps: 1 ok, 1 DIFFERS" in tally.closing()
    assert tally.closing().endswith("2 stories played, 1 left out.")


@pytest.mark.parametrize("status", [0, 500, 503])
def test_a_broken_service_differs_whatever_was_expected(status: int) -> None:
    tally, _ = played(story(step(str(status))), status=status)
    assert tally.exit_code(ci=False) == 1
    assert sum(result.failures for result in tally.results) == 1


def test_one_broken_call_among_good_ones_differs_too() -> None:
    assert not judge(step(), [Answer(500), Answer(200)]).ok


def test_an_answer_that_cannot_be_read_differs_and_says_so() -> None:
    unreadable = Step("X.1", "", "Complete", lambda answers: answers[0].result["contents"][0]["status"], (READ,))
    assert judge(unreadable, [Answer(200, {"result": {"contents": []}})]).actual == (
        "unreadable answer: IndexError list index out of range"
    )
    refused = judge(unreadable, [Answer(400, {"params": {"err": "ERR_CONFLICTING_IDS"}})])
    assert (refused.ok, refused.actual) == (False, "400 ERR_CONFLICTING_IDS")


def test_only_an_optional_story_may_be_left_out_and_none_in_ci() -> None:
    told = story(step())
    optional, _ = played(told, story(step("never"), needs="do_1", optional=True))
    needed, text = played(told, story(step("never"), needs="do_1"))
    assert (optional.exit_code(ci=False), optional.exit_code(ci=True)) == (0, 1)
    assert needed.exit_code(ci=False) == 1
    assert "LEFT OUT: the service does not know do_1. Load it." in text


def test_a_run_without_any_step_is_no_success() -> None:
    assert Tally().exit_code(ci=False) == 1


def test_nobody_there_is_an_answer_and_no_exception() -> None:
    answer = http_caller(f"http://127.0.0.1:{servers.free_port()}")(READ)
    assert answer.failed
    assert answer.told == "no answer"


def test_the_demos_bookkeeping_takes_events_in_the_order_they_happened() -> None:
    def event(number: int, kind: str, **more: object) -> dict[str, object]:
        return {"id": f"e-{number}", "type": kind, "ts": number, "contentId": "do_1", **more}

    ledger = Ledger()
    update = event(2, "update", timespent=5)
    taken = ledger.take([event(4, "update", timespent=9), event(3, "end"), update, event(1, "start"), update])
    assert taken == {"applied": 3, "duplicate": 1, "older": 1}
    assert (ledger.status, ledger.progress, ledger.seconds) == ({"do_1": 2}, {"do_1": 100}, 5)


def test_the_demos_bookkeeping_counts_what_is_required() -> None:
    course = Course.read(SAMPLE)
    assert (len(course.leaves), len(course.required), len(course.optional_nodes)) == (31, 27, 5)
    assert set(course.optional_nodes) - set(course.optional) == {"do_214157026482000117"}
    book = Book(course)
    assert book.told() == "status 0, 0 done, 0 %"
    book.start(course.required[0])
    assert book.told() == "status 1, 0 done, 0 %"
    for leaf in (*course.required[:-1], *course.optional):
        book.complete(leaf)
    book.start(course.required[0])
    assert book.told() == "status 1, 26 done, 96 %"
    book.complete(course.required[-1])
    assert book.told() == "status 2, 27 done, 100 %, completedOn set"


def test_a_record_that_is_told_otherwise_elsewhere_is_named() -> None:
    place = {"collectionId": "do_214157026482000001", "contextId": "0141570264820010"}
    record: dict[str, Any] = {**place, "status": 1, "progress": 3, "completionPercentage": 11, "completedOn": None}
    read = Answer(200, {"result": {**record, "summary": record}})

    def beside(listed: dict[str, Any]) -> list[Answer]:
        return [read, Answer(200, {"result": {"summary": [listed]}}), Answer(200)]

    assert same_record(beside(record)) == "status 1, 3 done, 11 %; the same"
    assert (
        same_record(beside({**record, "progress": 4, "more": 1}))
        == "status 1, 3 done, 11 %; not the same: more, progress"
    )
    aggregated = Answer(200, {"result": {**record, "status": 2}})
    assert same_record([aggregated, *beside(record)]) == "status 1, 3 done, 11 %; not the same: status"


def test_events_written_twice_or_half_or_about_others_do_not_count(tmp_path: Path) -> None:
    def line(number: int, user: str) -> str:
        data = {"userIds": [user], "action": "issue-certificate", "batchId": "b", "courseId": "do_1"}
        return json.dumps(
            {"id": f"certificate:{number}", "topic": "t", "event": {"edata": data, "object": {"id": "o"}}}
        )

    told = {"edata": {"type": "enrol-complete"}, "object": {"id": "Asha", "rollup": {"l1": "do_1"}}}
    audit = json.dumps({"id": "enrol-complete:1", "topic": "t", "event": told})
    file = tmp_path / "2026-01-12.jsonl"
    file.write_text("\n".join([line(1, "Asha"), line(1, "Asha"), line(2, "Brian"), audit, line(3, "Asha")[:-5]]))
    assert published(tmp_path, "Asha")([]) == "enrol-complete in do_1; issue-certificate for b of do_1"


def test_a_refused_call_before_a_read_is_told_in_its_place() -> None:
    read = Answer(200, {"result": {"contents": [{"identifier": "do_1", "status": 0}]}})
    refused = Answer(400, {"params": {"err": "INVALID_COURSE_BATCH_ID"}})
    assert words_of("do_1")([Answer(200), read]) == "Not Started"
    assert words_of("do_1")([refused, read]) == "400 INVALID_COURSE_BATCH_ID"


def test_a_row_of_several_values_has_its_title_across_the_table() -> None:
    one = Step("X.1", "What was done " * 10, ("a", "b"), lambda answers: ("a", "b"))
    lines = render(Table("A table", (one,), ("first", "second")), [Result(one, ("a", "b"), ok=True)]).splitlines()
    assert lines[3].startswith("What was done What was done")
    assert max(map(len, lines)) <= 120
    assert [line.split()[0] for line in lines[-2:]] == ["X.1", "│"]


def test_a_row_of_another_place_or_origin_is_no_row_of_the_table() -> None:
    copied = Scenario("X1", "", (), (Row(MATHS, "batch-1", "do_1", 2, copied=True),))

    def read(**found: object) -> Result:
        row = {"collectionId": MATHS, "contextId": "batch-1", "contentId": "do_1", "status": 2, "origin": "a", **found}
        return judge(step_of(copied, "Rahul"), [Answer(200, {"result": {"contents": [row]}})])

    assert read().ok
    assert (read(origin=None).ok, read(origin=None).actual) == (False, "2")
    assert (read(status=0).ok, read(status=0).actual) == (False, "0 (copied)")
    assert read(contextId=MATHS).actual == f"2 in {MATHS}, {MATHS}, do_1"


def test_a_content_shown_from_another_context_than_the_one_to_be_named_differs() -> None:
    named = Scenario("X1", "", (), (Opens("do_1", Place(MATHS), 2, named="program-batch-1"),))

    def read(context: str) -> Result:
        item = {"status": 2, "contextId": context}
        return judge(step_of(named, "Rahul"), [Answer(200, {"result": {"contents": [item]}})])

    assert read("program-batch-1").ok
    assert not read(MATHS).ok


def test_a_month_without_the_day_ends_on_its_last_one() -> None:
    moment = datetime(2026, 5, 31, 10, tzinfo=UTC)
    assert Ago(months=3).before(moment) == datetime(2026, 2, 28, 10, tzinfo=UTC)
    assert Ago(months=5, days=1).before(moment) == datetime(2025, 12, 30, 10, tzinfo=UTC)


def test_a_get_has_no_body() -> None:
    with listening() as (url, seen):
        assert http_caller(url)(summary_list("Zoë/1")).status == 200
        assert http_caller(url)(READ).status == 200
    assert seen == [("GET", "/v1/summary/list/Zo%C3%AB%2F1", b""), ("POST", "/v1/view/read", b'{"request": {}}')]


@contextmanager
def listening() -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """A server that answers everything with {}: its URL, and the method, path and body of what it was asked."""
    seen: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
