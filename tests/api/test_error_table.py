"""`docs/errors.md` is the one table of error codes for clients: it and the class tree say the same."""

import re
from collections.abc import Iterator

from common import errors
from tests.servers import ROOT

TABLE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
Told = tuple[str, int, str]


def _tree(kind: type[errors.ViewerError]) -> Iterator[type[errors.ViewerError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _classes() -> list[type[errors.ViewerError]]:
    return [kind for kind in dict.fromkeys(_tree(errors.ViewerError)) if kind.__module__ == errors.__name__]


def _in_code() -> set[Told]:
    return {(kind.code, kind.http_status, kind.response_code) for kind in _classes()}


def _rows() -> list[list[str]]:
    lines = [line for line in TABLE.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _in_docs() -> list[Told]:
    return [(row[0].strip("`"), int(row[1]), row[2].strip("`")) for row in _rows()]


def test_table_has_every_code_of_the_class_tree_and_no_other() -> None:
    assert set(_in_docs()) == _in_code()


def test_each_code_stands_once_and_has_one_status() -> None:
    codes = [code for code, _, _ in _in_docs()]
    assert len(codes) == len(set(codes))
    assert len({code for code, _, _ in _in_code()}) == len(_in_code())


def test_each_row_says_when_and_what_to_do() -> None:
    for row in _rows():
        assert len(row) == 5, row[0]
        assert all(cell and cell[-1] in ".)" for cell in row[3:]), row[0]


def test_rows_are_ordered_by_status() -> None:
    statuses = [status for _, status, _ in _in_docs()]
    assert statuses == sorted(statuses)


def test_tree_in_the_module_text_names_every_class() -> None:
    told = errors.__doc__ or ""
    for kind in _classes():
        if kind not in (errors.FieldError,):
            assert re.search(rf"\b{kind.__name__}\b", told), kind.__name__
    for code in {kind.code for kind in _classes()} - {errors.Conflict.code}:
        assert code in told


def test_codes_look_alike() -> None:
    for code, status, _ in _in_code():
        assert re.fullmatch(r"ERR_[A-Z]+(_[A-Z]+)*", code)
        assert 400 <= status < 600
