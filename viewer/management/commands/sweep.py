"""`manage.py sweep`: serves every mark that waits, as the worker's own sweep does."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import Unavailable
from viewer import aggregator, publisher, walking


class Command(BaseCommand):
    """For an instance whose worker or beat is down: nothing stays stale that this has passed."""

    help = (
        "Fold every marked context, publish waiting events and finish the walk after a change of mode or rules, now, "
        "without worker or broker."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """--limit."""
        parser.add_argument("--limit", type=int, default=100_000, help="marks to serve at most (default 100000)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve, sum up. Raises CommandError when the store does not answer."""
        try:
            tally = aggregator.sweep(options["limit"], timedelta(0))
            published = publisher.publish_waiting()
            walk = walking.go_on()
        except Unavailable as error:
            raise CommandError(error.message) from None
        counts = ", ".join(f"{name} {count}" for name, count in asdict(tally).items())
        self.stdout.write(f"Swept: {counts}, published {published}")
        if walk is not None:
            self.stdout.write(f"{walk}: {walk.learners} learners, {walk.carried} carried, {walk.failed} failed")
