"""The status map says what the store says, whatever was done, and never the past."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db import connections
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from common.rows import ActivityAgg, Consumption, RowKey, Status
from tests.redis_server import RedisServer
from tests.viewer.events import at, view
from tests.viewer.statusmap.mapped import (
    COLLECTION,
    CONTEXT,
    attempt,
    filled,
    from_store,
    generation_of,
    hash_of,
    read,
    write,
)
from viewer import statusmap
from viewer.lifecycle import Verb
from viewer.statusmap import packing, scripts
from viewer.store import ImportBatch, get_store

Learner = Callable[..., str]


# --- the map says what the store says -------------------------------------------------------------------------------

CONTENTS = ("single-digit-addition", "double-digit-addition", "beside-the-course")
_minutes = st.integers(0, 50)
_details = st.dictionaries(st.sampled_from(["page", "progress", "ünï"]), st.integers(-5, 120) | st.text(max_size=3))
_views = st.builds(
    lambda verb, minute, client, details, timespent, force: view(
        verb, minute, client=client, details=details or None, timespent=timespent, force=force
    ),
    st.sampled_from(list(Verb)),
    _minutes,
    st.none() | _minutes,
    _details,
    st.sampled_from([0.0, 2.5]),
    st.booleans(),
)
_kept = st.fixed_dictionaries(
    {"by": st.sampled_from(["import", "archive"]), "status": st.sampled_from([0, 1, 2])},
    optional={"progress": st.integers(0, 99), "score": st.sampled_from([0.0, 3.0, 9.5]), "attempts": st.integers(0, 3)},
)
_steps = st.tuples(
    st.sampled_from(CONTENTS),
    st.one_of(_views, st.tuples(st.just("attempt"), st.integers(0, 10)), st.tuples(st.just("kept"), _kept)),
)


def take_step(key: RowKey, number: int, step: Any) -> None:
    if not isinstance(step, tuple):
        write(key, step)
        return
    kind, value = step
    with statusmap.writing([key.user_id]) as written:
        if kind == "attempt":
            get_store().save_attempts([attempt(key, number, float(value))], at(number))
        else:
            kept = ActivityAgg(key.context, kept={key.content_id: value}, version=1)
            get_store().import_rows(ImportBatch(at=at(number), aggs=[kept]))
        written.forget()


@given(history=st.lists(_steps, max_size=8), reads=st.lists(st.booleans(), min_size=8, max_size=8))
@examples(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_map_answers_as_the_store_does(
    server: RedisServer, learner: Learner, history: list[Any], reads: list[bool]
) -> None:
    place = RowKey(learner(), COLLECTION, CONTEXT, "")
    for number, ((content, step), is_read) in enumerate(zip(history, reads, strict=False)):
        take_step(place._replace(content_id=content), number, step)
        if is_read:
            assert read(place) == from_store(place)
    filled(place)
    assert read(place) == from_store(place)
    assert read(place, list(CONTENTS)) == from_store(place, list(CONTENTS))


def test_a_row_comes_back_from_its_packing_as_it_was(key: RowKey) -> None:
    rows = [
        Consumption(key, view_status, 40, at(1), at(2), at(3), None, {"a": [1, {"b": None}]}, 0.1, 3, "p-1", (), 7)
        for view_status in (Status.IN_PROGRESS, Status.COMPLETED)
    ]
    for row in rows:
        value = packing.packed(row)
        assert value[: scripts.VERSION_DIGITS] == b"000000000007"
        assert packing.unpacked(value) == packing.own(row)


# --- everything at once ---------------------------------------------------------------------------------------------

STRESS_SECONDS = 8


class Learning:
    """One learner whose contents threads write, read, forget and lose; acknowledged: content -> (status, version)."""

    def __init__(self, user_id: str) -> None:
        self.key = RowKey(user_id, COLLECTION, CONTEXT, "")
        self.acknowledged: dict[str, tuple[int, int]] = {}
        self.scores: dict[str, float] = {}
        self.lock = threading.Lock()

    def write(self, chance: random.Random) -> None:
        key = self.key._replace(content_id=f"content-{chance.randrange(6)}")
        verb = chance.choice([Verb.START, Verb.UPDATE, Verb.UPDATE, Verb.END])
        (applied,) = write(key, view(verb, chance.randrange(50), timespent=1.0))
        if applied.row is not None:
            with self.lock:
                told = (int(applied.row.status), applied.row.version)
                self.acknowledged[key.content_id] = max(self.acknowledged.get(key.content_id, (0, 0)), told)

    def try_assessment(self, chance: random.Random) -> None:
        key, score = self.key._replace(content_id=f"content-{chance.randrange(6)}"), float(chance.randrange(100))
        with statusmap.writing([key.user_id]) as written:
            get_store().save_attempts([attempt(key, chance.randrange(10**6), score)], at(0))
            written.forget()
        with self.lock:
            self.scores[key.content_id] = max(self.scores.get(key.content_id, 0.0), score)

    def read(self) -> list[str]:
        """What is older in the map's answer than what was acknowledged before the question."""
        with self.lock:
            wanted, scores = dict(self.acknowledged), dict(self.scores)
        context = self.key.context
        seen = statusmap.look({context: None})
        if context in seen.found:
            facts = seen.found[context].facts
        else:
            reserved = statusmap.begin_fill(seen, [context])
            sources = get_store().sources(context)
            if reserved is not None:
                statusmap.fill(reserved, [sources])
            facts = statusmap.found_in(sources).facts
        return [
            f"{content}: {dict(facts.get(content, {}))} after {told}, {scores.get(content)}"
            for content, told in wanted.items()
            if (facts.get(content, {}).get("status", 0), facts.get(content, {}).get("version", 0)) < told
        ] + [
            f"{content}: score" for content, score in scores.items() if facts.get(content, {}).get("score", -1) < score
        ]

    def lose(self, server: RedisServer, chance: random.Random) -> None:
        """What eviction, expiry and FLUSHALL do."""
        what = chance.choice([hash_of, generation_of, None])
        server.client.delete(what(self.key)) if what else server.client.flushall()


def test_threads_that_write_read_fill_forget_and_lose_at_random_never_see_the_past(
    server: RedisServer, learner: Learner
) -> None:
    learners = [Learning(learner()) for _ in range(2)]
    wrong: list[str] = []
    until = time.monotonic() + STRESS_SECONDS
    before = statusmap.counts()

    def loop(seed: int, work: Callable[[Learning, random.Random], object], pause: float) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < until and not wrong:
                work(chance.choice(learners), chance)
                time.sleep(chance.random() * pause)  # the pace of this thread; nothing depends on it
        except BaseException as error:
            wrong.append(repr(error))
            raise
        finally:
            connections.close_all()

    works: list[tuple[Callable[[Learning, random.Random], object], float]] = [
        *[(lambda one, chance: one.write(chance), 0.01)] * 4,
        *[(lambda one, _: wrong.extend(one.read()), 0.002)] * 5,
        (lambda one, chance: one.try_assessment(chance), 0.2),
        (lambda one, chance: one.lose(server, chance), 0.05),
    ]
    with ExitStack() as stack:
        for seed, (work, pause) in enumerate(works):
            thread = threading.Thread(target=loop, args=(seed, work, pause))
            thread.start()
            stack.callback(thread.join)
    assert wrong == []
    after = statusmap.counts()
    for name in ("hits", "misses", "fills"):
        assert after[name] > before[name], name
