"""The summary record, from plain values: what each field says, and what it says when nothing is known."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from catalogue.facts import CollectionFacts
from catalogue.hierarchy import Hierarchy
from common.rows import ActivityAgg, ContextKey, Enrolment, Status
from common.timestamps import to_epoch_ms
from summaries.record import summary
from tests.summaries.wire import course, leaf, unit
from tests.viewer.events import DAWN, at

KEY = ContextKey("rahul", "class-1-maths", "batch-1")
ALONE = ContextKey("rahul", "do_1", "do_1")
TREE = Hierarchy.from_node(course("class-1-maths", leaf("a"), leaf("b"), unit("more", leaf("c"), optional=True)))
FACTS = CollectionFacts(
    collection_id="class-1-maths",
    name="Class 1 Maths",
    description="Adding.",
    logo="https://x.example/a.png",
    status="Live",
    channel="org",
    content_type="Course",
    primary_category="Course",
    leaf_nodes_count=3,
    version_key="1",
    parent_id=None,
    updated_at=DAWN,
)
NULLS = {"name": None, "logo": None, "leafNodesCount": None, "description": None}
FIELDS = [
    "userId", "collectionId", "contextId", "enrolledDate", "active", "contentStatus", "assessmentStatus", "collection",
    "issuedCertificates", "completedOn", "progress", "status", "completionPercentage", "optional_nodes",
    "lastReadContentId", "lastReadContentStatus", "lastContentAccessTime", "movedTo", "nextContent", "lastRead",
    "timespent", "units",
]  # fmt: skip


def facts(status: int = 2, minute: float | None = 1, **more: Any) -> dict[str, Any]:
    time = None if minute is None else to_epoch_ms(at(minute))
    completed = time if status == 2 else None
    progress = 100 if status == 2 else 30
    known = {"status": status, "progress": progress, "lastAccessTime": time, "lastCompletedTime": completed}
    return {**known, "viewCount": 1, "timespent": 0.0, "origin": None, **more}


def agg(key: ContextKey = KEY, **details: dict[str, Any]) -> ActivityAgg:
    statuses = {content: one["status"] for content, one in details.items() if one["status"]}
    return ActivityAgg(key, content_status=statuses, agg_details=details, version=1)


def test_the_fields_are_always_all_there_in_one_order() -> None:
    for enrolment in (None, Enrolment(*KEY)):
        for known in (None, agg(), agg(a=facts())):
            for tree, about in ((None, None), (TREE, None), (None, FACTS), (TREE, FACTS)):
                assert list(summary(KEY, enrolment, known, tree, about)) == FIELDS


def test_an_enrolment_says_its_own_numbers() -> None:
    enrolment = Enrolment(
        *KEY,
        active=False,
        enrolled_date=DAWN,
        status=Status.COMPLETED,
        progress=2,
        completion_percentage=100,
        completed_on=at(5),
        last_read_content_id="b",
        last_read_content_status=2,
        last_content_access_time=at(4),
        moved_to="program-batch-1",
    )
    record = summary(KEY, enrolment, agg(a=facts(), b=facts()), TREE, FACTS)
    assert record["active"] is False
    assert record["enrolledDate"] == to_epoch_ms(DAWN)
    assert (record["status"], record["progress"], record["completionPercentage"]) == (2, 2, 100)
    assert record["completedOn"] == to_epoch_ms(at(5))
    assert (record["lastReadContentId"], record["lastReadContentStatus"]) == ("b", 2)
    assert record["lastContentAccessTime"] == to_epoch_ms(at(4))
    assert record["movedTo"] == "program-batch-1"
    assert summary(KEY, replace(enrolment, moved_to=None), None, TREE, FACTS)["movedTo"] is None
    for name in ("enrolledDate", "completedOn", "lastContentAccessTime", "status"):
        assert type(record[name]) is int


def test_every_leaf_is_there_and_what_was_viewed_beside_them() -> None:
    record = summary(KEY, Enrolment(*KEY), agg(b=facts(1), gone=facts()), TREE, FACTS)
    assert list(record["contentStatus"].items()) == [("a", 0), ("b", 1), ("c", 0), ("gone", 2)]


def test_an_enrolment_that_was_never_folded_shows_what_it_brought() -> None:
    record = summary(KEY, Enrolment(*KEY, content_status={"a": 2}), None, TREE, None)
    assert record["contentStatus"] == {"a": 2, "b": 0, "c": 0}
    assert record["assessmentStatus"] == {}


def test_best_scores_have_their_maximum_and_the_number_of_attempts() -> None:
    tried = facts(score=1.33, max_score=3.0, attempts=4, tries=[])
    record = summary(KEY, Enrolment(*KEY), agg(a=facts(), b=tried), TREE, FACTS)
    assert record["assessmentStatus"] == {"b": {"score": 1.33, "max_score": 3.0, "attempts": 4}}
    nothing = facts(score=0.0, max_score=0.0, attempts=1, tries=[])
    assert summary(KEY, None, agg(b=nothing), TREE, None)["assessmentStatus"]["b"]["score"] == 0.0


def test_an_unknown_collection_keeps_its_record() -> None:
    record = summary(KEY, Enrolment(*KEY), agg(a=facts()), None, None)
    assert record["collection"] == {"identifier": "class-1-maths", **NULLS}
    assert record["contentStatus"] == {"a": 2}
    assert record["optional_nodes"] == []


def test_a_collection_says_what_is_known_of_it() -> None:
    told = {"name": "Class 1 Maths", "logo": "https://x.example/a.png", "leafNodesCount": 3, "description": "Adding."}
    assert summary(KEY, None, None, TREE, FACTS)["collection"] == {"identifier": "class-1-maths", **told}
    blank = replace(FACTS, name="", logo="", description="", leaf_nodes_count=None)
    assert summary(KEY, None, None, None, blank)["collection"] == {"identifier": "class-1-maths", **NULLS}
    counted = summary(KEY, None, None, TREE, blank)["collection"]
    assert counted["leafNodesCount"] == 3


def test_certificates_have_their_id_under_either_stored_name() -> None:
    stored = (
        {"name": "Merit", "identifier": "c-1", "token": "t-1", "lastIssuedOn": "2026-01-01", "templateUrl": "x"},
        {"name": "Old", "id": "c-2", "token": "t-2"},
    )
    record = summary(KEY, Enrolment(*KEY, issued_certificates=stored), None, None, None)
    assert record["issuedCertificates"] == [
        {"name": "Merit", "id": "c-1", "token": "t-1", "lastIssuedOn": "2026-01-01"},
        {"name": "Old", "id": "c-2", "token": "t-2", "lastIssuedOn": None},
    ]


def test_optional_nodes_are_units_then_contents() -> None:
    assert summary(KEY, None, None, TREE, None)["optional_nodes"] == ["more", "c"]


# --- without an enrolment ---------------------------------------------------------------------


def test_a_content_viewed_by_itself_is_as_far_as_its_view() -> None:
    done = summary(ALONE, None, agg(ALONE, do_1=facts(2, 7)), None, None)
    assert (done["status"], done["progress"], done["completionPercentage"]) == (2, 1, 100)
    assert done["completedOn"] == done["lastContentAccessTime"] == to_epoch_ms(at(7))
    assert (done["enrolledDate"], done["active"]) == (None, True)
    assert (done["lastReadContentId"], done["lastReadContentStatus"]) == ("do_1", 2)
    begun = summary(ALONE, None, agg(ALONE, do_1=facts(1)), None, None)
    assert (begun["status"], begun["progress"], begun["completionPercentage"]) == (1, 0, 30)
    assert begun["completedOn"] is None


def test_a_collection_viewed_without_enrolment_is_counted_as_one() -> None:
    record = summary(KEY, None, agg(a=facts(), c=facts()), TREE, FACTS)
    assert (record["status"], record["progress"], record["completionPercentage"]) == (1, 1, 50)
    record = summary(KEY, None, agg(a=facts(2, 1), b=facts(2, 3), c=facts(2, 9)), TREE, FACTS)
    assert (record["status"], record["progress"], record["completionPercentage"]) == (2, 2, 100)
    assert record["completedOn"] == to_epoch_ms(at(3)), "the optional one was later and does not count"


def test_an_unknown_collection_viewed_without_enrolment_is_only_started() -> None:
    record = summary(KEY, None, agg(a=facts()), None, None)
    assert (record["status"], record["progress"], record["completionPercentage"]) == (1, 0, 0)


def test_of_contents_accessed_at_one_time_the_last_by_id_is_the_last_read() -> None:
    record = summary(KEY, None, agg(b=facts(1, 2), a=facts(2, 2), c=facts(2, None)), TREE, None)
    assert (record["lastReadContentId"], record["lastContentAccessTime"]) == ("b", to_epoch_ms(at(2)))


def test_nothing_at_all_gives_a_record_of_nothing() -> None:
    record = summary(ALONE, None, None, None, None)
    assert (record["status"], record["progress"], record["contentStatus"]) == (0, 0, {})
    assert record["lastContentAccessTime"] is None
    late = Enrolment(*KEY, enrolled_date=DAWN + timedelta(days=1))
    assert summary(KEY, late, None, None, None)["enrolledDate"] == to_epoch_ms(DAWN) + 86_400_000
