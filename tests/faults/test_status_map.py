"""Redis in every kind of trouble under two service processes: no answer is older than what was acknowledged before.

Both services use one database. `near` reaches Redis directly and sweeps, `far` through a proxy that the tests can cut.
While the trouble happens, learners write through both and everybody reads through both (`Traffic`); afterwards the map
has to come back by itself and answer without the store.
"""

import logging
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis.exceptions

from tests import servers
from tests.redis_server import Proxy, RedisServer
from tests.services import POSTGRES_URL
from viewer.statusmap.state import HANDOVER_SECONDS

PLACE = {"collectionId": "class-1-maths", "contextId": "batch-1"}
SECONDS = 30  # for the map to come back; a sweep a second
logging.getLogger("httpx").setLevel(logging.WARNING)  # thousands of calls
Learner = Callable[..., str]
Seen = dict[str, tuple[int, int]]


@dataclass
class Pair:
    """Two services on one database, and the Redis between them."""

    near: servers.Server
    far: servers.Server
    redis: RedisServer
    proxy: Proxy
    database: str

    @property
    def both(self) -> tuple[servers.Server, servers.Server]:
        return self.near, self.far

    def state(self) -> tuple[str, int]:
        """Phase and epoch of the map; ("off", 0) before it was ever on."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            found = connection.execute("SELECT phase, epoch FROM status_map").fetchone()
        return (found[0], found[1]) if found else ("off", 0)

    def wait_for(self, phase: str, after: int = -1) -> int:
        """Waits until the map is in this phase, in an epoch after `after`; the epoch."""
        deadline = time.monotonic() + SECONDS
        while True:
            found, epoch = self.state()
            if found == phase and epoch > after:
                return epoch
            assert time.monotonic() < deadline, (found, epoch)
            time.sleep(0.05)  # between two looks at a condition that has a deadline

    def working(self) -> int:
        """Waits until the map is on, on a healthy server that both reach; its epoch."""
        self.redis.fresh()
        self.wait_for("on")
        return self.back()

    def back(self, after: int = -1) -> int:
        """Waits until both services answer from the map again; the epoch."""
        for service in self.both:
            deadline = time.monotonic() + SECONDS
            while not self._is_hit(service):
                assert time.monotonic() < deadline, self.state()
                time.sleep(0.1)  # between two looks at a condition that has a deadline
        return self.wait_for("on", after)

    def _is_hit(self, service: servers.Server) -> bool:
        """True where this read was answered by the map: it looked there, and there was nothing to fill."""
        user = "somebody-who-only-reads"
        contents(service.client, user)
        looked, scripts = self.redis.calls("hgetall"), self.redis.calls("eval")
        contents(service.client, user)
        return (self.redis.calls("hgetall"), self.redis.calls("eval")) == (looked + 1, scripts)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both services, started while there is no Redis yet."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    proxy = Proxy(server.port)
    with servers.postgres_database(POSTGRES_URL, f"viewer_map_{os.getpid()}") as url:
        settings = {"DATABASE_URL": url, "VIEWER_SWEEP_SECONDS": "1", "CELERY_BROKER_URL": "filesystem://"}
        near = servers.start(tmp_path_factory.mktemp("near"), **settings, REDIS_URL=server.url)
        far = servers.start(tmp_path_factory.mktemp("far"), **settings, REDIS_URL=proxy.url, VIEWER_WORKER="off")
        try:
            yield Pair(near, far, server, proxy, url)
        finally:
            for service in (near, far):
                service.stop()
            server.kill()
            proxy.cut()


def contents(client: httpx.Client, user: str, asked: list[str] | None = None) -> Seen:
    """Content -> (status, progress) as a view/read answers."""
    request: dict[str, Any] = {"userId": user, **PLACE} | ({"contentId": asked} if asked else {})
    answer = client.post("/v1/view/read", json={"request": request})
    assert answer.status_code == 200, answer.text
    return {item["contentId"]: (item["status"], item["progress"]) for item in answer.json()["result"]["contents"]}


@dataclass
class Traffic:
    """Learners who write through both services, and readers who compare each answer with what came before it.

    acknowledged: user -> what was acknowledged to anybody. answered: (service, user) -> what reads through it told.
    """

    pair: Pair
    users: list[str]
    acknowledged: dict[str, Seen] = field(default_factory=dict)
    answered: dict[tuple[str, str], Seen] = field(default_factory=lambda: defaultdict(dict))
    wrong: list[str] = field(default_factory=list)
    writes: int = 0
    reads: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.acknowledged = {user: {} for user in self.users}

    @contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        """Writers and readers for the length of the block, and as many acknowledged writes more as there are users."""
        works = [lambda client, user=user: self._write(client, user) for user in self.users]
        threads = [threading.Thread(target=self._run, args=(work,)) for work in [*works, *[self._read] * 3]]
        for thread in threads:
            thread.start()
        try:
            yield self
            self.wait_for_writes(len(self.users))
        finally:
            self._over.set()
            for thread in threads:
                thread.join(30)
        assert self.wrong == []
        for service in self.pair.both:
            for user in self.users:
                self._check(service.client, user)
        assert self.wrong == []

    def wait_for_writes(self, more: int) -> None:
        """Waits until so many more writes are acknowledged."""
        enough, deadline = self.writes + more, time.monotonic() + SECONDS
        while self.writes < enough:
            assert not self.wrong, self.wrong
            assert time.monotonic() < deadline, f"{self.writes} of {enough} writes"
            time.sleep(0.01)  # between two looks at a condition that has a deadline

    def _run(self, work: Callable[[tuple[httpx.Client, httpx.Client]], None]) -> None:
        clients = [httpx.Client(base_url=service.url, timeout=30) for service in self.pair.both]
        try:
            while not self._over.is_set() and not self.wrong:
                work((clients[0], clients[1]))
        except (AssertionError, httpx.HTTPError) as error:
            self.wrong.append(repr(error))
        finally:
            for client in clients:
                client.close()

    def _write(self, clients: tuple[httpx.Client, httpx.Client], user: str) -> None:
        """One content from its start to its end; each write through one of the services."""
        content = f"do_{os.urandom(3).hex()}"
        steps = [("start", (1, 0)), *[("update", (1, progress)) for progress in (20, 60, 90)], ("end", (2, 100))]
        for verb, told in steps:
            request = {"userId": user, "contentId": content, **PLACE, "progressDetails": {"progress": told[1]}}
            answer = random.choice(clients).post(f"/v1/view/{verb}", json={"request": request})
            assert answer.status_code == 200, answer.text
            with self._lock:
                self.acknowledged[user][content] = told
                self.writes += 1
            self._check(random.choice(clients), user)

    def _read(self, clients: tuple[httpx.Client, httpx.Client]) -> None:
        self._check(random.choice(clients), random.choice(self.users))

    def _check(self, client: httpx.Client, user: str) -> None:
        """One read: nothing in it is older than what was acknowledged, or answered by this service, before it began."""
        answered = self.answered[str(client.base_url), user]
        with self._lock:
            before = [dict(self.acknowledged[user]), dict(answered)]
        found = contents(client, user)
        late = [
            f"{name} {content}: {found.get(content)} after {told}"
            for name, known in zip(("acknowledged", "answered"), before, strict=True)
            for content, told in known.items()
            if found.get(content, (0, 0)) < told
        ]
        with self._lock:
            self.reads += 1
            self.wrong += late
            for content, told in found.items():
                answered[content] = max(answered.get(content, (0, 0)), told)


@pytest.fixture
def traffic(pair: Pair, learner: Learner) -> Traffic:
    return Traffic(pair, [learner("rahul"), learner("asha")])


def test_there_is_no_redis_at_the_start(pair: Pair, traffic: Traffic) -> None:
    pair.redis.kill()
    with traffic.flowing():
        traffic.wait_for_writes(50)
        assert pair.state()[0] == "off"
        assert pair.near.client.get("/ready").json()["checks"]["redis"] == "off"
        pair.redis.start()
        pair.wait_for("on")
        traffic.wait_for_writes(50)
    pair.back()
    assert pair.near.client.get("/ready").json()["checks"] == {"database": "ok", "redis": "ok"}


def test_redis_is_killed(pair: Pair, traffic: Traffic) -> None:
    epoch = pair.working()
    with traffic.flowing():
        traffic.wait_for_writes(50)
        pair.redis.kill()
        pair.wait_for("off")
        traffic.wait_for_writes(50)
        pair.redis.start()
        traffic.wait_for_writes(50)
    assert pair.back(epoch) > epoch


def test_redis_is_killed_and_back_empty_at_once(pair: Pair, traffic: Traffic) -> None:
    epoch = pair.working()
    with traffic.flowing():
        traffic.wait_for_writes(50)
        pair.redis.kill()
        pair.redis.start()
        traffic.wait_for_writes(50)
    assert pair.back(epoch) > epoch


def test_redis_comes_back_with_an_old_snapshot(pair: Pair, traffic: Traffic) -> None:
    epoch = pair.working()
    with traffic.flowing():
        traffic.wait_for_writes(50)
        for user in traffic.users:
            contents(pair.near.client, user)
        pair.redis.client.save()
        traffic.wait_for_writes(50)
        pair.redis.kill()
        pair.redis.start()
        assert pair.redis.client.keys(f"viewer:{{{epoch}:{traffic.users[0]}}}:*")  # the past is there to be read
        traffic.wait_for_writes(50)
    assert pair.back(epoch) > epoch


def test_redis_is_paused_and_goes_on(pair: Pair, traffic: Traffic) -> None:
    epoch = pair.working()
    with traffic.flowing():
        traffic.wait_for_writes(50)
        pair.redis.pause()
        try:
            pair.wait_for("off")
            traffic.wait_for_writes(50)
        finally:
            pair.redis.resume()
        traffic.wait_for_writes(50)
    assert pair.back(epoch) > epoch


def test_redis_is_full(pair: Pair, traffic: Traffic) -> None:
    epoch = pair.working()
    with traffic.flowing():
        traffic.wait_for_writes(50)
        pair.redis.client.config_set("maxmemory", 1)
        pair.wait_for("off")
        traffic.wait_for_writes(50)
        pair.redis.client.config_set("maxmemory", 0)
        traffic.wait_for_writes(50)
    assert pair.back(epoch) > epoch


def test_redis_evicts_what_it_likes(pair: Pair, traffic: Traffic) -> None:
    pair.working()
    client = pair.redis.client
    with traffic.flowing():
        traffic.wait_for_writes(50)
        client.config_set("maxmemory-policy", "allkeys-random")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 20_000)
        enough, deadline = traffic.writes + 100, time.monotonic() + SECONDS
        while traffic.writes < enough:
            with suppress(redis.exceptions.OutOfMemoryError):
                client.set(f"filler-{os.urandom(4).hex()}", b"x" * 2000)
            assert time.monotonic() < deadline
            assert not traffic.wrong, traffic.wrong
        assert int(client.info("stats")["evicted_keys"]) > 100
        client.config_set("maxmemory", 0)
    pair.back()


def test_redis_is_emptied_again_and_again(pair: Pair, traffic: Traffic) -> None:
    epoch = pair.working()
    with traffic.flowing():
        enough, deadline = traffic.writes + 150, time.monotonic() + SECONDS
        while traffic.writes < enough:
            pair.redis.client.flushall()
            assert time.monotonic() < deadline
            assert not traffic.wrong, traffic.wrong
            time.sleep(random.random() * 0.02)  # so that it falls anywhere between a write and a read
    assert pair.back() == epoch  # a map that is only empty needs no new epoch


def test_one_service_is_cut_off_from_redis_and_the_other_is_not(pair: Pair, traffic: Traffic) -> None:
    epoch = pair.working()
    with traffic.flowing():
        traffic.wait_for_writes(50)
        pair.proxy.cut()
        try:
            pair.wait_for("off")  # the first writer that is cut off sees to it
            traffic.wait_for_writes(20)
        finally:
            pair.proxy.mend()
        traffic.wait_for_writes(50)
    assert pair.back(epoch) > epoch


def test_a_write_through_the_service_that_is_cut_off_waits_until_the_other_one_knows(
    pair: Pair, learner: Learner
) -> None:
    pair.working()
    user = learner()
    request = {"userId": user, "contentId": "single-digit-addition", **PLACE}
    pair.near.result("/v1/view/start", request)
    for service in pair.both:
        assert contents(service.client, user)["single-digit-addition"] == (1, 0)
    pair.proxy.cut()
    try:
        began = time.monotonic()
        pair.far.result("/v1/view/end", request)
        assert time.monotonic() - began >= HANDOVER_SECONDS
        assert contents(pair.near.client, user)["single-digit-addition"] == (2, 100)
    finally:
        pair.proxy.mend()
    pair.back()


def test_a_service_that_is_killed_in_the_middle_of_its_writes_leaves_nothing_behind_that_is_wrong(
    pair: Pair, learner: Learner, tmp_path: Path
) -> None:
    """What it had written to the store and not acknowledged may be seen or not, but never be seen and gone again."""
    pair.working()
    third = servers.start(tmp_path, DATABASE_URL=pair.database, REDIS_URL=pair.redis.url, VIEWER_WORKER="off")
    users = [learner(f"writer-{number}") for number in range(4)]
    enough = threading.Event()

    def writer(user: str) -> None:
        with httpx.Client(base_url=third.url, timeout=10) as client:
            for number in range(10_000):
                request = {"userId": user, "contentId": f"content-{number}", **PLACE, "force": True}
                try:
                    client.post("/v1/view/end", json={"request": request})
                except httpx.TransportError:
                    return
                if number == 30:
                    enough.set()

    threads = [threading.Thread(target=writer, args=(user,)) for user in users]
    try:
        for user in users:
            contents(pair.near.client, user)
        for thread in threads:
            thread.start()
        assert enough.wait(SECONDS)
    finally:
        third.kill()
    for thread in threads:
        thread.join(SECONDS)
    with psycopg.connect(pair.database, autocommit=True) as connection:
        for user in users:
            done = {content for content, told in contents(pair.near.client, user).items() if told == (2, 100)}
            stored = connection.execute("SELECT contentid FROM user_content_consumption WHERE userid = %s", [user])
            assert done == {content for (content,) in stored}
