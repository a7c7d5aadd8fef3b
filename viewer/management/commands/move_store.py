"""`manage.py move_store --from orm --to cassandra`: everything of one store into another."""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from common import timestamps
from common.errors import Unavailable
from viewer import statusmap
from viewer.moving import Difference, Mismatch, Move, Phase, Position, keep_position, kept_position
from viewer.store import Store, store_named

STORES = ("orm", "cassandra")
MAX_TOLD = 50
SECONDS_BETWEEN = 2.0


class Command(BaseCommand):
    """Moves, tells how far it is, and ends with both sides' counts. Can be stopped and run again."""

    help = (
        "Copy every learner, the outbox and the watermarks from one store to another, and prove by counts and "
        "checksums that both are equal. What is equal already is left alone, and what only the target has is removed: "
        "the target becomes what the source is. A first run may go on while the service serves; the last one needs it "
        "stopped, or what is written meanwhile stays behind. An interrupted run goes on where it was. Exit code 0 "
        "only when both sides are equal. See docs/move-store.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """--from, --to, --batch, --workers and --dry-run."""
        parser.add_argument("--from", dest="source", choices=STORES, required=True, help="the store to read")
        parser.add_argument("--to", dest="target", choices=STORES, required=True, help="the store to fill")
        parser.add_argument("--batch", type=int, default=200, help="learners between two kept positions (default 200)")
        parser.add_argument("--workers", type=int, default=4, help="learners moved at a time (default 4)")
        parser.add_argument("--dry-run", action="store_true", help="compare and tell what would move, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Move, tell, sum up. Raises CommandError when the sides differ at the end, or a store failed."""
        names = options["source"], options["target"]
        if names[0] == names[1]:
            raise CommandError("--from and --to must name two stores")
        if options["batch"] < 1 or options["workers"] < 1:
            raise CommandError("--batch and --workers must be 1 or more")
        path = settings.DATA_DIR / "move_store.json"
        position = None if options["dry_run"] else kept_position(path, *names)
        if position is not None:
            self.stderr.write(f"Goes on where it was interrupted: {position.seen} {position.phase}")
        move = Move(
            *map(_opened, names),
            position=position,
            page=options["batch"],
            workers=options["workers"],
            dry_run=options["dry_run"],
        )
        began = time.monotonic()
        try:
            self._follow(move, names, options)
        except (Mismatch, Unavailable) as error:
            raise CommandError(f"{error}. Nothing is lost: run it again to go on") from None
        self._sum_up(move.position, names, time.monotonic() - began)
        if not options["dry_run"]:
            path.unlink(missing_ok=True)
            statusmap.close(timestamps.now())  # it may hold what the target had before
        if not move.position.equal:
            raise CommandError(_why_unequal(move.position, dry_run=options["dry_run"]))

    def _follow(self, move: Move, names: tuple[str, str], options: dict[str, Any]) -> None:
        told = 0
        progress = _Progress(move.position)
        for differences in move.run():
            if not options["dry_run"]:
                keep_position(settings.DATA_DIR / "move_store.json", *names, move.position)
            if options["dry_run"] or options["verbosity"] >= 2:
                for difference in differences[: max(0, MAX_TOLD - told)]:
                    self.stdout.write(_told(difference))
                told += len(differences)
            if options["verbosity"] >= 1 and (line := progress.line(move.position)):
                self.stderr.write(line)
        if told > MAX_TOLD:
            self.stdout.write(f"and {told - MAX_TOLD} more")

    def _sum_up(self, position: Position, names: tuple[str, str], seconds: float) -> None:
        source, target = position.source, position.target
        tables = dict.fromkeys([*source.counts, *target.counts])
        lines = [("", *names)]
        lines += [(table, str(source.counts.get(table, 0)), str(target.counts.get(table, 0))) for table in tables]
        lines.append(("checksum", f"{source.checksum:032x}", f"{target.checksum:032x}"))
        for table, ours, theirs in lines:
            self.stdout.write(f"{table:<26}{ours:>34}{theirs:>34}")
        self.stdout.write(
            f"{'Equal' if position.equal else 'Not equal'}: {position.moved} differed, {position.removed} only in "
            f"{names[1]}, {position.changed} changed meanwhile, {seconds:.1f} s"
        )


class _Progress:
    """A line every few seconds: how far this round is, how fast, and how long it will take."""

    def __init__(self, position: Position) -> None:
        self._phase, self._first = position.phase, position.seen
        self._began = self._told_at = time.monotonic()

    def line(self, position: Position) -> str | None:
        """What to tell now; None: nothing yet."""
        now = time.monotonic()
        if position.phase is not self._phase:
            self._phase, self._first, self._began = position.phase, position.seen, now
            return None
        if now - self._told_at < SECONDS_BETWEEN:
            return None
        self._told_at = now
        if position.phase not in (Phase.LEARNERS, Phase.LEFT_OVER):
            return f"{position.phase}"
        rate = max((position.seen - self._first) / max(now - self._began, 1e-3), 1e-3)
        left = max((position.total or 0) - position.seen, 0) / rate
        return f"{position.phase}: {position.seen} of {position.total}, {rate:.0f}/s, {left:.0f} s left"


def _opened(name: str) -> Store:
    try:
        return store_named(name)
    except ImportError as error:
        raise CommandError(f"The {name} store cannot be used here: {error}") from None


def _told(difference: Difference) -> str:
    return f"{difference.owner}: {', '.join(difference.tables)}"


def _why_unequal(position: Position, *, dry_run: bool) -> str:
    if dry_run:
        return "The two stores are not equal; nothing was written"
    return (
        f"The two stores are not equal: the source was written to meanwhile ({position.changed} learners seen). "
        "Stop the service and run it again"
    )
