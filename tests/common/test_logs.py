"""One line of JSON for each record, whatever is in it."""

import json
import logging
import re
import sys
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st

from common.logs import JsonFormatter


def line(message: str = "request", *args: object, exc_info: Any = None, **extra: Any) -> str:
    record = logging.getLogger("viewer.request").makeRecord(
        "viewer.request", logging.INFO, "file.py", 1, message, args, exc_info, extra=extra
    )
    return JsonFormatter().format(record)


def test_a_record_is_time_level_logger_and_message() -> None:
    told = json.loads(line("read %d rows", 7))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told.pop("time"))
    assert told == {"level": "info", "logger": "viewer.request", "message": "read 7 rows"}


def test_extra_fields_stand_beside_them() -> None:
    told = json.loads(line(status=200, ms=1.5, path="/v1/view/start", nothing=None))
    assert (told["status"], told["ms"], told["path"], told["nothing"]) == (200, 1.5, "/v1/view/start", None)


def test_a_traceback_is_one_field_of_the_one_line() -> None:
    try:
        raise ValueError("what\nwent wrong")
    except ValueError:
        written = line("api error", exc_info=sys.exc_info())
    assert "\n" not in written
    traceback = json.loads(written)["traceback"]
    assert traceback.startswith("Traceback (most recent call last)")
    assert traceback.endswith("ValueError: what\nwent wrong")


def test_what_json_does_not_know_is_written_as_text() -> None:
    told = json.loads(line(where=logging, ids={"a"}, error=KeyError("batch-1")))
    assert told["ids"] == ["a"]
    assert told["error"] == "KeyError('batch-1')" or told["error"] == "'batch-1'"


def test_letters_of_every_script_stay_readable() -> None:
    assert "राहुल" in line("राहुल")


@given(st.text(), st.dictionaries(st.from_regex(r"[a-z]{3,8}_x", fullmatch=True), st.text(), max_size=3))
def test_any_text_is_one_line_that_reads_back(message: str, extra: dict[str, str]) -> None:
    written = line(message.replace("%", "%%"), **extra)
    assert "\n" not in written
    assert "\r" not in written
    told = json.loads(written)
    assert told["message"] == message.replace("%", "%%")
    assert {name: told[name] for name in extra} == extra


@pytest.mark.parametrize("name", ["args", "msg", "levelno", "pathname", "thread", "taskName"])
def test_pythons_own_bookkeeping_is_left_out(name: str) -> None:
    assert name not in json.loads(line())


def _fails(_: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("nobody caught this")


def _refuses(_: HttpRequest) -> HttpResponse:
    raise PermissionDenied


urlpatterns = [path("fails", _fails), path("refuses", _refuses)]
handler500 = "common.envelope.handler500"


@pytest.mark.urls("tests.common.test_logs")
@pytest.mark.parametrize(("page", "status", "logged"), [("/fails", 500, 1), ("/refuses", 403, 0)])
def test_a_page_that_fails_leaves_its_traceback_once_and_one_that_refuses_none(
    caplog: pytest.LogCaptureFixture, page: str, status: int, logged: int
) -> None:
    answer = Client(raise_request_exception=False).get(page)
    assert answer.status_code == status
    told = [record for record in caplog.records if record.exc_info]
    assert len(told) == logged
    assert all("nobody caught this" in JsonFormatter().format(record) for record in told)
