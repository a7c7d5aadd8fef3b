"""Learners with something of everything a store keeps, the same for the same seed."""

from collections.abc import Iterator
from random import Random
from typing import Any

from common.rows import (
    ActivityAgg,
    AppliedEvent,
    Attempt,
    Consumption,
    ContextKey,
    Enrolment,
    Provenance,
    Question,
    RowKey,
    StaleMark,
    Status,
)
from common.timestamps import to_epoch_ms
from tests.viewer.events import at
from viewer.outbox import OutboxEvent
from viewer.store.port import LearnerDump, OutboxEntry

ODD = ("rahul", "Rahul", "राहुल", "o'neil; --", 'a"b\\c', "%s {0} $.x", "é", "e\u0301", "😀", "~")
DETAILS: tuple[Any, ...] = (None, True, 7, -0.5, 12.63, 1e17, 2**60, "", "ಪಾಠ", ["a", 1, None], {"b": {"a": 1.0}})


def learner(random: Random, user_id: str) -> LearnerDump:
    """A learner in a few contexts, each table filled, each in the order of `Store.dump`."""
    places = [ContextKey(user_id, collection, context) for collection in ("class-1-maths", "Ünit 'é'") for context in (
        "batch-1", "batch-2", "organic:😀")]  # fmt: skip
    keys = sorted(random.sample(places, random.randint(1, 4)))
    return LearnerDump(
        user_id,
        rows=tuple(row for key in keys for row in _rows(random, key)),
        attempts=tuple(attempt for key in keys for attempt in _attempts(random, key)),
        aggs=tuple(_agg(random, key) for key in keys),
        enrolments=tuple(_enrolment(random, key) for key in keys),
        contexts=tuple(keys),
        marks=tuple(_mark(random, key) for key in keys),
        provenance=tuple(_provenance(random, user_id, number) for number in range(random.randint(1, 3))),
    )


def outbox(random: Random, name: str) -> list[OutboxEntry]:
    """Events, some of them published, with ids that begin with `name`."""
    entries: list[OutboxEntry] = []
    for number in range(7):
        payload = {"ets": number, "edata": _details(random)}
        event = OutboxEvent(f"{name}:{number}", "certificate.request", payload, at(number))
        entries.append((event, at(number + 1) if number % 2 else None))
    return entries


def _details(random: Random) -> dict[str, Any]:
    return {name: random.choice(DETAILS) for name in random.sample(["progress", 'a"b', "$.x", "1", "ü", ""], 3)}


def _minute(random: Random) -> float:
    """Whole milliseconds, as minutes."""
    return random.randint(0, 600_000_000) / 60_000


def _rows(random: Random, key: ContextKey) -> Iterator[Consumption]:
    for content in sorted(random.sample(["video", "Video", "a b", "पाठ", "quiz'1"], 3)):
        done = random.random() < 0.5
        yield Consumption(
            RowKey(*key, content),
            status=Status.COMPLETED if done else Status.IN_PROGRESS,
            progress=100 if done else random.randint(0, 99),
            last_access_time=at(_minute(random)) if random.random() < 0.8 else None,
            last_updated_time=at(_minute(random)),
            last_completed_time=at(_minute(random)) if done else None,
            own_completed_time=at(_minute(random)) if done and random.random() < 0.5 else None,
            progress_details=_details(random),
            timespent=random.choice([0.0, 0.5, 12.63, 1 / 3]),
            view_count=random.randint(1, 9),
            origin=random.choice([None, "p-1"]),
            applied=tuple(AppliedEvent(f"e:{n}", f"hash-{n}", at(n)) for n in range(random.randint(0, 32))),
            version=random.randint(1, 2**31 - 1),
        )


def _attempts(random: Random, key: ContextKey) -> Iterator[Attempt]:
    for attempt_id in ("A-1", "a-1", "ä"):
        yield Attempt(
            RowKey(*key, "quiz'1"),
            attempt_id,
            total_score=random.choice([0.0, 1.33, 1 / 3]),
            total_max_score=3.0,
            grand_total="1.33/3.0",
            created_on=at(1),
            last_attempted_on=at(_minute(random)),
            updated_on=at(_minute(random)),
            questions=tuple(_question(random, number) for number in range(random.randint(0, 3))),
        )


def _question(random: Random, number: int) -> Question:
    return Question(
        f"do_{number}",
        score=random.choice([0.0, 0.33, 1.0]),
        max_score=1.0,
        assess_ts=random.choice([None, at(_minute(random))]),
        type="mcq",
        title='<p>"ಪ್ರಶ್ನೆ"</p>',
        duration=2.5,
        resvalues=({"1": "{'text': 'ü'}"},),
        params=({"1": "a"}, {"eval": "order"}),
    )


def _agg(random: Random, key: ContextKey) -> ActivityAgg:
    facts = {"status": 2, "version": 3, "lastCompletedTime": to_epoch_ms(at(5)), "origin": None}
    return ActivityAgg(
        key,
        content_status={"video": 2, "पाठ": 1},
        agg={"completedCount": 1, "score:quiz'1": random.randint(0, 9)},
        aggregates={"completedCount": 1.0, "score:quiz'1": random.choice([1.33, 1 / 3, 0.0])},
        agg_details={"video": facts, "पाठ": {"status": 1, "progress": random.randint(0, 99)}},
        agg_last_updated={"completedCount": to_epoch_ms(at(_minute(random)))},
        kept={"old": {**facts, "by": random.choice(["import", "archive"])}} if random.random() < 0.6 else {},
        version=random.randint(1, 1000),
    )


def _enrolment(random: Random, key: ContextKey) -> Enrolment:
    done = random.random() < 0.5
    return Enrolment(
        *key,
        active=random.random() < 0.7,
        added_by=random.choice([None, "mentor é"]),
        enrolled_date=at(_minute(random)) if random.random() < 0.9 else None,
        status=Status.COMPLETED if done else Status.IN_PROGRESS,
        progress=random.randint(0, 20),
        completion_percentage=100 if done else random.randint(0, 99),
        completed_on=at(_minute(random)) if done else None,
        content_status={"video": 2, "पाठ": 1},
        issued_certificates=({"identifier": "c-1", "name": "ü"},) if done else (),
        last_read_content_id=random.choice([None, "पाठ"]),
        last_read_content_status=random.choice([None, 1, 2]),
        last_content_access_time=random.choice([None, at(_minute(random))]),
        updated_at=random.choice([None, at(_minute(random))]),
        moved_to=random.choice([None, "program é"]),
        version=random.randint(1, 1000),
    )


def _mark(random: Random, key: ContextKey) -> StaleMark:
    return StaleMark(key, random.getrandbits(62), at(_minute(random)), random.choice([None, at(_minute(random))]))


def _provenance(random: Random, user_id: str, number: int) -> Provenance:
    return Provenance(
        user_id,
        f"p-{number}",
        action=random.choice(["copy", "move", "undo"]),
        state=random.choice(["planned", "done"]),
        recorded_at=at(_minute(random)),
        undone_at=random.choice([None, at(_minute(random))]),
        facts={"rule": {"id": 4, "version": 2}, **_details(random)},
    )
