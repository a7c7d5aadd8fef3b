"""`manage.py set_mode`: what counts in which context, for the whole instance."""

import getpass
import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common import timestamps
from common.errors import ViewerError
from modes import explaining, instance
from modes.keys import Mode
from modes.rules import RuleError, RuleSet, parse
from viewer import mode_change


class Command(BaseCommand):
    """Changes the mode, and the instance's carry-forward rules with it; then brings every learner in line."""

    help = (
        "Set the mode of this instance, and its carry-forward rules with --rules. Returns when every process goes by "
        "them and every learner's progress is in line; what is interrupted is finished by carry_forward."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """MODE, --rules, --yes, --by and --dry-run."""
        parser.add_argument("mode", choices=[str(mode) for mode in Mode])
        parser.add_argument("--rules", metavar="FILE", help="the instance's rules as JSON; - for standard input")
        parser.add_argument("--yes", action="store_true", help="confirm; without it nothing is changed")
        parser.add_argument("--by", default=_whoever(), help="who does this, for the history (default: you)")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be changed")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell, change, follow up. Raises CommandError for what stands in the way."""
        mode, rules = Mode(options["mode"]), _rules(options["rules"])
        self.stdout.write(f"Now: {instance.current().mode}. To be: {mode}. {explaining.MODES[mode]}.")
        if rules is not None:
            self.stdout.write(explaining.rules_sentence(rules))
        if told := mode_change.hindrance(mode):
            raise CommandError(f"{told}. Nothing was changed")
        if options["dry_run"]:
            return
        if not options["yes"]:
            raise CommandError("Add --yes to do this. Nothing was changed")
        now = timestamps.now()
        try:
            change = mode_change.flip(mode, rules, options["by"], now)
            self.stdout.write(f"Changed (epoch {change.epoch})." if change else "That is the mode already.")
            learners = carried = 0
            for _, decisions in mode_change.follow(mode_change.everybody(), now):
                learners, carried = learners + 1, carried + len(decisions)
                if learners % 1000 == 0:
                    self.stdout.write(f"{learners} learners, {carried} carried")
        except ViewerError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"Done: {learners} learners, {carried} carried")


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
