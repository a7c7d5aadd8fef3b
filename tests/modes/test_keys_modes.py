"""Every mode: where a view is kept, where it counts, whom it reaches and what is shown hang together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import Consumption, ContextKey, RowKey, Status
from modes.keys import Mode, View, counted, own_part, reached, read_scope, visible, write_key

KEPT_IN_PLACE = [Mode.STRICT, Mode.COPY_CONTENT, Mode.COPY_COLLECTION, Mode.MOVE]
TIME = datetime(2026, 1, 10, tzinfo=UTC)
LEAVES = {
    "class-1-maths": ("single", "double", "triple"),
    "class-2-maths": ("single", "double"),
    "class-3-maths": ("triple",),
    "unpublished": (),
}
contents = st.sampled_from(["single", "double", "triple", "other"])
collections = st.sampled_from(list(LEAVES))
contexts = st.sampled_from(["batch-1", "batch-2", "class-1-maths", "class-2-maths", "unpublished"])
keys = st.builds(ContextKey, st.just("rahul"), collections | contents, contexts | contents)
modes = pytest.mark.parametrize("mode", Mode)


def leaves(collection_id: str) -> Sequence[str]:
    return LEAVES.get(collection_id, ())


def counted_in(mode: Mode, key: ContextKey) -> tuple[ContextKey, ...]:
    return counted(mode, key, leaves(key.collection_id))


@st.composite
def rows(draw: st.DrawFn) -> Consumption:
    """A row as the service keeps them: own or carried, over nothing or over what was begun here."""
    key = RowKey("rahul", draw(collections), draw(contexts), draw(contents))
    progress = draw(st.integers(0, 99))
    begun = Consumption(key, Status.IN_PROGRESS, progress, TIME, TIME, view_count=draw(st.integers(1, 5)))
    done = replace(begun, status=Status.COMPLETED, last_completed_time=TIME)
    own = replace(done, progress=100, own_completed_time=TIME)
    carried = replace(done, origin="record-1")
    only_carried = replace(carried, progress=0, last_access_time=None, view_count=0)
    return draw(st.sampled_from([begun, own, carried, only_carried]))


# --- counted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", KEPT_IN_PLACE)
@given(keys)
def test_where_rows_stay_in_place_a_context_counts_its_own_and_no_other(mode: Mode, key: ContextKey) -> None:
    assert counted_in(mode, key) == (key,)


def test_without_contexts_a_collection_counts_its_contents_or_itself_wherever_it_is_asked() -> None:
    for context in ("batch-1", "batch-2", "class-2-maths", "program-batch-1"):
        key = ContextKey("rahul", "class-2-maths", context)
        own_rows = (ContextKey("rahul", "single", "single"), ContextKey("rahul", "double", "double"))
        assert counted_in(Mode.NO_CONTEXT_CONTENT, key) == own_rows
        assert counted_in(Mode.NO_CONTEXT_COLLECTION, key) == (ContextKey("rahul", "class-2-maths", "class-2-maths"),)


@modes
@given(collections, contexts, contents)
def test_a_view_counts_in_the_place_it_was_viewed_in(mode: Mode, collection: str, context: str, content: str) -> None:
    written = write_key(mode, View("rahul", content, collection, context))
    in_tree = content in leaves(collection)
    counts = written.context in counted_in(mode, ContextKey("rahul", collection, context))
    assert counts == (in_tree or mode is not Mode.NO_CONTEXT_CONTENT)


@modes
@given(keys)
def test_nobody_counts_what_another_learner_did(mode: Mode, key: ContextKey) -> None:
    assert {one.user_id for one in counted_in(mode, key)} == {key.user_id}


# --- reached ---------------------------------------------------------------------------------------------------------


@modes
@given(keys, st.lists(keys, unique=True, max_size=8))
def test_a_change_reaches_just_the_enrolments_that_count_it(
    mode: Mode, changed: ContextKey, enrolled: list[ContextKey]
) -> None:
    expected = [key for key in enrolled if key != changed and changed in counted_in(mode, key)]
    assert reached(mode, changed, enrolled, leaves) == expected


@modes
@given(collections, contexts, contents, st.lists(keys, unique=True, max_size=8))
def test_after_a_view_its_place_is_the_rows_own_or_is_reached(
    mode: Mode, collection: str, context: str, content: str, others: list[ContextKey]
) -> None:
    place = ContextKey("rahul", collection, context)
    changed = write_key(mode, View("rahul", content, collection, context)).context
    found = reached(mode, changed, {place, *others}, leaves)
    assert (place in {changed, *found}) == (mode is not Mode.NO_CONTEXT_CONTENT or content in leaves(collection))


@modes
def test_the_seeds_contexts_are_reached_as_its_tables_say(mode: Mode) -> None:
    """Rahul does single-digit addition in batch-1 of class 1, and is in batch-2 of it and in class 2 as well."""
    batch_1, batch_2 = (ContextKey("rahul", "class-1-maths", name) for name in ("batch-1", "batch-2"))
    class_2 = ContextKey("rahul", "class-2-maths", "batch-1")
    changed = write_key(mode, View("rahul", "single", "class-1-maths", "batch-1")).context
    expected = {
        Mode.NO_CONTEXT_CONTENT: [batch_1, batch_2, class_2],
        Mode.NO_CONTEXT_COLLECTION: [batch_1, batch_2],
    }
    assert reached(mode, changed, [batch_1, batch_2, class_2], leaves) == expected.get(mode, [])


# --- read_scope ------------------------------------------------------------------------------------------------------


@modes
@given(collections, st.none() | contexts)
def test_reading_a_whole_place_reads_what_counts_in_it(mode: Mode, collection: str, context: str | None) -> None:
    scope = read_scope(mode, "rahul", [], collection, context, leaves)
    assert scope.context is not None
    if mode is Mode.NO_CONTEXT_CONTENT:
        assert scope.context == ContextKey("rahul", collection, context or collection)
        assert scope.keys == tuple(RowKey("rahul", leaf, leaf, leaf) for leaf in leaves(collection))
    else:
        assert scope.keys is None
        assert counted_in(mode, scope.context) == (scope.context,)
        assert counted_in(mode, ContextKey("rahul", collection, context or collection)) == (scope.context,)


@modes
@given(st.lists(contents, min_size=1, max_size=4), collections, st.none() | contexts)
def test_reading_contents_of_a_place_reads_the_rows_a_view_there_writes(
    mode: Mode, asked: list[str], collection: str, context: str | None
) -> None:
    scope = read_scope(mode, "rahul", asked, collection, context, leaves)
    assert scope.keys == tuple(write_key(mode, View("rahul", content, collection, context)) for content in asked)


@modes
@given(st.lists(contents, max_size=3), st.none() | collections, st.none() | contexts)
def test_only_a_copy_is_read_without_naming_where_it_is(
    mode: Mode, asked: list[str], collection: str | None, context: str | None
) -> None:
    """Seed: "Extended Enrolment Consumption", row 2."""
    if collection is None:
        context, asked = None, asked or ["single"]
    scope = read_scope(mode, "rahul", asked, collection, context, leaves)
    assert scope.any_context == (mode.copies and collection is not None and context is None)


# --- visible ---------------------------------------------------------------------------------------------------------


@modes
@given(st.lists(rows(), unique_by=lambda row: row.key, max_size=6))
def test_what_was_carried_is_shown_where_copies_are_made_and_nowhere_else(
    mode: Mode, stored: list[Consumption]
) -> None:
    shown = visible(mode, stored)
    if mode.copies:
        assert shown == stored
    else:
        assert all(row.origin is None for row in shown)
        assert [row.key for row in shown] == [row.key for row in stored if row.origin is None or row.view_count]


@modes
@given(st.lists(rows(), unique_by=lambda row: row.key, max_size=6))
def test_what_the_learner_did_himself_is_shown_as_it_is_in_every_mode(mode: Mode, stored: list[Consumption]) -> None:
    own = [row for row in stored if row.origin is None]
    assert [row for row in visible(mode, stored) if row in own] == own
    assert visible(mode, own) == own


@given(rows())
def test_the_own_part_of_a_row_has_nothing_that_was_carried(row: Consumption) -> None:
    own = own_part(row)
    if own is None:
        assert (row.origin, row.view_count) == ("record-1", 0)
    elif row.origin is None:
        assert own is row
    else:
        assert (own.status, own.last_completed_time, own.origin) == (Status.IN_PROGRESS, None, None)
        assert (own.progress, own.view_count, own.timespent) == (row.progress, row.view_count, row.timespent)
        assert own_part(own) == own
