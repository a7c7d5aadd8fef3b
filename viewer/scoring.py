"""The best of a learner's attempts at one content: pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from common.rows import Attempt, RowKey


@dataclass(frozen=True, slots=True)
class Best:
    """score, max_score: of the attempt with the greatest total. attempts: how many there are."""

    score: float
    max_score: float
    attempts: int


def best_scores(attempts: Iterable[Attempt]) -> dict[RowKey, Best]:
    """Content -> its best attempt: the greatest total score, of equal ones the latest, with that one's maximum."""
    tries: dict[RowKey, list[Attempt]] = {}
    for attempt in attempts:
        tries.setdefault(attempt.key, []).append(attempt)
    return {key: _best(of_one) for key, of_one in tries.items()}


def _best(tries: list[Attempt]) -> Best:
    best = max(tries, key=lambda attempt: (attempt.total_score, attempt.last_attempted_on, attempt.attempt_id))
    return Best(best.total_score, best.total_max_score, len(tries))
