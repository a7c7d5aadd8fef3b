"""`make demo`: plays the design's stories on a real service and shows what came beside what was expected.

    python scripts/demo.py                  starts services of its own, one for each mode, plays, stops them, cleans up
    python scripts/demo.py --url URL        plays on a running instance (strict mode, authentication off)

Exits 0 when everything came as expected, 1 on any difference and any HTTP 5xx, 2 when there is nothing to play on.
"""

import argparse
import io
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from demo_modes import prepare, story
from demo_runner import Call, Story, Tally, http_caller, play_all
from demo_scenarios import ALL, ModeTables
from demo_server import ROOT, NotPlayable, Service, running
from demo_stories import all_stories

SAMPLE = ROOT / "catalogue" / "sample" / "catalogue.json"
REAL_COURSE = ROOT.parent / "shared" / "data" / "course-hierarchy.json"


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Play the design's stories over HTTP and compare.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="play on this running instance, with fresh user names; nothing is started")
    where.add_argument("--keep", action="store_true", help="keep the data folder of the service started for the demo")
    options = parser.parse_args()
    # A terminal without box lines shows "?" for them; a pipe gets each line at once.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        tally = _on(options.url) if options.url else _on_own(keep=options.keep)
    except NotPlayable as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    print(f"\n{tally.closing()}")
    return tally.exit_code(ci=bool(os.environ.get("CI")))


def _on_own(*, keep: bool) -> Tally:
    """Plays on services started for it: the stories on one, and the tables of each mode on one of their own."""
    real = [REAL_COURSE] if REAL_COURSE.exists() else []
    with running(real, keep=keep) as service:
        tally = _play(service.url, "strict", all_stories("", SAMPLE, REAL_COURSE, service.events))
        _tell_failures(tally, service)
    for tables in ALL:
        tally.add(_in_mode(tables, keep=keep))
    return tally


def _in_mode(tables: ModeTables, *, keep: bool) -> Tally:
    """Plays the tables of one mode on an empty service that is set to it."""
    print()
    with running([], keep=keep) as service:
        prepare(tables, service.manage, str)
        tally = _play(service.url, tables.mode, [story(tables, str)])
        _tell_failures(tally, service)
    return tally


def _tell_failures(tally: Tally, service: Service) -> None:
    if any(result.failures for result in tally.results):
        print(f"The end of the service's log:\n{service.last_words()}")


def _on(url: str) -> Tally:
    """Plays on a running instance. Its people keep their progress: the demo's learners have names of their own."""
    return _play(url, "strict", all_stories(f"-{secrets.token_hex(3)}", SAMPLE, REAL_COURSE, None))


def _play(url: str, mode: str, stories: Sequence[Story]) -> Tally:
    call = http_caller(url)
    stranger = f"nobody-{secrets.token_hex(4)}"

    def knows(collection_id: str) -> bool:
        """A learner who did nothing reads the leaves of a known collection, and nothing of an unknown one."""
        answer = call(Call("/v1/view/read", {"userId": stranger, "collectionId": collection_id}))
        if answer.failed:
            raise NotPlayable(f"{url} cannot be played on: view/read gave {answer.told}")
        return answer.status == 200 and bool(answer.result.get("contents"))

    print(f"Playing on {url}, mode {mode}")
    knows("single-digit-addition")  # says at once when nobody is there
    return play_all(stories, call, knows, print)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Ends through the `finally` blocks, so that nothing stays behind."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
