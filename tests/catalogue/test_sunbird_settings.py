"""Where Sunbird's services are: what the environment may say, and what becomes of it."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from catalogue.models import Batch, Fetch
from catalogue.sunbird import wiring
from config.settings import service_headers, service_urls
from tests.catalogue.neighbours import batch, neighbours


def test_services_without_an_address_are_left_out():
    assert service_urls(content="", batch="http://lms:9000", user="https://example.org/api/") == {
        "batch": "http://lms:9000",
        "user": "https://example.org/api/",
    }
    assert service_urls(content="", batch="", user="") == {}


@pytest.mark.parametrize(
    "url",
    [
        *("lms:9000", "ftp://lms", "http://", "http://lms:port", "http://lms:99999", "http://u:secret@lms"),
        *("http://lms?x=1", "http://lms#x", "http://l ms", "http://[::1"),
    ],
)
def test_what_is_no_address_is_refused_without_being_told(url):
    with pytest.raises(ImproperlyConfigured, match="VIEWER_BATCH_SERVICE_URL") as refused:
        service_urls(batch=url)
    assert "secret" not in str(refused.value)


def test_headers_are_parted_by_semicolons_or_lines():
    assert service_headers("Authorization: Bearer a.b=; X-Name: some one\nX-Other: 1\n") == {
        "Authorization": "Bearer a.b=",
        "X-Name": "some one",
        "X-Other": "1",
    }
    assert service_headers("") == {}


@pytest.mark.parametrize("text", ["Bearer secret", "Authorization:", "X Name: secret", ": secret", "X-Name: sécret"])
def test_what_is_no_header_is_refused_without_being_told(text):
    with pytest.raises(ImproperlyConfigured, match="VIEWER_SUNBIRD_HEADERS") as refused:
        service_headers(text)
    assert "secret" not in str(refused.value)


@pytest.mark.usefixtures("_databases")
def test_the_settings_make_a_source(settings, learner):
    batch_id, other_id = learner("batch"), learner("batch")
    with neighbours() as services:
        services.batches[batch_id] = batch(batch_id, "class-1-maths")
        settings.VIEWER_SUNBIRD_SERVICES = {"batch": services.url("batch")}
        settings.VIEWER_SUNBIRD_HEADERS = {"X-Api-Key": "abc"}
        settings.VIEWER_SUNBIRD_TIMEOUT_MS = 20_000
        found = wiring.catalogue().batches([batch_id, other_id])
        assert list(found) == [batch_id]
        assert {one["X-Api-Key"] for one in services.headers} == {"abc"}
        assert wiring.catalogue().profiles([learner("rahul")]) == {}
    Batch.objects.filter(pk=batch_id).delete()
    Fetch.objects.filter(entry_id=batch_id).delete()
