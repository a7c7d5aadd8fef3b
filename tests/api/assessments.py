"""What the assessment tests say over and over: both paths, ASSESS events, a submit, and what a read tells of it."""

from typing import Any

from tests.api.wire import BATCH, MATHS, SINGLE, ago, place, view
from tests.servers import Server

SUBMIT, SCORES = "/v1/assessment/submit", "/v1/assessment/read"
GATEWAY = {SUBMIT: "/api/assessment/v1/submit", SCORES: "/api/assessment/v1/read"}


def event(question: str, score: Any, ets: Any = None, maximum: Any = 1, /, **edata: Any) -> dict[str, Any]:
    """One ASSESS event as players send it."""
    return {
        "eid": "ASSESS", "ver": "3.1", "mid": f"ASSESS:{question}", "ets": ago(hours=1) if ets is None else ets,
        "actor": {"id": "anonymous", "type": "User"}, "object": {"id": "do_1", "type": "Content"},
        "edata": {
            "item": {"id": question, "maxscore": maximum, "type": "mcq", "exlength": 0, "params": [{"1": "{}"}],
                     "uri": "", "title": f"Question {question}", "mmc": [], "mc": [], "desc": ""},
            "index": 1, "pass": "No", "score": score, "resvalues": [{"1": "4"}], "duration": 2,
        } | edata,
    }  # fmt: skip


def answers(count: int, score: float = 1, ets: int | None = None) -> list[dict[str, Any]]:
    """So many different questions, answered alike."""
    return [event(f"q{number}", score, ets) for number in range(count)]


def submission(user: str, *events: dict[str, Any], content: str = SINGLE, **more: Any) -> dict[str, Any]:
    """A submit of `content` in class-1-maths as part of batch-1."""
    return place(user, content, assessments=list(events), **more)


def submit(server: Server, user: str, *events: dict[str, Any], content: str = SINGLE, **more: Any) -> None:
    """A submit that must be taken."""
    assert server.result(SUBMIT, submission(user, *events, content=content, **more)) == {content: "SUCCESS"}


def read(server: Server, user: str, content: object = SINGLE, **more: Any) -> dict[str, Any]:
    """The result of assessment/read in class-1-maths, batch-1."""
    where = {"userId": user, "collectionId": MATHS, "contextId": BATCH, "contentId": content} | more
    return dict(server.result(SCORES, where))


def best(server: Server, user: str, content: str = SINGLE) -> tuple[float | None, float | None, int]:
    """(score, max_score, attempts) of one content; view/read must say the same."""
    (item,) = read(server, user, content)["contents"]
    seen = view(server, place(user, content))
    assert (seen["score"], seen["max_score"]) == (item["score"], item["max_score"])
    return item["score"], item["max_score"], item["attempts"]


def tries(server: Server, user: str, content: object = SINGLE) -> list[tuple[str, float, float, int]]:
    """(id, score, max_score, time) of each attempt, newest first."""
    return [
        (one["attemptId"], one["score"], one["max_score"], one["lastAttemptedOn"])
        for one in read(server, user, content)["assessments"]
    ]
