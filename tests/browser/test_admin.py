"""The admin as an operator meets it: styled, readable, and its one switch works."""

import re
import secrets

import pytest

from tests.browser.conftest import Watched
from tests.servers import Server

TRANSPARENT = "rgba(0, 0, 0, 0)"
SWITCH = "#id_force_view_end"


@pytest.fixture(scope="module")
def password(server: Server) -> str:
    """The password of "alice", a superuser of this service."""
    made = secrets.token_urlsafe(12)
    create = f"from django.contrib.auth.models import User; User.objects.create_superuser('alice', '', '{made}')"
    ran = server.manage("shell", "-v0", "-c", create)
    assert ran.returncode == 0, ran.stderr
    return made


@pytest.fixture
def alice(watched: Watched, password: str) -> Watched:
    """Alice, logged in."""
    watched.goto("/admin/")
    page = watched.page
    assert page.url.endswith("/admin/login/?next=/admin/")
    page.fill("#id_username", "alice")
    page.fill("#id_password", password)
    page.click("input[type=submit]")
    page.wait_for_url(f"{watched.url}/admin/")
    return watched


def test_the_login_page_is_styled(watched: Watched, shot) -> None:
    watched.goto("/admin/login/")
    shot("admin-login")
    styles = {url: status for url, status in watched.statuses.items() if url.endswith(".css")}
    assert styles
    assert set(styles.values()) == {200}
    assert watched.background("#header") not in {TRANSPARENT, "rgb(255, 255, 255)"}
    watched.clean()


def test_a_wrong_password_is_refused(watched: Watched, password: str) -> None:
    watched.goto("/admin/login/")
    watched.page.fill("#id_username", "alice")
    watched.page.fill("#id_password", f"not {password}")
    watched.page.click("input[type=submit]")
    assert "Please enter the correct username and password" in watched.page.inner_text(".errornote")
    watched.clean()


def test_the_index_lists_the_catalogue_and_the_instance(alice: Watched, shot) -> None:
    shot("admin-index")
    links = alice.page.locator("#content-main th a").all_inner_texts()
    assert {"Collections", "Batches", "Programs", "Learners", "Instance"} <= set(links)
    assert alice.background("#header") != TRANSPARENT
    assert alice.page.inner_text("#site-name") == "Sunbird Viewer Service"
    alice.clean()


def test_view_site_leads_to_the_api_docs(alice: Watched) -> None:
    alice.page.click("text=View site")
    alice.page.wait_for_selector(".opblock")
    assert alice.page.url == f"{alice.url}/docs"
    alice.clean()


@pytest.mark.parametrize("listing", ["collection", "batch", "program", "learner"])
def test_a_listing_of_the_catalogue_is_read_and_searched(alice: Watched, listing: str, shot) -> None:
    page = alice.page
    alice.goto(f"/admin/catalogue/{listing}/")
    rows = page.locator("#result_list tbody tr")
    shot(f"admin-{listing}")
    assert rows.count() > 0
    assert page.locator("#content .addlink").count() == 0
    name = rows.first.locator("th a").inner_text()
    page.fill("#searchbar", name)
    page.click("#changelist-search input[type=submit]")
    page.wait_for_url("**/?q=*")
    assert name in page.locator("#result_list tbody th a").all_inner_texts()
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_url(re.compile("/change/"))
    assert page.locator("#content-main .readonly").count() > 0
    assert page.locator("[name=_save]").count() == 0
    alice.clean()


def test_force_view_end_is_switched_on_and_off_and_acts_within_a_second(
    alice: Watched, server: Server, shot, learner
) -> None:
    page = alice.page
    lost = {"userId": learner(), "collectionId": "class-1-maths", "contextId": "batch-1", "contentId": "single"}
    assert server.call("/v1/view/end", lost).status_code == 404
    alice.goto("/admin/modes/instance/")
    assert page.url.endswith("/admin/modes/instance/1/change/")
    assert page.inner_text(".field-mode .readonly") == "strict"
    assert not page.is_checked(SWITCH)
    page.check(SWITCH)
    shot("admin-instance")
    page.click("[name=_continue]")
    page.wait_for_selector(".messagelist .success")
    assert "was changed successfully" in page.inner_text(".messagelist .success")
    assert page.is_checked(SWITCH)
    assert server.call("/v1/view/end", lost).status_code == 200
    page.uncheck(SWITCH)
    page.click("[name=_save]")
    page.wait_for_selector(".messagelist .success")
    alice.goto("/admin/modes/instance/1/change/")
    assert not page.is_checked(SWITCH)
    assert server.call("/v1/view/end", {**lost, "userId": learner()}).status_code == 404
    alice.goto("/admin/modes/instance/1/history/")
    assert page.locator("#change-history tbody tr").count() == 2
    alice.clean()


def test_who_logs_out_sees_nothing_more(alice: Watched) -> None:
    alice.page.click("#logout-form button")
    alice.page.wait_for_selector("text=Logged out")
    alice.goto("/admin/catalogue/batch/")
    assert "/admin/login/" in alice.page.url
    alice.clean()
