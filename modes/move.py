"""Which of a learner's batches give their progress to a program, and why the others do not. Pure.

A move takes everything a learner did in one batch of a collection into the program he enrolled in with the same
collection (seed: Move Mode). It happens once for each pair; whatever he does in the old batch afterwards begins anew.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalogue.facts import BatchFacts
from common.rows import ContextKey, Enrolment
from modes.carry import Check, Policy, Target, is_ongoing
from modes.keys import Mode
from modes.rules import Kind, Match, Rule, TargetKind
from modes.windows import is_between, is_within


class MoveReason(StrEnum):
    """Why one batch's progress is moved to a program, or is not."""

    MODE = "mode"  # this mode moves nothing
    NOT_ENROLLED = "not_enrolled"
    NO_ACTIVATION = "no_activation"
    UNKNOWN_BATCH = "unknown_batch"
    NOT_PROGRAM = "not_program"
    BATCH_ENDED = "batch_ended"
    NO_RULES = "no_rules"
    OTHER_TARGET = "other_target"
    LEFT = "left"  # the learner is not enrolled in the old batch
    UNKNOWN_SOURCE = "unknown_source"
    PROGRAM_SOURCE = "program_source"  # from a program nothing is moved
    NOT_ONGOING = "not_ongoing"
    UNDONE = "undone"
    MOVED = "moved"  # it has been already
    ENROLLED_BEFORE = "enrolled_before"  # before the instance had this mode: only an operator moves it
    JOINED_LATER = "joined_later"  # the old batch was joined after the program: only an operator moves it
    RULES = "rules"
    TAKEN = "taken"


ASKED_FOR = frozenset({MoveReason.MOVED, MoveReason.ENROLLED_BEFORE, MoveReason.JOINED_LATER})
"""What keeps a move from happening by itself, and not from being asked for by an operator."""


@dataclass(frozen=True, slots=True)
class Source:
    """One of the learner's other contexts of the collection: his enrolment there, and its batch."""

    key: ContextKey
    enrolment: Enrolment | None = None
    batch: BatchFacts | None = None


@dataclass(frozen=True, slots=True)
class MoveDecision:
    """What happens to one batch's progress with regard to one program.

    evaluated_at: the moment the rules were applied to; None where they were not.
    """

    target: ContextKey
    source: ContextKey
    policy: Policy
    reason: MoveReason
    evaluated_at: datetime | None = None
    checks: tuple[Check, ...] = ()

    @property
    def taken(self) -> bool:
        """True where the progress is moved."""
        return self.reason is MoveReason.TAKEN


@dataclass(frozen=True, slots=True)
class History:
    """What was before: pairs (target, source) that were moved, and that an operator took back.

    since: when the instance got its mode; None: it always had it.
    """

    moved: Collection[tuple[ContextKey, ContextKey]] = ()
    undone: Collection[tuple[ContextKey, ContextKey]] = ()
    since: datetime | None = None


def decide_move(
    policy: Policy, target: Target, source: Source, history: History, *, asked: bool = False
) -> MoveDecision:
    """Whether `source` goes over into `target`. asked: an operator asks for it.

    Judged as of the enrolment in the program, or of the later one in the batch: a late worker changes nothing.
    """
    pair = (target.enrolment.key, source.key)
    reason = _refusal(policy, target, source)
    if reason is not None:
        return MoveDecision(*pair, policy, reason)
    assert target.enrolment.enrolled_date is not None
    assert source.enrolment is not None
    activated, joined = target.enrolment.enrolled_date, source.enrolment.enrolled_date
    evaluated_at = max(activated, joined or activated)
    if not is_ongoing(source.batch, evaluated_at.astimezone(policy.zone).date()):
        return MoveDecision(*pair, policy, MoveReason.NOT_ONGOING, evaluated_at)
    kept_back = _kept_back(pair, history, activated, joined)
    if kept_back is not None and not (asked and kept_back in ASKED_FOR):
        return MoveDecision(*pair, policy, kept_back, evaluated_at)
    checks = tuple(Check(rule, _holds(policy, target, source, rule, evaluated_at)) for rule in policy.rules.rules)
    enough = any if policy.rules.match is Match.ANY else all
    taken = enough(check.holds for check in checks)
    return MoveDecision(*pair, policy, MoveReason.TAKEN if taken else MoveReason.RULES, evaluated_at, checks)


def in_order(decisions: Iterable[MoveDecision], enrolled: dict[ContextKey, Enrolment]) -> list[MoveDecision]:
    """Those that are acted on, the program enrolled in first before the others: it takes what there is."""

    def rank(decision: MoveDecision) -> tuple[float, ContextKey, ContextKey]:
        activated = enrolled[decision.target].enrolled_date
        return activated.timestamp() if activated else 0.0, decision.target, decision.source

    return sorted((one for one in decisions if one.taken), key=rank)


def _refusal(policy: Policy, target: Target, source: Source) -> MoveReason | None:
    """Why nothing may go between these two at all; the first that holds."""
    batch = source.batch
    checks = (
        (MoveReason.MODE, policy.mode is not Mode.MOVE),
        (MoveReason.NOT_ENROLLED, not target.enrolment.active),
        (MoveReason.NO_ACTIVATION, target.enrolment.enrolled_date is None),
        (MoveReason.UNKNOWN_BATCH, target.batch is None),
        (MoveReason.NOT_PROGRAM, target.kind is not TargetKind.PROGRAM),
        (MoveReason.BATCH_ENDED, target.ended),
        (MoveReason.NO_RULES, not policy.rules.rules),
        (MoveReason.OTHER_TARGET, policy.rules.target is TargetKind.COLLECTION),
        (MoveReason.LEFT, source.enrolment is None or not source.enrolment.active),
        (MoveReason.UNKNOWN_SOURCE, batch is None),
        (MoveReason.PROGRAM_SOURCE, batch is not None and batch.program_id is not None),
    )
    return next((reason for reason, holds in checks if holds), None)


def _kept_back(
    pair: tuple[ContextKey, ContextKey], history: History, activated: datetime, joined: datetime | None
) -> MoveReason | None:
    checks = (
        (MoveReason.UNDONE, pair in history.undone),
        (MoveReason.MOVED, pair in history.moved),
        (MoveReason.ENROLLED_BEFORE, history.since is not None and activated < history.since),
        (MoveReason.JOINED_LATER, joined is not None and joined > activated),
    )
    return next((reason for reason, holds in checks if holds), None)


def _holds(policy: Policy, target: Target, source: Source, rule: Rule, evaluated_at: datetime) -> bool:
    """A rule asks of the whole collection: when it was completed there, or that it is under way now."""
    assert source.enrolment is not None
    completed = source.enrolment.completed_on
    match rule.type:
        case Kind.ALWAYS:
            return True
        case Kind.ONGOING_BATCH:
            return True  # no other gets here
        case Kind.WITHIN_CONTEXT:
            batch, moment = target.batch, completed or evaluated_at
            return batch is not None and is_between(moment, batch.start_date, batch.end_date, policy.zone)
        case Kind.COMPLETED_WITHIN | Kind.COLLECTION_COMPLETED_WITHIN:
            unit, value = rule.unit or "days", rule.value or 0
            return completed is not None and is_within(completed, evaluated_at, unit, value, policy.zone)
