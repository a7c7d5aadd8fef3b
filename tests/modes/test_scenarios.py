"""Every row of the seeds' mode tables, over HTTP on the three tiers, and docs/modes.md beside them."""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import TIERS
from tests.modes import scenarios
from tests.modes.scenarios import ModeTables, Scenario
from tests.servers import ROOT, Server

Test = Callable[..., None]


@dataclass(frozen=True, slots=True)
class School:
    """A service in one mode, prepared for its scenarios. name: a learner's id, which no other service has."""

    server: Server
    name: Callable[[str], str]


@pytest.fixture(scope="module")
def school(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    tier, mode = request.param
    tables = next(each for each in scenarios.ALL if each.mode == mode)
    own = uuid.uuid4().hex[:8]

    def name(learner: str) -> str:
        return f"{learner}-{own}"

    with scenarios.running(tier, mode, tmp_path_factory.mktemp(f"{mode}-{tier}")) as server:
        scenarios.prepare(tables, server.manage, name)
        yield School(server, name)


def rows_of(tables: ModeTables) -> Callable[[Test], Test]:
    """A test for each row of the mode, by its number, on each tier."""
    schools = [pytest.param((tier, tables.mode), id=tier) for tier in TIERS]
    rows = [pytest.param(scenario, id=scenario.number) for scenario in tables.scenarios]

    def mark(test: Test) -> Test:
        on_tiers = pytest.mark.parametrize("school", schools, indirect=True, scope="module")
        return pytest.mark.parametrize("scenario", rows)(on_tiers(test))

    return mark


def play(school: School, scenario: Scenario) -> None:
    call = scenarios.http_caller(school.server.url)
    step = scenarios.step_of(scenario, scenarios.learner(school.name, scenario))
    answers = [call(each) for each in step.calls]
    found = scenarios.judge(step, answers)
    assert found.ok, (found.actual, [(each, answer.body) for each, answer in zip(step.calls, answers, strict=True)])


@rows_of(scenarios.STRICT)
def test_strict_shows_a_content_as_its_table_says(school: School, scenario: Scenario) -> None:
    play(school, scenario)


@rows_of(scenarios.NO_CONTEXT_CONTENT)
def test_no_context_content_shows_a_content_as_its_table_says(school: School, scenario: Scenario) -> None:
    play(school, scenario)


@rows_of(scenarios.NO_CONTEXT_COLLECTION)
def test_no_context_collection_shows_a_content_as_its_table_says(school: School, scenario: Scenario) -> None:
    play(school, scenario)


@rows_of(scenarios.COPY_CONTENT)
def test_copy_content_shows_a_content_as_its_table_says(school: School, scenario: Scenario) -> None:
    play(school, scenario)


@rows_of(scenarios.COPY_COLLECTION)
def test_copy_collection_shows_a_content_as_its_table_says(school: School, scenario: Scenario) -> None:
    play(school, scenario)


@rows_of(scenarios.MOVE)
def test_move_shows_a_content_as_its_table_says(school: School, scenario: Scenario) -> None:
    play(school, scenario)


def documented() -> dict[str, list[tuple[str, str]]]:
    """Mode -> the number and the outcome of each row that docs/modes.md has for it."""
    sections = re.split(r"^## .*\(`(\w+)`\).*$", (ROOT / "docs" / "modes.md").read_text(), flags=re.MULTILINE)
    row = re.compile(r"^\| ([A-Z][A-Z0-9-]*) \|.*\| ([^|]+) \|$", re.MULTILINE)
    return {mode: row.findall(text) for mode, text in zip(sections[1::2], sections[2::2], strict=True)}


@pytest.mark.parametrize("tables", scenarios.ALL, ids=lambda tables: tables.mode)
def test_the_documentation_has_the_rows_that_are_played(tables: ModeTables) -> None:
    assert documented()[tables.mode] == [(each.number, scenarios.outcome(each)) for each in tables.scenarios]


def test_the_documentation_has_no_other_mode() -> None:
    assert list(documented()) == [tables.mode for tables in scenarios.ALL]
