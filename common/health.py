"""Whether the process lives, and whether it could serve a learner right now."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django_redis import get_redis_connection  # type: ignore[import-untyped]
from redis.exceptions import RedisError

from common.envelope import plain_error
from common.errors import MethodNotAllowed

READS = frozenset({"GET", "HEAD"})
DEPENDENCIES: dict[str, Callable[[], str]] = {}
"""What else the service cannot work without -> how it is: "ok", or what is wrong. Apps add theirs when they start."""
logger = logging.getLogger("viewer.health")


@csrf_exempt
def health(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers; asks nothing of any store."""
    if request.method not in READS:
        return plain_error(MethodNotAllowed("Only GET is answered here"))
    return JsonResponse({"healthy": True})


@csrf_exempt
def ready(request: HttpRequest) -> HttpResponse:
    """200 when every dependency works and the schema is the code's; 503 names what does not."""
    if request.method not in READS:
        return plain_error(MethodNotAllowed("Only GET is answered here"))
    checks = {"database": _database(), **{name: state() for name, state in DEPENDENCIES.items()}}
    is_ready = all(state == "ok" for state in checks.values())
    if settings.REDIS_URL:
        checks["redis"] = _redis()  # told and no more: without Redis the store answers
    return JsonResponse({"ready": is_ready, "checks": checks}, status=200 if is_ready else 503)


def _redis() -> str:
    try:
        get_redis_connection("default").ping()
    except RedisError:
        return "off"
    return "ok"


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        logger.warning("database not ready", exc_info=True)
        return "unreachable"
    return "migrations pending" if pending else "ok"
