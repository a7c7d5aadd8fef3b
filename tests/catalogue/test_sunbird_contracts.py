"""Sunbird's answers: what becomes of a good one, and that a bad one is Malformed, whatever it is."""

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.reading import Document, read
from catalogue.sunbird import contracts
from catalogue.sunbird.contracts import Malformed
from tests.catalogue.neighbours import batch, tree, user


def found(key: str, value: Any) -> dict[str, Any]:
    return {"id": "api", "params": {"status": "successful"}, "responseCode": "OK", "result": {key: value}}


def listed(*entries: Any, **more: Any) -> dict[str, Any]:
    return found("response", {"content": list(entries), "count": len(entries), **more})


def test_a_real_hierarchy_answer_is_read_as_a_file_of_it_is(settings):
    path = Path(settings.BASE_DIR).parent / "shared" / "data" / "course-hierarchy.json"
    text = path.read_text(encoding="utf-8")
    answer = json.loads(text)
    assert contracts.hierarchy(answer, answer["result"]["content"]["identifier"]) == read(text)


def test_a_tree_comes_with_the_child_courses_in_it():
    inner = tree("class-1-numbers", "single-digit-addition")
    outer = tree("class-1-maths", children=[inner])
    document = contracts.hierarchy(found("content", outer), "class-1-maths")
    assert list(document.collections) == ["class-1-maths"]
    assert list(document.child_courses) == ["class-1-numbers"]


def test_a_content_is_no_collection():
    leaf = {"identifier": "single-digit-addition", "mimeType": "video/mp4", "children": None}
    assert contracts.hierarchy(found("content", leaf), "single-digit-addition") is None


def test_a_batch_is_a_row():
    document = contracts.batch(found("response", batch("batch-1", "class-1-maths")), "batch-1")
    assert document.batches["batch-1"] == {
        "batch_id": "batch-1",
        "collection_id": "class-1-maths",
        "program_id": None,
        "name": "First",
        "status": 1,
        "enrollment_type": "open",
        "start_date": date(2026, 1, 5),
        "end_date": date(2035, 12, 31),
        "enrollment_end_date": None,
        "created_for": ["org-1"],
    }


@pytest.mark.parametrize("key", ["batchId", "identifier", "id"])
def test_a_batch_is_known_by_any_of_its_keys(key):
    given_batch = {"courseId": "class-1-maths", key: "batch-1"}
    assert list(contracts.batch(found("response", given_batch), "batch-1").batches) == ["batch-1"]


@pytest.mark.parametrize("response", [None, {}])
def test_an_empty_response_is_an_unknown_batch(response):
    assert contracts.batch(found("response", response), "batch-1") is None


def test_a_bad_entry_of_a_list_hides_no_other():
    entries = [
        batch("batch-1", "class-1-maths"),
        batch("batch-2", "class-1-maths", startDate="soon"),
        batch("batch-3", "class-2-maths"),
        "batch-4",
        batch("batch-5", "class-1-maths"),
    ]
    page = contracts.batches(listed(*entries, count=40), "class-1-maths")
    assert list(page.document.batches) == ["batch-1", "batch-5"]
    assert (page.entries, page.refused, page.total) == (5, 3, 40)


def test_a_learner_is_a_row():
    page = contracts.learners(listed(user("rahul")), ["rahul"])
    assert page.document.learners["rahul"] == {
        "user_id": "rahul",
        "first_name": "Rahul",
        "last_name": "Verma",
        "email": "ra****@example.org",
        "phone": "******0001",
        "state": "Karnataka",
        "district": "Kolar",
        "org_name": "State School Board",
        "root_org_id": "org-1",
        "school_name": "GLPS Avani",
        "school_udise_code": "29190500901",
        "block": "Mulbagal",
        "cluster": "Avani",
        "user_type": "student",
        "user_sub_type": "",
        "board": "CBSE",
    }


def test_a_learner_who_tells_nothing_is_a_row_of_blanks():
    told: dict[str, Any] = {
        "userId": "rahul",
        "profileUserType": None,
        "userLocations": None,
        "framework": {},
        "organisations": [],
    }
    row = contracts.learners(listed(told), ["rahul"]).document.learners["rahul"]
    assert {value for key, value in row.items() if key != "user_id"} == {""}


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"rootOrgName": None, "rootOrg": {"orgName": "Of the read call"}}, "Of the read call"),
        ({"rootOrgName": None, "organisations": [{"organisationId": "org-1", "orgName": "Among"}]}, "Among"),
        ({"rootOrgName": None, "organisations": [{"organisationId": "org-2", "orgName": "Another's"}]}, ""),
    ],
)
def test_the_root_organisation_is_found_wherever_it_is_named(more, name):
    page = contracts.learners(listed(user("rahul", **more)), ["rahul"])
    assert page.document.learners["rahul"]["org_name"] == name


def test_a_learner_nobody_asked_for_is_left_out():
    page = contracts.learners(listed(user("rahul"), user("mallory")), ["rahul"])
    assert list(page.document.learners) == ["rahul"]
    assert page.refused == 1


def reads_of(answer: Any) -> list[Any]:
    """Every reader's view of one answer; Malformed counts as one."""

    def one(read_it, *asked):
        try:
            return read_it(answer, *asked)
        except Malformed as malformed:
            return malformed

    return [
        one(contracts.hierarchy, "class-1-maths"),
        one(contracts.batch, "batch-1"),
        one(contracts.batches, "class-1-maths"),
        one(contracts.learners, ["rahul"]),
    ]


@pytest.mark.parametrize(
    "answer",
    [None, 7, "text", [], {}, {"result": None}, {"result": []}, {"result": {"content": 7, "response": 7}}],
    ids=str,
)
def test_an_answer_of_another_shape_is_malformed(answer):
    hierarchy, one_batch, batches, learners = reads_of(answer)
    assert all(isinstance(one, Malformed) for one in (hierarchy, batches, learners))
    # A result without a response is how the batch service says that it knows no such batch; here there is none.
    assert isinstance(one_batch, Malformed)


@pytest.mark.parametrize(
    "content",
    [
        tree("class-2-maths", "single-digit-addition"),
        tree("class-1-maths", children={"identifier": "single-digit-addition"}),
        tree("class-1-maths", children=["single-digit-addition"]),
        tree("class-1-maths", "single-digit-addition", name=["Maths"]),
        tree("class-1-maths", "single-digit-addition", leafNodesCount="many"),
    ],
)
def test_a_tree_that_breaks_its_contract_is_malformed_as_a_whole(content):
    with pytest.raises(Malformed):
        contracts.hierarchy(found("content", content), "class-1-maths")


@pytest.mark.parametrize(
    "more",
    [
        {"batchId": "batch-2"},
        {"courseId": None, "collectionId": None},
        {"collectionId": "class-2-maths"},
        {"status": 7},
        {"status": True},
        {"startDate": "soon"},
        {"endDate": "2020-01-01"},
        {"createdFor": "org-1"},
        {"name": {"en": "First"}},
    ],
    ids=str,
)
def test_a_batch_that_breaks_its_contract_is_malformed(more):
    with pytest.raises(Malformed):
        contracts.batch(found("response", batch("batch-1", "class-1-maths", **more)), "batch-1")


@pytest.mark.parametrize(
    "more",
    [
        {"firstName": ["Rahul"]},
        {"userLocations": {"type": "state"}},
        {"userLocations": ["Karnataka"]},
        {"profileUserType": "student"},
        {"framework": [1]},
        {"organisations": "org-1"},
    ],
    ids=str,
)
def test_a_learner_that_breaks_his_contract_is_left_out(more):
    page = contracts.learners(listed(user("rahul", **more)), ["rahul"])
    assert page.document == Document()
    assert page.refused == 1


def test_what_was_malformed_is_never_told():
    with pytest.raises(Malformed) as raised:
        contracts.batch(found("response", batch("batch-1", "class-1-maths", startDate="rahul@example.org")), "batch-1")
    assert "rahul" not in str(raised.value)
    assert "startDate" in str(raised.value)


@pytest.mark.parametrize(
    ("status", "answer", "unknown"),
    [
        (404, {"params": {"err": "RESOURCE_NOT_FOUND"}}, True),
        (404, {"message": "no Route matched"}, False),
        (404, None, False),
        (400, {"params": {"err": "INVALID_COURSE_BATCH_ID"}}, True),
        (400, {"params": {"err": "CLIENT_ERROR"}}, False),
        (500, {"params": {"err": "RESOURCE_NOT_FOUND"}}, False),
    ],
)
def test_unknown_is_what_the_service_itself_says(status, answer, unknown):
    assert contracts.says_unknown(status, answer) is unknown


@pytest.mark.parametrize("path", [contracts.hierarchy_path, contracts.batch_path])
def test_an_id_is_one_part_of_a_path(path):
    assert path("a/b?c#d %").endswith("/a%2Fb%3Fc%23d%20%25")


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
junk = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
GOOD = (
    found("content", tree("class-1-maths", children=[tree("class-1-numbers", "single-digit-addition")])),
    found("response", batch("batch-1", "class-1-maths")),
    listed(batch("batch-1", "class-1-maths")),
    listed(user("rahul")),
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inner for place in [(*path, key), *places_in(one, (*path, key))]]


@settings(max_examples=150, deadline=None)
@given(answer=st.sampled_from(GOOD), data=st.data())
def test_junk_anywhere_in_an_answer_is_malformed_or_tolerated(answer, data):
    answer = copy.deepcopy(answer)
    *way, last = data.draw(st.sampled_from(places_in(answer)))
    inside = answer
    for key in way:
        inside = inside[key]
    inside[last] = data.draw(junk)
    assert len(reads_of(answer)) == 4  # none of them raised anything but Malformed


@settings(max_examples=150, deadline=None)
@given(junk)
def test_junk_instead_of_an_answer_is_malformed_or_tolerated(answer):
    assert len(reads_of(answer)) == 4


@settings(max_examples=100, deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_bytes_are_json_or_malformed(body):
    try:
        value = contracts.parsed(body)
    except Malformed:
        return
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000])
def test_what_is_not_json_is_malformed(body):
    with pytest.raises(Malformed):
        contracts.parsed(body)
