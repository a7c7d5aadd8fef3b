"""What tests share: real servers on each tier, a store on each database, and learners nobody has used before."""

import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test.utils import setup_databases, teardown_databases

from tests import servers
from viewer.store.cassandra import CassandraStore, session
from viewer.store.orm import OrmStore
from viewer.store.port import Store

TIERS = ("sqlite", "postgres", "cluster")
STORES = ("sqlite", "postgres", "cassandra")
_numbers = itertools.count()


@pytest.fixture
def learner() -> Callable[..., str]:
    """learner("rahul") -> a user id that no other test has: tests are kept apart by ids, not by emptied tables."""
    own = uuid.uuid4().hex[:8]

    def fresh(name: str = "rahul") -> str:
        return f"{name}-{own}-{next(_numbers)}"

    return fresh


@pytest.fixture(scope="session", params=TIERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A running service on each tier, with the sample catalogue, authentication off."""
    folder = tmp_path_factory.mktemp(f"server-{request.param}")
    with servers.own_tier(request.param, "viewer_api") as settings, servers.running(folder, **settings) as running:
        if settings:
            servers.load_sample(running)
        yield running


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any) -> Iterator[None]:
    """Both databases, migrated; pytest-django would make only those its own marks name."""
    with django_db_blocker.unblock():
        aliases = dict.fromkeys(("default", "reports", "postgres"))
        made = setup_databases(verbosity=0, interactive=False, aliases=aliases)
        yield
        connections.close_all()
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def _databases(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Both databases open to every thread of the tests' process, without a transaction around."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="session")
def _cassandra() -> Iterator[None]:
    """A keyspace of the tests' own, with its tables."""
    with open(os.devnull, "w") as nowhere:
        call_command("sync_cassandra", stdout=nowhere)
    yield
    session.session().execute(f"DROP KEYSPACE {settings.CASSANDRA_KEYSPACE}", timeout=60)


@pytest.fixture(params=("sqlite", "postgres"))
def sql_store(request: pytest.FixtureRequest, _databases: None) -> OrmStore:
    """The SQL store on each database, in the tests' own process: for what a test asks the database itself."""
    return OrmStore(using={"sqlite": "default", "postgres": "postgres"}[request.param])


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, _databases: None) -> Store:
    """The store on each database, in the tests' own process."""
    if request.param == "cassandra":
        request.getfixturevalue("_cassandra")
        return CassandraStore()
    return OrmStore(using={"sqlite": "default", "postgres": "postgres"}[request.param])
