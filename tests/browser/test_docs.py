"""/docs in a real browser: every call is there, opens, and nothing comes from anywhere else."""

import json

from tests.browser.conftest import Watched
from tests.servers import Server

CALLS = ["/v1/view/start", "/v1/view/update", "/v1/view/end", "/v1/view/read", "/v1/view/sync"]


def test_the_calls_are_listed_and_one_opens(watched: Watched, server: Server, shot) -> None:
    page = watched.page
    watched.goto("/docs")
    page.wait_for_selector(".opblock")
    paths = [path.replace("\u200b", "") for path in page.locator(".opblock-summary-path").all_inner_texts()]
    documented = json.loads(server.client.get("/schema", headers={"Accept": "application/json"}).text)["paths"]
    assert sorted(paths) == sorted(documented)
    assert set(CALLS) <= set(paths)
    assert page.inner_text(".info .title").startswith("Sunbird Viewer Service")
    shot("docs")
    start = page.locator(".opblock", has=page.locator('[data-path="/v1/view/start"]'))
    start.locator(".opblock-summary-control").click()
    start.locator(".opblock-body").wait_for()
    start.locator(".responses-table").first.wait_for()
    body = start.inner_text()
    assert "Starts a content" in body
    for word in ("contentId", "application/json", "200", "400", "413", "503"):
        assert word in body, word
    start.scroll_into_view_if_needed()
    shot("docs-start")
    watched.clean()


def test_a_call_can_be_tried_from_the_page(watched: Watched, learner) -> None:
    page = watched.page
    watched.goto("/docs")
    start = page.locator(".opblock", has=page.locator('[data-path="/v1/view/start"]'))
    start.locator(".opblock-summary-control").click()
    start.locator(".try-out__btn").click()
    request = {"userId": learner(), "contentId": "single-digit-addition"}
    start.locator("textarea.body-param__text").fill(json.dumps({"request": request}))
    start.locator(".execute").click()
    answer = start.locator(".live-responses-table .response-col_status").nth(1)
    answer.wait_for()
    assert answer.inner_text().startswith("200")
    assert "Progress started" in start.locator(".live-responses-table").inner_text()
    watched.clean()
