"""Sunbird's content, batch and user services on a real port, which answer badly when told to, and count their calls."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COLLECTION = "application/vnd.ekstep.content-collection"
OK = {"status": "successful", "err": None, "errmsg": None}
UNKNOWN = {"status": "failed", "err": "RESOURCE_NOT_FOUND", "errmsg": "There is no such thing"}
HUGE = 200_000
"""The bytes of a huge answer; a client under test is given a smaller bound."""


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Waits until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)  # between two polls of a condition that has a deadline


class Neighbours:
    """What the three services hold, what each was asked, and how each behaves.

    behaviour: "" for well, a status, or the name of a method of _Handler; once: of the next calls instead. gate: calls
    wait for it.
    asked: of each service the ids of each call, in order.
    """

    def __init__(self) -> None:
        self.trees: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        self.behaviour = {"content": "", "batch": "", "user": ""}
        self.once: list[str] = []
        self.asked: dict[str, list[list[str]]] = {"content": [], "batch": [], "user": []}
        self.headers: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"held": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, service: str) -> str:
        """The base address of "content", "batch" or "user"."""
        return f"http://127.0.0.1:{self._server.server_port}/{service}"

    def behave(self, how: str) -> None:
        """All three behave like this from now on."""
        self.behaviour = dict.fromkeys(self.behaviour, how)

    def calls(self) -> int:
        """How many calls there were."""
        return sum(map(len, self.asked.values()))

    def close(self) -> None:
        """Nobody listens any more, and connections that were kept are of no use."""
        self.ended.set()
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, service: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the result of a call; notes it."""
        request = body.get("request", {})
        filters = request.get("filters", {})
        wanted = filters.get("userId") or filters.get("courseId") or [unquote(path.rsplit("/", 1)[1])]
        self.asked[service].append(wanted)
        if service == "user":
            assert path == "/private/user/v1/search"
            assert len(wanted) <= request["limit"]
            return 200, {"response": _listed([self.users[one] for one in wanted if one in self.users])}
        if path == "/v1/course/batch/list":
            batches = [one for one in self.batches.values() if one.get("courseId") in wanted]
            page = batches[request["offset"] : request["offset"] + request["limit"]]
            return 200, {"response": {**_listed(page), "count": len(batches)}}
        if path.startswith("/v1/course/batch/read/"):
            found = self.batches.get(wanted[0])
            return (200, {"response": found}) if found else (404, {})
        assert path.startswith("/content/v3/hierarchy/")
        tree = self.trees.get(wanted[0])
        return (200, {"content": tree}) if tree else (404, {})


def _listed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(entries), "content": entries}


class _Handler(BaseHTTPRequestHandler):
    """One connection. What each behaviour does is below, by its name."""

    held: Neighbours
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._call({})

    def do_POST(self) -> None:
        self._call(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, *args: object) -> None:
        """Nothing: the tests ask `asked`."""

    def _call(self, body: dict[str, Any]) -> None:
        _, service, rest = self.path.split("/", 2)
        if self.held.ended.is_set():
            self.close_connection = True
            return
        self.held.headers.append(dict(self.headers))
        status, result = self.held.answer(service, f"/{rest}", body)
        self.held.gate.wait(30)
        how = self.held.once.pop() if self.held.once else self.held.behaviour[service]
        if how.isdigit():
            status, how = int(how), ""
        params = UNKNOWN if status >= 400 else OK
        content = json.dumps({"id": "api", "params": params, "responseCode": "OK", "result": result}).encode()
        getattr(self, f"_{how}" if how else "_send")(status, content)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _slow(self, status: int, content: bytes) -> None:
        """Says nothing for longer than anyone waits."""
        self.held.ended.wait(20)
        self.close_connection = True

    def _drip(self, status: int, content: bytes) -> None:
        """A byte now and then: each in time, the answer never."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            for byte in content:
                self.wfile.write(bytes([byte]))
                if self.held.ended.wait(0.05):
                    break
        except OSError:
            pass
        self.close_connection = True

    def _drop(self, status: int, content: bytes) -> None:
        """Ends the connection without a word."""
        self.close_connection = True

    def _truncated(self, status: int, content: bytes) -> None:
        """Ends the connection in the middle of its answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True

    def _page(self, status: int, content: bytes) -> None:
        """A page for people."""
        self._send(200, b"<html>Welcome</html>")

    def _lost(self, status: int, content: bytes) -> None:
        """What a gateway says that has lost the route to the service."""
        self._send(404, b'{"message": "no Route matched with those values"}')

    def _moved(self, status: int, content: bytes) -> None:
        """Elsewhere."""
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _types(self, status: int, content: bytes) -> None:
        """JSON, but a number where each object must be."""
        self._send(200, b'{"result": {"content": 7, "response": 7}}')

    def _list(self, status: int, content: bytes) -> None:
        """JSON, but no object at all."""
        self._send(200, b"[]")

    def _nan(self, status: int, content: bytes) -> None:
        """Nearly JSON."""
        self._send(200, b'{"result": NaN}')

    def _deep(self, status: int, content: bytes) -> None:
        """Nested more than anyone reads."""
        self._send(200, b"[" * 90_000 + b"]" * 90_000)

    def _huge(self, status: int, content: bytes) -> None:
        """More than anyone reads."""
        self._send(200, b'{"result": "' + b"x" * HUGE + b'"}')


FAILURES = (
    *("500", "502", "503", "429", "401", "403", "302", "slow", "drip", "drop", "truncated", "page", "lost"),
    *("moved", "types", "list", "nan", "deep", "huge", "closed"),
)
"""Every way in which a service may let one down; "closed" is a port nobody listens on."""


def tree(collection_id: str, *leaves: str, **more: Any) -> dict[str, Any]:
    """A course as the content service publishes it."""
    children = [{"identifier": leaf, "mimeType": "video/mp4", "name": leaf} for leaf in leaves]
    told = {"name": f"Course {collection_id}", "mimeType": COLLECTION, "contentType": "Course", "status": "Live"}
    return {"identifier": collection_id, **told, "leafNodesCount": len(leaves), "children": children, **more}


def batch(batch_id: str, collection_id: str, **more: Any) -> dict[str, Any]:
    """A batch as the batch service tells it, going on for years."""
    return {
        "identifier": batch_id,
        "batchId": batch_id,
        "courseId": collection_id,
        "collectionId": collection_id,
        "name": "First",
        "status": 1,
        "enrollmentType": "open",
        "startDate": "2026-01-05",
        "endDate": "2035-12-31",
        "enrollmentEndDate": None,
        "createdFor": ["org-1"],
        "mentors": [],
        "createdBy": "alice",
        "cert_templates": {"template_01": {"name": "Merit"}},
        **more,
    }


def user(user_id: str, **more: Any) -> dict[str, Any]:
    """A learner as the user service's search tells him."""
    return {
        "id": user_id,
        "userId": user_id,
        "identifier": user_id,
        "firstName": "Rahul",
        "lastName": "Verma",
        "email": "ra****@example.org",
        "phone": "******0001",
        "rootOrgId": "org-1",
        "rootOrgName": "State School Board",
        "organisations": [{"organisationId": "org-1", "orgName": "State School Board", "roles": ["PUBLIC"]}],
        "profileUserType": {"type": "student", "subType": None},
        "userLocations": [
            {"type": "state", "name": "Karnataka", "code": "29", "id": "1"},
            {"type": "district", "name": "Kolar", "code": "2919", "id": "2"},
            {"type": "block", "name": "Mulbagal", "code": "291905", "id": "3"},
            {"type": "cluster", "name": "Avani", "code": "2919050009", "id": "4"},
            {"type": "school", "name": "GLPS Avani", "code": "29190500901", "id": "5"},
        ],
        "framework": {"id": ["k-12"], "board": ["CBSE"], "medium": ["English"]},
        **more,
    }


@contextmanager
def neighbours() -> Iterator[Neighbours]:
    """The three services for the length of a block."""
    running = Neighbours()
    try:
        yield running
    finally:
        if not running.ended.is_set():
            running.close()
