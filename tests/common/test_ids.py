"""Ids: which are refused and why, and how they become a part of a key or a file name."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.errors import InvalidId
from common.ids import MAX_ID_BYTES, MAX_ID_LENGTH, check_id, plain_user_id, safe_part

ids = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        ("", None),
        (" \t\n", None),
        ("rahul", "rahul"),
        ("  rahul ", "rahul"),
        ("batch-1:class-1-maths", "batch-1:class-1-maths"),
        ("do_31307361357558579213961", "do_31307361357558579213961"),
        ("a b", "a b"),
        ("राहुल", "राहुल"),
        ("🧮", "🧮"),
        ("a.b", "a.b"),
        ("%2F", "%2F"),
        ("'; DROP TABLE--", "'; DROP TABLE--"),
        ("x" * 256, "x" * 256),
        ("🧮" * 128, "🧮" * 128),
    ],
)
def test_a_usable_id_is_kept_without_outer_blanks(value: object, kept: str | None) -> None:
    assert check_id("contentId", value) == kept


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "must be text"),
        (7.0, "must be text"),
        (True, "must be text"),
        (["a"], "must be text"),
        ({"a": 1}, "must be text"),
        (b"a", "must be text"),
        ("x" * 257, "longer than 256 characters"),
        ("🧮" * 129, "longer than 512 bytes"),
        ("क" * 171, "longer than 512 bytes"),
        ("a/b", "character no id may have"),
        ("a\\b", "character no id may have"),
        ("..", "character no id may have"),
        ("a..b", "character no id may have"),
        ("a\x00b", "character no id may have"),
        ("a\nb", "character no id may have"),
        ("a\x7fb", "character no id may have"),
        ("a\x85b", "character no id may have"),
        ("a\u2028b", "character no id may have"),
        ("a\ud800b", "character no id may have"),
    ],
)
def test_an_unusable_id_is_refused_with_its_field_and_the_reason(value: object, reason: str) -> None:
    with pytest.raises(InvalidId, match=reason) as refused:
        check_id("contentId", value)
    assert refused.value.fields == {"contentId": refused.value.message}
    assert refused.value.message.startswith("contentId ")


@given(st.text(max_size=300))
def test_an_id_that_is_kept_fits_every_store(value: str) -> None:
    try:
        kept = check_id("contentId", value)
    except InvalidId:
        return
    if kept is not None:
        assert len(kept) <= MAX_ID_LENGTH
        assert len(kept.encode()) <= MAX_ID_BYTES
        assert kept == kept.strip() == check_id("contentId", kept)


@pytest.mark.parametrize(
    ("user_id", "plain"),
    [
        ("rahul", "rahul"),
        ("f:provider:rahul", "rahul"),
        ("f:5a8a3f2b-3409:874ed8a5", "874ed8a5"),
        ("f:provider:a:b", "a:b"),
        ("f:provider:", "f:provider:"),
        ("f:provider", "f:provider"),
        ("f:", "f:"),
        ("g:provider:rahul", "g:provider:rahul"),
        ("", ""),
    ],
)
def test_a_federated_user_is_known_by_the_id_at_the_end(user_id: str, plain: str) -> None:
    assert plain_user_id(user_id) == plain


@given(ids)
def test_a_safe_part_has_only_harmless_characters(value: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._%-]*", safe_part(value))


@given(ids)
def test_a_safe_part_can_be_read_back(value: str) -> None:
    assert unquote(safe_part(value)) == value


@given(ids, ids)
def test_two_ids_never_have_the_same_safe_part(one: str, other: str) -> None:
    assume(one != other)
    assert safe_part(one) != safe_part(other)


@given(ids.filter(lambda value: value not in {"", "."}))
def test_the_safe_part_of_a_checked_id_stays_inside_its_folder(value: str) -> None:
    try:
        kept = check_id("contentId", value)
    except InvalidId:
        return
    assume(kept not in {None, "."})
    assert (PurePosixPath("/exports") / safe_part(kept or "")).parent == PurePosixPath("/exports")
