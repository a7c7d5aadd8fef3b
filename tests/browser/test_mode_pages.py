"""The operators' pages about the mode in a real browser: from the preview to the change, and a carry taken back."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests import servers
from tests.browser.conftest import Watched

SINGLE, DOUBLE = "single-digit-addition", "double-digit-addition"
PLACE = {"collectionId": "class-1-maths", "contextId": "batch-1"}
RULES = json.dumps({"rules": [{"type": "completedWithin", "unit": "months", "value": 3}]})
USER = "rahul"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A service of this module's own: its mode is changed for good."""
    with servers.running(tmp_path_factory.mktemp("modes"), VIEWER_WORKER="off") as running:
        yield running


@pytest.fixture
def alice(watched: Watched, server: servers.Server) -> Watched:
    """Alice, a superuser, logged in."""
    password = secrets.token_urlsafe(12)
    create = f"from django.contrib.auth.models import User; User.objects.create_superuser('alice', '', '{password}')"
    ran = server.manage("shell", "-v0", "-c", create)
    assert ran.returncode == 0, ran.stderr
    watched.goto("/admin/")
    watched.page.fill("#id_username", "alice")
    watched.page.fill("#id_password", password)
    watched.page.click("input[type=submit]")
    watched.page.wait_for_url(f"{watched.url}/admin/")
    return watched


def test_a_mode_is_previewed_changed_and_explained_and_a_carry_is_taken_back(
    alice: Watched, server: servers.Server, shot
) -> None:
    page = alice.page
    server.result("/v1/view/end", {"userId": USER, "contentId": SINGLE, "force": True})
    server.result("/v1/course/enroll", {"userId": USER, **PLACE})
    server.result("/v1/view/end", {"userId": USER, "contentId": DOUBLE, **PLACE, "force": True})

    alice.goto("/admin/")
    shot("mode-index")
    page.click("#mode-pages >> text=What if")
    page.fill("#id_user_id", USER)
    page.select_option("#id_mode", "copy_content")
    page.fill("#id_rules", RULES)
    page.click("input[value=Compare]")
    assert "66 %, in progress" in page.inner_text("table.comparison")
    shot("mode-what-if")

    alice.goto("/admin/modes/instance/")
    shot("mode-instance")
    page.click(".object-tools >> text=Change the mode")
    page.select_option("#id_mode", "copy_content")
    page.fill("#id_rules", "[")
    page.click("input[value=Preview]")
    assert "Enter a valid JSON." in page.inner_text(".field-rules .errorlist")
    shot("mode-change-refused")
    page.fill("#id_rules", RULES)
    page.fill("#id_note", "new school year")
    page.click("input[value=Preview]")
    assert "1 of 1" in page.inner_text("table.counts")
    shot("mode-preview")
    page.fill("#id_typed", "copy")
    page.click("#confirm_form input[type=submit]")
    assert "This is not the name of the mode" in page.inner_text(".errorlist")
    page.locator("#confirm_form .submit-row").scroll_into_view_if_needed()
    shot("mode-preview-confirm")
    page.fill("#id_typed", "copy_content")
    page.click("#confirm_form input[type=submit]")
    page.wait_for_selector(".messagelist .success")
    assert page.inner_text(".field-mode .readonly") == "copy content"
    shot("mode-changed")
    assert server.manage("carry_forward").returncode == 0

    page.click(".object-tools >> text=Explain a learner")
    for field, value in (("user_id", USER), ("collection_id", "class-1-maths"), ("context_id", "batch-1")):
        page.fill(f"#id_{field}", value)
    page.click("input[value=Explain]")
    assert "The enrolment is at 66 %" in page.inner_text("#told")
    shot("mode-explain-enrolment")
    page.fill("#id_content_id", SINGLE)
    page.click("input[value=Explain]")
    assert f"{SINGLE} is complete in class-1-maths, batch-1." in page.inner_text("#told")
    page.locator("#records").scroll_into_view_if_needed()
    shot("mode-explain")
    page.click("#records >> text=Undo")
    shot("mode-undo")
    page.click("input[value='Take it back']")
    page.wait_for_selector(".messagelist .success")
    assert f"{SINGLE} is not started in class-1-maths, batch-1." in page.inner_text("#told")
    assert page.locator("#records >> text=Undo").count() == 0
    shot("mode-undone")
    alice.goto("/admin/modes/instance/1/history/")
    assert page.locator("#change-history tbody tr").count() == 2
    read = server.call("/v1/view/read", {"userId": USER, "contentId": SINGLE, **PLACE}).json()["result"]
    assert [item["status"] for item in read["contents"]] == [0]
    alice.clean()
