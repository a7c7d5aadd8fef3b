"""Whether the process lives, and whether it could serve a learner right now."""

import logging

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

logger = logging.getLogger("viewer.health")


def health(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers; asks nothing of any store."""
    return JsonResponse({"healthy": True})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when every dependency works and the schema is the code's; 503 names what does not."""
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
