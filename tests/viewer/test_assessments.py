"""From ASSESS events to attempts, without any server: the latest answers, decimal sums, ids, and what the tree allows.

The numbers of the fixture are those the legacy pipeline's own tests have (facts/pipeline.md §4).
"""

import random
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.hierarchy import Hierarchy
from common.errors import FieldError, InvalidField, InvalidTime, MissingField, NotInCollection, TooManyQuestions
from common.rows import ActivityAgg, Attempt, RowKey
from common.timestamps import from_epoch_ms
from viewer import assessments, progress, scoring
from viewer.merging import merge_attempt

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = RowKey("U", "course", "batch", "C")
COLLECTION = "application/vnd.ekstep.content-collection"


def event(question: str, score: Any, ets: Any = 1, maximum: Any = 1, /, **edata: Any) -> dict[str, Any]:
    """One ASSESS event as players send it."""
    item = {"id": question, "maxscore": maximum, "type": "mcq", "title": question, "desc": "", "params": []}
    return {"eid": "ASSESS", "ets": ets, "edata": {"item": item, "score": score, "resvalues": [], **edata}}


def attempt(attempt_id: str, ts: int, *events: dict[str, Any], arrived: datetime = NOW) -> Attempt:
    questions = assessments.questions_of("assessments", events)
    return assessments.attempt_of(KEY, attempt_id, questions, from_epoch_ms(ts), arrived)


def sums(one: Attempt) -> tuple[float, float, str]:
    return one.total_score, one.total_max_score, one.grand_total


def scores(*events: dict[str, Any]) -> dict[str, float]:
    return {one.id: one.score for one in assessments.questions_of("assessments", events)}


# --- the pipeline's fixture --------------------------------------------------------------------------------------

FIRST = attempt("A", 1568891729576, event("q801", 0, 1), event("q801", 0, 2), event("q801", 1, 3), event("q2bc", 0.33))
OLDER = attempt("A", 1567073236195, event("q801", 1, 1), event("q2bc", 1))
NEWER = attempt("A", 1587988642000, event("q801", 1, 1), event("q801", 0, 2), event("q801dr", 1), event("q2bc", 1))
SECOND = attempt(
    "B",
    1568891735461,
    event("q801", 0, 1),
    event("q801", 0, 2),
    event("q801", 1, 3),
    event("q2bc", 0.33),
    event("q3", 0),
)


def test_attempt_a_is_1_33_of_2() -> None:
    assert sums(FIRST) == (1.33, 2.0, "1.33/2.0")


def test_older_submission_of_attempt_a_is_skipped() -> None:
    assert merge_attempt(FIRST, OLDER) == FIRST


def test_newer_submission_of_attempt_a_replaces_it_and_keeps_its_creation() -> None:
    later = attempt("A", 1587988642000, event("q801", 1), event("q801dr", 1), arrived=NOW + timedelta(days=1))
    assert sums(merge_attempt(FIRST, NEWER)) == (2.0, 3.0, "2.0/3.0")
    assert merge_attempt(FIRST, later).created_on == NOW


def test_attempt_b_is_1_33_of_3() -> None:
    assert sums(SECOND) == (1.33, 3.0, "1.33/3.0")


def test_best_of_both_attempts_is_2_of_3() -> None:
    best = scoring.best_scores([merge_attempt(merge_attempt(FIRST, OLDER), NEWER), SECOND])[KEY]
    assert (best.score, best.max_score, best.attempts) == (2.0, 3.0, 2)


def test_aggregate_of_both_attempts_says_the_same() -> None:
    sources = progress.Sources(ActivityAgg(KEY.context), attempts=[merge_attempt(FIRST, NEWER), SECOND])
    told = progress.fold(sources, NOW).agg.aggregates
    assert told == {"score:C": 2.0, "max_score:C": 3.0, "attempts_count:C": 2.0}


def test_six_events_over_two_questions_are_2_of_2() -> None:
    events = [event(question, int(ets == 3), ets) for ets in (1, 2, 3) for question in ("a", "b")]
    assert sums(attempt("A", 1, *events)) == (2.0, 2.0, "2.0/2.0")


def test_one_event_is_1_of_1() -> None:
    assert sums(attempt("A", 1, event("a", 1))) == (1.0, 1.0, "1.0/1.0")


def test_4_of_10_beats_3_of_3() -> None:
    tries = [attempt("A", 1, event("a", 4, 1, 10)), attempt("B", 2, event("a", 3, 1, 3))]
    best = scoring.best_scores(tries)[KEY]
    assert (best.score, best.max_score, best.attempts) == (4.0, 10.0, 2)


def test_seven_events_of_two_questions_fit_a_total_of_two_and_not_of_one() -> None:
    events = [*(event("q801", 0, ets) for ets in range(5)), event("q801", 1, 9), event("q2bc", 0.33)]
    one = attempt("A", 1, *events)
    assert sums(one) == (1.33, 2.0, "1.33/2.0")
    assert assessments.refusal(tree(total=2), "C", len(one.questions)) is None
    assert isinstance(assessments.refusal(tree(total=1), "C", len(one.questions)), TooManyQuestions)


# --- the latest answer -------------------------------------------------------------------------------------------


def test_latest_answer_counts_not_the_best() -> None:
    assert scores(event("a", 2, 1000), event("a", 4, 2000), event("a", 1, 1500)) == {"a": 4.0}
    assert scores(event("a", 5, 1000), event("a", 0, 2000)) == {"a": 0.0}


def test_of_equal_times_the_later_in_the_list_counts() -> None:
    assert scores(event("a", 1, 5), event("a", 2, 5)) == {"a": 2.0}
    assert scores(event("a", 2, 5), event("a", 1, 5)) == {"a": 1.0}


def test_answer_without_a_time_is_older_than_any_with_one() -> None:
    assert scores(event("a", 1, 0), event("a", 2, None)) == {"a": 1.0}
    assert scores(event("a", 1, None), event("a", 2, None)) == {"a": 2.0}


def test_times_are_compared_as_times_and_not_as_they_are_written() -> None:
    written = ["999", 1000, "1970-01-01T00:00:02Z", "1970-01-01 05:30:03:000+0530"]
    for order in (written, written[::-1]):
        assert scores(*(event("a", written.index(ets), ets) for ets in order)) == {"a": 3.0}


def test_newest_answer_tells_when_the_attempt_was() -> None:
    questions = assessments.questions_of("assessments", [event("a", 1, 5000), event("b", 1, 7000), event("c", 1, None)])
    assert assessments.newest(questions) == from_epoch_ms(7000)
    assert assessments.newest(assessments.questions_of("assessments", [event("c", 1, None)])) is None


@pytest.mark.parametrize("eid", ["ASSESS", "assess", " Assess ", None, ""])
def test_assess_events_are_taken_however_they_name_themselves(eid: str | None) -> None:
    assert scores({**event("a", 1), "eid": eid}) == {"a": 1.0}


@pytest.mark.parametrize("eid", ["RESPONSE", "END", "ASSESSMENT", 5, ["ASSESS"]])
def test_other_events_are_left_out_whatever_they_hold(eid: Any) -> None:
    assert scores({"eid": eid, "edata": {"score": "lots"}}, event("a", 1)) == {"a": 1.0}


def test_flat_event_is_read_like_telemetry() -> None:
    flat = {
        "identifier": "a", "score": "2.5", "maxScore": 3, "duration": "4", "questionType": "mcq", "title": "A",
        "description": "?", "timestamp": "2000",
    }  # fmt: skip
    edata = {"item": {"id": "a", "maxscore": 3, "type": "mcq", "title": "A", "desc": "?"}, "score": 2.5, "duration": 4}
    (one,), (other,) = (
        assessments.questions_of("assessments", [sent]) for sent in (flat, {"ets": 2000, "edata": edata})
    )
    assert one == other
    assert (one.score, one.max_score, one.duration, one.assess_ts) == (2.5, 3.0, 4.0, from_epoch_ms(2000))
    assert assessments.questions_of("x", [{"questionId": "q", "identifier": "do_1"}])[0].id == "q"


def test_missing_numbers_are_zero() -> None:
    (one,) = assessments.questions_of("assessments", [{"edata": {"item": {"id": "a"}, "score": None, "duration": " "}}])
    assert (one.score, one.max_score, one.duration, one.assess_ts, one.resvalues) == (0.0, 0.0, 0.0, None, ())


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1", 1.0),
        (" 0.33 ", 0.33),
        ("-1", -1.0),
        ("+2.", 2.0),
        (".5", 0.5),
        ("1e2", 100.0),
        (-0.5, -0.5),
        (10**12, 1e12),
    ],
)
def test_numbers_may_be_text_and_scores_negative(written: Any, number: float) -> None:
    assert scores(event("a", written)) == {"a": number}


def test_question_may_be_named_by_a_whole_number() -> None:
    assert scores({"questionId": 7, "score": 1}, {"questionId": "7", "score": 2}) == {"7": 2.0}


def test_values_that_are_no_text_are_kept_as_json() -> None:
    resvalues = [{"1": "4", "2": 5, "3": None, "4": {"x": [True, 1.5]}, "5": "हाँ", "6": ["ठीक"]}, {}]
    (one,) = assessments.questions_of("assessments", [event("a", 1, resvalues=resvalues)])
    told = {"1": "4", "2": "5", "3": "null", "4": '{"x":[true,1.5]}', "5": "हाँ", "6": '["ठीक"]'}
    assert one.resvalues == (told, {})


ANY: list[Any] = [[], {}]
Bad = tuple[dict[str, Any], type[FieldError], str]
BAD: list[Bad] = [
    ({}, MissingField, "p[1] names no question (edata.item.id or questionId)"),
    ({"edata": {"item": {"id": "  "}}}, MissingField, "p[1] names no question (edata.item.id or questionId)"),
    ({"edata": {"score": 1}}, MissingField, "p[1] names no question (edata.item.id or questionId)"),
    ({"edata": {"item": {"id": True}}}, InvalidField, "p[1].edata.item.id is not text"),
    ({"edata": {"item": {"id": ["a"]}}}, InvalidField, "p[1].edata.item.id is not text"),
    ({"questionId": 1.5}, InvalidField, "p[1].questionId is not text"),
    ({"identifier": "x" * 257}, InvalidField, "p[1].identifier is longer than 256 characters"),
    ({"edata": 5}, InvalidField, "p[1].edata is not an object"),
    ({"edata": {"item": "a"}}, InvalidField, "p[1].edata.item is not an object"),
    *(
        (event("a", bad), InvalidField, "p[1].edata.score is not a number")
        for bad in ("lots", "NaN", "inf", "Infinity", "1,5", "0x10", "१", True, *ANY, float("nan"))
    ),
    *(
        (event("a", bad), InvalidField, "p[1].edata.score is not a number from -1000000000000 to 1000000000000")
        for bad in ("1e999", float("inf"), float("-inf"), 10**13, "9" * 400, -(10**40))
    ),
    *(
        (event("a", 1, 1, bad), InvalidField, "p[1].edata.item.maxscore is not a number from 0 to 1000000000000")
        for bad in (-1, "-0.001", "1e13")
    ),
    ({"questionId": "a", "maxScore": "x"}, InvalidField, "p[1].maxScore is not a number"),
    (event("a", 1, duration="long"), InvalidField, "p[1].edata.duration is not a number"),
    *(
        (event("a", 1, bad), InvalidTime, "p[1].ets is not a time (epoch ms, yyyy-MM-dd HH:mm:ss:SSSZ or ISO 8601)")
        for bad in ("soon", True, *ANY, float("nan"), "1e5")
    ),
    (event("a", 1, 10**30), InvalidTime, "p[1].ets is beyond the calendar"),
    (event("a", 1, resvalues="x"), InvalidField, "p[1].edata.resvalues is not a list"),
    (event("a", 1, resvalues=["x"]), InvalidField, "p[1].edata.resvalues[0] is not an object"),
    (event("a", 1, resvalues=[{}] * 1001), InvalidField, "p[1].edata.resvalues lists more than 1000 values"),
    *(
        (event("a", 1, resvalues=[{}, bad]), InvalidField,
         "p[1].edata.resvalues[1] holds a character no store keeps (NUL or half of a pair)")
        for bad in ({"a\x00": "b"}, {"a": "\x00"}, {"a": "\ud800"}, {"\udfff": 1}, {"a": ["\ud800"]})
    ),
    (event("a\x00", 1), InvalidField,
     "p[1].edata.item.id holds a character no store keeps (NUL or half of a pair)"),
    ({"questionId": "a", "title": "x" * 16_385}, InvalidField, "p[1].title is longer than 16384 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "kind", "message"), BAD, ids=[f"{row[2][:50]} {str(row[0])[-30:]!r}" for row in BAD])
def test_malformed_event_is_refused_with_its_place(bad: dict[str, Any], kind: type[FieldError], message: str) -> None:
    with pytest.raises(FieldError) as caught:
        assessments.questions_of("p", [event("good", 1), bad])
    assert type(caught.value) is kind
    assert (caught.value.message, list(caught.value.fields)) == (message, ["p"])


def test_field_to_blame_is_the_requests_own() -> None:
    with pytest.raises(InvalidField) as caught:
        assessments.questions_of("assessments[3].events", [event("a", "x")])
    assert list(caught.value.fields) == ["assessments"]
    assert caught.value.message == "assessments[3].events[0].edata.score is not a number"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(("levels", "fits"), [(0, True), (31, True), (32, False), (100_000, False)])
def test_depth_is_bounded(levels: int, fits: bool) -> None:
    if fits:
        assessments.check_depth("assessments", nested(levels))
        return
    with pytest.raises(InvalidField, match="assessments is nested deeper than 32 levels"):
        assessments.check_depth("assessments", nested(levels))


# --- sums --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reached", "total", "text"),
    [
        ([0.1, 0.2], 0.3, "0.3"), ([0.1] * 10, 1.0, "1.0"), ([1.1, 2.2], 3.3, "3.3"), ([0.29, 0.57], 0.86, "0.86"),
        ([5], 5.0, "5.0"), ([0], 0.0, "0.0"), ([1.335], 1.335, "1.34"), ([1.345], 1.345, "1.34"),
        ([0.125], 0.125, "0.12"), ([0.135], 0.135, "0.14"), ([2.675], 2.675, "2.68"), ([1.005], 1.005, "1.0"),
        ([1.33], 1.33, "1.33"), ([1.3], 1.3, "1.3"), ([10], 10.0, "10.0"), ([100], 100.0, "100.0"),
        ([-0.004], -0.004, "0.0"), ([-1.5], -1.5, "-1.5"), ([-1, 0.5], -0.5, "-0.5"), ([1e-7], 1e-7, "0.0"),
        (["0.1", "0.2"], 0.3, "0.3"), ([1e12], 1e12, "1000000000000.0"),
        ([1e12, 0.005], 1000000000000.005, "1000000000000.0"),
    ],
)  # fmt: skip
def test_sums_are_decimal_and_told_with_one_or_two_decimals(reached: list[Any], total: float, text: str) -> None:
    one = attempt("A", 1, *(event(f"q{number}", score) for number, score in enumerate(reached)))
    assert one.total_score == total
    assert one.grand_total == f"{text}/{len(reached)}.0"


# --- ids ---------------------------------------------------------------------------------------------------------


def test_derived_id_is_the_same_each_time_and_apart_for_each_part() -> None:
    told = [
        (KEY, "1"),
        (KEY, "2"),
        (KEY._replace(user_id="V"), "1"),
        (KEY._replace(content_id="D"), "1"),
        (KEY._replace(user_id="UC", content_id="C"), "1"),
        (KEY._replace(user_id="U", content_id="CC"), "1"),
    ]
    ids = [assessments.derived_id(*one) for one in told]
    assert len(set(ids)) == len(told)
    assert ids == [assessments.derived_id(*one) for one in told]
    # Written out: an id derived by an older version of this service must be derived by every later one.
    assert ids[0] == "af01295da79bc546ab270e82e6009e11"


# --- the tree ----------------------------------------------------------------------------------------------------


def tree(total: int | None = None, *, complete: bool = True) -> Hierarchy:
    leaf = {"identifier": "C", "mimeType": "application/vnd.ekstep.ecml-archive", "totalQuestions": total}
    unit = {"identifier": "unit", "mimeType": COLLECTION, "leafNodesCount": 1, "children": [leaf] if complete else []}
    return Hierarchy.from_node({"identifier": "course", "mimeType": COLLECTION, "children": [unit]})


def test_content_outside_a_known_tree_is_refused() -> None:
    refused = assessments.refusal(tree(), "D", 1)
    assert isinstance(refused, NotInCollection)
    assert refused.message == "D is not a content of course"


@pytest.mark.parametrize("known", [None, tree(complete=False)], ids=["unknown", "incomplete"])
def test_tree_that_is_not_known_refuses_nothing(known: Hierarchy | None) -> None:
    assert assessments.refusal(known, "D", 1000) is None


@pytest.mark.parametrize(("total", "asked", "fits"), [(3, 3, True), (3, 4, False), (0, 9, True), (None, 9, True)])
def test_only_a_total_above_zero_limits_the_questions(total: int | None, asked: int, fits: bool) -> None:
    refused = assessments.refusal(tree(total), "C", asked)
    assert (refused is None) == fits
    assert refused is None or refused.message == "4 questions were answered, C has only 3"


# --- properties --------------------------------------------------------------------------------------------------

SCORES = st.decimals(min_value=-50, max_value=50, places=3).map(float)
EVENTS = st.lists(
    st.tuples(st.sampled_from("abcd"), SCORES, st.integers(0, 10**13)),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one[2],
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_of_events_does_not_matter_when_their_times_differ(events: Any, rng: random.Random) -> None:
    sent = [event(*one) for one in events]
    mixed = rng.sample(sent, len(sent))
    assert attempt("A", 1, *mixed) == attempt("A", 1, *sent)


@given(EVENTS)
def test_answers_sent_again_in_the_same_call_change_nothing(events: Any) -> None:
    sent = [event(*one) for one in events]
    assert attempt("A", 1, *sent, *sent) == attempt("A", 1, *sent)


@given(EVENTS)
def test_total_is_the_sum_of_the_latest_answers(events: Any) -> None:
    one = attempt("A", 1, *(event(*sent) for sent in events))
    latest = {question: score for question, score, _ in sorted(events, key=lambda sent: sent[2])}
    assert one.total_score == pytest.approx(sum(latest.values()))
    assert one.total_max_score == len(latest)
    whole, _, cents = one.grand_total.split("/")[0].partition(".")
    assert whole
    assert 1 <= len(cents) <= 2
    assert abs(float(one.grand_total.split("/")[0]) - one.total_score) <= 0.005 + 1e-9


# A submission: attempt id, time, score; the server takes each in at its own time.
SUBMISSIONS = st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=8)


def taken_in(submissions: list[tuple[str, int, int]]) -> dict[str, tuple[Any, ...]]:
    """What is stored after these submissions arrived one after the other."""
    stored: dict[str, Attempt] = {}
    for minute, (attempt_id, ts, score) in enumerate(submissions):
        given = attempt(attempt_id, ts, event("a", score, ts, 5), arrived=NOW + timedelta(minutes=minute))
        stored[attempt_id] = reduce(merge_attempt, [given], stored.get(attempt_id, given))
    return {name: (one.last_attempted_on, one.total_score, one.questions) for name, one in stored.items()}


@given(SUBMISSIONS, st.randoms(use_true_random=False))
def test_replayed_and_reordered_submissions_end_the_same(submissions: Any, rng: random.Random) -> None:
    replayed = rng.sample(submissions * 2, 2 * len(submissions))
    assert taken_in(replayed) == taken_in(submissions)


@given(SUBMISSIONS)
def test_best_score_never_goes_down_while_newer_attempts_arrive(submissions: Any) -> None:
    own = [(f"{number}", ts, score) for number, (_, ts, score) in enumerate(submissions)]
    tries = [attempt(name, ts, event("a", score, 1, 5)) for name, ts, score in own]
    bests = [scoring.best_scores(tries[:count])[KEY].score for count in range(1, len(tries) + 1)]
    assert bests == sorted(bests)
