"""What this instance carries into an enrolment: its mode and the rules of the place, never more than a second old."""

import logging
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings

from common.database import available
from modes import instance
from modes.carry import Policy
from modes.instance import Cached
from modes.models import CarryRules, Scope
from modes.rules import RuleError, RuleSet

logger = logging.getLogger("viewer.modes")


@dataclass(frozen=True, slots=True)
class Stored:
    """All rules there are, by scope and id. epoch: of the instance, before they were read."""

    epoch: int
    sets: dict[tuple[str, str], RuleSet]

    def of(self, program_id: str | None, collection_id: str) -> RuleSet:
        """The rules of the narrowest place that has any."""
        places = ((Scope.PROGRAM, program_id or ""), (Scope.COLLECTION, collection_id), (Scope.INSTANCE, ""))
        return next((self.sets[place] for place in places if place in self.sets), RuleSet())


class Reader:
    """Reads all rules at once, and logs each set that no longer parses once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, int]] = set()

    @available()
    def __call__(self) -> Stored:
        """The rules as they are stored now; costs a query."""
        epoch = instance.current().epoch
        found = {(row.scope, row.scope_id): self._rules(row) for row in CarryRules.objects.all()}
        return Stored(epoch, {place: rules for place, rules in found.items() if rules is not None})

    def _rules(self, row: CarryRules) -> RuleSet | None:
        """A set that cannot be read carries nothing: to go by the wider rules could carry what it forbade."""
        try:
            return row.rule_set()
        except RuleError as error:
            told = (row.scope, row.scope_id, row.version)
            if told not in self._told:
                self._told.add(told)
                where = {"scope": row.scope, "scope_id": row.scope_id, "version": row.version}
                logger.error("carry rules cannot be read", extra={**where, "error": str(error)})
            return RuleSet(version=row.version)


_cached = Cached(Reader())


def policy_for(program_id: str | None, collection_id: str) -> Policy:
    """What may be carried into an enrolment of this program or collection.

    A program's rules win over the collection's, and those over the instance's; without any nothing is carried. At most
    MAX_AGE_SECONDS old, and the rules at least as new as the mode: a new mode must not carry by the rules of the old
    one. Costs one query a second and process, and the one of `instance.current()`.
    """
    stored, chosen = _cached.get(), instance.current()
    if stored.epoch < chosen.epoch:
        _cached.forget()
        stored = _cached.get()
    return Policy(chosen.mode, stored.of(program_id, collection_id), ZoneInfo(settings.VIEWER_TIME_ZONE))


def forget() -> None:
    """Makes the next `policy_for()` of this process read the mode and the rules."""
    instance.forget()
    _cached.forget()
