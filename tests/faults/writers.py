"""Threads that write until the service dies under them."""

import threading
from collections.abc import Callable

import httpx


class Writers:
    """Calls `work` in threads of their own, each with a client, until the service no longer answers.

    enough: set by `work` once enough was acknowledged for a kill to be worth it.
    """

    def __init__(self, url: str, works: list[Callable[[httpx.Client], None]]) -> None:
        self._url = url
        self.enough = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in works]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)

    def _run(self, work: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            try:
                while True:
                    work(client)
            except httpx.TransportError:
                return
