"""A real Chromium, and a service of its own to look at."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests import servers

QUIET = [
    "--no-sandbox",  # Chromium refuses to run as root with one
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
]


class Watched:
    """A page of one service that remembers what went wrong and what it asked for."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.statuses: dict[str, int] = {}
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._requested)
        page.on("response", lambda response: self.statuses.update({response.url: response.status}))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def _requested(self, request: Request) -> None:
        if not re.match("data:|blob:", request.url):
            self.asked.append(request.url)

    def goto(self, path: str) -> None:
        answer = self.page.goto(self.url + path)
        assert answer
        assert answer.status == 200

    def clean(self) -> None:
        """Nothing failed in the page, and nothing was asked of anybody but the service."""
        assert self.errors == []
        assert [url for url in self.asked if not url.startswith(f"{self.url}/")] == []
        assert {url: status for url, status in self.statuses.items() if status >= 400} == {}

    def background(self, selector: str) -> str:
        """The computed background colour of an element, such as rgb(65, 118, 144)."""
        script = "element => getComputedStyle(element).backgroundColor"
        return str(self.page.locator(selector).first.evaluate(script))


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """The embedded default with its sample catalogue; its switches are these tests' to flip."""
    with servers.running(tmp_path_factory.mktemp("browser"), VIEWER_WORKER="off") as running:
        yield running


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser nobody has used before."""
    made = chromium.new_context(viewport={"width": 1200, "height": 800})
    made.set_default_timeout(15_000)
    yield made
    made.close()


@pytest.fixture
def watched(context: BrowserContext, server: servers.Server) -> Watched:
    return Watched(context.new_page(), server.url)


@pytest.fixture
def shot(tmp_path: Path, watched: Watched):
    """shot("docs") takes a picture of the page; VIEWER_TEST_PICTURES names a folder to keep them in."""

    def take(name: str) -> None:
        folder = Path(os.environ.get("VIEWER_TEST_PICTURES", str(tmp_path)))
        path = folder / f"{name}.png"
        watched.page.screenshot(path=path)
        assert path.stat().st_size > 5_000  # an empty page is smaller

    return take
