"""What the demo's stories share: reading answers, in the words of the tables, and making calls."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from demo_runner import Answer, Call, Unexpected, Value

Name = Callable[[str], str]

STATUS = {0: "Not Started", 1: "In Progress", 2: "Complete"}


# --- picking from answers ------------------------------------------------------------------------------------


def acks(answers: Sequence[Answer]) -> str:
    """What the writes were answered, in order; equal ones counted."""
    said = Counter(
        str(next(iter(answer.result.values()))) if answer.status == 200 else answer.told for answer in answers
    )
    return ", ".join(text if count == 1 else f"{count} x {text}" for text, count in said.items())


def contents(answer: Answer) -> list[Mapping[str, Any]]:
    """The contents a read lists."""
    listed = answer.result["contents"]
    if not isinstance(listed, list):
        raise Unexpected("contents is no list")
    return listed


def item(answer: Answer, content_id: str) -> Mapping[str, Any]:
    """The one content of a read with this id."""
    found = [each for each in contents(answer) if each["identifier"] == content_id]
    if len(found) != 1:
        raise Unexpected(f"{content_id} is listed {len(found)} times")
    return found[0]


def word(given: Mapping[str, Any]) -> str:
    """The status in the seeds' words."""
    return STATUS.get(given["status"], f"status {given['status']}")


def words_of(content_id: str, reads: int = 1) -> Callable[[Sequence[Answer]], Value]:
    """Picks what the last `reads` answers say of this content, one word when they agree; all before must succeed."""

    def pick(answers: Sequence[Answer]) -> Value:
        refused = [answer.told for answer in answers[:-reads] if answer.status != 200]
        said = refused or [word(item(each, content_id)) for each in answers[-reads:]]
        return " / ".join(dict.fromkeys(said))

    return pick


def state_of(content_id: str) -> Callable[[Sequence[Answer]], Value]:
    """Picks "In Progress, 45 %" from the last answer."""

    def pick(answers: Sequence[Answer]) -> Value:
        found = item(answers[-1], content_id)
        return f"{word(found)}, {found['progress']} %"

    return pick


def row_of(content_id: str) -> Callable[[Sequence[Answer]], Value]:
    """Picks the row behind the content, as the seeds' "Entry in DB" tables show one."""

    def pick(answers: Sequence[Answer]) -> Value:
        found = item(answers[-1], content_id)
        place = (found["collectionId"], found["contextId"], found["contentId"])
        return (str(answers[-1].result["userId"]), *map(str, place), str(found["status"]))

    return pick


def listing(answers: Sequence[Answer]) -> Value:
    """Picks every content of the last answer with its status, in the order listed."""
    return ", ".join(f"{each['identifier']} {word(each)}" for each in contents(answers[-1]))


def refusal(answers: Sequence[Answer]) -> Value:
    """Picks the error the last call was told."""
    return answers[-1].told


def counts(statuses: Sequence[int]) -> str:
    """How many are complete / in progress / not started."""
    return " / ".join(f"{statuses.count(status):2}" for status in (2, 1, 0))


# --- making calls --------------------------------------------------------------------------------------------


def view(verb: str, **fields: object) -> Call:
    """One call of the view family."""
    return Call(f"/v1/view/{verb}", fields)


def completes(**place: object) -> tuple[Call, ...]:
    """Start and end of one content."""
    return view("start", **place), view("end", **place)


def enrol(**place: object) -> Call:
    """Enrolment in a course through a batch."""
    return Call("/v1/course/enroll", place)


def summary_read(**place: object) -> Call:
    """The record of one enrolment."""
    return Call("/v1/summary/read", place)


def summary_list(user_id: str) -> Call:
    """The records of all enrolments of one learner."""
    return Call(f"/v1/summary/list/{quote(user_id, safe='')}", method="GET")
