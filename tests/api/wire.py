"""What the API tests say over and over: the calls' paths, an error's envelope, one content of a read."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.servers import Server

START, UPDATE, END, READ, SYNC = (f"/v1/view/{name}" for name in ("start", "update", "end", "read", "sync"))
CALLS = (START, UPDATE, END, READ, SYNC)
MATHS, BATCH = "class-1-maths", "batch-1"
SINGLE, DOUBLE, TRIPLE = (f"{size}-digit-addition" for size in ("single", "double", "triple"))
DAY_MS = 86_400_000


def gateway(path: str) -> str:
    """/v1/view/start -> /api/view/v1/start."""
    return path.replace("/v1/view/", "/api/view/v1/")


def place(user: str, content: str = SINGLE, /, **more: Any) -> dict[str, Any]:
    """A view of `content` in class-1-maths as part of batch-1."""
    return {"userId": user, "collectionId": MATHS, "contextId": BATCH, "contentId": content, **more}


def refusal(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The envelope of an answer that must refuse with `status` and `code`."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["params"]["err"] == code, body
    assert body["params"]["status"] == "failed"
    assert isinstance(body["params"]["errmsg"], str)
    assert body["params"]["errmsg"]
    assert "Traceback" not in answer.text
    return body


def contents(server: Server, request: dict[str, Any], **kwargs: Any) -> list[dict[str, Any]]:
    """The `contents` of a read that must succeed."""
    found: Any = server.result(READ, request, **kwargs)["contents"]
    assert isinstance(found, list)
    return found


def view(server: Server, request: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """The one content a read of this place answers; fields a read does not know may be in `request`."""
    (item,) = contents(server, request, **kwargs)
    return item


def sync(server: Server, user: str, events: list[dict[str, Any]], **kwargs: Any) -> list[dict[str, Any]]:
    """The results of a sync that must be taken."""
    found: Any = server.result(SYNC, {"userId": user, "events": events}, **kwargs)["results"]
    assert len(found) == len(events)
    return list(found)


def now_ms() -> int:
    """The time, as the wire tells it."""
    return time.time_ns() // 1_000_000


_SUITE_BEGAN = datetime.now(UTC).replace(microsecond=0)


def ago(**delta: float) -> int:
    """Epoch ms of so long before the suite began: ago(hours=2) is one and the same time in a whole run."""
    return int((_SUITE_BEGAN - timedelta(**delta)).timestamp()) * 1000
