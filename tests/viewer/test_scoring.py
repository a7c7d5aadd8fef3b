"""Best score of a content: the greatest total, not the best share of a maximum (seed: "best attempt")."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import Attempt, RowKey
from tests.viewer.events import at
from viewer.scoring import Best, best_scores

QUIZ = RowKey("rahul", "class-1-maths", "batch-1", "addition-quiz")
OTHER = QUIZ._replace(content_id="subtraction-quiz")


def attempt(name: str, score: float, maximum: float, minute: float = 0, key: RowKey = QUIZ) -> Attempt:
    return Attempt(key, name, score, maximum, f"{score}/{maximum}", at(minute), at(minute), at(minute + 60))


@pytest.mark.parametrize(
    ("attempts", "best"),
    [
        pytest.param([("a", 3, 5)], Best(3, 5, 1), id="one attempt is the best"),
        pytest.param([("a", 3, 5), ("b", 4, 5, 1)], Best(4, 5, 2), id="the later is better"),
        pytest.param([("a", 4, 5), ("b", 3, 5, 1)], Best(4, 5, 2), id="the earlier is better"),
        pytest.param([("a", 4, 10), ("b", 3, 3, 1)], Best(4, 10, 2), id="4 of 10 beats 3 of 3"),
        pytest.param([("a", 3, 3), ("b", 4, 10, 1)], Best(4, 10, 2), id="4 of 10 beats an earlier 3 of 3"),
        pytest.param([("a", 4, 10), ("b", 4, 5, 1)], Best(4, 5, 2), id="of equal ones the latest"),
        pytest.param([("a", 4, 5, 1), ("b", 4, 10)], Best(4, 5, 2), id="the latest, wherever it stands"),
        pytest.param([("a", 4, 10), ("b", 4, 5)], Best(4, 5, 2), id="at the same time the greater attempt id"),
        pytest.param([("a", 0, 5)], Best(0, 5, 1), id="nothing right is a score too"),
        pytest.param([("a", -1, 5), ("b", -2, 5, 1)], Best(-1, 5, 2), id="negative marks"),
        pytest.param([("a", 1.33, 3), ("b", 1.3, 3, 1)], Best(1.33, 3, 2), id="fractions"),
    ],
)
def test_the_best_attempt_gives_score_and_maximum(attempts: list[tuple[Any, ...]], best: Best) -> None:
    assert best_scores(attempt(*one) for one in attempts) == {QUIZ: best}


def test_no_attempts_have_no_best() -> None:
    assert best_scores([]) == {}


def test_each_content_of_each_learner_has_its_own_best() -> None:
    priya = QUIZ._replace(user_id="priya")
    found = best_scores([attempt("a", 1, 5), attempt("a", 2, 5, key=OTHER), attempt("a", 5, 5, key=priya)])
    assert found == {QUIZ: Best(1, 5, 1), OTHER: Best(2, 5, 1), priya: Best(5, 5, 1)}


def test_when_it_was_attempted_counts_and_not_when_it_was_written() -> None:
    late_written = Attempt(QUIZ, "a", 4, 10, "4/10", at(0), at(0), at(0) + timedelta(days=9))
    assert best_scores([late_written, attempt("b", 4, 5, 1)]) == {QUIZ: Best(4, 5, 2)}


scores = st.tuples(st.text("abc", min_size=1), st.integers(0, 5), st.integers(1, 10), st.integers(0, 3))


@given(st.lists(scores, min_size=1, unique_by=lambda one: one[0]), st.randoms())
def test_the_order_of_the_attempts_does_not_matter(given: list[tuple[str, int, int, int]], random) -> None:
    attempts = [attempt(*one) for one in given]
    shuffled = random.sample(attempts, len(attempts))
    best = best_scores(attempts)[QUIZ]
    assert best_scores(shuffled) == {QUIZ: best}
    assert best.attempts == len(attempts)
    assert best.score == max(one.total_score for one in attempts)
    assert (best.score, best.max_score) in {(one.total_score, one.total_max_score) for one in attempts}
