"""What was promised: for each content of each learner, the least and the most that the service may say.

The least follows from what it acknowledged, the most from what was sent. A call without an answer may have been done
or not, so it moves the most alone.
"""

import copy
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]
Place = tuple[str, str]
"""A learner and a content."""


class Kind(StrEnum):
    """What happened to a content."""

    START = "start"
    UPDATE = "update"
    END = "end"
    ASSESS = "assess"


ENDING = frozenset({Kind.END, Kind.ASSESS})


@dataclass(frozen=True)
class Told:
    """One event as it was sent, alone or inside a sync.

    at: the client's time in epoch ms, None where the client told none. seconds: its timespent.
    """

    kind: Kind
    content: str
    at: int | None = None
    progress: int = 0
    seconds: float = 0.0
    attempt: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Violation:
    """One broken promise."""

    user: str
    content: str
    text: str

    def __str__(self) -> str:
        return f"{self.user} {self.content}: {self.text}"


@dataclass
class Bounds:
    """Of one content of one learner. Times in epoch ms; `seen`: what a read has shown, which never goes back.

    unfolded: updates after which no call came that marks the context, with whether they were acknowledged: an update
    alone marks nothing, and its seconds stand in the row but not yet in the aggregate. covers: those that were
    acknowledged before a start was sent.
    """

    status: int = 0
    status_most: int = 0
    progress: int = 0
    progress_most: int = 0
    completed_by: int | None = None
    completed_from: int | None = None
    accessed: int | None = None
    seconds: float = 0.0
    seconds_most: float = 0.0
    attempts: dict[str, float] = field(default_factory=dict)
    attempts_most: dict[str, float] = field(default_factory=dict)
    ends: set[str] = field(default_factory=set)
    unfolded: dict[str, bool] = field(default_factory=dict)
    covers: dict[str, set[str]] = field(default_factory=dict)
    seen: Json = field(default_factory=dict)

    def sent(self, call: str, told: Told, now: int) -> None:
        """One event is about to be sent with the call of this id."""
        self.status_most = max(self.status_most, 2 if told.kind in ENDING else 1)
        self.progress_most = max(self.progress_most, 100 if told.kind in ENDING else told.progress)
        self.seconds_most += told.seconds
        if told.kind in ENDING:
            self.ends.add(call)
            self.completed_from = _earliest(self.completed_from, now if told.at is None else told.at)
        elif told.kind is Kind.UPDATE:
            self.unfolded[call] = False
        else:
            self.covers[call] = {update for update, known in self.unfolded.items() if known}
        if told.kind is Kind.ASSESS:
            self.attempts_most[told.attempt] = told.score

    def acknowledged(self, call: str, told: Told, now: int) -> None:
        """The call of this id was answered with success."""
        self.status = max(self.status, 2 if told.kind in ENDING else 1)
        self.progress = max(self.progress, 100 if told.kind in ENDING else told.progress)
        if told.kind in ENDING:
            self.completed_by = _earliest(self.completed_by, now if told.at is None else told.at)
        elif told.kind is Kind.UPDATE and not self.ends - {call}:  # else the content may have been completed before
            self.seconds += told.seconds
            self.accessed = max(self.accessed or 0, told.at or 0)
        if told.kind is Kind.UPDATE and call in self.unfolded:
            self.unfolded[call] = True
        for update in self.covers.pop(call, ()) if told.kind is Kind.START else ():
            self.unfolded.pop(update, None)
        if told.kind is Kind.ASSESS:
            self.attempts[told.attempt] = told.score

    @property
    def waits(self) -> bool:
        """True where an update may stand in the row alone; an end that was acknowledged has marked it all."""
        return self.status < 2 and bool(self.unfolded)

    def problems(self, most: "Bounds", item: Json) -> Iterable[str]:
        """What is wrong with a content of view/read. self: as it stood before the read; most: as it stands after."""
        status, progress = item["status"], item["progress"]
        if not max(self.status, self.seen.get("status", 0)) <= status <= most.status_most:
            yield f"status {status}, promised {self.status}, seen {self.seen.get('status')}, sent {most.status_most}"
        if not max(self.progress, self.seen.get("progress", 0)) <= progress <= most.progress_most:
            seen = self.seen.get("progress")
            yield f"progress {progress}, promised {self.progress}, seen {seen}, sent {most.progress_most}"
        if not self.seconds <= item["timespent"] <= most.seconds_most:
            yield f"timespent {item['timespent']}, promised {self.seconds}, sent {most.seconds_most}"
        if self.accessed and (item["lastAccessTime"] or 0) < self.accessed:
            yield f"lastAccessTime {item['lastAccessTime']}, promised {self.accessed}"
        yield from self._completion_problems(most, item)
        yield from self._score_problems(most, item["score"])

    def _completion_problems(self, most: "Bounds", item: Json) -> Iterable[str]:
        at = item["lastCompletedTime"]
        if item["status"] < 2:
            return
        if item["progress"] != 100 or at is None:
            yield f"completed with progress {item['progress']}, lastCompletedTime {at}"
            return
        if most.completed_from is None or at < most.completed_from:
            yield f"lastCompletedTime {at} is earlier than any sent, {most.completed_from}"
        latest = [time for time in (self.completed_by, self.seen.get("lastCompletedTime")) if time is not None]
        if latest and at > min(latest):
            yield f"lastCompletedTime {at}, promised {self.completed_by}, seen {self.seen.get('lastCompletedTime')}"

    def _score_problems(self, most: "Bounds", score: float | None) -> Iterable[str]:
        least = max(
            [*self.attempts.values(), *([] if (seen := self.seen.get("score")) is None else [seen])], default=None
        )
        highest = max(most.attempts_most.values(), default=None)
        if (score is None and least is not None) or (score is not None and (highest is None or score > highest)):
            yield f"score {score}, promised {least}, sent {highest}"
        elif score is not None and least is not None and score < least:
            yield f"score {score}, promised {least}"


class Ledger:
    """All bounds, and what broke them. Used by many threads at once."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.enrolled: set[str] = set()
        self._bounds: dict[Place, Bounds] = defaultdict(Bounds)
        self._contents: dict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()

    def sent(self, call: str, user: str, events: Iterable[Told], now: int) -> None:
        """These are about to be sent, all in the call of this id; said once, however often it is repeated."""
        with self._lock:
            for told in events:
                self._contents[user].add(told.content)
                self._bounds[user, told.content].sent(call, told, now)

    def acknowledged(self, call: str, user: str, events: Iterable[Told], now: int) -> None:
        """The call was answered with success."""
        with self._lock:
            for told in events:
                self._bounds[user, told.content].acknowledged(call, told, now)

    def enrol(self, user: str) -> None:
        """The learner's enrolment was acknowledged."""
        with self._lock:
            self.enrolled.add(user)

    def users(self) -> list[str]:
        """Everybody who was sent anything."""
        with self._lock:
            return sorted(self._contents)

    def unfolded(self) -> list[Place]:
        """The contents whose last updates no fold needs to have seen."""
        with self._lock:
            return sorted(place for place, bounds in self._bounds.items() if bounds.waits)

    def snapshot(self, user: str) -> dict[str, Bounds]:
        """The learner's bounds as they stand: what a read that is sent from now on has to show."""
        with self._lock:
            return {content: copy.deepcopy(self._bounds[user, content]) for content in self._contents[user]}

    def check(self, user: str, before: Mapping[str, Bounds], items: Iterable[Json]) -> None:
        """Compares the contents of a view/read with what was promised before it was sent, and keeps what was seen."""
        with self._lock:
            for item in items:
                content = item["contentId"]
                most = self._bounds[user, content]
                texts = list(before.get(content, Bounds()).problems(most, item))
                self.violations += [Violation(user, content, text) for text in texts]
                _keep(most.seen, item)

    def check_attempts(self, user: str, before: Mapping[str, Bounds], result: Json) -> None:
        """Compares an assessment/read: every acknowledged attempt with its score, none that nobody sent."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for attempt in result["assessments"]:
            found[attempt["contentId"]][attempt["attemptId"]] = attempt["score"]
        now = self.snapshot(user)
        for content, bounds in before.items():
            if lost := bounds.attempts.items() - found[content].items():
                self.broken(user, content, f"lost attempts {sorted(lost)}")
            if invented := found[content].items() - now[content].attempts_most.items():
                self.broken(user, content, f"attempts nobody sent {sorted(invented)}")

    def broken(self, user: str, content: str, text: str) -> None:
        """Notes a broken promise."""
        with self._lock:
            self.violations.append(Violation(user, content, text))


def _keep(seen: Json, item: Json) -> None:
    """Adds what a read has shown. Two reads may overtake one another, so each value is kept at its furthest."""
    for name in ("status", "progress", "score"):
        if item[name] is not None:
            seen[name] = max(item[name], seen.get(name, 0))
    if item["lastCompletedTime"] is not None:
        seen["lastCompletedTime"] = _earliest(seen.get("lastCompletedTime"), item["lastCompletedTime"])


def _earliest(known: int | None, new: int) -> int:
    return new if known is None else min(known, new)
