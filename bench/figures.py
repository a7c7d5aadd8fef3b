"""From measured values to what a table says. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of one set of values, in the values' own unit."""

    p50: float
    p95: float
    p99: float
    max: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank). `ordered`: ascending, not empty."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def spread(values: Sequence[float]) -> Spread | None:
    """The percentiles; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return Spread(percentile(ordered, 50), percentile(ordered, 95), percentile(ordered, 99), ordered[-1])


def median_spread(spreads: Sequence[Spread]) -> Spread:
    """The median of each percentile over rounds, and the greatest maximum. `spreads`: not empty."""
    return Spread(
        statistics.median(one.p50 for one in spreads),
        statistics.median(one.p95 for one in spreads),
        statistics.median(one.p99 for one in spreads),
        max(one.max for one in spreads),
    )


def ratios(ours: Sequence[float], floors: Sequence[float]) -> list[float]:
    """Ours to the floor, round by round: what disturbed the machine for a while disturbed both sides of a round."""
    return [our / floor for our, floor in zip(ours, floors, strict=True)]


def verdict(value: float, target: float | None, *, at_most: bool = False) -> str:
    """`met` or `missed`; nothing where there is no target."""
    if target is None:
        return ""
    return "met" if (value <= target if at_most else value >= target) else "missed"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *rest))} |"

    rule = [("-" * (width - 1) + (":" if at else "-")) for at, width in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])
