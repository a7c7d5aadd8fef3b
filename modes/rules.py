"""Carry-forward rules: what an operator may say, read and checked. Pure.

    {"match": "any", "target": "any", "rules": [
        {"type": "completedWithin", "unit": "months", "value": 3}, {"type": "withinContextDuration"}]}

(seed: Copy Mode, "completed the content in the last 3 months or within the program/course duration"). A set without a
rule carries nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)
MAX_RULES = 20
MAX_VALUE = {"days": 36_500, "months": 1_200}


class RuleError(ValueError):
    """A rule nobody could explain; its text says why, for whoever wrote it."""


class Kind(StrEnum):
    """What a rule asks of a completion."""

    ALWAYS = "always"
    COMPLETED_WITHIN = "completedWithin"
    WITHIN_CONTEXT = "withinContextDuration"
    ONGOING_BATCH = "ongoingBatch"
    COLLECTION_COMPLETED_WITHIN = "collectionCompletedWithin"

    @property
    def has_window(self) -> bool:
        """True where the rule needs a unit and a value."""
        return self in {Kind.COMPLETED_WITHIN, Kind.COLLECTION_COMPLETED_WITHIN}


class Match(StrEnum):
    """How many rules of a set have to hold."""

    ANY = "any"
    ALL = "all"


class TargetKind(StrEnum):
    """Into which enrolments a set carries: those of programs, those of a collection's own batches, or both."""

    ANY = "any"
    PROGRAM = "program"
    COLLECTION = "collection"


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition. unit ("days" or "months") and value: of those that have a window, else None."""

    type: Kind
    unit: str | None = None
    value: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As `parse` reads it within a set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        match self.type:
            case Kind.ALWAYS:
                return "always"
            case Kind.WITHIN_CONTEXT:
                return "completed between the first and the last day of the batch or program"
            case Kind.ONGOING_BATCH:
                return "in a batch that was under way"
            case Kind.COMPLETED_WITHIN:
                return f"completed within the last {self._span}"
            case Kind.COLLECTION_COMPLETED_WITHIN:
                return f"the whole collection was completed within the last {self._span}"

    @property
    def _span(self) -> str:
        return str(self.unit).removesuffix("s") if self.value == 1 else f"{self.value} {self.unit}"


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of the instance, or of one program or collection. version: grows with every change, 0: never saved."""

    match: Match = Match.ANY
    rules: tuple[Rule, ...] = ()
    target: TargetKind = TargetKind.ANY
    version: int = 0

    def as_json(self) -> dict[str, Any]:
        """As `parse` reads it."""
        rules = [rule.as_json() for rule in self.rules]
        return {"match": str(self.match), "target": str(self.target), "rules": rules}


def parse(value: object, version: int = 0) -> RuleSet:
    """The rule set that `value` says. Raises RuleError for anything nobody could explain."""
    given = _object(value, "A rule set", {"match", "rules", "target"})
    rules = given.get("rules", [])
    if not isinstance(rules, list):
        raise RuleError('"rules" must be a list')
    if len(rules) > MAX_RULES:
        raise RuleError(f"More than {MAX_RULES} rules cannot be explained to anybody")
    read = tuple(_rule(one, place) for place, one in enumerate(rules, 1))
    if len(set(read)) < len(read):
        raise RuleError("The same rule stands twice")
    match = _choice(given.get("match", "any"), Match, "match")
    if match is Match.ANY and len(read) > 1 and Rule(Kind.ALWAYS) in read:
        raise RuleError('"always" beside other rules of which any may hold makes them meaningless')
    return RuleSet(match, read, _choice(given.get("target", "any"), TargetKind, "target"), version)


def _rule(value: object, place: int) -> Rule:
    given = _object(value, f"Rule {place}", {"type", "unit", "value"})
    kind = _choice(given.get("type"), Kind, f"type of rule {place}")
    if not kind.has_window:
        if extra := {"unit", "value"} & given.keys():
            raise RuleError(f'Rule {place}: "{kind}" has no {min(extra)}')
        return Rule(kind)
    unit, number = given.get("unit"), given.get("value")
    if not isinstance(unit, str) or unit not in MAX_VALUE:
        raise RuleError(f'Rule {place}: the unit must be "days" or "months"')
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= MAX_VALUE[unit]:
        raise RuleError(f"Rule {place}: the value must be a whole number from 1 to {MAX_VALUE[unit]}")
    return Rule(kind, unit, number)


def _object(value: object, what: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RuleError(f"{what} must be an object")
    if unknown := sorted(str(name) for name in value if name not in known):
        raise RuleError(f'{what}: nobody knows "{unknown[0]}"')
    return value


def _choice(value: object, kind: type[ChoiceT], what: str) -> ChoiceT:
    try:
        return kind(str(value))
    except ValueError:
        known = ", ".join(kind)
        raise RuleError(f"The {what} must be one of: {known}") from None
