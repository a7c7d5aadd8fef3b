"""`manage.py carry_forward`: carries what the mode and its rules allow, for one learner or for everybody."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common import timestamps
from common.errors import ViewerError
from common.ids import plain_user_id
from modes import instance
from viewer import mode_change

SAMPLES = 10
TOLD_EVERY = 1000


class Command(BaseCommand):
    """Carries and folds, learner by learner. Can be stopped and run again: what was carried is left alone."""

    help = (
        "Carry progress into the enrolments where it counts by the mode's rules, and move what moves only when it is "
        "asked for. With --dry-run it tells what would be carried."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """--user, --after, --undo and --dry-run."""
        parser.add_argument("--user", metavar="ID", help="one learner only")
        parser.add_argument("--after", metavar="ID", help="go on behind this learner")
        parser.add_argument("--undo", metavar="RECORD", help="take this carry of --user back, for good")
        parser.add_argument("--dry-run", action="store_true", help="tell what would be carried, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Carry, tell, sum up. Raises CommandError when the store does not answer."""
        if options["undo"]:
            self._undo(options["user"], options["undo"], dry_run=options["dry_run"])
            return
        if not instance.current().mode.carries:
            self.stdout.write(f"The mode is {instance.current().mode}, which carries nothing: only adding up anew")
        user_ids = [plain_user_id(options["user"])] if options["user"] else mode_change.everybody(options["after"])
        now, dry_run = timestamps.now(), options["dry_run"]
        learners = carried = 0
        try:
            for user_id in user_ids:
                told = mode_change.bring_in_line(user_id, now, trigger="command", asked=True, dry_run=dry_run)
                for one in told[: max(0, SAMPLES - carried)]:
                    self.stdout.write(f"{user_id}: {one}")
                learners, carried = learners + 1, carried + len(told)
                if learners % TOLD_EVERY == 0:
                    self.stdout.write(f"{learners} learners, {carried} carried, last {user_id}")
        except ViewerError as error:
            raise CommandError(error.message) from None
        done = "Dry run, nothing changed" if dry_run else "Done"
        self.stdout.write(f"{done}: {learners} learners, {carried} carried")

    def _undo(self, user: str | None, record_id: str, *, dry_run: bool) -> None:
        """Raises CommandError where there is nothing to take back."""
        if user is None:
            raise CommandError("--undo needs the --user whose carry it is")
        if dry_run:
            raise CommandError("--undo has no --dry-run: view/explain shows the record")
        try:
            told = mode_change.undo(plain_user_id(user), record_id, timestamps.now())
        except ViewerError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"Taken back: {told}")
