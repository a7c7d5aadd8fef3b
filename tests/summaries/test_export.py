"""summary/export: everything stored of a learner in one archive, which another instance can take in."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from tests import servers
from tests.api.wire import DOUBLE, MATHS, SINGLE, TRIPLE, now_ms
from tests.servers import Server
from tests.summaries.wire import Learner, bring, complete, enrol, listed

SUBMIT = "/v1/assessment/submit"
TABLES = ["user_content_consumption", "assessment_aggregator", "user_activity_agg", "user_enrolments", "provenance"]


def archive(server: Server, user: str, base: str = "/v1/summary/export/") -> zipfile.ZipFile:
    answer = server.client.get(f"{base}{user}")
    assert (answer.status_code, answer.json()["id"]) == (200, "api.summary.export"), answer.text
    found = server.client.get(answer.json()["result"]["url"])
    assert (found.status_code, found.headers["content-type"]) == (200, "application/zip")
    opened = zipfile.ZipFile(io.BytesIO(found.content))
    assert opened.testzip() is None
    return opened


def rows(opened: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in opened.read(f"{table}.jsonl").decode().splitlines()]


def past(server: Server, user: str) -> None:
    """Enrolled twice, views of all kinds, an attempt, something viewed alone."""
    for batch in ("batch-1", "batch-2"):
        enrol(server, user, batch)
    complete(server, user, SINGLE, "batch-1", timespent=12.5)
    complete(server, user, SINGLE, SINGLE, SINGLE)
    place = {"userId": user, "collectionId": MATHS, "contextId": "batch-2"}
    details = {"current": ["=1+1", {"page": 3}]}
    server.result("/v1/view/start", {**place, "contentId": DOUBLE, "progressDetails": details})
    item = {"id": "q-1", "maxscore": 2, "title": 'a, "b"\n'}
    told = {"eid": "ASSESS", "ets": now_ms(), "edata": {"item": item, "score": 1.5}}
    server.result(SUBMIT, {**place, "contentId": TRIPLE, "attemptId": "try-1", "assessments": [told]})


def test_the_archive_has_every_table_and_the_summary(school: Server, learner: Learner) -> None:
    rahul = learner()
    past(school, rahul)
    opened = archive(school, rahul)
    names = [f"{table}.{kind}" for table in TABLES for kind in ("jsonl", "csv")]
    assert opened.namelist() == ["manifest.json", *names, "summary.json", "summary.csv"]
    assert json.loads(opened.read("summary.json"))["summary"] == listed(school, rahul, "?type=all")
    manifest = json.loads(opened.read("manifest.json"))
    assert (manifest["userId"], manifest["mode"], manifest["profile"]) == (rahul, "strict", None)
    assert manifest["rows"] == {table: len(rows(opened, table)) for table in TABLES}
    assert manifest["rows"] == dict(zip(TABLES, (4, 1, 3, 2, 0), strict=True))
    views = {(row["contextid"], row["contentid"]): row for row in rows(opened, "user_content_consumption")}
    assert views["batch-1", SINGLE]["timespent"] == 12.5
    assert views["batch-2", DOUBLE]["progressdetails"] == {"current": ["=1+1", {"page": 3}]}
    (attempt,) = rows(opened, "assessment_aggregator")
    assert (attempt["total_score"], attempt["questions"][0]["title"]) == (1.5, 'a, "b"\n')
    assert not {"applied", "version"} & {name for table in TABLES for row in rows(opened, table) for name in row}


def test_csv_and_json_hold_the_same(school: Server, learner: Learner) -> None:
    rahul = learner()
    past(school, rahul)
    opened = archive(school, rahul)
    for table in TABLES[:-1]:
        text = io.StringIO(opened.read(f"{table}.csv").decode(), newline="")
        for line, row in zip(csv.DictReader(text, strict=True), rows(opened, table), strict=True):
            assert row.pop("table") == table
            assert list(line) == list(row)
            for name, value in row.items():
                expected = json.loads(line[name]) if isinstance(value, dict | list) else line[name]
                assert expected == (value if isinstance(value, dict | list) else "" if value is None else str(value))


def test_another_instance_takes_it_in_and_tells_the_same(school: Server, learner: Learner, tmp_path: Path) -> None:
    rahul = learner()
    past(school, rahul)
    opened = archive(school, rahul)
    with servers.running(tmp_path) as other:
        bring(other, *(row for table in TABLES[:-1] for row in rows(opened, table)))
        assert listed(other, rahul, "?type=all") == listed(school, rahul, "?type=all")


def test_nobodys_archive_is_empty(school: Server, learner: Learner) -> None:
    nobody = learner()
    opened = archive(school, nobody, "/api/summary/v1/export/")
    assert json.loads(opened.read("manifest.json"))["rows"] == dict.fromkeys(TABLES, 0)
    assert [row for table in TABLES for row in rows(opened, table)] == []
