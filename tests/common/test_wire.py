"""Reading a request's fields: every spelling of a name, and errors in the wire's words."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConflictingIds, InvalidField, InvalidId, MissingField
from common.wire import NAMES, read_fields, to_input
from viewer.inputs import EndInput, ReadInput, StartInput, SyncInput, UpdateInput


@given(st.sampled_from(sorted(NAMES)), st.data())
def test_a_name_is_known_in_any_case(spelling: str, data: st.DataObject) -> None:
    upper = data.draw(st.lists(st.booleans(), min_size=len(spelling), max_size=len(spelling)))
    written = "".join(letter.upper() if up else letter for letter, up in zip(spelling, upper, strict=True))
    assert read_fields([(written, "x")]) == {NAMES[spelling]: "x"}


@pytest.mark.parametrize(
    ("pairs", "fields"),
    [
        ({}, {}),
        ({"unknown": 1, "user id": "x"}, {}),
        ({"courseId": "class-1-maths"}, {"collectionId": "class-1-maths"}),
        ({"collection": "class-1-maths"}, {"collectionId": "class-1-maths"}),
        ({"batchId": "batch-1"}, {"contextId": "batch-1"}),
        ({"courseId": "c", "collectionId": " c "}, {"collectionId": "c"}),
        ({"courseId": "", "collectionId": "c"}, {"collectionId": "c"}),
        ({"courseId": None, "collectionId": "c"}, {"collectionId": "c"}),
        ({"userId": "  ", "contentId": "", "lastAccessTime": None}, {}),
        ({"contentId": " a "}, {"contentId": "a"}),
        ({"timespent": 0, "force": False, "events": []}, {"timespent": 0, "force": False, "events": []}),
    ],
)
def test_each_field_has_one_name_and_blanks_are_absent(pairs: dict[str, Any], fields: dict[str, Any]) -> None:
    assert read_fields(pairs.items()) == fields


@pytest.mark.parametrize(
    ("pairs", "name", "blamed"),
    [
        ([("collectionId", "a"), ("courseId", "b")], "collectionId", "courseId"),
        ([("courseId", "b"), ("collectionId", "a")], "collectionId", "collectionId"),
        ([("batchId", "a"), ("contextId", "b")], "contextId", "contextId"),
        ([("userId", "a"), ("USERID", "b")], "userId", "USERID"),
        ([("timespent", 1), ("TimeSpent", 2)], "timespent", "TimeSpent"),
    ],
)
def test_two_spellings_that_disagree_are_refused(pairs: list[tuple[str, Any]], name: str, blamed: str) -> None:
    with pytest.raises(ConflictingIds) as refused:
        read_fields(pairs)
    assert refused.value.fields == {name: f"{blamed} contradicts another spelling of {name} in the same request"}


def test_a_wrong_id_is_blamed_under_its_one_name() -> None:
    with pytest.raises(InvalidId) as refused:
        read_fields([("courseId", 7)])
    assert refused.value.fields == {"collectionId": "collectionId must be text"}


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        (StartInput, {}, {"contentId": "contentId is required"}),
        (SyncInput, {"userId": "rahul"}, {"events": "events is required"}),
    ],
)
def test_a_missing_field_is_named(kind: type[msgspec.Struct], fields: dict[str, Any], told: dict[str, str]) -> None:
    with pytest.raises(MissingField) as refused:
        to_input(fields, kind)
    assert refused.value.fields == told


@pytest.mark.parametrize(
    ("kind", "fields", "name", "told"),
    [
        (StartInput, {"contentId": 7}, "contentId", "contentId: expected text, got a whole number"),
        (StartInput, {"contentId": ["a"]}, "contentId", "contentId: expected text, got a list"),
        (StartInput, {"contentId": "a", "progressDetails": "50%"}, "progressDetails",
         "progressDetails: expected an object, got text"),
        (StartInput, {"contentId": "a", "lastAccessTime": True}, "lastAccessTime",
         "lastAccessTime: expected a whole number or a number or text, got true or false"),
        (UpdateInput, {"contentId": "a", "timespent": "5"}, "timespent", "timespent: expected a number, got text"),
        (UpdateInput, {"contentId": "a", "timespent": -1}, "timespent", "timespent: expected a number >= 0.0"),
        (UpdateInput, {"contentId": "a", "timespent": 1e10}, "timespent",
         "timespent: expected a number <= 1000000000.0"),
        (EndInput, {"contentId": "a", "force": "yes"}, "force", "force: expected true or false, got text"),
        (EndInput, {"contentId": "a", "force": 1}, "force", "force: expected true or false, got a whole number"),
        (ReadInput, {"contentId": {"a": 1}}, "contentId", "contentId: expected text or a list, got an object"),
        (ReadInput, {"contentId": ["a", 1]}, "contentId", "contentId[1]: expected text, got a whole number"),
        (SyncInput, {"events": {}}, "events", "events: expected a list, got an object"),
        (SyncInput, {"events": [7]}, "events", "events[0]: expected an object, got a whole number"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_told_in_the_wires_words(
    kind: type[msgspec.Struct], fields: dict[str, Any], name: str, told: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        to_input(fields, kind)
    assert refused.value.fields == {name: told}


def test_what_fits_becomes_the_declared_type() -> None:
    fields = {"contentId": "a", "userId": "rahul", "timespent": 2, "force": True, "lastAccessTime": 1772355600000}
    assert to_input(fields, EndInput) == EndInput(
        content_id="a", user_id="rahul", timespent=2.0, force=True, last_access_time=1772355600000
    )
