"""What one line of an import says: names, values and times, and what makes a line bad. No store."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FieldError
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, Question, RowKey, Status
from viewer.importer import MAX_LINE, Skipped, parse_line

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NINE = datetime(2024, 3, 1, 9, 0, 0, 250000, tzinfo=UTC)
TEN = datetime(2024, 3, 1, 10, tzinfo=UTC)
IDS = {"userid": "Rahul", "collectionid": "class-1-maths", "contextid": "batch-1"}
LEGACY_IDS = {"userid": "Rahul", "courseid": "class-1-maths", "batchid": "batch-1"}
ROW = {"table": "user_content_consumption", **IDS, "contentid": "single-digit-addition"}
ATTEMPT = {**ROW, "table": "assessment_aggregator", "attempt_id": "a-1", "total_score": 4, "total_max_score": 10}
ENROLMENT = {"table": "user_enrolments", **LEGACY_IDS}
AGG = {"table": "user_activity_agg", "user_id": "Rahul", "activity_id": "class-1-maths", "context_id": "cb:batch-1"}
KEY = ContextKey("Rahul", "class-1-maths", "batch-1")
ADDITION = RowKey(*KEY, "single-digit-addition")


def parsed(line: dict[str, Any], **columns: Any) -> Any:
    return parse_line(json.dumps({**line, **columns}), NOW)


def row(**columns: Any) -> Consumption:
    found = parsed(ROW, **columns)
    assert isinstance(found, Consumption)
    return found


def agg(**columns: Any) -> ActivityAgg:
    found = parsed(AGG, **columns)
    assert isinstance(found, ActivityAgg)
    return found


def enrolment(**columns: Any) -> Enrolment:
    found = parsed(ENROLMENT, **columns)
    assert isinstance(found, Enrolment)
    return found


def refusal(line: str | bytes) -> str:
    with pytest.raises(FieldError) as refused:
        parse_line(line, NOW)
    assert list(refused.value.fields.values()) == [refused.value.message]
    return refused.value.message


# --- rows ---------------------------------------------------------------------------------------------------------


def test_the_seeds_columns_and_the_legacy_ones_give_the_same_row() -> None:
    seeds = row(
        status=2,
        last_access_time="2024-03-01T10:00:00Z",
        last_completed_time="2024-03-01T09:00:00.250Z",
        last_updated_time="2024-03-01T10:00:00Z",
        progressdetails={"progress": 80},
        view_count=3,
        timespent=12.5,
    )
    legacy = {
        "table": "user_content_consumption",
        **LEGACY_IDS,
        "contentid": "single-digit-addition",
        "status": 2,
        "progress": 100,
        "lastaccesstime": "2024-03-01 15:30:00:000+0530",
        "lastcompletedtime": 1709283600250,
        "lastupdatedtime": "2024-03-01 10:00:00:000+0000",
        "progressdetails": '{"progress": 80}',
        "viewcount": 3,
        "completedcount": 1,
        "timespent": 12.5,
    }
    camel = {
        "table": "USER_CONTENT_CONSUMPTION",
        "userId": "f:provider:Rahul",
        "collectionId": "class-1-maths",
        "contextId": "batch-1",
        "contentId": "single-digit-addition",
        "status": 2,
        "lastAccessTime": "1709287200000",
        "lastCompletedTime": 1709283600250.0,
        "lastUpdatedTime": 1709287200000,
        "progressDetails": {"progress": 80},
        "viewCount": 3,
        "timeSpent": 12.5,
        "somethingElse": [1],
    }
    assert parsed(legacy) == parsed(camel) == seeds
    assert seeds == Consumption(
        ADDITION,
        Status.COMPLETED,
        100,
        last_access_time=TEN,
        last_updated_time=TEN,
        last_completed_time=NINE,
        own_completed_time=NINE,
        progress_details={"progress": 80},
        timespent=12.5,
        view_count=3,
    )


def test_old_text_times_are_used_only_where_the_new_columns_are_empty() -> None:
    assert row(status=1, lastaccesstime=1, last_access_time="2024-03-01T10:00Z").last_access_time == TEN
    assert row(status=1, lastaccesstime=1709287200000, last_access_time=None).last_access_time == TEN


def test_own_times_are_never_clamped() -> None:
    found = row(status=2, last_completed_time="1971-01-01", last_access_time="2999-01-01T00:00Z")
    assert found.last_completed_time == datetime(1971, 1, 1, tzinfo=UTC)
    assert found.last_access_time == datetime(2999, 1, 1, tzinfo=UTC)


def test_a_missing_update_time_is_that_of_the_last_access_or_completion_else_of_the_import() -> None:
    assert row(status=2, last_completed_time="2024-03-01T10:00Z", last_access_time=5).last_updated_time == TEN
    assert row(status=1).last_updated_time == NOW


def test_greater_statuses_are_completed_and_a_missing_one_is_in_progress() -> None:
    assert (row(status=3).status, row(status=3).progress) == (Status.COMPLETED, 100)
    assert row(last_access_time=5).status is Status.IN_PROGRESS
    assert row(status=0, timespent=4).status is Status.IN_PROGRESS


def test_a_row_with_status_0_and_nothing_else_is_skipped() -> None:
    assert isinstance(parsed(ROW, status=0, last_access_time=5, viewcount=0), Skipped)


def test_only_completed_rows_have_progress_100_and_completion_times() -> None:
    found = row(status=1, progress=100, last_completed_time=5, own_completed_time=5)
    assert (found.progress, found.last_completed_time, found.own_completed_time) == (99, None, None)
    assert row(status=2, progress=7).progress == 100
    assert row(status=1, progress=250).progress == 99


def test_progress_comes_from_the_details_where_there_is_no_column() -> None:
    assert row(status=1, progressdetails={"progress": 45.9}).progress == 45
    assert row(status=1, progressdetails={"progress": 45}, progress=10).progress == 10


def test_a_carried_row_keeps_its_origin_and_has_no_own_completion() -> None:
    found = row(status=2, last_completed_time=5000, origin="prov-1")
    assert (found.origin, found.own_completed_time) == ("prov-1", None)
    own = row(status=2, last_completed_time=5000, own_completed_time=6000, origin="prov-1")
    assert own.origin is None


# --- attempts -----------------------------------------------------------------------------------------------------


def test_an_attempt_has_its_questions_under_either_name() -> None:
    question = {
        "id": "q-1",
        "assess_ts": 1709287200000,
        "max_score": 2,
        "score": 1.33,
        "type": "mcq",
        "title": "2 + 2 = ?",
        "resvalues": [{"1": {"text": "4"}, "2": "x"}],
        "params": None,
        "description": None,
        "duration": 3.5,
    }
    times = {"created_on": 0, "last_attempted_on": 1709287200000, "updated_on": "2024-03-01T10:00:00Z"}
    found = parsed(ATTEMPT, question=[question], **times)
    assert found == parsed(ATTEMPT, questions=json.dumps([question]), **times)
    as_text = '{"text":"4"}'
    assert found == Attempt(
        ADDITION,
        "a-1",
        4.0,
        10.0,
        "4.0/10.0",
        datetime(1970, 1, 1, tzinfo=UTC),
        TEN,
        TEN,
        (Question("q-1", 1.33, 2.0, TEN, "mcq", "2 + 2 = ?", duration=3.5, resvalues=({"1": as_text, "2": "x"},)),),
    )


def test_totals_come_from_the_questions_where_they_are_missing() -> None:
    questions = [{"id": "q-1", "score": 0.1, "max_score": 1}, {"id": "q-2", "score": 0.2, "max_score": 2}]
    found = parsed(ATTEMPT, total_score=None, total_max_score=None, questions=questions, updated_on=5)
    assert (found.total_score, found.total_max_score, found.grand_total) == (0.3, 3.0, "0.3/3.0")
    assert refusal(json.dumps({**ATTEMPT, "total_score": None, "updated_on": 5})) == "total_score is missing"


@pytest.mark.parametrize(
    ("score", "total"), [(1.33, "1.33/10.0"), (2, "2.0/10.0"), (1.005, "1.0/10.0"), (1.015, "1.02/10.0")]
)
def test_the_grand_total_has_one_or_two_decimals(score: float, total: str) -> None:
    assert parsed(ATTEMPT, total_score=score, created_on=5).grand_total == total


def test_an_attempt_without_any_time_is_bad() -> None:
    assert refusal(json.dumps(ATTEMPT)) == "last_attempted_on is missing"


# --- enrolments ---------------------------------------------------------------------------------------------------


def test_an_enrolment_is_read_from_its_legacy_columns() -> None:
    found = enrolment(
        addedby="asha",
        enrolleddate="2024-03-01 10:00:00:000+0000",
        status=1,
        progress=3,
        completionpercentage=37.5,
        contentstatus={"do_1": 2, "do_2": 1, "do_3": 0, "do_4": 3},
        issued_certificates=[{"name": "Well done", "identifier": "c-1", "templateUrl": None}],
        certificates=[{"name": "Started", "id": "c-0"}],
        lastreadcontentid="do_2",
        lastreadcontentstatus=1,
        lastcontentaccesstime=1709287200000,
        datetime="2024-03-01T10:00:00Z",
        completedon=5,
    )
    assert found == Enrolment(
        *KEY,
        added_by="asha",
        enrolled_date=TEN,
        status=Status.IN_PROGRESS,
        progress=3,
        completion_percentage=37,
        content_status={"do_1": 2, "do_2": 1, "do_4": 2},
        issued_certificates=({"name": "Started", "id": "c-0"}, {"name": "Well done", "identifier": "c-1"}),
        last_read_content_id="do_2",
        last_read_content_status=1,
        last_content_access_time=TEN,
        updated_at=TEN,
    )


def test_the_enrolment_date_falls_back_to_the_old_text_and_then_to_the_last_write() -> None:
    assert enrolment(enrolled_date=1709287200000, enrolleddate="1971-01-01", datetime=5).enrolled_date == TEN
    assert enrolment(enrolleddate="2024-03-01T10:00Z", datetime=5).enrolled_date == TEN
    assert enrolment(datetime="2024-03-01T10:00Z").enrolled_date == TEN
    assert enrolment().enrolled_date == NOW


def test_a_completed_enrolment_is_at_100_percent() -> None:
    found = enrolment(status=2, completedon="2024-03-01T10:00Z")
    assert (found.status, found.completion_percentage, found.completed_on) == (Status.COMPLETED, 100, TEN)


def test_active_is_true_when_missing_and_a_phantom_when_null() -> None:
    assert enrolment().active is True
    assert enrolment(active=False).active is False
    phantom = parsed(ENROLMENT, active=None)
    assert isinstance(phantom, Skipped)
    assert phantom.phantom


# --- aggregates ---------------------------------------------------------------------------------------------------


def test_a_legacy_aggregate_keeps_an_entry_for_each_content() -> None:
    attempts = [
        {"attempt_id": "a-1", "last_attempted_on": "Mar 1, 2024, 9:00:00 AM", "score": 1.33, "content_id": "do_2",
         "max_score": 3.0, "type": "attempt_metrics"},
        {"attempt_id": "a-2", "score": 1, "content_id": "do_2", "max_score": 3.0, "type": "attempt_metrics"},
    ]  # fmt: skip
    found = agg(
        activity_type="Course",
        content_status={"do_1": 2, "do_2": 1},
        agg={"completedCount": 1, "score:do_2": 1, "max_score:do_2": 3, "score:do_3": 4, "max_score:do_3": 5},
        aggregates={"completedCount": 2.0, "attempts_count:do_3": 2.0},
        agg_details=[json.dumps(attempt) for attempt in attempts],
        agg_last_updated={"completedCount": "2024-03-01T10:00Z"},
    )
    assert found == ActivityAgg(
        KEY,
        content_status={"do_1": 2, "do_2": 1},
        agg={"completedCount": 1, "score:do_2": 1, "max_score:do_2": 3, "score:do_3": 4, "max_score:do_3": 5},
        aggregates={"completedCount": 2.0, "attempts_count:do_3": 2.0},
        kept={
            "": {"by": "import", "completedCount": 2},
            "do_1": {"by": "import", "status": 2, "progress": 100},
            "do_2": {"by": "import", "status": 1, "progress": 0, "score": 1.33, "max_score": 3.0, "attempts": 2},
            "do_3": {"by": "import", "status": 0, "progress": 0, "score": 4.0, "max_score": 5.0, "attempts": 2},
        },
        agg_last_updated={"completedCount": 1709287200000},
        version=1,
    )


def test_our_own_details_may_come_back() -> None:
    details = {
        "": {"completedCount": 1},
        "do_1": {"by": "archive", "status": 2, "lastCompletedTime": "2024-03-01T10:00Z", "viewCount": 2},
        "do_2": {"timespent": 4.5, "version": 9},
        "do_3": {},
    }
    assert agg(agg_details=details).kept == {
        "": {"by": "import", "completedCount": 1},
        "do_1": {"by": "import", "status": 2, "progress": 100, "lastCompletedTime": 1709287200000, "viewCount": 2},
        "do_2": {"by": "import", "status": 1, "progress": 0, "timespent": 4.5},
    }


def test_only_an_aggregates_context_loses_its_cb() -> None:
    assert agg(batch_id="batch-1").key == KEY
    assert row(contextid="cb:batch-1", status=1).key.context_id == "cb:batch-1"


# --- bad lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("\udc80", "not JSON"),
        (b"\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"status": NaN}', "not JSON"),
        ('{"status": 1e999}', "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "table is missing"),
        ('{"table": null}', "table is missing"),
        (b" " * (MAX_LINE + 1), f"longer than {MAX_LINE} bytes"),
    ],
)
def test_a_line_that_is_no_row_at_all_is_bad(line: str | bytes, message: str) -> None:
    assert refusal(line) == message


@pytest.mark.parametrize("table", ["users", "", 7, ["user_enrolments"]])
def test_an_unknown_table_is_bad(table: object) -> None:
    assert refusal(json.dumps({**ROW, "table": table})).startswith("table is not one of user_content_consumption, ")


@pytest.mark.parametrize(
    ("line", "columns", "message"),
    [
        (ROW, {"userid": " "}, "user_id is missing"),
        (ROW, {"contentid": None}, "content_id is missing"),
        (ENROLMENT, {"batchid": ""}, "context_id is missing"),
        (AGG, {"context_id": "cb:"}, "context_id is missing"),
        (ATTEMPT, {"attempt_id": None}, "attempt_id is missing"),
        (ROW, {"userid": 7}, "userid must be text"),
        (ROW, {"contentid": "a/b"}, 'contentid has a character no id may have (control, "/", "\\" or "..")'),
        (ROW, {"contentid": "x" * 257}, "contentid is longer than 256 characters"),
        (ROW, {"courseid": "class-2-maths"}, "courseid contradicts another spelling of collection_id"),
        (ROW, {"last_access_time": "yesterday"}, "last_access_time is not a time"),
        (ROW, {"lastcompletedtime": True}, "lastcompletedtime is not a time"),
        (ROW, {"lastAccessTime": [1]}, "lastAccessTime is not a time"),
        (ROW, {"last_access_time": 10**18}, "last_access_time is beyond the calendar"),
        (ROW, {"status": "2"}, "status is not a number"),
        (ROW, {"status": 1.5}, "status is not a whole number"),
        (ROW, {"status": True}, "status is not a number"),
        (ROW, {"status": 10**30}, "status is not a number from -2147483647 to 2147483647"),
        (ROW, {"progress": -1}, "progress is not a number from 0 to 1000000000000"),
        (ROW, {"viewcount": -1}, "viewcount is not a number from 0 to 2147483647"),
        (ROW, {"timespent": 1e300}, "timespent is not a number from 0 to 1000000000"),
        (ROW, {"timespent": "4"}, "timespent is not a number"),
        (ROW, {"progressdetails": "{"}, "progressdetails is not JSON"),
        (ROW, {"progressdetails": "[1]"}, "progressdetails is not an object"),
        (ROW, {"progressdetails": {"a": "\x00"}}, "progressdetails has a character no database keeps"),
        (ROW, {"progressdetails": json.loads('{"a":' * 70 + "1" + "}" * 70)},
         "progressdetails is nested deeper than 64 levels"),
        (ROW, {"origin": "x" * 65}, "origin is longer than 64 characters"),
        (ATTEMPT, {"questions": {}}, "questions is not a list"),
        (ATTEMPT, {"questions": [{"id": "q"}, {"score": 1}]}, "questions[1].id is missing"),
        (ATTEMPT, {"question": [{"id": "q", "assess_ts": "x"}]}, "question[0].assess_ts is not a time"),
        (ATTEMPT, {"question": [{"id": "q", "resvalues": [1]}]}, "question[0].resvalues[0] is not an object"),
        (ATTEMPT, {"total_max_score": -1}, "total_max_score is not a number from 0 to 1000000000000"),
        (ATTEMPT, {"grand_total": 4}, "grand_total is not text"),
        (ENROLMENT, {"active": "yes"}, "active is not true or false"),
        (ENROLMENT, {"contentstatus": {"do_1": "done"}}, "contentstatus.do_1 is not a number"),
        (ENROLMENT, {"contentstatus": {"a/b": 1}},
         'contentstatus has a character no id may have (control, "/", "\\" or "..")'),
        (ENROLMENT, {"certificates": "[1]"}, "certificates[0] is not an object"),
        (AGG, {"activity_type": "Program"}, "activity_type is not Course"),
        (AGG, {"agg": {"completedCount": -1}}, "agg.completedCount is not a number from 0 to 1000000000000"),
        (AGG, {"aggregates": {"score:": 1}}, "aggregates has a blank content id"),
        (AGG, {"agg_details": ["{"]}, "agg_details[0] is not JSON"),
        (AGG, {"agg_details": [{"score": 1}]}, "agg_details[0].content_id is missing"),
        (AGG, {"agg_details": {"do_1": {"status": "x"}}}, "agg_details.do_1.status is not a number"),
        (AGG, {"agg_last_updated": {"completedCount": "x"}}, "agg_last_updated.completedCount is not a time"),
    ],
)  # fmt: skip
def test_a_bad_line_names_its_field(line: dict[str, Any], columns: dict[str, Any], message: str) -> None:
    assert refusal(json.dumps({**line, **columns})) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["{}", "[{}]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
COLUMNS = sorted(
    {"status", "progress", "progressdetails", "view_count", "last_access_time", "origin", "questions", "total_score"}
    | {"contentstatus", "certificates", "active", "completedon", "agg", "aggregates", "agg_details", "content_status"}
)


@given(
    st.sampled_from([ROW, ATTEMPT, ENROLMENT, AGG]),
    st.dictionaries(st.sampled_from([*COLUMNS, "userid", "table"]), json_values, max_size=4),
)
def test_whatever_a_line_holds_it_is_a_row_or_a_field_is_to_blame(line: dict[str, Any], columns: Any) -> None:
    try:
        found = parse_line(json.dumps({**line, **columns}), NOW)
    except FieldError:
        return
    assert isinstance(found, Consumption | Attempt | Enrolment | ActivityAgg | Skipped)
    if not isinstance(found, Skipped):
        assert replace(found) == found
