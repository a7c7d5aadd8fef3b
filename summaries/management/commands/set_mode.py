"""`manage.py set_mode`: what counts in which context, for the whole instance."""

import getpass
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common import timestamps
from common.errors import ViewerError
from modes import explaining, instance
from modes.keys import Mode
from modes.models import Walk
from modes.rules import RuleError, RuleSet, parse
from summaries.preview import Preview, preview
from summaries.whatif import Comparison
from viewer import mode_change, walking

TOLD_EVERY = 1000


class Command(BaseCommand):
    """Changes the mode, and the instance's carry-forward rules with it; then brings every learner in line."""

    help = (
        "Set the mode of this instance, and its carry-forward rules with --rules. Every answer goes by them within a "
        "second; returns when every learner's progress is in line. What is interrupted here, a worker finishes."
    )
    _told = 0

    def add_arguments(self, parser: CommandParser) -> None:
        """MODE, --rules, --yes, --by, --dry-run and --sample."""
        parser.add_argument("mode", choices=[str(mode) for mode in Mode])
        parser.add_argument("--rules", metavar="FILE", help="the instance's rules as JSON; - for standard input")
        parser.add_argument("--yes", action="store_true", help="confirm; without it nothing is changed")
        parser.add_argument("--by", default=_whoever(), help="who does this, for the history (default: you)")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be changed")
        parser.add_argument("--sample", type=_number, metavar="N", help="with --dry-run: look at N learners only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell, change, follow up. Raises CommandError for what stands in the way."""
        mode, rules = Mode(options["mode"]), _rules(options["rules"])
        if options["sample"] and not options["dry_run"]:
            raise CommandError("--sample is for --dry-run. Nothing was changed")
        self.stdout.write(f"Now: {instance.current().mode}. To be: {mode}. {explaining.MODES[mode]}.")
        if rules is not None:
            self.stdout.write(explaining.rules_sentence(rules))
        if options["dry_run"]:
            self._preview(mode, rules, options["sample"])
            return
        if not options["yes"]:
            raise CommandError("Add --yes to do this. Nothing was changed")
        try:
            change = mode_change.flip(mode, rules, options["by"], timestamps.now())
            self.stdout.write(f"Changed (epoch {change.epoch})." if change else "That is the mode already.")
            walk = walking.to_the_end(self._came_to)
        except ViewerError as error:
            raise CommandError(error.message) from None
        if walk is not None:
            self.stdout.write(f"Done: {walk.learners} learners, {walk.carried} carried, {walk.failed} failed")

    def _came_to(self, walk: Walk) -> None:
        """Tells how far the walk got, now and again."""
        if walk.learners // TOLD_EVERY > self._told:
            self._told = walk.learners // TOLD_EVERY
            self.stdout.write(f"{walk.learners} learners, {walk.carried} carried")

    def _preview(self, mode: Mode, rules: RuleSet | None, sample: int | None) -> None:
        """Tells who would be told otherwise. Raises CommandError when the store does not answer."""
        user_ids = islice(mode_change.everybody(), sample)
        try:
            told = preview(mode, rules, self._counted(user_ids), timestamps.now())
        except ViewerError as error:
            raise CommandError(error.message) from None
        self.stdout.write(
            f"Dry run, nothing changed: {told.learners} learners looked at, {told.differing_learners} of them would be "
            f"told otherwise, in {told.differing_enrolments} of {told.enrolments} enrolments"
        )
        self.stdout.write(_contents(told))
        for one in told.samples:
            self.stdout.write(_in_words(one))

    def _counted(self, user_ids: Iterable[str]) -> Iterator[str]:
        """The same learners; tells how many came."""
        for number, user_id in enumerate(user_ids, 1):
            yield user_id
            if number % TOLD_EVERY == 0:
                self.stdout.write(f"{number} learners looked at, last {user_id}")


def _contents(told: Preview) -> str:
    return (
        f"Contents: {told.completed} become complete, {told.uncompleted} are no longer complete, "
        f"{told.begun} are begun, {told.unbegun} are no longer begun"
    )


def _in_words(one: Comparison) -> str:
    """One enrolment in a line."""
    user_id, collection_id, context_id = one.key
    now, then = one.now, one.then
    contents = ", ".join(f"{content} {int(was)} to {int(will)}" for content, (was, will) in one.changes.items())
    return (
        f"{user_id}: {collection_id}, {context_id}: {now.completion_percentage} % to {then.completion_percentage} %, "
        f"status {int(now.status)} to {int(then.status)}; {contents or 'no content is told otherwise'}"
    )


def _number(given: str) -> int:
    """How many learners. Raises ValueError."""
    number = int(given)
    if number < 1:
        raise ValueError
    return number


def _whoever() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "command"


def _rules(file: str | None) -> RuleSet | None:
    """The rules in `file`. Raises CommandError."""
    if file is None:
        return None
    try:
        return parse(json.loads(sys.stdin.read() if file == "-" else Path(file).read_text()))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except (ValueError, RuleError) as error:
        raise CommandError(f"{file}: {error}") from None
