"""`manage.py recompute`: aggregates and enrolments anew from the rows."""

import time
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import Unavailable
from common.ids import plain_user_id
from viewer.aggregator import Tally, recompute
from viewer.publisher import publish_waiting

SECONDS_BETWEEN = 2.0


class Command(BaseCommand):
    """Folds every context, marked or not. Can be stopped and run again: what is right is left alone."""

    help = (
        "Recompute aggregates and enrolment progress from the rows, for one learner or for everybody. Saves only what "
        "differs; with --dry-run it only counts what would."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """--user, --batch-size, --limit and --dry-run."""
        parser.add_argument("--user", metavar="ID", help="one learner only")
        parser.add_argument("--batch-size", type=int, default=500, help="contexts read at a time (default 500)")
        parser.add_argument("--limit", type=int, help="stop after so many contexts")
        parser.add_argument("--dry-run", action="store_true", help="compare and count, save nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Recompute, tell, sum up. Raises CommandError when the store does not answer."""
        if options["batch_size"] < 1:
            raise CommandError("--batch-size must be 1 or more")
        user_id = plain_user_id(options["user"]) if options["user"] else None
        total, began = Tally(), time.monotonic()
        told_at = began
        try:
            for _, tally in recompute(user_id=user_id, page=options["batch_size"], dry_run=options["dry_run"]):
                total.add(tally)
                if options["verbosity"] >= 1 and time.monotonic() - told_at > SECONDS_BETWEEN:
                    told_at = time.monotonic()
                    self.stdout.write(f"{total.folded} contexts, {total.folded / (told_at - began):.0f}/s")
                if options["limit"] is not None and total.folded >= options["limit"]:
                    break
            if not options["dry_run"]:
                publish_waiting()
        except Unavailable as error:
            raise CommandError(error.message) from None
        counts = ", ".join(f"{name} {count}" for name, count in asdict(total).items())
        self.stdout.write(f"{'Dry run, nothing saved' if options['dry_run'] else 'Recomputed'}: {counts}")
