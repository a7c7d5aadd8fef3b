"""The fold: rows, attempts and kept facts to statuses, counts, scores and completion. Cells first, then properties."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.hierarchy import COLLECTION_MIME_TYPE, Hierarchy
from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, RowKey, Status
from tests.viewer.events import at
from viewer.merging import WHOLE_CONTEXT
from viewer.progress import Folded, Lost, Sources, fold, same_facts

CONTEXT = ContextKey("rahul", "class-1-maths", "batch-1")


def node(identifier: str, *children: Any, **facts: Any) -> dict[str, Any]:
    return {"identifier": identifier, "mimeType": COLLECTION_MIME_TYPE, "children": list(children), **facts}


def leaf(identifier: str, *, optional: bool = False) -> dict[str, Any]:
    extra = {"relationalMetadata": {"optional": True}} if optional else {}
    return {"identifier": identifier, "mimeType": "video/mp4", **extra}


def row(content: str, status: int = 2, *, completed: float | None = 5, accessed: float | None = 5) -> Consumption:
    done = at(completed) if status == 2 and completed is not None else None
    return Consumption(
        RowKey(*CONTEXT, content), Status(status), 100 if status == 2 else 10,
        at(accessed) if accessed is not None else None, at(50), done, done,
    )  # fmt: skip


def attempt(content: str, score: float, maximum: float, minute: float = 1, name: str = "a-1") -> Attempt:
    time = at(minute)
    return Attempt(RowKey(*CONTEXT, content), name, score, maximum, f"{score}/{maximum}", time, time, time)


def enrolled(**facts: Any) -> Enrolment:
    return Enrolment(*CONTEXT, **{"enrolled_date": at(0), **facts})


MATHS = Hierarchy.from_node(node("class-1-maths", node("u1", leaf("a"), leaf("b")), node("u2", leaf("b"), leaf("c"))))


def folded(
    *rows: Consumption,
    hierarchy: Hierarchy | None = MATHS,
    enrolment: Enrolment | None = None,
    kept: Mapping[str, Any] | None = None,
    attempts: tuple[Attempt, ...] = (),
    reopen: bool = False,
    after: Folded | None = None,
    lost: tuple[Lost, ...] = (),
    minute: float = 100,
) -> Folded:
    """A fold of `rows`; `after`: the fold before, whose aggregate and enrolment are what is stored."""
    agg = after.agg if after else ActivityAgg(CONTEXT, kept=kept or {})
    enrolment = after.enrolment if after and enrolment is None else enrolment
    sources = Sources(agg, rows, attempts, enrolled() if enrolment is None else enrolment, hierarchy, lost=lost)
    return fold(sources, at(minute), reopen=reopen)


def shown(result: Folded) -> tuple[int, int, int]:
    assert result.enrolment is not None
    return int(result.enrolment.status), result.enrolment.progress, result.enrolment.completion_percentage


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (0, 0, 0)),
        ([row("a", 1)], (1, 0, 0)),
        ([row("a")], (1, 1, 33)),
        ([row("a"), row("b")], (1, 2, 66)),
        ([row("a"), row("b"), row("c")], (2, 3, 100)),
        ([row("elsewhere")], (0, 0, 0)),
        ([row("a"), row("elsewhere")], (1, 1, 33)),
    ],
)
def test_status_count_and_percentage(rows: list[Consumption], expected: tuple[int, int, int]) -> None:
    assert shown(folded(*rows)) == expected


def test_a_leaf_in_two_units_counts_in_each_and_once_in_the_course() -> None:
    aggregates = folded(row("b")).agg.aggregates
    assert aggregates == {"completedCount": 1.0, "completedCount:u1": 1.0, "completedCount:u2": 1.0}


def test_only_units_that_hold_a_touched_content_are_counted() -> None:
    assert set(folded(row("a", 1)).agg.aggregates) == {"completedCount", "completedCount:u1"}


def test_what_is_outside_the_collection_stays_in_the_map_and_counts_nowhere() -> None:
    agg = folded(row("elsewhere")).agg
    assert agg.content_status == {"elsewhere": 2}
    assert agg.aggregates == {"completedCount": 0.0}


def test_optional_contents_are_shown_and_not_counted() -> None:
    tree = Hierarchy.from_node(node("class-1-maths", leaf("a"), leaf("b", optional=True)))
    assert shown(folded(row("b"), hierarchy=tree)) == (1, 0, 0)
    assert shown(folded(row("a"), hierarchy=tree)) == (2, 1, 100)
    assert folded(row("b"), hierarchy=tree).agg.content_status == {"b": 2}


def test_an_optional_unit_frees_its_leaves() -> None:
    unit = node("u2", leaf("b"), leaf("c"), relationalMetadata={"optional": True})
    tree = Hierarchy.from_node(node("class-1-maths", leaf("a"), unit))
    assert shown(folded(row("a"), hierarchy=tree)) == (2, 1, 100)


def test_where_everything_is_optional_the_first_completed_leaf_completes() -> None:
    tree = Hierarchy.from_node(node("class-1-maths", leaf("a", optional=True), leaf("b", optional=True)))
    assert shown(folded(row("a", 1), hierarchy=tree)) == (1, 0, 0)
    result = folded(row("a", completed=7), row("b", completed=5), hierarchy=tree)
    assert shown(result) == (2, 0, 100)
    assert result.enrolment is not None
    assert result.enrolment.completed_on == at(5)


def test_a_collection_without_leaves_is_never_complete() -> None:
    for tree in (node("class-1-maths"), node("class-1-maths", node("u1", node("u2")))):
        status, _, percentage = shown(folded(row("a"), hierarchy=Hierarchy.from_node(tree)))
        assert (status < 2, percentage) == (True, 0)


def test_leaves_that_are_not_all_known_complete_nothing_and_share_the_declared_count() -> None:
    stub = {"identifier": "child", "mimeType": COLLECTION_MIME_TYPE, "leafNodesCount": 3, "visibility": "Default"}
    tree = Hierarchy.from_node(node("class-1-maths", leaf("a"), stub, leafNodesCount=4))
    assert not tree.complete
    assert shown(folded(row("a"), row("x"), hierarchy=tree)) == (1, 2, 50)
    everything = [row(name) for name in ("a", "x", "y", "z", "more")]
    assert shown(folded(*everything, hierarchy=tree)) == (1, 4, 100)


def test_an_unknown_collection_keeps_statuses_and_scores_and_leaves_the_enrolment_alone() -> None:
    result = folded(row("a"), attempts=(attempt("a", 1, 2),), hierarchy=None)
    assert result.agg.content_status == {"a": 2}
    assert "completedCount" not in result.agg.aggregates
    assert result.agg.aggregates["score:a"] == 1
    assert result.enrolment == enrolled()


def test_completed_on_is_the_newest_required_completion_and_never_before_the_enrolment() -> None:
    rows = [row("a", completed=3), row("b", completed=9), row("c", completed=6)]
    assert folded(*rows).enrolment.completed_on == at(9)
    late = enrolled(enrolled_date=at(20))
    assert folded(*rows, enrolment=late).enrolment.completed_on == at(20)


def test_a_completion_without_a_time_counts_as_when_it_was_stored() -> None:
    rows = [row("a", completed=None), row("b"), row("c")]
    assert folded(*rows).enrolment.completed_on == at(50)


def test_completion_is_told_once() -> None:
    rows = [row("a"), row("b"), row("c")]
    first = folded(*rows)
    assert first.completed
    assert not folded(*rows, after=first).completed


def test_a_late_correction_moves_completed_on_earlier_only() -> None:
    first = folded(row("a"), row("b"), row("c", completed=9)).enrolment
    corrected = folded(row("a"), row("b"), row("c", completed=7), enrolment=first).enrolment
    assert corrected is not None
    assert corrected.completed_on == at(7)
    assert folded(row("a"), row("b"), row("c", completed=9), enrolment=corrected).enrolment == corrected


BIGGER = Hierarchy.from_node(node("class-1-maths", leaf("a"), leaf("b"), leaf("c"), leaf("d")))


def test_new_leaves_leave_a_completed_enrolment_completed_and_show_the_true_count() -> None:
    done = folded(row("a"), row("b"), row("c")).enrolment
    after = folded(row("a"), row("b"), row("c"), enrolment=done, hierarchy=BIGGER)
    assert shown(after) == (2, 3, 100)
    assert after.enrolment is not None
    assert after.enrolment.completed_on == done.completed_on


def test_new_leaves_reopen_where_the_instance_says_so_and_complete_again_without_a_second_event() -> None:
    done = folded(row("a"), row("b"), row("c"))
    again = folded(row("a"), row("b"), row("c"), after=done, hierarchy=BIGGER, reopen=True)
    assert shown(again) == (1, 3, 75)
    closed = folded(*[row(name) for name in "abcd"], after=again, hierarchy=BIGGER, reopen=True)
    assert shown(closed) == (2, 4, 100)
    assert not closed.completed


LOST_AT_100 = Lost(at(90), at(110))


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        pytest.param((LOST_AT_100,), (1, 2, 66), id="told while it counted"),
        pytest.param((Lost(at(90)),), (1, 2, 66), id="hidden since"),
        pytest.param((Lost(at(100), at(100)),), (1, 2, 66), id="at that very moment"),
        pytest.param((Lost(at(101)),), (1, 2, 66), id="told by a call that began before it was carried"),
        pytest.param((Lost(at(102)),), (2, 2, 100), id="told before it was carried"),
        pytest.param((Lost(at(80), at(99)),), (2, 2, 100), id="told after it was taken back"),
        pytest.param((), (2, 2, 100), id="nothing was lost"),
    ],
)
def test_a_completion_is_given_up_only_with_a_carry_it_may_rest_on(
    lost: tuple[Lost, ...], expected: tuple[int, int, int]
) -> None:
    complete = folded(row("a"), row("b"), row("c"))
    after = folded(row("a"), row("b"), after=complete, lost=lost)
    assert shown(after) == expected
    assert after.enrolment is not None
    assert (after.enrolment.completed_on is None) == (expected[0] != 2)


def test_a_completion_that_was_given_up_and_comes_again_stays_through_what_was_lost_before() -> None:
    complete = folded(row("a"), row("b"), row("c"))
    given_up = folded(row("a"), row("b"), after=complete, lost=(LOST_AT_100,))
    again = folded(row("a"), row("b"), row("c"), after=given_up, lost=(LOST_AT_100,), minute=120)
    assert again.completed, "its events have the ids of before"
    assert shown(again) == (2, 3, 100)
    assert shown(folded(row("a"), row("b"), after=again, lost=(LOST_AT_100,), minute=130)) == (2, 2, 100)


def test_an_imported_completion_rests_on_no_carry() -> None:
    kept = {WHOLE_CONTEXT: {"by": "import", "status": 2, "completedCount": 3}}
    imported = folded(row("a"), kept=kept, enrolment=enrolled(status=Status.COMPLETED, completed_on=at(3)))
    assert shown(folded(after=imported, lost=(Lost(at(0)),)))[0] == 2


def test_kept_facts_alone_complete_without_a_date_or_an_event() -> None:
    kept = {name: {"by": "import", "status": 2} for name in "abc"}
    result = folded(kept=kept)
    assert shown(result) == (2, 3, 100)
    assert not result.completed
    assert result.enrolment is not None
    assert result.enrolment.completed_on is None
    assert result.agg.content_status == {"a": 2, "b": 2, "c": 2}


def test_kept_facts_and_rows_complete_together() -> None:
    kept = {name: {"by": "import", "status": 2, "lastCompletedTime": 1} for name in "ab"}
    result = folded(row("c", completed=9), kept=kept)
    assert result.completed
    assert result.enrolment is not None
    assert result.enrolment.completed_on == at(9)


def test_a_kept_count_is_a_floor() -> None:
    kept = {WHOLE_CONTEXT: {"by": "import", "completedCount": 2, "status": 1}}
    assert shown(folded(kept=kept)) == (1, 2, 66)
    assert shown(folded(row("a"), kept=kept)) == (1, 2, 66)
    assert WHOLE_CONTEXT not in folded(kept=kept).agg.agg_details


def test_an_imported_completion_stays_and_sends_nothing() -> None:
    imported = enrolled(status=Status.COMPLETED, completed_on=None)
    kept = {WHOLE_CONTEXT: {"by": "import", "status": 2, "completedCount": 3}}
    result = folded(*[row(name) for name in "abc"], enrolment=imported, kept=kept)
    assert shown(result) == (2, 3, 100)
    assert not result.completed


def test_the_best_attempt_is_the_greatest_total_with_its_own_maximum() -> None:
    tries = (attempt("a", 3, 3, 1, "x"), attempt("a", 4, 10, 0, "y"), attempt("a", 1.33, 3, 9, "z"))
    aggregates = folded(row("a"), attempts=tries).agg.aggregates
    assert (aggregates["score:a"], aggregates["max_score:a"], aggregates["attempts_count:a"]) == (4, 10, 3)


def test_decimals_stay_in_aggregates_and_are_rounded_in_agg() -> None:
    agg = folded(row("a"), attempts=(attempt("a", 1.33, 3),)).agg
    assert (agg.aggregates["score:a"], agg.agg["score:a"]) == (1.33, 1)


def test_the_last_read_content_is_the_one_accessed_last() -> None:
    result = folded(row("a", 1, accessed=9), row("b", accessed=4)).enrolment
    assert result is not None
    assert (result.last_read_content_id, result.last_read_content_status) == ("a", 1)
    assert result.last_content_access_time == at(9)


def test_an_organic_content_is_not_waiting_for_a_tree() -> None:
    key = ContextKey("rahul", "x", "x")
    own = replace(row("x"), key=RowKey(*key, "x"))
    assert Sources(ActivityAgg(key), [own]).organic
    assert not Sources(ActivityAgg(key), [own, replace(own, key=RowKey(*key, "y"))]).organic


# --- properties ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from("abcdefgh")


@st.composite
def trees(draw: st.DrawFn) -> Hierarchy:
    """Random courses: units in units, leaves shared between them, optional leaves and units, none at all."""

    def grow(depth: int) -> list[dict[str, Any]]:
        children = []
        for _ in range(draw(st.integers(0, 3))):
            optional = draw(st.booleans()) and draw(st.booleans())
            if depth and draw(st.booleans()):
                extra = {"relationalMetadata": {"optional": True}} if optional else {}
                children.append(node(f"unit-{draw(st.integers(0, 5))}-{depth}", *grow(depth - 1), **extra))
            else:
                children.append(leaf(draw(NAMES), optional=optional))
        return children

    return Hierarchy.from_node(node("class-1-maths", *grow(3)))


ROWS = st.dictionaries(
    st.sampled_from("abcdefghxy"), st.tuples(st.sampled_from([1, 2]), st.integers(0, 60)), max_size=10
).map(lambda made: [row(name, status, completed=minute, accessed=minute) for name, (status, minute) in made.items()])


@given(trees(), ROWS, st.booleans())
def test_counts_and_percentages_agree_with_each_other(tree: Hierarchy, rows: list[Consumption], reopen: bool) -> None:
    result = folded(*rows, hierarchy=tree, reopen=reopen)
    status, count, percentage = shown(result)
    done = {one.key.content_id for one in rows if one.status is Status.COMPLETED}
    if tree.complete:
        assert count == len(done & tree.required)
        finished = tree.required <= done if tree.required else bool(done & set(tree.leaves))
        assert (status == 2) == (percentage == 100) == finished == result.completed
    assert 0 <= percentage <= 100
    for name, value in result.agg.aggregates.items():
        if name.startswith("completedCount:"):
            assert value == len(tree.required_of(name.split(":", 1)[1]) & done)


@given(trees(), ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_and_folding_again_changes_nothing(
    tree: Hierarchy, rows: list[Consumption], random: Any
) -> None:
    once = folded(*rows, hierarchy=tree)
    random.shuffle(rows)
    again = fold(Sources(once.agg, rows, (), once.enrolment, tree), at(200))
    assert same_facts(once.agg, again.agg)
    assert again.enrolment is once.enrolment
    assert not again.completed


@given(trees(), trees(), ROWS, ROWS)
def test_an_enrolment_never_goes_back_when_rows_or_leaves_come_and_go(
    before: Hierarchy, after: Hierarchy, rows: list[Consumption], more: list[Consumption]
) -> None:
    first = folded(*rows, hierarchy=before)
    held = {one.key: one for one in rows}
    added = [*rows, *[one for one in more if one.key not in held]]
    second = folded(*added, hierarchy=after, after=first)
    assert first.enrolment is not None
    assert second.enrolment is not None
    if first.enrolment.status is Status.COMPLETED:
        assert shown(second)[0] == 2
        assert shown(second)[2] == 100
        assert not second.completed
        assert second.enrolment.completed_on is not None
        assert first.enrolment.completed_on is not None
        assert second.enrolment.completed_on <= first.enrolment.completed_on
