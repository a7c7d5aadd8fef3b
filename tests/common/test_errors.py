"""The error tree: every error has its own wire code, and the table at the top of the module tells the truth."""

import re

import pytest

from common import errors
from common.errors import FieldError, ServerError, ViewerError

TREE = re.findall(r"\+-- (\w+)(?: (\d{3}))?(?: +(ERR_\w+))?", errors.__doc__ or "")


def every(kind: type[ViewerError] = ViewerError) -> list[type[ViewerError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in every(child))]


DECLARED = {kind.__name__: kind for kind in every() if kind not in {ViewerError, FieldError}}


def test_the_table_names_every_error() -> None:
    assert {name for name, _, _ in TREE} == set(DECLARED)


@pytest.mark.parametrize(("name", "status", "code"), TREE)
def test_the_table_tells_status_and_code(name: str, status: str, code: str) -> None:
    kind = DECLARED[name]
    assert not status or kind.http_status == int(status)
    assert not code or kind.code == code


def test_no_two_errors_of_the_table_share_a_code() -> None:
    codes = [code for _, _, code in TREE if code]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("kind", DECLARED.values(), ids=DECLARED.keys())
def test_codes_are_stable_words(kind: type[ViewerError]) -> None:
    assert re.fullmatch(r"ERR_[A-Z_]+", kind.code)
    assert re.fullmatch(r"[A-Z_]+", kind.response_code)
    assert 400 <= kind.http_status < 600
    assert (kind.http_status >= 500) == issubclass(kind, ServerError)
    assert (kind.__doc__ or "").strip()


def test_a_field_error_blames_its_field() -> None:
    error = errors.MissingField("contentId", "contentId is required")
    assert (error.message, error.fields, str(error)) == (
        "contentId is required", {"contentId": "contentId is required"}, "contentId is required",
    )  # fmt: skip


def test_an_error_without_a_field_blames_none() -> None:
    assert errors.NotFound("No such route").fields == {}


def test_an_error_keeps_its_own_copy_of_the_fields() -> None:
    blamed = {"request": "wrong"}
    error = errors.InvalidRequest("wrong", blamed)
    blamed.clear()
    assert error.fields == {"request": "wrong"}
