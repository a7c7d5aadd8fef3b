"""The Cassandra entry of DATABASES: django-cassandra-engine's shape, with what its defaults would get wrong.

The engine connects when apps load unless told to be lazy; its driver waits long for a node that comes back; its
default consistency loses acknowledged writes. Each is set here, once (facts: docs/decisions/0012).
"""

from typing import Any

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory
from django.core.exceptions import ImproperlyConfigured

STORE_PROFILE = "viewer"  # the execution profile of the store's own statements


def database(  # noqa: PLR0913 - one for each setting
    *,
    hosts: list[str],
    port: int,
    keyspace: str,
    replication: str,
    consistency: str,
    local_dc: str,
    timeout_ms: int,
    login: tuple[str, str],
) -> dict[str, Any]:
    """The settings of the alias `cassandra`. Raises ImproperlyConfigured for a replication nobody understands."""
    user, password = login
    if "," in replication and not local_dc:
        raise ImproperlyConfigured(
            "VIEWER_CASSANDRA_REPLICATION names several data centres: say in VIEWER_CASSANDRA_LOCAL_DC which one this "
            "instance writes to. Conditional writes of two centres do not exclude each other."
        )
    return {
        "ENGINE": "django_cassandra_engine",
        "NAME": keyspace,
        "HOST": ",".join(hosts),
        "USER": user,
        "PASSWORD": password,
        "TEST": {"NAME": keyspace, "DEPENDENCIES": []},
        "OPTIONS": {
            "replication": replication_options(replication),
            "connection": {
                "port": port,
                "lazy_connect": True,
                "retry_connect": True,
                "connect_timeout": timeout_ms / 1000,
                "control_connection_timeout": timeout_ms / 1000,
                "reconnection_policy": ConstantReconnectionPolicy(1, max_attempts=None),
                "execution_profiles": _profiles(consistency, local_dc, timeout_ms / 1000),
            },
        },
    }


def replication_options(told: str) -> dict[str, Any]:
    """`3` for one data centre without a name; `east:3,west:3` for named ones."""
    try:
        if ":" not in told:
            return {"strategy_class": "SimpleStrategy", "replication_factor": _factor(told)}
        centres = (part.rsplit(":", 1) for part in told.split(","))
        return {
            "strategy_class": "NetworkTopologyStrategy",
            **{name.strip(): _factor(factor) for name, factor in centres},
        }
    except ValueError:
        raise ImproperlyConfigured(
            f"VIEWER_CASSANDRA_REPLICATION is {told!r}. Use a number of copies, or name:copies of each data centre."
        ) from None


def _factor(told: str) -> int:
    factor = int(told)
    if factor < 1:
        raise ValueError
    return factor


def _profiles(consistency: str, local_dc: str, timeout: float) -> dict[str, ExecutionProfile]:
    """One profile for the engine's statements and one for the store's: they differ in the shape of rows only."""

    def profile(**options: Any) -> ExecutionProfile:
        return ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc)),
            retry_policy=RetryPolicy(),
            consistency_level=getattr(ConsistencyLevel, consistency.upper()),
            serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
            request_timeout=timeout,
            **options,
        )

    return {EXEC_PROFILE_DEFAULT: profile(), STORE_PROFILE: profile(row_factory=tuple_factory)}
