"""Imports into a store: own times stay, the greater wins, and neither order, batches nor repetition matter."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.rows import Consumption, ContextKey, Enrolment, RowKey, Status
from common.timestamps import to_epoch_ms
from tests.viewer.events import at, view
from viewer.importer import MAX_LINE, BadLine, Import, SkippedLine, Stored, read_lines
from viewer.lifecycle import Verb
from viewer.store.port import Store

Learner = Callable[..., str]
Line = dict[str, Any]
PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NOW = at(100)
COLLECTION, BATCH, ADDITION = "class-1-maths", "batch-1", "single-digit-addition"


def of_row(user_id: str, **columns: Any) -> Line:
    ids = {"userid": user_id, "collectionid": COLLECTION, "contextid": BATCH, "contentid": ADDITION}
    return {"table": "user_content_consumption", **ids, "status": 1, **columns}


def of_attempt(user_id: str, **columns: Any) -> Line:
    ids = {"user_id": user_id, "collection_id": COLLECTION, "context_id": BATCH, "content_id": ADDITION}
    totals = {"attempt_id": "a-1", "total_score": 4, "total_max_score": 10, "last_attempted_on": ms(1)}
    return {"table": "assessment_aggregator", **ids, **totals, **columns}


def of_enrolment(user_id: str, **columns: Any) -> Line:
    return {"table": "user_enrolments", "userid": user_id, "courseid": COLLECTION, "batchid": BATCH, **columns}


def of_agg(user_id: str, **columns: Any) -> Line:
    ids = {"user_id": user_id, "activity_id": COLLECTION, "context_id": f"cb:{BATCH}"}
    return {"table": "user_activity_agg", **ids, **columns}


def ms(minute: float) -> int:
    return to_epoch_ms(at(minute))


def encoded(lines: Iterable[Line]) -> list[bytes]:
    return [json.dumps(line).encode() for line in lines]


def load(store: Store, lines: Sequence[Line], **options: Any) -> Import:
    """Imports lines of which none is bad."""
    work = Import(store, options.pop("now", NOW), **options)
    notices = list(work.run(encoded(lines)))
    assert [notice for notice in notices if isinstance(notice, BadLine)] == []
    return work


def context_of(user_id: str) -> ContextKey:
    return ContextKey(user_id, COLLECTION, BATCH)


def rows_of(store: Store, user_id: str) -> list[Consumption]:
    keys = [RowKey(*context_of(user_id), content) for content in (ADDITION, "triple-digit-addition")]
    return sorted(store.rows(keys), key=lambda row: row.key)


def state(store: Store, user_id: str) -> Any:
    """Everything the store has of the learner, without the counts of writes, and with the user id left out."""
    key, nobody = context_of(user_id), context_of("")
    agg = store.aggs([key]).get(key)
    row_key = RowKey(*nobody, ADDITION)
    return (
        [replace(row, key=row_key, version=0) for row in rows_of(store, user_id)],
        [replace(attempt, key=row_key) for attempt in store.attempts([RowKey(*key, ADDITION)])],
        replace(agg, key=nobody, version=0) if agg else None,
        [replace(enrolment, user_id="", version=0) for enrolment in store.enrolments(user_id)],
        store.contexts(user_id) == [context_of(user_id)],
    )


def tokens(store: Store, user_id: str) -> dict[ContextKey, int]:
    return {mark.key: mark.token for mark in store.marks(user_id)}


def everything(user_id: str) -> list[Line]:
    return [
        of_row(user_id, status=2, last_access_time=ms(5), last_completed_time=ms(4), progressdetails={"page": 1}),
        of_row(user_id, contentid="triple-digit-addition", userId=user_id),
        of_attempt(user_id, questions=[{"id": "q-1", "score": 0.1, "max_score": 1, "resvalues": [{"1": 2}]}]),
        of_enrolment(user_id, enrolled_date=ms(0), certificates=[{"name": "b"}, {"name": "a"}], datetime=ms(3)),
        of_enrolment(user_id, batchid="batch-2"),
        of_agg(user_id, content_status={"do_1": 2}, aggregates={"score:do_1": 0.1, "completedCount": 1.0}),
    ]


def test_rows_keep_their_own_times(store: Store, learner: Learner) -> None:
    user_id = learner()
    load(store, [of_row(user_id, status=2, last_access_time=1000, last_completed_time=2, last_updated_time=3000)])
    row = rows_of(store, user_id)[0]
    times = (row.last_access_time, row.last_completed_time, row.own_completed_time, row.last_updated_time)
    assert [to_epoch_ms(time) if time else None for time in times] == [1000, 2, 2, 3000]


@pytest.mark.parametrize("written", ["0001-01-03T00:00:00Z", "9999-12-30T23:59:59.999Z", "1969-12-31T23:59:59.999Z"])
def test_every_time_of_the_calendar_comes_back(store: Store, learner: Learner, written: str) -> None:
    user_id = learner()
    lines = [of_row(user_id, last_access_time=written), of_enrolment(user_id, enrolled_date=written)]
    load(store, lines)
    row = rows_of(store, user_id)[0]
    assert row.last_access_time
    assert row.last_access_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")[:19] == written[:19]
    assert load(store, lines).tallies["user_enrolments"].changed == 0


def test_a_second_import_changes_no_row_and_marks_nothing(store: Store, learner: Learner) -> None:
    user_id = learner()
    lines = everything(user_id)
    work = load(store, lines)
    assert sum(tally.changed for tally in work.tallies.values()) == len(lines)
    before, marks = state(store, user_id), tokens(store, user_id)
    assert set(marks) == {context_of(user_id), ContextKey(user_id, COLLECTION, "batch-2")}
    again = load(store, lines, now=NOW + timedelta(days=1))
    assert {table: (tally.changed, tally.unchanged) for table, tally in again.tallies.items() if tally.read} == {
        "user_content_consumption": (0, 2),
        "assessment_aggregator": (0, 1),
        "user_enrolments": (0, 2),
        "user_activity_agg": (0, 1),
    }
    assert state(store, user_id) == before
    assert tokens(store, user_id) == marks


def test_contexts_and_the_batchs_list_are_written_too(store: Store, learner: Learner) -> None:
    user_id, batch_id = learner(), learner("batch")
    load(store, [of_enrolment(user_id, batchid=batch_id, enrolleddate="2024-03-01 10:00:00:000+0000", status=2)])
    assert store.contexts(user_id) == [ContextKey(user_id, COLLECTION, batch_id)]
    entry = next(iter(store.batch_enrolments(batch_id)))
    assert (entry.user_id, entry.status, entry.completion_percentage) == (user_id, Status.COMPLETED, 100)
    load(store, [of_enrolment(user_id, batchid=batch_id, enrolled_date="2023-01-01")])
    assert [entry.enrolled_date and entry.enrolled_date.year for entry in store.batch_enrolments(batch_id)] == [2023]


def test_an_import_raises_a_live_row_and_an_own_earlier_completion_stays(store: Store, learner: Learner) -> None:
    user_id = learner()
    key = RowKey(*context_of(user_id), ADDITION)
    store.apply(key, view(Verb.START, 10, details={"page": 3}))
    store.apply(key, view(Verb.END, 11))
    later = of_row(user_id, status=2, last_completed_time=ms(50), last_access_time=ms(60), viewcount=4, timespent=9)
    load(store, [later])
    row = store.rows([key])[0]
    assert (row.status, row.view_count, row.timespent, row.progress_details) == (Status.COMPLETED, 4, 9.0, {"page": 3})
    assert (row.last_completed_time, row.own_completed_time, row.last_access_time) == (at(11), at(11), at(60))
    load(store, [of_row(user_id, status=2, last_completed_time=ms(5))])
    row = store.rows([key])[0]
    assert (row.last_completed_time, row.own_completed_time, row.last_access_time) == (at(5), at(5), at(60))


def test_a_weaker_account_of_a_live_row_changes_nothing(store: Store, learner: Learner) -> None:
    user_id = learner()
    store.apply(RowKey(*context_of(user_id), ADDITION), view(Verb.END, 10, force=True))
    before = tokens(store, user_id)
    assert load(store, [of_row(user_id, last_access_time=ms(5))]).tallies["user_content_consumption"].unchanged == 1
    assert tokens(store, user_id) == before


def test_an_enrolment_ended_here_is_not_revived_by_an_older_export(store: Store, learner: Learner) -> None:
    user_id = learner()
    load(store, [of_enrolment(user_id, active=False, datetime=ms(9))])
    load(store, [of_enrolment(user_id, active=True, datetime=ms(8))])
    assert [enrolment.active for enrolment in store.enrolments(user_id)] == [False]


def test_a_dry_run_counts_the_same_and_writes_nothing(store: Store, learner: Learner) -> None:
    user_id, other = learner(), learner("asha")
    load(store, everything(other))
    lines = [*everything(user_id), *everything(other), of_row(other, status=2, last_completed_time=ms(1))]
    dry = load(store, lines, dry_run=True)
    assert state(store, user_id) == ([], [], None, [], False)
    assert store.marks(user_id) == []
    assert load(store, lines).tallies == dry.tallies
    assert dry.tallies["user_content_consumption"].changed == 3


def test_bad_lines_are_told_and_the_others_imported(store: Store, learner: Learner) -> None:
    user_id = learner()
    lines = [b"", b"{", *encoded([of_row(user_id, status="x"), of_row(user_id, status=0), of_row(user_id)]), b" \n"]
    work = Import(store, NOW)
    notices = list(work.run(lines))
    assert notices[:2] == [BadLine(2, "not JSON"), BadLine(3, "status is not a number")]
    assert [notice.line for notice in notices if isinstance(notice, SkippedLine)] == [4]
    assert notices[-1] == Stored(6)
    assert (work.bad, str(work.tallies["no table"])) == (2, "1 read, 0 changed, 0 unchanged, 0 skipped, 1 bad")
    counts = "3 read, 1 changed, 0 unchanged, 1 skipped, 1 bad"
    assert str(work.tallies["user_content_consumption"]) == counts
    assert len(rows_of(store, user_id)) == 1


def test_the_largest_batch_is_one_statement_on_every_store(store: Store, learner: Learner) -> None:
    user_id = learner()
    lines = [of_attempt(user_id, attempt_id=f"a-{number}") for number in range(5000)]
    work = Import(store, NOW, batch_size=5000)
    assert list(work.run(encoded(lines))) == [Stored(5000)]
    assert work.tallies["assessment_aggregator"].changed == 5000


def test_a_line_without_end_is_read_in_bounded_memory(tmp_path: Any) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf{}\n" + b"x" * (3 * MAX_LINE + 7) + b"\n{}")
    with path.open("rb") as stream:
        lines = list(read_lines(stream))
    assert [lines[0], len(lines[1]), lines[2]] == [b"{}\n", MAX_LINE + 1, b"{}"]


# --- order and batches --------------------------------------------------------------------------------------------

few = st.integers(0, 4)
minutes = few.map(ms)
scores = st.sampled_from([1, 1.33, 3])
details = st.dictionaries(
    st.sampled_from(["progress", "page"]), few | st.booleans() | st.sampled_from(["a", [1], {"x": 1}, None]), max_size=2
)
certificates = st.lists(
    st.fixed_dictionaries({}, optional={"identifier": st.sampled_from("ab"), "lastIssuedOn": st.sampled_from("12")}),
    max_size=2,
)
content_status = st.dictionaries(st.sampled_from(["do_1", "do_2"]), st.integers(0, 3), max_size=2)
metrics = st.dictionaries(
    st.sampled_from(["completedCount", "score:do_1", "max_score:do_1", "score:do_2", "attempts_count:do_1"]),
    scores,
    max_size=4,
)
legacy_attempts = st.lists(
    st.fixed_dictionaries({"content_id": st.sampled_from(["do_1", "do_2"]), "score": scores, "max_score": scores}),
    max_size=3,
)
own_details = st.dictionaries(
    st.sampled_from(["do_1", "do_2"]),
    st.fixed_dictionaries(
        {},
        optional={
            "status": st.integers(0, 2), "score": scores, "max_score": scores, "lastCompletedTime": minutes,
            "lastAccessTime": minutes, "origin": st.sampled_from("pq"), "viewCount": few,
        },
    ),
    max_size=2,
)  # fmt: skip


def some(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[Line]:
    return st.fixed_dictionaries({}, optional=columns)


LINES = {
    "rows": (of_row, some(
        status=st.integers(0, 3), progress=st.integers(0, 100), progressdetails=details, timespent=few, viewcount=few,
        last_access_time=minutes, last_completed_time=minutes, last_updated_time=minutes, own_completed_time=minutes,
        origin=st.sampled_from("pq"),
    )),
    "attempts": (of_attempt, some(
        total_score=scores, total_max_score=scores, created_on=minutes, last_attempted_on=minutes, updated_on=minutes,
        questions=st.lists(st.fixed_dictionaries({"id": st.sampled_from("ab"), "score": scores}), max_size=2),
    )),
    "enrolments": (of_enrolment, some(
        active=st.booleans(), addedby=st.sampled_from("xy"), enrolled_date=minutes, datetime=minutes,
        completedon=minutes, status=st.integers(0, 2), progress=few, completionpercentage=few,
        contentstatus=content_status, issued_certificates=certificates, certificates=certificates,
        lastreadcontentid=st.sampled_from("ab"), lastreadcontentstatus=few, lastcontentaccesstime=minutes,
    )),
    "aggs": (of_agg, some(
        content_status=content_status, agg=metrics, aggregates=metrics, agg_details=legacy_attempts | own_details,
        agg_last_updated=st.dictionaries(st.just("completedCount"), minutes, max_size=1),
    )),
}  # fmt: skip


@pytest.mark.parametrize("table", LINES)
@PROPERTY
@given(data=st.data())
def test_neither_order_nor_batches_nor_repetition_matter(
    store: Store, learner: Learner, table: str, data: st.DataObject
) -> None:
    make, columns = LINES[table]
    given_columns = data.draw(st.lists(columns, min_size=1, max_size=4))
    shuffled = data.draw(st.permutations([*given_columns, data.draw(st.sampled_from(given_columns))]))
    one, other = learner(), learner()
    load(store, [make(one, **line) for line in given_columns])
    load(store, [make(other, **line) for line in shuffled], batch_size=data.draw(st.integers(1, 3)))
    assert state(store, one) == state(store, other)
    before = tokens(store, other)
    assert load(store, [make(other, **line) for line in given_columns]).bad == 0
    assert tokens(store, other) == before


def test_the_enrolments_of_a_batch_are_those_of_their_learners(store: Store, learner: Learner) -> None:
    batch_id = learner("batch")
    people = sorted(learner() for _ in range(3))
    lines = [of_enrolment(person, batchid=batch_id, enrolled_date=ms(day)) for day, person in enumerate(people)]
    load(store, [*lines, *lines[::-1]], batch_size=2)
    listed: list[Enrolment] = list(store.batch_enrolments(batch_id))
    assert [(entry.user_id, entry.enrolled_date) for entry in listed] == [
        (person, at(day)) for day, person in enumerate(people)
    ]
