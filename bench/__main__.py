"""`python -m bench`: measures tiers, tells what was met and missed, and keeps the numbers.

Exits 1 when the bench itself failed or any call was answered with an error; a missed target is told, not failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from bench import age, machine, report, traffic
from bench.load import BenchFailed
from bench.measures import MEASURES, Compared, Measure, compare, errors_of, prepared_rows
from bench.tiers import TIERS, Tier
from tests.servers import ROOT, Server

AGGREGATE = "aggregate"
NAMES = (*(measure.name for measure in MEASURES), AGGREGATE)
PROFILED_CALLS = 1000


def main() -> int:
    """The exit code."""
    options = _options()
    if options.profile:
        return _for_each_tier(options, _profile)
    return _for_each_tier(options, _measure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the service against floors.")
    parser.add_argument("--tier", choices=(*TIERS, "all"), default="embedded")
    parser.add_argument("--only", type=_names, default=NAMES, help=f"some of {','.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each round on each side (default 4)")
    parser.add_argument("--load-seconds", type=float, default=20, help="of the aggregator's load (default 20)")
    parser.add_argument("--rate", type=float, help="ends a second of the aggregator's load (default: the tier's own)")
    parser.add_argument("--short", action="store_true", help="a look in a minute: rounds of 1 s, a load of 5 s")
    parser.add_argument("--profile", choices=[measure.name for measure in MEASURES], help="where a call's time goes")
    options = parser.parse_args()
    if options.short:
        options.seconds, options.load_seconds = 1, 5
    return options


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(NAMES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


def _for_each_tier(options: argparse.Namespace, work: Any) -> int:
    """Does `work` on each tier asked for; 1 where a tier failed."""
    failed = 0
    for name in TIERS if options.tier == "all" else [options.tier]:
        try:
            with tempfile.TemporaryDirectory(prefix="viewer-bench-") as folder, TIERS[name](Path(folder)) as tier:
                failed |= work(tier, options)
        except BenchFailed as error:
            _say(f"{name}: {error}")
            failed = 1
    return failed


def _measure(tier: Tier, options: argparse.Namespace) -> int:
    """Measures one tier, tells and saves it; 1 where a call was answered with an error."""
    load = os.getloadavg()
    _say(f"\n## {tier.name}: commit {machine.commit()}, load average {load[0]:.2f} before")
    outcomes = _rates(tier, options)
    if outcomes:
        _say(f"\n{report.rates_table(outcomes)}\n")
    ages = _ages(tier, options) if AGGREGATE in options.only else None
    if ages:
        _say(report.ages_text(ages))
    errors = {text: times for outcome in outcomes for text, times in errors_of(outcome).items()}
    errors |= dict(ages.run.errors) if ages else {}
    for text, times in errors.items():
        _say(f"ERROR {times} times: {text}")
    told = {
        "tier": tier.name,
        "commit": machine.commit(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(),
        "load_average": {"before": load, "after": os.getloadavg()},
        "processes": tier.processes,
        "map": tier.has_map,
        "durability": tier.inside().durability(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        **report.as_json(outcomes, ages),
    }
    _say(f"kept in {report.save(tier.name, told).relative_to(ROOT)}")
    return int(bool(errors))


def _rates(tier: Tier, options: argparse.Namespace) -> list[Compared]:
    wanted = [measure for measure in MEASURES if measure.name in options.only]
    if not wanted:
        return []
    with tier.service(worker=False) as server:
        _prepare(server, tier, wanted, prepared_rows(options.rounds, options.seconds))
        tier.inside().forget_marks()
    with tier.service(worker=True):
        tier.wait_for_map()
    with tier.service(worker=False) as server, tier.floors() as floor_server:
        _fill_floor(floor_server[0].port)
        outcomes = []
        for measure in wanted:
            _say(f"{measure.name} …")
            times = {"rounds": options.rounds, "seconds": options.seconds}
            outcomes.append(compare(measure, tier, server, floor_server, **times))
    return outcomes


def _ages(tier: Tier, options: argparse.Namespace) -> age.Ages:
    rate = options.rate or tier.rate
    with tier.service(worker=False) as server:
        _say(f"aggregate: {rate:.0f} ends/s for {options.load_seconds:.0f} s …")
        _load_catalogue(server, tier)
        _import(server, tier, traffic.crowd(age.LEARNERS, age.contents_each(rate, options.load_seconds)))
        tier.inside().forget_marks()  # to fold them all here would take minutes; the first end folds its context
    tier.forget_messages()
    with tier.service(worker=True) as server:
        tier.wait_for_map()
        tier.wait_for_worker()
        return age.measure(server, tier.inside(), rate, options.load_seconds)


def _profile(tier: Tier, options: argparse.Namespace) -> int:
    """Prints one call's profile; 1 where it failed."""
    measure = next(one for one in MEASURES if one.name == options.profile)
    with tier.service(worker=False) as server:
        _prepare(server, tier, [measure], 3 * PROFILED_CALLS)
    with tier.service(worker=True):
        tier.wait_for_map()
    with (tier.folder / "profile.log").open("w") as log:
        command = [sys.executable, "-m", "bench.profiling", measure.name, str(PROFILED_CALLS), "0"]
        done = subprocess.run(command, cwd=ROOT, env=server.env, stderr=log, check=False)  # noqa: S603 - our own words
    if done.returncode:
        _say((tier.folder / "profile.log").read_text()[-2000:])
    return int(bool(done.returncode))


# --- what has to be there ----------------------------------------------------------------------------------------


def _prepare(server: Server, tier: Tier, wanted: list[Measure], rows: int) -> None:
    """The catalogue, and the learners that the measures need, folded."""
    _load_catalogue(server, tier)
    names = {measure.name for measure in wanted}
    lines: list[Iterable[traffic.Json]] = []
    if names & {"read", "list"}:
        lines.append(traffic.readers())
    if "update" in names:
        lines.append(traffic.started("update", traffic.REPEATED))
    if "end" in names:
        lines.append(traffic.started("end", rows))
    if not lines:
        return
    _import(server, tier, chain.from_iterable(lines))
    for number in range(traffic.READERS if names & {"read", "list"} else 0):
        server.result("/v1/view/read", json.loads(traffic.read(number))["request"])
    tier.inside().forget_marks()
    tier.forget_messages()


def _load_catalogue(server: Server, tier: Tier) -> None:
    path = tier.folder / "catalogue.json"
    path.write_text(json.dumps(traffic.catalogue()))
    _manage(server, "load_catalogue", str(path))


def _import(server: Server, tier: Tier, lines: Iterable[traffic.Json]) -> None:
    path = tier.folder / "progress.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    _manage(server, "import_progress", str(path), "--batch-size", "2000")


def _manage(server: Server, *arguments: str) -> None:
    """Raises BenchFailed when the command fails."""
    try:
        done = server.manage(*arguments)
    except subprocess.TimeoutExpired as error:
        raise BenchFailed(f"manage.py {arguments[0]} took more than {error.timeout:.0f} s") from None
    if done.returncode:
        raise BenchFailed(f"manage.py {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


def _fill_floor(port: int) -> None:
    """Gives the floor the readers that the service has."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for number in range(traffic.READERS):
            body = traffic.synced(f"reader-{number}", list(traffic.LEAVES), int(time.time() * 1000))
            client.post("/sync", content=body).raise_for_status()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
