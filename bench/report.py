"""What a run is told as: a table to read, and a file that keeps every number."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.age import Ages
from bench.figures import Spread, table, verdict
from bench.measures import Compared, SideFigures

RESULTS = Path(__file__).resolve().parent / "results"
AGE_TARGET = 2.0  # s, p99
HEAD = (
    "call",
    "server",
    "per s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "max ms",
    "server µs",
    "client cores",
    "others",
    "ratio",
)


def rates_table(outcomes: Sequence[Compared]) -> str:
    """Each call's line, and below it its floors with the service's ratio to them and what was promised."""
    rows = []
    for outcome in outcomes:
        rows.append(_row(outcome.measure.name, "service", outcome.service))
        for floor in outcome.measure.floors:
            ratio = median(outcome.ratios[floor.name])
            told = f"{ratio:.2f}"
            if floor.target is not None:
                told += f" (>= {floor.target:.2f} {verdict(ratio, floor.target)})"
            rows.append(_row("", f"{floor.name} floor", outcome.floors[floor.name], told))
    return table(HEAD, rows)


def _row(name: str, server: str, figures: SideFigures, ratio: str = "") -> tuple[str, ...]:
    latency = figures.latency_ms
    times = [f"{value:.1f}" for value in asdict(latency).values()] if latency else ["-"] * 4
    return (
        name,
        server,
        f"{figures.rate:,.0f}",
        *times,
        f"{figures.server_us:,.0f}",
        f"{figures.client_cpu:.2f}",
        f"{figures.others:.2f}",
        ratio,
    )


def ages_text(ages: Ages) -> str:
    """The age of aggregates in sentences."""
    age, latency = ages.age_s, ages.run.spread_ms
    if age is None or latency is None:
        return "aggregates: nothing was folded"
    cores = ", ".join(f"{kind} {value:.2f}" for kind, value in sorted(ages.cpu.items()))
    told = verdict(age.p99, AGE_TARGET, at_most=True)
    return (
        f"aggregates: {ages.run.rate:.0f} ends/s answered of {ages.rate:.0f}/s sent; answers p50 {latency.p50:.1f},"
        f" p99 {latency.p99:.1f}, max {latency.max:.1f} ms\n"
        f"  age of {ages.sampled} sampled ends: p50 {age.p50:.2f}, p95 {age.p95:.2f}, p99 {age.p99:.2f}"
        f" (<= {AGE_TARGET:.0f} s {told}), max {age.max:.2f} s; never folded: {ages.never}\n"
        f"  most marks waiting {ages.most_marks}, drained {ages.drain:.1f} s after the load;"
        f" cores: {cores}, whole machine {ages.busy_cores:.2f}"
    )


def as_json(outcomes: Sequence[Compared], ages: Ages | None) -> dict[str, Any]:
    """Every number, under plain names."""
    calls = {
        outcome.measure.name: {
            "service": asdict(outcome.service),
            "floors": {name: asdict(figures) for name, figures in outcome.floors.items()},
            "ratios": outcome.ratios,
            "targets": {floor.name: floor.target for floor in outcome.measure.floors},
        }
        for outcome in outcomes
    }
    return {"calls": calls, "aggregates": _ages_json(ages) if ages else None}


def _ages_json(ages: Ages) -> dict[str, Any]:
    return {
        "asked_rate": ages.rate,
        "answered_rate": ages.run.rate,
        "latency_ms": _spread_json(ages.run.spread_ms),
        "age_s": _spread_json(ages.age_s),
        "sampled": ages.sampled,
        "never": ages.never,
        "most_marks": ages.most_marks,
        "drain_s": ages.drain,
        "cores": ages.cpu,
        "busy_cores": ages.busy_cores,
        "client_cpu": ages.run.client_cpu,
        "errors": dict(ages.run.errors),
        "p99_target_s": AGE_TARGET,
    }


def _spread_json(spread: Spread | None) -> dict[str, float] | None:
    return asdict(spread) if spread else None


def save(tier: str, told: dict[str, Any]) -> Path:
    """Writes the file; its path."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    path = RESULTS / f"{day}-{told['commit']}-{tier}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_rounded(told), indent=1) + "\n")
    return path


def _rounded(value: Any) -> Any:
    """Floats to four digits behind the point: nothing here is known better."""
    match value:
        case float():
            return round(value, 4)
        case dict():
            return {key: _rounded(one) for key, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value
