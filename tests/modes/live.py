"""One process's instance whose mode changes under learners who have a history: what tests of a change share."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from catalogue import api as catalogue
from catalogue.loader import load
from catalogue.reading import read
from common import timestamps
from common.rows import ActivityAgg, ContextKey
from modes import instance, policy
from modes.instance import InstanceSettings
from modes.keys import Mode
from modes.models import CarryRules, Instance, ModeChange, Scope, Walk
from modes.rules import Kind, Rule, RuleSet
from modes.switching import save_rules, switch
from tests.servers import ROOT
from viewer import store as stores
from viewer.store.port import ImportBatch, Store

MATHS, MATHS_2, BATCH, OTHER = "class-1-maths", "class-2-maths", "batch-1", "batch-2"
BATCH_2, PROGRAM, PROGRAM_BATCH = "class-2-batch-1", "program-abc", "program-batch-1"
LEAVES = SINGLE, DOUBLE, TRIPLE = [f"{size}-digit-addition" for size in ("single", "double", "triple")]
PLACES = [(MATHS, BATCH), (MATHS, OTHER), (MATHS, MATHS), (MATHS, PROGRAM_BATCH), (MATHS_2, BATCH_2)]
ALWAYS = RuleSet(rules=(Rule(Kind.ALWAYS),))
LONG_AGO = timedelta(hours=1)  # nobody writes any more as it was before a change so long ago
WRITE_STAMPS = {"agg_last_updated", "lastUpdatedOn", "updatedAt"}
TIMES = {"createdOn", "lastAccessTime", "lastCompletedTime", "completedOn", "lastContentAccessTime", "enrolledDate"}
TIMES |= {"lastReadContentId", "lastReadContentStatus", "lastRead"}
SUMS = {"viewCount", "timespent"}
"""What adds up: who was in two places viewed a content twice; who always had one place viewed it once."""
Answers = dict[str, Any]


@contextmanager
def instance_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process serves from `store`, strict and with the sample catalogue; its choices are taken away after."""
    monkeypatch.setattr(stores, "store_named", lambda _: store)
    stores.get_store.cache_clear()
    clear()
    catalogue.forget_hierarchies()
    load(read((ROOT / "catalogue" / "sample" / "catalogue.json").read_text(encoding="utf-8")))
    yield
    clear()
    catalogue.forget_hierarchies()
    stores.get_store.cache_clear()


def clear() -> None:
    for model in (Instance, CarryRules, ModeChange, Walk):
        model.objects.all().delete()
    policy.forget()


def change_to(mode: Mode, ago: timedelta = LONG_AGO) -> None:
    """Flips the instance, and comes to nobody."""
    switch(mode, None, "alice", timestamps.now() - ago)


def carry_always(on: bool) -> None:
    save_rules(Scope.INSTANCE, "", ALWAYS if on else None, "alice", timestamps.now())


def as_known_before(known: InstanceSettings, work: Callable[[], object]) -> None:
    """Works as a process does that read the instance's choices before they were changed, and has not read them since.

    What that process had brought in line it knows, as this one does.
    """
    instance._cached._held = (time.monotonic(), known)
    work()
    instance.forget()


def publish_with_another_leaf() -> None:
    """Class 1 Maths anew, with a content nobody has seen."""
    children = [{"identifier": leaf, "contentType": "Resource"} for leaf in [*LEAVES, "four-digit-addition"]]
    course = {"identifier": MATHS, "name": "Class 1 Maths", "contentType": "Course", "children": children}
    load(read(json.dumps({"collections": [course]})))
    catalogue.forget_hierarchies()


class Learner:
    """Calls the service as one learner's app does, within this process."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self._client = Client()

    def call(self, path: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        """The response code, and the result or the error."""
        sent = json.dumps({"request": {"userId": self.user_id, **fields}})
        answer = self._client.post(path, data=sent, content_type="application/json").json()
        return answer["responseCode"], answer["result"]

    def ask(self, path: str, **fields: Any) -> dict[str, Any]:
        """The result of a call that must succeed."""
        code, result = self.call(path, **fields)
        assert code == "OK", (path, fields, code, result)
        return result

    def start(self, content: str, context: str | None = None, collection: str = MATHS, **fields: Any) -> None:
        self.ask("/v1/view/start", **place(content, context, collection), **fields)

    def update(self, content: str, context: str | None = None, collection: str = MATHS, **fields: Any) -> None:
        self.ask("/v1/view/update", **place(content, context, collection), **fields)

    def end(self, content: str, context: str | None = None, collection: str = MATHS, **fields: Any) -> None:
        self.ask("/v1/view/end", **place(content, context, collection), force=True, **fields)

    def enrol(self, context: str = BATCH, collection: str = MATHS) -> None:
        self.ask("/v1/course/enroll", collectionId=collection, contextId=context)

    def submit(self, content: str, attempt: str, score: int, context: str | None = None, at: int = 0) -> None:
        told = {"item": {"id": "q1", "maxscore": 2}, "score": score}
        answered = {"eid": "ASSESS", "ets": 1_790_000_000_000 + at, "edata": told}
        self.ask("/v1/assessment/submit", **place(content, context), attemptId=attempt, assessments=[answered])

    def read(self, content: str, context: str | None = None, collection: str = MATHS) -> dict[str, Any]:
        (item,) = self.ask("/v1/view/read", **place(content, context, collection))["contents"]
        found: dict[str, Any] = item
        return found

    def summary(self, context: str = BATCH, collection: str = MATHS) -> dict[str, Any]:
        return self.ask("/v1/summary/read", collectionId=collection, contextId=context)

    def timeless(self) -> Answers:
        """As `answers`, without whose they are, when it was and what adds up: for two learners who did the same."""
        found: Answers = _without(self.answers(), TIMES | SUMS | {"userId"})
        found["list"]["summary"].sort(key=lambda one: (one["collectionId"], one["contextId"]))  # not by last access
        del found["list of all"]  # it has the places of before too, which he who was always there never had
        return found

    def answers(self) -> Answers:
        """Everything the service tells of him, but for when it was stored."""
        found: Answers = {}
        for collection, context in PLACES:
            where = {"collectionId": collection, "contextId": context}
            name = f"{collection} {context}"
            found[f"read {name}"] = self.call("/v1/view/read", **where)
            found[f"each {name}"] = self.call("/v1/view/read", contentId=LEAVES, **where)
            found[f"summary {name}"] = self.call("/v1/summary/read", type="all", **where)
            found[f"attempts {name}"] = self.call("/v1/assessment/read", **where)
        for content in LEAVES:
            found[f"read {content}"] = self.call("/v1/view/read", contentId=content)
            found[f"attempts {content}"] = self.call("/v1/assessment/read", contentId=content)
        found["read anywhere"] = self.call("/v1/view/read", collectionId=MATHS, contentId=LEAVES)
        found["list"] = self._client.get(f"/v1/summary/list/{self.user_id}").json()["result"]
        found["list of all"] = self._client.get(f"/v1/summary/list/{self.user_id}?type=all").json()["result"]
        told: Answers = _without(found, WRITE_STAMPS)
        return told


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two answers differ, so that a failure names it."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted({*before, *after})
        return [one for name in names for one in differences(before.get(name), after.get(name), f"{path}/{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [one for number, pair in pairs for one in differences(*pair, f"{path}/{number}")]
    return [] if before == after else [f"{path}: {before} -> {after}"]


def place(content: str, context: str | None = None, collection: str = MATHS) -> dict[str, str]:
    where = {"collectionId": collection, "contextId": context} if context else {}
    return {"contentId": content, **where}


def _without(told: Any, names: set[str]) -> Any:
    if isinstance(told, dict):
        return {name: _without(value, names) for name, value in told.items() if name not in names}
    if isinstance(told, list | tuple):
        return [_without(one, names) for one in told]
    return told


def history(learner: Learner) -> None:
    """Batches, contents by themselves, attempts, and an enrolment that is complete."""
    learner.enrol(BATCH)
    learner.enrol(OTHER)
    learner.enrol(BATCH_2, MATHS_2)
    learner.start(SINGLE, BATCH, progressDetails={"progress": 30, "page": 4})
    learner.update(SINGLE, BATCH, timespent=12, progressDetails={"progress": 40, "page": 7})
    learner.end(SINGLE, OTHER, timespent=5)
    learner.submit(DOUBLE, "try-1", 1, BATCH)
    learner.submit(DOUBLE, "try-2", 2, OTHER, at=1000)
    learner.submit(DOUBLE, "try-3", 1)
    learner.start(TRIPLE)
    learner.update(TRIPLE, timespent=7, progressDetails={"progress": 60})
    for content in (SINGLE, DOUBLE):
        learner.end(content, BATCH_2, MATHS_2)


def imported(user_id: str, store: Store) -> None:
    """A completion that no row tells, in batch-2."""
    now = timestamps.now()
    key = ContextKey(user_id, MATHS, OTHER)
    kept = {TRIPLE: {"by": "import", "status": 2, "progress": 100, "lastCompletedTime": 1_700_000_000_000}}
    store.import_rows(ImportBatch(at=now, aggs=[ActivityAgg(key, kept=kept, version=1)]))
