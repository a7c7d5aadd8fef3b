"""From ASSESS telemetry to an attempt: each question's latest answer, the sums, an id that a replay has too. Pure.

Who answered, and where, is `assessing`'s; which of several attempts is the best, `scoring`'s; which of two accounts of
one attempt stays, `merging`'s. Errors name the place inside the request, such as `assessments[2].edata.score`.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from catalogue.hierarchy import Hierarchy
from common import timestamps
from common.errors import BadRequest, InvalidField, InvalidTime, MissingField, NotInCollection, TooManyQuestions
from common.rows import Attempt, Question, RowKey

EID = "ASSESS"
MAX_NUMBER = 1e12  # of a score, a maximum and a duration, as in imports
MAX_ID = 256
MAX_TEXT = 16_384  # characters of a title, a description or one value
MAX_VALUES = 1000
MAX_DEPTH = 32

# Where a value stands: in telemetry first, then in the flat form of an event. Case does not matter.
_ID = ("edata.item.id", "questionId", "identifier")
_TIME = ("ets", "timestamp")
_SCORE = ("edata.score", "score")
_MAX_SCORE = ("edata.item.maxscore", "maxScore")
_DURATION = ("edata.duration", "duration")
_TYPE = ("edata.item.type", "questionType")
_TITLE = ("edata.item.title", "title")
_DESCRIPTION = ("edata.item.desc", "description")
_RESVALUES = ("edata.resvalues", "resvalues")
_PARAMS = ("edata.item.params", "params")
_GROUPS = ("edata", "edata.item")

_BEFORE = datetime.min.replace(tzinfo=UTC)
_ENDS_OF_CALENDAR = (timestamps.from_epoch_ms(-(10**18)), timestamps.from_epoch_ms(10**18))
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_CENT = Decimal("0.01")


# --- attempts ------------------------------------------------------------------------------------------------------


def attempt_of(
    key: RowKey, attempt_id: str, questions: Sequence[Question], attempted_on: datetime, now: datetime
) -> Attempt:
    """The attempt these answers are: what was reached and what could be, summed as decimals (0.1 + 0.2 is 0.3)."""
    score, maximum = _sum(one.score for one in questions), _sum(one.max_score for one in questions)
    return Attempt(
        key=key,
        attempt_id=attempt_id,
        total_score=float(score),
        total_max_score=float(maximum),
        grand_total=f"{_in_text(score)}/{_in_text(maximum)}",
        created_on=now,
        last_attempted_on=attempted_on,
        updated_on=now,
        questions=tuple(questions),
    )


def _sum(numbers: Iterable[float]) -> Decimal:
    return sum((Decimal(str(number)) for number in numbers), Decimal())


def _in_text(number: Decimal) -> str:
    """At least one and at most two decimals, halves to even: "2.0", "1.33"; the legacy column's format."""
    rounded = f"{number.quantize(_CENT, ROUND_HALF_EVEN) + 0:.2f}"
    return rounded.removesuffix("0")


def derived_id(key: RowKey, told_apart_by: str) -> str:
    """An attempt's id where the client gave none: learner, content and what tells attempts apart, usually the time.

    32 hex digits; the legacy hash of 32 bits met its like among a few ten thousand attempts.
    """
    text = f"{key.user_id}\0{key.content_id}\0{told_apart_by}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def newest(questions: Iterable[Question]) -> datetime | None:
    """When the last of these answers was given; None when no event told its time."""
    return max((one.assess_ts for one in questions if one.assess_ts is not None), default=None)


def refusal(hierarchy: Hierarchy | None, content_id: str, questions: int) -> BadRequest | None:
    """Why the collection's tree rules out these answers; None where it does not, or is not known well enough."""
    if hierarchy is None:
        return None
    leaf = hierarchy.leaf(content_id)
    if leaf is None:
        told = f"{content_id} is not a content of {hierarchy.collection_id}"
        return NotInCollection("contentId", told) if hierarchy.complete else None
    if leaf.total_questions and questions > leaf.total_questions:
        told = f"{questions} questions were answered, {content_id} has only {leaf.total_questions}"
        return TooManyQuestions("assessments", told)
    return None


# --- events ----------------------------------------------------------------------------------------------------------


def questions_of(place: str, events: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    """The latest answer to each question by its `ets`, ordered by question id; of equal times the later in the list.

    place: where `events` stands in the request. An event without a time is older than any with one; events of another
    kind than ASSESS are left out. Raises MissingField, InvalidField and InvalidTime.
    """
    latest: dict[str, Question] = {}
    for number, event in enumerate(events):
        here = f"{place}[{number}]"
        fields = _flat(here, event)
        if not _is_assess(fields):
            continue
        answer = _question(here, fields)
        known = latest.get(answer.id)
        if known is None or (answer.assess_ts or _BEFORE) >= (known.assess_ts or _BEFORE):
            latest[answer.id] = answer
    return tuple(latest[question] for question in sorted(latest))


def _flat(place: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """The event's fields by their path in lower case: ets, edata.score, edata.item.id."""
    fields = {name.lower(): value for name, value in event.items()}
    for group in _GROUPS:
        inner = fields.get(group)
        if inner is None:
            continue
        if not isinstance(inner, Mapping):
            raise _invalid(f"{place}.{group}", "is not an object")
        fields |= {f"{group}.{name.lower()}": value for name, value in inner.items()}
    return fields


def _is_assess(fields: Mapping[str, Any]) -> bool:
    eid = fields.get("eid")
    return eid is None or eid == "" or (isinstance(eid, str) and eid.strip().upper() == EID)


def _question(place: str, fields: Mapping[str, Any]) -> Question:
    def told(paths: Sequence[str]) -> tuple[str, Any]:
        """The first of these fields that is there: where it stands, and its value; None where none is."""
        for path in paths:
            value = fields.get(path.lower())
            if value is not None and (not isinstance(value, str) or value.strip()):
                return f"{place}.{path}", value
        return f"{place}.{paths[0]}", None

    at, named = told(_ID)
    if named is None:
        raise MissingField(_root(place), f"{place} names no question ({_ID[0]} or {_ID[1]})")
    if not isinstance(named, str) and (isinstance(named, bool) or not isinstance(named, int)):
        raise _invalid(at, "is not text")
    answered = told(_TIME)
    return Question(
        id=_text(at, named, most=MAX_ID).strip(),
        score=_number(*told(_SCORE)),
        max_score=_number(*told(_MAX_SCORE), least=0),
        assess_ts=time(*answered) if answered[1] is not None else None,
        type=_text(*told(_TYPE), most=MAX_ID),
        title=_text(*told(_TITLE)),
        description=_text(*told(_DESCRIPTION)),
        duration=_number(*told(_DURATION)),
        resvalues=_values(*told(_RESVALUES)),
        params=_values(*told(_PARAMS)),
    )


# --- values ----------------------------------------------------------------------------------------------------------


def time(place: str, value: Any) -> datetime:
    """The time as the client tells it, however long ago: an attempt's times are never clamped. Raises InvalidTime."""
    try:
        found = timestamps.parse(value)
    except ValueError:
        formats = "epoch ms, yyyy-MM-dd HH:mm:ss:SSSZ or ISO 8601"
        raise InvalidTime(_root(place), f"{place} is not a time ({formats})") from None
    if found in _ENDS_OF_CALENDAR:
        raise InvalidTime(_root(place), f"{place} is beyond the calendar")
    return found


def check_depth(field: str, value: object) -> None:
    """Raises InvalidField for what is nested so deeply that it could not be written down as JSON again."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise InvalidField(field, f"{field} is nested deeper than {MAX_DEPTH} levels")


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _number(place: str, value: Any, *, least: float = -MAX_NUMBER) -> float:
    """The number, 0 where there is none; SCORM players send it as text."""
    if value is None:
        return 0.0
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise _invalid(place, "is not a number")
    if not least <= value <= MAX_NUMBER:
        raise _invalid(place, f"is not a number from {least:.0f} to {MAX_NUMBER:.0f}")
    return float(value) + 0.0  # -0.0 is 0.0


def _text(place: str, value: Any, *, most: int = MAX_TEXT) -> str:
    """Text that every store keeps, "" where there is none; anything else as its JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if _UNSTORABLE.search(text):
        raise _invalid(place, "holds a character no store keeps (NUL or half of a pair)")
    if len(text) > most:
        raise _invalid(place, f"is longer than {most} characters")
    return text


def _values(place: str, value: Any) -> tuple[dict[str, str], ...]:
    """A list of objects with text for values, () where there is none."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _invalid(place, "is not a list")
    if len(value) > MAX_VALUES:
        raise _invalid(place, f"lists more than {MAX_VALUES} values")
    return tuple(_texts(f"{place}[{number}]", entry) for number, entry in enumerate(value))


def _texts(place: str, entry: Any) -> dict[str, str]:
    if not isinstance(entry, Mapping):
        raise _invalid(place, "is not an object")
    return {_text(place, name): "null" if value is None else _text(place, value) for name, value in entry.items()}


def _invalid(place: str, why: str) -> InvalidField:
    return InvalidField(_root(place), f"{place} {why}")


def _root(place: str) -> str:
    """The request's own field that holds `place`."""
    return re.split(r"[.\[]", place, maxsplit=1)[0]
