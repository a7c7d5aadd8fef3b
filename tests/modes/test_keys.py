"""Which row a view writes and which rows a read answers from (seed: "Config Modes", scenarios 1-3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import ContextKey, RowKey
from modes.keys import Mode, ReadScope, View, read_scope, write_key

SINGLE, DOUBLE = "single-digit-addition", "double-digit-addition"
MATHS, BATCH = "class-1-maths", "batch-1"
ids = st.text(min_size=1)


@pytest.mark.parametrize(
    ("collection", "context", "row"),
    [
        pytest.param(None, None, ("rahul", SINGLE, SINGLE, SINGLE), id="1 a content by itself"),
        pytest.param(MATHS, None, ("rahul", MATHS, MATHS, SINGLE), id="2 a content in a collection"),
        pytest.param(MATHS, BATCH, ("rahul", MATHS, BATCH, SINGLE), id="3 a content in a batch of a collection"),
        pytest.param(MATHS, MATHS, ("rahul", MATHS, MATHS, SINGLE), id="2 with the context spelled out"),
        pytest.param(SINGLE, None, ("rahul", SINGLE, SINGLE, SINGLE), id="1 with the collection spelled out"),
        pytest.param("", "", ("rahul", SINGLE, SINGLE, SINGLE), id="1 with blanks"),
    ],
)
def test_a_view_writes_the_row_of_the_place_it_was_viewed_in(
    collection: str | None, context: str | None, row: tuple[str, str, str, str]
) -> None:
    assert write_key(Mode.STRICT, View("rahul", SINGLE, collection, context)) == RowKey(*row)


@pytest.mark.parametrize(
    ("contents", "collection", "context", "scope"),
    [
        pytest.param(
            [SINGLE], None, None,
            ReadScope(ContextKey("rahul", SINGLE, SINGLE), (RowKey("rahul", SINGLE, SINGLE, SINGLE),)),
            id="1 a content by itself",
        ),
        pytest.param(
            [SINGLE, DOUBLE], None, None,
            ReadScope(None, (RowKey("rahul", SINGLE, SINGLE, SINGLE), RowKey("rahul", DOUBLE, DOUBLE, DOUBLE))),
            id="1 contents that have no context in common",
        ),
        pytest.param(
            [SINGLE], MATHS, None,
            ReadScope(ContextKey("rahul", MATHS, MATHS), (RowKey("rahul", MATHS, MATHS, SINGLE),)),
            id="2 a content in a collection",
        ),
        pytest.param(
            [DOUBLE, SINGLE], MATHS, BATCH,
            ReadScope(
                ContextKey("rahul", MATHS, BATCH),
                (RowKey("rahul", MATHS, BATCH, DOUBLE), RowKey("rahul", MATHS, BATCH, SINGLE)),
            ),
            id="3 contents in a batch, in the order asked for",
        ),
        pytest.param([], MATHS, None, ReadScope(ContextKey("rahul", MATHS, MATHS), None), id="2 a whole collection"),
        pytest.param([], MATHS, BATCH, ReadScope(ContextKey("rahul", MATHS, BATCH), None), id="3 a whole batch"),
    ],
)  # fmt: skip
def test_a_read_answers_from_the_rows_of_its_place(
    contents: list[str], collection: str | None, context: str | None, scope: ReadScope
) -> None:
    assert read_scope(Mode.STRICT, "rahul", contents, collection, context) == scope


@pytest.mark.parametrize("mode", Mode)
@given(
    user=ids,
    content=ids,
    place=st.tuples(ids, ids) | st.tuples(ids, st.none()) | st.tuples(st.none(), st.none()),
)
def test_what_a_view_writes_a_read_of_the_same_place_finds(
    mode: Mode, user: str, content: str, place: tuple[str | None, str | None]
) -> None:
    key = write_key(mode, View(user, content, *place))
    scope = read_scope(mode, user, [content], *place)
    assert scope.keys == (key,)
    collection, context = place
    as_asked = mode is Mode.NO_CONTEXT_CONTENT and collection is not None  # the answer is for where it was asked
    assert scope.context == (ContextKey(user, str(collection), str(context or collection)) if as_asked else key.context)


@given(ids, ids, ids, ids)
def test_a_context_is_never_another_learners(one: str, other: str, content: str, collection: str) -> None:
    keys = [write_key(Mode.STRICT, View(user, content, collection)) for user in (one, other)]
    assert (keys[0].context == keys[1].context) == (one == other)
