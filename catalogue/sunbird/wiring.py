"""The source over Sunbird's services, as the settings describe them."""

from django.conf import settings

from catalogue.sunbird.client import Neighbour
from catalogue.sunbird.fetching import Services
from catalogue.sunbird.source import Freshness, SunbirdCatalogue


def catalogue() -> SunbirdCatalogue:
    """A source that asks the services that have an address, and answers the rest from our tables."""
    neighbours = {
        name: Neighbour(
            name,
            url,
            seconds=settings.VIEWER_SUNBIRD_TIMEOUT_MS / 1000,
            headers=settings.VIEWER_SUNBIRD_HEADERS,
        )
        for name, url in settings.VIEWER_SUNBIRD_SERVICES.items()
    }
    freshness = Freshness(
        hierarchy=settings.VIEWER_HIERARCHY_SECONDS,
        batch=settings.VIEWER_BATCH_SECONDS,
        profile=settings.VIEWER_PROFILE_SECONDS,
    )
    return SunbirdCatalogue(Services(**neighbours), freshness)
