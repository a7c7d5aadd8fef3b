"""The floors: bare Django and DRF views on the service's own server program, which do one durable write each.

    granian --interface wsgi bench.floors:application        # FLOOR_DATABASE, FLOOR_REDIS

No middleware, no authentication, no checks, no marks, no log: what is left is what any Django service pays. The writes
are as durable as the service's, the bodies and answers are the same. FLOOR_DATABASE: sqlite:///FILE, a postgres:// URL
or cassandra://HOST:PORT/KEYSPACE. FLOOR_REDIS: a redis:// URL; without it no map is kept and reads ask the database.
"""

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import django
import redis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY="a floor keeps nothing secret",  # noqa: S106 - it signs nothing
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    INSTALLED_APPS=["rest_framework"],
    USE_TZ=True,
    LOGGING_CONFIG=None,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()

from rest_framework import serializers  # noqa: E402 - needs the settings
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

KEY = "userid, collectionid, contextid, contentid"
COLUMNS = f"{KEY}, status, progressdetails, timespent, last_access_time"
TABLE = f"""CREATE TABLE IF NOT EXISTS floor (
    userid {{text}}, collectionid {{text}}, contextid {{text}}, contentid {{text}},
    status int, progressdetails {{json}}, timespent {{real}}, last_access_time {{text}}, PRIMARY KEY ({KEY}))"""
UPSERT = f"""INSERT INTO floor ({COLUMNS}) VALUES ({{holders}}) ON CONFLICT ({KEY}) DO UPDATE SET
    progressdetails = excluded.progressdetails, timespent = floor.timespent + excluded.timespent,
    last_access_time = excluded.last_access_time"""  # noqa: S608 - our own names; values are bound
SELECT = """SELECT contentid, status, progressdetails, timespent, last_access_time FROM floor
    WHERE userid = {one} AND collectionid = {one} AND contextid = {one}"""
Row = tuple[str, str, str, str, int, str, float, str]


class Rows(Protocol):
    """One table of views."""

    def write(self, row: Row) -> None:
        """Upserts a row; durable when it returns."""

    def write_many(self, rows: Sequence[Row]) -> None:
        """Upserts rows in one transaction; durable when it returns."""

    def read(self, context: tuple[str, str, str]) -> list[dict[str, Any]]:
        """Every content of one learner in one course and batch."""


class SqliteRows:
    """SQLite as the service uses it: WAL, synchronous=FULL, one connection a thread, one writer at a time."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._own = threading.local()
        self._turn = threading.Lock()
        self._upsert = UPSERT.format(holders=", ".join("?" * 8))
        self._select = SELECT.format(one="?")
        self._connection().execute(TABLE.format(text="text", json="text", real="real"))

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._own, "connection"):
            connection = sqlite3.connect(self._file, timeout=20, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._own.connection = connection
        found: sqlite3.Connection = self._own.connection
        return found

    def write(self, row: Row) -> None:
        """See Rows."""
        with self._turn:
            self._connection().execute(self._upsert, row)

    def write_many(self, rows: Sequence[Row]) -> None:
        """See Rows."""
        connection = self._connection()
        with self._turn:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(self._upsert, rows)
            connection.execute("COMMIT")

    def read(self, context: tuple[str, str, str]) -> list[dict[str, Any]]:
        """See Rows."""
        found = self._connection().execute(self._select, context)
        return [_item(content, status, json.loads(details), *rest) for content, status, details, *rest in found]


class PostgresRows:
    """PostgreSQL through psycopg's own pool; each statement is its transaction."""

    def __init__(self, url: str) -> None:
        from psycopg_pool import ConnectionPool  # noqa: PLC0415 - only this tier has it

        threads = int(os.environ.get("FLOOR_THREADS", "8"))
        self._pool = ConnectionPool(url, min_size=2, max_size=threads + 2, kwargs={"autocommit": True}, open=True)
        self._upsert = UPSERT.format(holders="%s, %s, %s, %s, %s, %s::jsonb, %s, %s")
        self._select = SELECT.format(one="%s")
        with self._pool.connection() as connection:
            connection.execute("SELECT pg_advisory_lock(1)")  # two processes start at once
            connection.execute(TABLE.format(text="text", json="jsonb", real="double precision"))
            connection.execute("SELECT pg_advisory_unlock(1)")

    def write(self, row: Row) -> None:
        """See Rows."""
        with self._pool.connection() as connection:
            connection.execute(self._upsert, row)

    def write_many(self, rows: Sequence[Row]) -> None:
        """See Rows."""
        with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(self._upsert, rows)

    def read(self, context: tuple[str, str, str]) -> list[dict[str, Any]]:
        """See Rows."""
        with self._pool.connection() as connection:
            return [_item(*found) for found in connection.execute(self._select, context).fetchall()]


class CassandraRows:
    """Cassandra by prepared statements; a write is one lightweight transaction, as no lost update needs."""

    def __init__(self, url: str) -> None:
        from cassandra.cluster import Cluster  # noqa: PLC0415 - only this tier has it

        place = urlsplit(url)
        self._session = Cluster([place.hostname], port=place.port).connect()
        table = f"{place.path.strip('/')}.floor"
        self._session.execute(TABLE.replace("floor", table, 1).format(text="text", json="text", real="double"))
        where = "userid = ? AND collectionid = ? AND contextid = ?"
        change = f"UPDATE {table} SET status = ?, progressdetails = ?, timespent = ?, last_access_time = ?"  # noqa: S608
        self._upsert = self._session.prepare(f"{change} WHERE {where} AND contentid = ? IF status != 9")
        self._plain = self._session.prepare(f"{change} WHERE {where} AND contentid = ?")
        columns = "contentid, status, progressdetails, timespent, last_access_time"
        self._select = self._session.prepare(f"SELECT {columns} FROM {table} WHERE {where}")  # noqa: S608

    def write(self, row: Row) -> None:
        """See Rows."""
        self._session.execute(self._upsert, (*row[4:], *row[:4]))

    def write_many(self, rows: Sequence[Row]) -> None:
        """One unlogged batch; Rows' promise holds for one partition."""
        from cassandra.query import BatchStatement, BatchType  # noqa: PLC0415 - only this tier has it

        batch = BatchStatement(BatchType.UNLOGGED)
        for row in rows:
            batch.add(self._plain, (*row[4:], *row[:4]))
        self._session.execute(batch)

    def read(self, context: tuple[str, str, str]) -> list[dict[str, Any]]:
        """See Rows."""
        found = self._session.execute(self._select, context)
        return [_item(row[0], row[1], json.loads(row[2]), *row[3:]) for row in found]


@cache
def database() -> Rows:
    """The tier's database, opened by the first request of each process."""
    url = os.environ["FLOOR_DATABASE"]
    kinds: dict[str, Callable[[str], Rows]] = {"postgres": PostgresRows, "cassandra": CassandraRows}
    kind = kinds.get(urlsplit(url).scheme)
    return kind(url) if kind else SqliteRows(url.removeprefix("sqlite:///"))


@cache
def status_map() -> "redis.Redis | None":
    """The tier's Redis; None where it has none."""
    url = os.environ.get("FLOOR_REDIS")
    return redis.Redis.from_url(url) if url else None


# --- what each view does -----------------------------------------------------------------------------------------


def row_of(given: dict[str, Any]) -> Row:
    """A row with its own time: a write that changes nothing would cost nothing."""
    return (
        given["userId"],
        given["collectionId"],
        given["contextId"],
        given["contentId"],
        1,
        json.dumps(given.get("progressDetails") or {}),
        float(given.get("timespent") or 0),
        datetime.now(UTC).isoformat(),
    )


def _item(content: str, status: int, details: Any, timespent: float, accessed: str) -> dict[str, Any]:
    """One content as view/read answers it."""
    return {
        "identifier": content,
        "contentId": content,
        "collectionId": None,
        "contextId": None,
        "status": status,
        "progress": 100,
        "score": None,
        "max_score": None,
        "progressDetails": details,
        "lastAccessTime": accessed,
        "lastCompletedTime": accessed,
        "viewCount": 1,
        "timespent": timespent,
        "origin": None,
    }


def _map_key(user: str, collection: str, context: str) -> str:
    return f"{{{user}}}:{collection}:{context}"


def record(given: dict[str, Any]) -> None:
    """One durable write, and the content's field in the learner's map."""
    row = row_of(given)
    database().write(row)
    if kept := status_map():
        kept.hset(_map_key(*row[:3]), row[3], json.dumps(_item(*row[3:5], json.loads(row[5]), *row[6:])))


def record_many(user: str, events: list[dict[str, Any]]) -> None:
    """One durable transaction of upserts, and one HSET of all of them."""
    rows = [row_of({"userId": user, **event}) for event in events]
    database().write_many(rows)
    if kept := status_map():
        items: Any = {row[3]: json.dumps(_item(*row[3:5], json.loads(row[5]), *row[6:])) for row in rows}
        kept.hset(_map_key(*rows[0][:3]), mapping=items)


def answer(api_id: str, result: dict[str, Any]) -> dict[str, Any]:
    """The envelope."""
    return {
        "id": api_id,
        "ver": "v1",
        "ts": datetime.now(UTC).isoformat(),
        "params": {"resmsgid": None, "msgid": str(uuid.uuid4()), "err": None, "status": "success", "errmsg": None},
        "responseCode": "OK",
        "result": result,
    }


def plain_write(request: HttpRequest) -> HttpResponse:
    """Django alone."""
    given = json.loads(request.body)["request"]
    record(given)
    return JsonResponse(answer("floor.write", {given["contentId"]: "SUCCESS"}))


class Inner(serializers.Serializer[dict[str, Any]]):
    """A view's fields."""

    userId = serializers.CharField(max_length=256)  # noqa: N815 - the wire's name
    collectionId = serializers.CharField(max_length=256, required=False)  # noqa: N815
    contextId = serializers.CharField(max_length=256, required=False)  # noqa: N815
    contentId = serializers.CharField(max_length=256)  # noqa: N815
    progressDetails = serializers.DictField(required=False)  # noqa: N815
    timespent = serializers.FloatField(min_value=0, required=False)


class Outer(serializers.Serializer[dict[str, Any]]):
    """The body."""

    request = Inner()


class DrfWrite(APIView):
    """DRF with a serializer."""

    def post(self, request: Request) -> Response:
        """The same write."""
        serializer = Outer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data["request"]
        record(given)
        return Response(answer("floor.write", {given["contentId"]: "SUCCESS"}))


def sync(request: HttpRequest) -> HttpResponse:
    """Many rows of one learner."""
    given = json.loads(request.body)["request"]
    record_many(given["userId"], given["events"])
    results = [{"id": event["id"], "status": "applied"} for event in given["events"]]
    return JsonResponse(answer("floor.sync", {"results": results}))


def read(request: HttpRequest) -> HttpResponse:
    """The whole map of one learner in one course: HGETALL, or its rows where there is no Redis."""
    given = json.loads(request.body)["request"]
    context = given["userId"], given["collectionId"], given["contextId"]
    kept = status_map()
    if kept is None:
        items = database().read(context)
    else:
        fields: Any = kept.hgetall(_map_key(*context))
        items = [json.loads(value) for value in fields.values()]
    return JsonResponse(answer("floor.read", {"userId": given["userId"], "contents": items}))


urlpatterns = [
    path("plain", plain_write),
    path("drf", DrfWrite.as_view()),
    path("sync", sync),
    path("read", read),
]
application = get_wsgi_application()
