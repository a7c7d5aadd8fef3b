"""What a change of the instance's mode and rules would change, counted over learners. Reads only, as `whatif` does."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from common.database import available
from common.rows import Status
from modes.keys import Mode
from modes.models import CarryRules, Scope
from modes.rules import RuleSet
from summaries import whatif
from summaries.whatif import Comparison, Places


@dataclass(slots=True)
class Preview:
    """What would be told otherwise, of the learners that were looked at.

    learners, enrolments: all that were looked at; differing_*: those of them that would be told otherwise. Contents of
    enrolments: completed would become complete, uncompleted would no longer be; begun would be in progress instead of
    not started, unbegun the other way round. samples: the first enrolments that differ.
    """

    learners: int = 0
    differing_learners: int = 0
    enrolments: int = 0
    differing_enrolments: int = 0
    completed: int = 0
    uncompleted: int = 0
    begun: int = 0
    unbegun: int = 0
    samples: list[Comparison] = field(default_factory=list)

    def add(self, compared: Iterable[Comparison], samples: int) -> None:
        """Counts one learner in; of his enrolments that differ, those become samples for which there is room."""
        enrolments = list(compared)
        differing = [one for one in enrolments if one.differs]
        self.learners += 1
        self.differing_learners += bool(differing)
        self.enrolments += len(enrolments)
        self.differing_enrolments += len(differing)
        self.samples += differing[: max(0, samples - len(self.samples))]
        for one in differing:
            for was, will in one.changes.values():
                self._count(was, will)

    def _count(self, was: Status, will: Status) -> None:
        if will is Status.COMPLETED:
            self.completed += 1
        elif was is Status.COMPLETED:
            self.uncompleted += 1
        elif will is Status.IN_PROGRESS:
            self.begun += 1
        else:
            self.unbegun += 1


def preview(mode: Mode, rules: RuleSet | None, user_ids: Iterable[str], now: datetime, *, samples: int = 10) -> Preview:
    """What these learners would be told otherwise, were the mode and the instance's rules these.

    rules: None: they stay. What programs and collections have instead of them holds in any case. What was viewed
    without an enrolment is not looked at. Cost: as `whatif.compare` for each learner.
    """
    own = places_with_rules()
    told = Preview()
    for user_id in user_ids:
        told.add(whatif.compare(user_id, mode, rules, now, own), samples)
    return told


@available()
def places_with_rules() -> Places:
    """The programs and collections that have rules of their own; costs a query."""
    narrower = CarryRules.objects.exclude(scope=Scope.INSTANCE)
    return frozenset((row.scope, row.scope_id) for row in narrower if row.rules is not None)
