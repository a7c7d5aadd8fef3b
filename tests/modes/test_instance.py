"""The instance's own choices: at most a second old in every process, and edited on one admin page."""

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from modes import instance
from modes.instance import MAX_AGE_SECONDS, Cached, InstanceSettings
from modes.keys import Mode
from modes.models import Instance
from tests.modes.clocks import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("forgotten")]
PAGE = "/admin/modes/instance/1/change/"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("alice"))
    return client


def queries(cached: Cached[InstanceSettings]) -> int:
    with CaptureQueriesContext(connections["default"]) as caught:
        cached.get()
    return len(caught)


def test_an_instance_nobody_configured_is_strict_and_forces_nothing() -> None:
    assert not Instance.objects.exists()
    assert instance.current() == InstanceSettings(Mode.STRICT, epoch=1, force_view_end=False)


def test_the_row_is_read_once_a_second(clock: Clock) -> None:
    cached = Cached(instance.read, clock)
    assert queries(cached) == 1
    clock.time += MAX_AGE_SECONDS - 0.001
    assert queries(cached) == 0
    clock.time += 0.001
    assert queries(cached) == 1


def test_a_change_by_another_process_is_seen_after_a_second(clock: Clock) -> None:
    cached = Cached(instance.read, clock)
    row = Instance.objects.create(pk=Instance.ONLY)
    assert cached.get() == InstanceSettings()
    Instance.objects.filter(pk=row.pk).update(force_view_end=True, epoch=2)
    assert cached.get() == InstanceSettings()
    clock.time += MAX_AGE_SECONDS
    assert cached.get() == InstanceSettings(Mode.STRICT, epoch=2, force_view_end=True)


def test_the_process_that_made_the_change_sees_it_at_once(clock: Clock) -> None:
    cached = Cached(instance.read, clock)
    assert not cached.get().force_view_end
    Instance.objects.create(pk=Instance.ONLY, force_view_end=True)
    cached.forget()
    assert cached.get().force_view_end


def test_a_read_that_fails_is_told_and_not_remembered(clock: Clock) -> None:
    cached = Cached(instance.read, clock)
    Instance.objects.create(pk=Instance.ONLY, mode="no such mode")
    with pytest.raises(ValueError, match="no such mode"):
        cached.get()
    Instance.objects.update(mode=Mode.STRICT)
    assert cached.get() == InstanceSettings()


def test_who_read_before_a_change_does_not_put_it_back_after() -> None:
    stored = ["before"]
    reading, go_on = Event(), Event()

    def read() -> str:
        found = stored[0]
        reading.set()
        assert go_on.wait(20)
        return found

    cached = Cached(read)
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(cached.get)
        assert reading.wait(20)
        stored[0] = "after"
        forgetting = pool.submit(cached.forget)
        wait([forgetting], timeout=0.2)  # it is over by now, or waits for the reader
        go_on.set()
        assert early.result() == "before"
        forgetting.result()
    assert cached.get() == "after"


def test_the_list_leads_straight_to_the_one_row(staff: Client) -> None:
    answer = staff.get(reverse("admin:modes_instance_changelist"))
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert list(Instance.objects.values_list("pk", flat=True)) == [Instance.ONLY]
    assert staff.get(PAGE).status_code == 200


def test_the_mode_is_shown_and_not_edited(staff: Client) -> None:
    Instance.objects.create(pk=Instance.ONLY)
    form = staff.get(PAGE).context["adminform"].form
    assert list(form.fields) == ["force_view_end"]
    page = staff.get(PAGE).content.decode()
    assert '<div class="readonly">strict</div>' in page
    assert 'name="mode"' not in page
    assert "It is changed by `manage.py set_mode`" in page


def test_the_switch_is_saved_and_logged_and_acts_at_once(staff: Client) -> None:
    Instance.objects.create(pk=Instance.ONLY)
    assert not instance.current().force_view_end
    assert staff.post(PAGE, {"force_view_end": "on"}).status_code == 302
    assert Instance.objects.get().force_view_end
    assert instance.current().force_view_end
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.action_flag, entry.object_id) == ("alice", CHANGE, "1")
    assert entry.get_change_message() == "Changed Force view end."


def test_the_switch_is_read_anew_once_everybody_can_see_it(staff: Client, django_capture_on_commit_callbacks) -> None:
    Instance.objects.create(pk=Instance.ONLY)
    with django_capture_on_commit_callbacks() as callbacks:
        staff.post(PAGE, {"force_view_end": "on"})
    assert instance.current().force_view_end
    Instance.objects.update(force_view_end=False)  # as a thread saw it that read before the commit
    for callback in callbacks:
        callback()
    assert not instance.current().force_view_end


def test_a_mode_in_the_form_changes_nothing(staff: Client) -> None:
    Instance.objects.create(pk=Instance.ONLY, epoch=3)
    assert staff.post(PAGE, {"mode": "other", "epoch": "9", "force_view_end": "on"}).status_code == 302
    row = Instance.objects.get()
    assert (row.mode, row.epoch, row.force_view_end) == ("strict", 3, True)


def test_saving_the_switch_does_not_undo_a_change_meanwhile() -> None:
    Instance.objects.create(pk=Instance.ONLY)
    with CaptureQueriesContext(connections["default"]) as caught:
        client = Client()
        client.force_login(User.objects.create_superuser("alice"))
        client.post(PAGE, {"force_view_end": "on"})
    (update,) = [one["sql"] for one in caught if one["sql"].startswith('UPDATE "modes_instance"')]
    assert '"force_view_end"' in update
    assert '"mode"' not in update
    assert '"epoch"' not in update


def test_saving_without_a_change_is_harmless(staff: Client) -> None:
    Instance.objects.create(pk=Instance.ONLY, force_view_end=True)
    assert staff.post(PAGE, {"force_view_end": "on"}).status_code == 302
    assert Instance.objects.get().force_view_end


@pytest.mark.parametrize("page", ["/admin/modes/instance/add/", "/admin/modes/instance/1/delete/"])
def test_the_one_row_is_neither_added_nor_deleted(staff: Client, page: str) -> None:
    Instance.objects.create(pk=Instance.ONLY)
    assert staff.get(page).status_code == 403
    assert staff.post(page, {"post": "yes"}).status_code == 403
    assert Instance.objects.count() == 1


@pytest.mark.parametrize(
    ("permissions", "listing", "page", "saving"),
    [([], 403, 403, 403), (["view_instance"], 302, 200, 403), (["view_instance", "change_instance"], 302, 200, 302)],
)
def test_who_may_look_looks_and_who_may_change_changes(
    client: Client, permissions: list[str], listing: int, page: int, saving: int
) -> None:
    Instance.objects.create(pk=Instance.ONLY)
    charlie = User.objects.create_user("charlie", is_staff=True)
    charlie.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(charlie)
    assert client.get("/admin/modes/instance/").status_code == listing
    assert client.get(PAGE).status_code == page
    assert client.post(PAGE, {"force_view_end": "on"}).status_code == saving
    assert Instance.objects.get().force_view_end == (saving == 302)


def test_a_stranger_is_sent_to_the_login_and_makes_no_row(client: Client) -> None:
    answer = client.get("/admin/modes/instance/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/login/?next=/admin/modes/instance/")
    assert not Instance.objects.exists()
