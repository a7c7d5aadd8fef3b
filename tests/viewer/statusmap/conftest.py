"""A Redis with the map on, and a learner's content in class-1-maths."""

from collections.abc import Callable, Iterator

import pytest

from common.rows import RowKey
from tests.redis_server import RedisServer, heal, on_redis
from tests.viewer.statusmap.mapped import COLLECTION, CONTEXT

Learner = Callable[..., str]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(redis_server: RedisServer, _databases: None) -> Iterator[RedisServer]:
    """A Redis whose map is on, for this test's learners."""
    with on_redis(redis_server.url):
        heal()
        yield redis_server


@pytest.fixture
def key(learner: Learner) -> RowKey:
    return RowKey(learner(), COLLECTION, CONTEXT, "single-digit-addition")
