"""Which completions are carried into an enrolment, and why the others are not. Pure.

One decision serves the carry itself, its explanation and the question "what if": whoever asks gets the same
judgements of the same candidates (DESIGN "Modes", Carry forward).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from catalogue.days import BatchStatus, status_on
from catalogue.facts import BatchFacts
from common.rows import Consumption, Enrolment, RowKey, Status
from modes.keys import Mode
from modes.rules import Kind, Match, Rule, RuleSet, TargetKind
from modes.windows import is_between, is_within


class Reason(StrEnum):
    """Why a target receives nothing, or a candidate was refused."""

    MODE = "mode"  # this mode carries nothing
    NOT_ENROLLED = "not_enrolled"
    NO_ACTIVATION = "no_activation"
    UNKNOWN_BATCH = "unknown_batch"
    BATCH_ENDED = "batch_ended"
    OTHER_TARGET = "other_target"  # the rules are for programs only, or for collections only
    NO_RULES = "no_rules"
    OWN_COMPLETION = "own_completion"
    CARRIED = "carried"  # it has been already
    UNDONE = "undone"
    NO_TIME = "no_time"
    ORGANIC_BEFORE = "organic_before"  # copy collection: what was done alone, before the enrolment
    RULES = "rules"
    NOT_FIRST = "not_first"  # another candidate could come earlier
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Target:
    """One enrolment, and what decides whether it may receive.

    ended: its batch is over on the day of the decision.
    """

    enrolment: Enrolment
    batch: BatchFacts | None
    ended: bool

    @property
    def kind(self) -> TargetKind:
        """Whether it is a program's or a collection's own batch."""
        return TargetKind.PROGRAM if self.batch and self.batch.program_id else TargetKind.COLLECTION


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion of the same content elsewhere, with the enrolment and the batch it was made in, if it was in any."""

    row: Consumption
    enrolment: Enrolment | None = None
    batch: BatchFacts | None = None

    @property
    def in_collection(self) -> bool:
        """True for what was done within a collection, and not by itself."""
        return self.row.key.collection_id != self.row.key.content_id

    @property
    def completed(self) -> datetime | None:
        """When the learner completed it there himself, whatever was carried there before; None: no time was kept."""
        return self.row.own_completed_time or self.row.last_completed_time

    @property
    def collection_completed(self) -> datetime | None:
        """When the collection it was done in was completed there; None: it was not, or was in none."""
        return self.enrolment.completed_on if self.enrolment else None


@dataclass(frozen=True, slots=True)
class Check:
    """One rule applied to one candidate, or to one batch that could be moved."""

    rule: Rule
    holds: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """One candidate, judged.

    evaluated_at: the moment its windows were counted to; None where none were. since: from when on it could have been
    carried: `evaluated_at`, or the later completion of its whole collection where a rule had to wait for that; None
    where it could not.
    """

    candidate: Candidate
    reason: Reason
    evaluated_at: datetime | None = None
    checks: tuple[Check, ...] = ()
    since: datetime | None = None

    @property
    def taken(self) -> bool:
        """True for the one that is carried, unless the place refuses them all."""
        return self.reason is Reason.TAKEN


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one content of one enrolment. refusal: why nothing may come, whatever the candidates."""

    key: RowKey
    mode: Mode
    rules: RuleSet
    refusal: Reason | None = None
    judgements: tuple[Judgement, ...] = field(default=())

    @property
    def taken(self) -> Judgement | None:
        """The candidate that is carried; None: nothing is."""
        return None if self.refusal else next((one for one in self.judgements if one.taken), None)


@dataclass(frozen=True, slots=True)
class Policy:
    """What this instance carries: its mode, the rules of the enrolment's place, and the zone its days are in."""

    mode: Mode
    rules: RuleSet
    zone: ZoneInfo


def decide(
    policy: Policy,
    target: Target,
    content_id: str,
    own: Consumption | None,
    candidates: Iterable[Candidate],
    undone: Collection[RowKey] = (),
) -> Decision:
    """What is carried into `target` for one content. own: its row there, if any; undone: rows an operator took back.

    Of several candidates that pass, the first that could have come is taken, so it does not matter when the decision
    is made; of those that could come at once, the one completed first.
    """
    key = RowKey(*target.enrolment.key, content_id)
    judged = tuple(_judged(policy, target, one) for one in sorted(candidates, key=_by_time))
    refusal = _refusal(policy, target, key, own, undone)
    first = min(((one.since, place) for place, one in enumerate(judged) if one.since), default=None)
    judgements = tuple(
        replace(one, reason=Reason.NOT_FIRST) if one.since and (one.since, place) != first else one
        for place, one in enumerate(judged)
    )
    return Decision(key, policy.mode, policy.rules, refusal, judgements)


def candidates_of(target: Enrolment, rows: Iterable[Consumption]) -> dict[str, list[Consumption]]:
    """Content -> the learner's own completed rows outside the target's context; never copies."""
    found: dict[str, list[Consumption]] = {}
    for row in rows:
        if row.status is Status.COMPLETED and row.origin is None and row.key.context != target.key:
            found.setdefault(row.key.content_id, []).append(row)
    return found


def _refusal(
    policy: Policy, target: Target, key: RowKey, own: Consumption | None, undone: Collection[RowKey]
) -> Reason | None:
    """Why nothing may come to this place at all; the first that holds."""
    enrolment = target.enrolment
    checks: Sequence[tuple[Reason, bool]] = (
        (Reason.MODE, not policy.mode.copies),
        (Reason.NOT_ENROLLED, not enrolment.active),
        (Reason.NO_ACTIVATION, enrolment.enrolled_date is None),
        (Reason.UNKNOWN_BATCH, target.batch is None),
        (Reason.BATCH_ENDED, target.ended),
        (Reason.OWN_COMPLETION, own is not None and own.status is Status.COMPLETED and own.origin is None),
        (Reason.CARRIED, own is not None and own.origin is not None),
        (Reason.UNDONE, key in undone),
        (Reason.NO_RULES, not policy.rules.rules),
        (Reason.OTHER_TARGET, policy.rules.target not in {TargetKind.ANY, target.kind}),
    )
    return next((reason for reason, holds in checks if holds), None)


def _judged(policy: Policy, target: Target, candidate: Candidate) -> Judgement:
    completed, activated = candidate.completed, target.enrolment.enrolled_date
    if completed is None or activated is None:
        return Judgement(candidate, Reason.NO_TIME)
    if policy.mode is Mode.COPY_COLLECTION and not candidate.in_collection and completed < activated:
        return Judgement(candidate, Reason.ORGANIC_BEFORE)
    # What came before the enrolment is judged as of it, what came after as of itself: an outage flips no answer.
    evaluated_at = max(completed, activated)
    checks = tuple(Check(rule, _holds(policy, target, candidate, rule, evaluated_at)) for rule in policy.rules.rules)
    enough = any if policy.rules.match is Match.ANY else all
    passes = bool(checks) and enough(check.holds for check in checks)
    if not passes:
        return Judgement(candidate, Reason.RULES, evaluated_at, checks)
    return Judgement(candidate, Reason.TAKEN, evaluated_at, checks, _since(policy, candidate, evaluated_at, checks))


def _since(policy: Policy, candidate: Candidate, evaluated_at: datetime, checks: Iterable[Check]) -> datetime:
    """When enough of the rules held at last: a collection may be completed later than the content in it."""
    waited_for = max(evaluated_at, candidate.collection_completed or evaluated_at)
    moments = [
        waited_for if check.rule.type is Kind.COLLECTION_COMPLETED_WITHIN else evaluated_at
        for check in checks
        if check.holds
    ]
    return min(moments) if policy.rules.match is Match.ANY else max(moments)


def _holds(policy: Policy, target: Target, candidate: Candidate, rule: Rule, evaluated_at: datetime) -> bool:
    completed = candidate.completed
    assert completed is not None
    batch = target.batch
    match rule.type:
        case Kind.ALWAYS:
            return True
        case Kind.COMPLETED_WITHIN:
            return _within(policy, rule, completed, evaluated_at)
        case Kind.WITHIN_CONTEXT:
            return batch is not None and is_between(completed, batch.start_date, batch.end_date, policy.zone)
        case Kind.ONGOING_BATCH:
            return is_ongoing(candidate.batch, evaluated_at.astimezone(policy.zone).date())
        case Kind.COLLECTION_COMPLETED_WITHIN:
            whole = candidate.collection_completed
            return whole is not None and _within(policy, rule, whole, evaluated_at)


def is_ongoing(batch: BatchFacts | None, day: date) -> bool:
    """Whether the batch is under way, by its dates alone: what its owner says of it now was not known then."""
    return batch is not None and status_on(replace(batch, status=None), day) is BatchStatus.ONGOING


def _within(policy: Policy, rule: Rule, completed: datetime, until: datetime) -> bool:
    return is_within(completed, until, rule.unit or "days", rule.value or 0, policy.zone)


def _by_time(candidate: Candidate) -> tuple[bool, float, RowKey]:
    completed = candidate.completed
    return completed is None, completed.timestamp() if completed else 0.0, candidate.row.key
