"""Milestones of the record, from plain values: what comes next, what was read last, how far each unit is."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from catalogue.hierarchy import Hierarchy
from common.rows import ActivityAgg, ContextKey, Enrolment
from common.timestamps import to_epoch_ms
from summaries.milestones import milestones, units
from summaries.record import summary
from tests.summaries.wire import course, leaf, unit
from tests.viewer.events import DAWN

KEY = ContextKey("rahul", "course", "batch-1")
LEAVES = ("a", "b", "c", "d", "e")
TREE = Hierarchy.from_node(
    course(
        "course",
        unit("one", leaf("a"), unit("inner", leaf("b"), leaf("c", optional=True))),
        unit("bonus", leaf("d"), optional=True),
        leaf("e"),
    )
)
NOTHING: Any = (None, None, None)


def told(**statuses: int) -> dict[str, Any]:
    return milestones(statuses, None, TREE, last_read=NOTHING)


def of(unit_id: str, **statuses: int) -> tuple[int, int, int, int]:
    found = next(one for one in units(statuses, TREE) if one["identifier"] == unit_id)
    return found["progress"], found["leafNodesCount"], found["completionPercentage"], found["status"]


def test_next_is_the_first_in_course_order_that_is_not_completed() -> None:
    assert told()["nextContent"] == "a"
    assert told(a=1)["nextContent"] == "a"
    assert told(a=2, c=2)["nextContent"] == "b"
    assert told(a=2, b=2)["nextContent"] == "c", "what need not be done comes in its place too"
    assert told(a=2, b=2, c=2, d=2, e=1)["nextContent"] == "e"
    assert told(a=2, b=2, c=2, d=2, e=2)["nextContent"] is None


def test_without_a_tree_nobody_knows_what_comes_next() -> None:
    found = milestones({"a": 1}, None, None, last_read=("a", 1, DAWN))
    assert (found["nextContent"], found["units"]) == (None, [])
    assert found["lastRead"] == {"contentId": "a", "status": 1, "time": to_epoch_ms(DAWN)}


def test_a_unit_counts_what_it_requires() -> None:
    assert of("one") == (0, 2, 0, 0)
    assert of("one", c=1) == (0, 2, 0, 1)
    assert of("one", a=2, c=2) == (1, 2, 50, 1)
    assert of("one", a=2, b=2) == (2, 2, 100, 2)
    assert of("inner", b=2) == (1, 1, 100, 2)
    assert of("inner", a=2) == (0, 1, 0, 0)


def test_units_stand_in_course_order_with_their_names() -> None:
    assert [(one["identifier"], one["name"]) for one in units({}, TREE)] == [
        ("one", "one"),
        ("inner", "inner"),
        ("bonus", "bonus"),
    ]


def test_a_unit_of_which_nothing_is_required_is_done_with_its_first_content() -> None:
    tree = Hierarchy.from_node(course("course", unit("extra", leaf("x", optional=True), leaf("y", optional=True))))
    found = [units(statuses, tree)[0] for statuses in ({}, {"x": 1}, {"y": 2})]
    assert [(one["completionPercentage"], one["status"]) for one in found] == [(0, 0), (0, 1), (100, 2)]


def test_time_is_that_of_all_contents_together() -> None:
    details: Any = {"a": {"status": 2, "timespent": 0.1}, "b": {"status": 1, "timespent": 0.2}, "x": {"status": 1}}
    agg = ActivityAgg(KEY, agg_details=details, version=1)
    assert milestones({}, agg, TREE, last_read=NOTHING)["timespent"] == 0.3


@given(st.dictionaries(st.sampled_from(LEAVES), st.sampled_from([0, 1, 2])))
def test_units_and_the_collection_agree(statuses: dict[str, int]) -> None:
    found = {one["identifier"]: one for one in units(statuses, TREE)}
    assert found["one"]["progress"] == (statuses.get("a") == 2) + (statuses.get("b") == 2)
    for one in found.values():
        assert (one["status"] == 2) == (one["completionPercentage"] == 100)
        assert 0 <= one["progress"] <= one["leafNodesCount"] <= len(TREE.leaves)
    following = told(**statuses)["nextContent"]
    assert (following is None) == all(statuses.get(content) == 2 for content in LEAVES)


def test_an_enrolments_record_has_them() -> None:
    enrolment = Enrolment(*KEY, last_read_content_id="a", last_read_content_status=2, last_content_access_time=DAWN)
    record = summary(KEY, enrolment, ActivityAgg(KEY, content_status={"a": 2}, version=1), TREE, None)
    assert record["nextContent"] == "b"
    assert record["lastRead"] == {
        "contentId": record["lastReadContentId"],
        "status": record["lastReadContentStatus"],
        "time": record["lastContentAccessTime"],
    }
    assert record["units"][0]["progress"] == 1
