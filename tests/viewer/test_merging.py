"""Two accounts of one enrolment: who wins, and that neither order nor repetition matter."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import Enrolment, Status
from tests.viewer.events import at
from viewer.merging import merge_enrolment

KEY = ("rahul", "class-1-maths", "batch-1")
PROGRAM, OTHER = "program-batch-1", "program-batch-2"
minutes = st.none() | st.integers(0, 2).map(at)
enrolments = st.builds(
    Enrolment,
    *map(st.just, KEY),
    active=st.booleans(),
    added_by=st.sampled_from([None, "asha", "rahul"]),
    moved_to=st.sampled_from([None, PROGRAM, OTHER]),
    enrolled_date=minutes,
    status=st.sampled_from(Status),
    progress=st.integers(0, 2),
    completion_percentage=st.integers(0, 2),
    completed_on=minutes,
    content_status=st.dictionaries(st.sampled_from("ab"), st.integers(1, 2)),
    issued_certificates=st.lists(
        st.fixed_dictionaries({"identifier": st.just("c-1"), "lastIssuedOn": st.sampled_from("12")}), max_size=1
    ).map(tuple),
    last_read_content_id=st.sampled_from([None, "a", "b"]),
    last_read_content_status=st.sampled_from([None, 1, 2]),
    last_content_access_time=minutes,
    updated_at=minutes,
)


def merged(*accounts: Enrolment) -> Enrolment:
    """All accounts, one after another; without the count of writes, which the order may change."""
    whole, *others = accounts
    for other in others:
        whole = merge_enrolment(whole, other)
    return replace(whole, version=0)


@given(one=enrolments, other=enrolments, third=enrolments)
def test_neither_order_nor_repetition_matter(one: Enrolment, other: Enrolment, third: Enrolment) -> None:
    assert merged(one, other) == merged(other, one)
    assert merged(merged(one, other), third) == merged(one, merged(other, third))
    assert merged(one, other, one, other) == merged(one, other)
    assert merge_enrolment(one, one) is one


@pytest.mark.parametrize(
    ("one", "other", "moved_to"),
    [
        ({"updated_at": at(1), "moved_to": PROGRAM}, {"updated_at": at(2), "moved_to": OTHER}, OTHER),
        ({"updated_at": at(2), "moved_to": PROGRAM}, {"updated_at": at(1), "moved_to": OTHER}, PROGRAM),
        ({"updated_at": at(2), "moved_to": PROGRAM}, {"updated_at": at(1)}, PROGRAM),
        ({"updated_at": at(1), "moved_to": PROGRAM}, {"updated_at": at(2)}, None),
        ({"updated_at": at(1), "moved_to": PROGRAM}, {}, PROGRAM),
        ({"updated_at": at(1), "moved_to": PROGRAM}, {"updated_at": at(1)}, PROGRAM),
        ({"updated_at": at(1), "moved_to": PROGRAM}, {"updated_at": at(1), "active": False}, None),
        ({"updated_at": at(1), "moved_to": PROGRAM}, {"updated_at": at(1), "moved_to": OTHER}, OTHER),
    ],
)
def test_progress_was_moved_to_where_the_account_written_last_says(
    one: dict[str, object], other: dict[str, object], moved_to: str | None
) -> None:
    accounts = [Enrolment(*KEY, **facts) for facts in (one, other)]  # type: ignore[arg-type]
    assert merged(*accounts).moved_to == moved_to
    assert merged(*reversed(accounts)).moved_to == moved_to
