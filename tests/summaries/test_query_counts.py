"""What the list costs in SQL statements: the same for one enrolment and for fifty."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalogue import api as catalogue
from catalogue.loader import load
from catalogue.reading import read
from common.identity import Caller
from common.rows import ContextKey, Enrolment, RowKey
from summaries import reading
from summaries.inputs import ListQuery, SummaryReadInput
from tests.servers import ROOT
from tests.summaries.wire import Learner
from tests.viewer.events import at, view
from tests.viewer.test_query_counts import shape
from viewer import aggregator
from viewer.lifecycle import Verb
from viewer.store import get_store

pytestmark = pytest.mark.django_db
SAMPLE = ROOT / "catalogue" / "sample" / "catalogue.json"
NOW = at(60)


@pytest.fixture(autouse=True)
def _trees(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sample's trees, in the cache and fresh for as long as a test lasts."""
    catalogue.forget_hierarchies()
    monkeypatch.setattr(catalogue._hierarchies, "_recheck_seconds", 3600.0)
    load(read(SAMPLE.read_text(encoding="utf-8")))
    for one in ("class-1-maths", "class-2-maths"):
        assert catalogue.hierarchy(one)
    yield
    catalogue.forget_hierarchies()


def enrolled(user: str, count: int) -> None:
    """So many enrolments with a content completed in each, and as many contents viewed by themselves."""
    store = get_store()
    for number in range(count):
        key = ContextKey(user, ("class-1-maths", "class-2-maths", "unknown")[number % 3], f"batch-{number}")
        assert store.save_enrolment(Enrolment(*key, enrolled_date=at(number), updated_at=NOW), 0, NOW)
        for row in (RowKey(*key, "single-digit-addition"), RowKey(user, *[f"do_{number}"] * 3)):
            store.apply(row, view(Verb.START, number))
            if number % 2:
                store.apply(row, view(Verb.END, number))
    for mark in store.marks(user):
        aggregator.serve(mark, NOW)
    for mark in store.marks(user):  # of the unknown collection's contexts
        store.clear_mark(mark)


def sent(user: str, query: ListQuery, expected: int) -> list[str]:
    with CaptureQueriesContext(connection) as caught:
        answer = reading.list_all(Caller(None), user, query, NOW)
    assert answer["count"] == expected
    return [shape(one["sql"]) for one in caught if "SAVEPOINT" not in one["sql"]]


LIST = [
    "select stale_marks",  # is anything to be folded first?
    "select user_enrolments",  # all of the learner's, for the order
    "select user_activity_agg",  # of the page
    "select",  # the page's collections (Django quotes its table)
]
ALL = [
    *LIST[:2],
    "select user_contexts",  # where else there is progress
    "select user_activity_agg",  # of those, for the order
    "select user_activity_agg",  # of the page's enrolments
    "select user_content_consumption",  # the percent of contents in progress
    "select",
]


@pytest.mark.parametrize("count", [2, 4, 50])
def test_a_list_costs_the_same_however_long_it_is(learner: Learner, count: int) -> None:
    user = learner()
    enrolled(user, count)
    assert sent(user, ListQuery(), count) == LIST
    assert sent(user, ListQuery(type="all"), 2 * count) == ALL
    assert sent(user, ListQuery(limit=1), count) == LIST


def test_what_is_pending_is_folded_once_and_then_costs_nothing(learner: Learner) -> None:
    user = learner()
    enrolled(user, 3)
    key = RowKey(user, "class-1-maths", "batch-0", "double-digit-addition")
    get_store().apply(key, view(Verb.START, 1))
    get_store().apply(key, view(Verb.END, 2))
    assert len(sent(user, ListQuery(), 3)) > len(LIST)
    assert sent(user, ListQuery(), 3) == LIST


def test_a_single_record_costs_four_reads(learner: Learner) -> None:
    user = learner()
    enrolled(user, 3)
    given = SummaryReadInput(user_id=user, collection_id="class-1-maths", context_id="batch-0")
    with CaptureQueriesContext(connection) as caught:
        found: dict[str, Any] = reading.read(Caller(None), given, NOW)
    assert found["progress"] == 0
    told = ["select stale_marks", "select user_enrolments", "select user_activity_agg", "select"]
    assert [shape(one["sql"]) for one in caught] == told


def test_more_marks_than_a_read_folds_still_answer(learner: Learner) -> None:
    """The worker takes the rest; what was enrolled is listed all the same, at what is known of it."""
    user, store = learner(), get_store()
    count = aggregator.INLINE_LIMIT + 5
    for number in range(count):
        key = ContextKey(user, "class-1-maths", f"batch-{number:02}")
        assert store.save_enrolment(Enrolment(*key, enrolled_date=at(number), updated_at=NOW), 0, at(number))
    answer = reading.list_all(Caller(None), user, ListQuery(), NOW)
    assert answer["count"] == count
    for record in answer["summary"]:
        assert set(record["contentStatus"].values()) == {0}
    assert len(store.marks(user)) == 5
