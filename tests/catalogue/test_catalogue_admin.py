"""The admin shows the catalogue and lets nobody edit it."""

from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import RequestFactory

from catalogue.models import Batch, Collection, Fetch, Learner, Program

MODELS = (Batch, Collection, Learner, Program)


@pytest.fixture
def request_of_superuser(db):
    request = RequestFactory().get("/admin/")
    request.user = User.objects.create_superuser("alice")
    return request


@pytest.mark.parametrize("model", [*MODELS, Fetch])
def test_rows_are_read_and_not_edited(model, request_of_superuser):
    listing = admin.site._registry[model]
    assert listing.has_view_permission(request_of_superuser)
    assert not listing.has_add_permission(request_of_superuser)
    assert not listing.has_change_permission(request_of_superuser)
    assert not listing.has_delete_permission(request_of_superuser)


@pytest.mark.parametrize("model", MODELS)
def test_listings_find_rows_by_id(model, request_of_superuser, sample_path):
    call_command("load_catalogue", str(sample_path), verbosity=0)
    row = model.objects.first()
    listing = admin.site._registry[model]
    found, _ = listing.get_search_results(request_of_superuser, listing.get_queryset(request_of_superuser), row.pk)
    assert row in found
    assert listing.changelist_view(request_of_superuser).render().status_code == 200  # type: ignore[attr-defined]
    assert listing.changeform_view(request_of_superuser, row.pk).render().status_code == 200  # type: ignore[attr-defined]


def test_when_something_was_fetched_is_found_by_its_id(request_of_superuser):
    now = datetime(2026, 3, 1, tzinfo=UTC)
    row = Fetch.objects.create(kind=Fetch.Kind.BATCH, entry_id="fetched-batch", fetched_at=now, found=True)
    listing = admin.site._registry[Fetch]
    found, _ = listing.get_search_results(request_of_superuser, listing.get_queryset(request_of_superuser), "fetched-b")
    assert list(found) == [row]
    assert listing.changelist_view(request_of_superuser).render().status_code == 200  # type: ignore[attr-defined]
