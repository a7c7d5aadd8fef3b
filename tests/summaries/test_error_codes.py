"""The codes of enrolment: `docs/errors.md` and the classes say the same, and so do their texts."""

from common.errors import BadRequest, ViewerError
from summaries import errors
from tests.servers import ROOT

SECTION = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").split("\n## Enrolments\n")[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| ")
][1:]


def refusals() -> list[ViewerError]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BadRequest)]
    simple = [kind() for kind in kinds if issubclass(kind, errors.EnrolmentRefused) and kind.text]
    return [errors.MandatoryMissing("courseId/collectionId"), *simple]


def test_the_table_has_every_code_with_its_text_in_the_order_of_the_checks() -> None:
    told = [(error.code, error.message.strip()) for error in refusals()]
    assert [(row[0], row[1]) for row in ROWS] == told
    assert len({code for code, _ in told}) == len(told) == 7


def test_each_row_says_when_and_what_to_do() -> None:
    assert all(len(row) == 4 and row[2].endswith(".") and row[3].endswith(".") for row in ROWS)


def test_all_are_the_clients_to_mend() -> None:
    for error in refusals():
        assert (error.http_status, error.response_code, error.fields) == (400, "BAD_REQUEST", {})
        assert (errors.__doc__ or "").count(error.code) == 1
