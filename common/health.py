"""Whether the process lives, and whether it could serve a learner right now."""

import logging

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from common.envelope import plain_error
from common.errors import MethodNotAllowed

READS = frozenset({"GET", "HEAD"})
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
    checks = {"database": _database()}
    is_ready = all(state == "ok" for state in checks.values())
    return JsonResponse({"ready": is_ready, "checks": checks}, status=200 if is_ready else 503)


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        logger.warning("database not ready", exc_info=True)
        return "unreachable"
    return "migrations pending" if pending else "ok"
