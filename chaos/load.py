"""Learners at their devices: every write is repeated until it is answered, every answer is remembered and checked."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from chaos.course import BATCH, COURSE, LEAVES, Call, Device, now_ms, opened
from chaos.ledger import Json, Ledger

TIMEOUT_SECONDS = 12  # longer than any pause
GIVE_UP_SECONDS = 45  # the service tells a repeated call by its msgid for a minute
MAX_PATIENCE_SECONDS = 2.0
READS_PER_WRITE = 0.35
PAIRS = 5
JOIN_SECONDS = 90
ENROLLED_ALREADY = "USER_ALREADY_ENROLLED_COURSE"


@dataclass
class Counts:
    """What was sent, and how it was answered. failed: by HTTP code, or by the name of what broke the connection."""

    sent: int = 0
    acknowledged: int = 0
    retried: int = 0
    given_up: int = 0
    reads: int = 0
    unread: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str) -> None:
        """One more of these."""
        with self.lock:
            setattr(self, name, getattr(self, name) + 1)

    def fail(self, code: str) -> None:
        """One more failure of this code."""
        with self.lock:
            self.failed[code] += 1


class Api:
    """The web processes as one thread uses them, with keep-alive: any one, but not the one that just broke off."""

    def __init__(self, urls: Sequence[str], rng: random.Random, counts: Counts) -> None:
        self._clients = [httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) for url in urls]
        self._rng, self._counts = rng, counts
        self._broken: int | None = None

    def post(self, path: str, request: Json, msgid: str = "", web: int | None = None) -> httpx.Response | None:
        """The answer; None where the connection broke. web: which process, any where None."""
        chosen = self._rng.choice([number for number in range(len(self._clients)) if number != self._broken])
        used = chosen if web is None else web
        body = {"params": {"msgid": msgid} if msgid else {}, "request": request}
        try:
            answer = self._clients[used].post(path, json=body)
        except httpx.TransportError as error:
            self._broken = used
            self._counts.fail(type(error).__name__)
            return None
        self._broken = None
        if answer.status_code != 200:
            self._counts.fail(str(answer.status_code))
        return answer

    def close(self) -> None:
        """Ends the connections."""
        for client in self._clients:
            client.close()


class Reader:
    """Reads that are checked at once."""

    def __init__(self, api: Api, ledger: Ledger, counts: Counts) -> None:
        self._api, self._ledger, self._counts = api, ledger, counts

    def contents(self, user: str, content: str | None, web: int | None = None) -> Json | None:
        """Checks view/read of one content or of the whole context; {content: item}, None where it was not answered."""
        request = _place(user) | ({"contentId": content} if content else {})
        before = self._ledger.snapshot(user)
        result = self._read("/v1/view/read", request, web)
        if result is None:
            return None
        self._ledger.check(user, before, result["contents"])
        return {item["contentId"]: item for item in result["contents"]}

    def attempts(self, user: str, web: int | None = None) -> bool:
        """Checks assessment/read of the whole context; False where it was not answered."""
        before = self._ledger.snapshot(user)
        result = self._read("/v1/assessment/read", _place(user) | {"limit": 1000}, web)
        if result is not None:
            self._ledger.check_attempts(user, before, result)
        return result is not None

    def summary(self, user: str, web: int | None = None) -> Json | None:
        """Checks that summary/read shows at least what was acknowledged; the record, None where it was not answered."""
        before = self._ledger.snapshot(user)
        promised = any(bounds.status for bounds in before.values())
        record = self._read("/v1/summary/read", _place(user) | {"type": "all"}, web, may_miss=not promised)
        if record is None:
            return None
        for content, bounds in before.items():
            shown = record["contentStatus"].get(content, 0)
            if shown < bounds.status:
                self._ledger.broken(user, content, f"summary shows status {shown}, promised {bounds.status}")
        return record

    def any(self, user: str, content: str, rng: random.Random) -> None:
        """One of these reads."""
        kind = rng.random()
        if kind < 0.5:
            self.contents(user, content)
        elif kind < 0.7:
            self.contents(user, None)
        elif kind < 0.9:
            self.summary(user)
        else:
            self.attempts(user)

    def _read(self, path: str, request: Json, web: int | None, *, may_miss: bool = False) -> Json | None:
        answer = self._api.post(path, request, web=web)
        if answer is not None and answer.status_code == 200:
            self._counts.add("reads")
            result: Json = answer.json()["result"]
            return result
        self._counts.add("unread")
        if answer is not None and answer.status_code not in ({503, 404} if may_miss else {503}):
            self._ledger.broken(str(request["userId"]), "", f"{path}: {answer.status_code} {answer.text[:300]}")
        return None


class Client:
    """One thread: the devices of one learner after the other, until told to stop."""

    def __init__(self, urls: Sequence[str], ledger: Ledger, counts: Counts, rng: random.Random) -> None:
        self.rng = rng
        self._api = Api(urls, rng, counts)
        self._reader = Reader(self._api, ledger, counts)
        self._ledger, self._counts = ledger, counts

    def use(self, device: Device, pause: Callable[[], bool]) -> None:
        """Plays all plans of a device. pause: waits as long as a person would; True when there is no time left."""
        for plan in device.plans():
            for call in plan:
                if pause():
                    return
                if not self.perform(call):
                    break
                if self.rng.random() < READS_PER_WRITE:
                    contents = [told.content for told in call.promises] or list(LEAVES)
                    self._reader.any(device.user, self.rng.choice(contents), self.rng)

    def close(self) -> None:
        """Ends the connections."""
        self._api.close()

    def perform(self, call: Call) -> bool:
        """Sends a write until it is acknowledged; False when it was given up or refused."""
        self._ledger.sent(call.id, call.user, call.promises, now_ms())
        deadline = time.monotonic() + GIVE_UP_SECONDS
        patience = 0.1
        while True:
            self._counts.add("sent")
            answer = self._api.post(call.path, call.request, msgid=call.id)
            if answer is not None and answer.status_code != 503:
                return self._settled(call, answer)
            if time.monotonic() > deadline - TIMEOUT_SECONDS:
                self._counts.add("given_up")
                return False
            self._counts.add("retried")
            threading.Event().wait(self.rng.uniform(0.02, patience))  # as a client does before it tries again
            patience = min(2 * patience, MAX_PATIENCE_SECONDS)

    def _settled(self, call: Call, answer: httpx.Response) -> bool:
        """Notes what a final answer promises; False for one that refuses, which no call here deserves."""
        known = call.enrols and answer.status_code == 400 and answer.json()["params"]["err"] == ENROLLED_ALREADY
        if answer.status_code != 200 and not known:
            content = call.promises[0].content if call.promises else ""
            self._ledger.broken(call.user, content, f"{call.path}: {answer.status_code} {answer.text[:300]}")
            return False
        for entry in answer.json()["result"].get("results", ()):
            if entry["status"] == "rejected":
                self._ledger.broken(call.user, "", f"sync rejected {entry}")
                return False
        self._ledger.acknowledged(call.id, call.user, call.promises, now_ms())
        if call.enrols:
            self._ledger.enrol(call.user)
        self._counts.add("acknowledged")
        return True


class Load:
    """Pairs of clients, one for each of a learner's two devices: both take the same learners at about the same time."""

    def __init__(self, urls: Sequence[str], seed: str, think_seconds: float) -> None:
        self.ledger, self.counts = Ledger(), Counts()
        self._urls, self._seed, self._think = urls, seed, think_seconds
        self._stop = threading.Event()
        self.failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(pair, half), name=f"device-{pair}-{half}")
            for pair in range(PAIRS)
            for half in range(2)
        ]

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Ends after what is in hand; every content that was left in the middle is opened once more."""
        self._stop.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.failures.append(RuntimeError(f"{thread.name} hangs"))
        client = self._client("end")
        for user, content in self.ledger.unfolded():
            client.perform(opened(user, content))
        client.close()

    def _client(self, name: str) -> Client:
        return Client(self._urls, self.ledger, self.counts, random.Random(f"{self._seed}-{name}"))

    def _run(self, pair: int, half: int) -> None:
        client = self._client(f"{pair}-{half}")
        try:
            number = pair
            while not self._stop.is_set():
                device = Device(f"learner-{number}", client.rng, enrols=half == 0)
                client.use(device, lambda: self._stop.wait(client.rng.uniform(0, 2 * self._think)))
                number += PAIRS
        except Exception as error:  # noqa: BLE001 - told by the main thread, which fails the run
            self.failures.append(error)
        finally:
            client.close()


def _place(user: str) -> Json:
    return {"userId": user, "collectionId": COURSE, "contextId": BATCH}
