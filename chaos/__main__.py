"""`python -m chaos`: a load and a storm on each tier asked for, the checks, and a table.

Exits 1 when a promise was broken or the suite could not go on; the logs are kept then, and their folder is told.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from chaos import tiers
from chaos.faults import Storm
from chaos.load import Counts, Load
from chaos.verify import Found, verify
from chaos.victims import ChaosFailed, until

SHOWN = 40  # violations
LOAD_SECONDS = 600  # after the storm, for the writes that are still missing


@dataclass(frozen=True)
class Scale:
    """How much and how hard.

    writes: acknowledged ones at least; rounds: the storm goes on until there are so many, otherwise each fault comes
    once; think: seconds between a device's calls, in the mean; pause and calm: as of `tiers.running` and `Storm`.
    """

    writes: int
    rounds: bool
    think: float
    pause: tuple[float, float]
    calm: tuple[float, float]


SHORT = Scale(writes=2_000, rounds=False, think=0.03, pause=(1, 1.6), calm=(0.1, 0.6))
LONG = Scale(writes=20_000, rounds=True, think=0.01, pause=(1, 4), calm=(0.5, 3))


def main() -> int:
    """The exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended either way
    base = SHORT if options.short else LONG
    scale = replace(base, writes=options.writes or base.writes)
    names = list(tiers.TIERS) if options.tier == "all" else [options.tier]
    survived = [_survived(name, scale, str(options.seed)) for name in names]  # all of them, whatever the first says
    return int(not all(survived))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description="Kills servers during writes; checks them all."
    )
    parser.add_argument("--tier", choices=(*tiers.TIERS, "all"), default="all")
    parser.add_argument("--writes", type=int, help="acknowledged writes per tier (default 20000, short: 2000)")
    parser.add_argument("--short", action="store_true", help="every kind of fault once, in about a minute per tier")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000, help="of the dice (default: the clock)")
    return parser.parse_args()


def _survived(name: str, scale: Scale, seed: str) -> bool:
    """Runs one tier and tells what came of it; keeps the logs of one that failed."""
    folder = Path(tempfile.mkdtemp(prefix=f"viewer-chaos-{name}-"))
    print(f"## {name}, seed {seed}", flush=True)
    try:
        broken = _run(name, folder, scale, seed)
    except ChaosFailed as error:
        broken = [f"the suite failed: {error}"]
    if not broken:
        shutil.rmtree(folder)
        return True
    for text in broken[:SHOWN]:
        print(f"BROKEN {text}")
    print(f"{len(broken)} broken; seed {seed}; logs in {folder}", flush=True)
    return False


def _run(name: str, folder: Path, scale: Scale, seed: str) -> list[str]:
    """What was broken."""
    began = time.monotonic()
    with tiers.running(name, folder, scale.pause) as world:
        started = time.monotonic()
        load = Load(world.urls, seed, scale.think)

        def enough() -> bool:
            return load.counts.acknowledged >= scale.writes

        storm = Storm(world.faults, seed, scale.calm, lambda: enough() or not scale.rounds)
        load.start()
        try:
            storm.run()
            until(lambda: enough() or load.failures, LOAD_SECONDS, "too few writes were acknowledged")
        finally:
            load.finish()
        checked = time.monotonic()
        found = verify(world, load)
        ended = time.monotonic()
    times = {"start": started - began, "load": checked - started, "checks": ended - checked}
    times["all"] = time.monotonic() - began
    print("\n".join(_table(load.counts, storm, found, times)), flush=True)
    told = [str(violation) for violation in load.ledger.violations]
    return [*told, *(f"the suite failed: {error!r}" for error in load.failures)]


def _table(counts: Counts, storm: Storm, found: Found, times: Mapping[str, float]) -> Iterator[str]:
    """The lines of the table."""
    faults = {
        f"fault: {kind}": f"{number}, at most {storm.seconds[kind]:.1f} s each"
        for kind, number in sorted(storm.struck.items())
    }
    failed = {f"failed with {code}": times for code, times in sorted(counts.failed.items())}
    rows: dict[str, object] = {
        "writes sent": counts.sent,
        "writes acknowledged": counts.acknowledged,
        "writes sent again": counts.retried,
        "writes given up": counts.given_up,
        **failed,
        **faults,
        "reads checked": counts.reads,
        "reads not answered": counts.unread,
        "learners checked": found.learners,
        "enrolments completed": found.completed,
        "events published": f"{found.events} ({found.repeats} of them repeats)",
        "contexts compared with a recompute": found.contexts,
        "seconds until nothing waited": f"{found.settled:.1f}",
        **{f"seconds of {name}": f"{seconds:.1f}" for name, seconds in times.items()},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        yield f"{name:<{width}}  {value}"


if __name__ == "__main__":
    sys.exit(main())
