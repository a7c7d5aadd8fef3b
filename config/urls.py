"""Routes of the whole service."""

from typing import Any

from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from common.health import health, ready

handler400 = "common.envelope.handler400"
handler404 = "common.envelope.handler404"
handler500 = "common.envelope.handler500"

FOR_ALL: dict[str, Any] = {"authentication_classes": [], "http_method_names": ["get", "head"]}
admin.site.site_header = admin.site.site_title = "Sunbird Viewer Service"
admin.site.site_url = "/docs"  # "View site" would lead to /, where nothing is

urlpatterns = [
    path("", include("viewer.urls")),
    path("", include("summaries.urls")),
    path("health", health),
    path("ready", ready),
    path("schema", SpectacularAPIView.as_view(**FOR_ALL), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema", **FOR_ALL), name="docs"),
    path("admin/", admin.site.urls),
    path("favicon.ico", lambda _: HttpResponse(status=204)),  # every browser asks, and would tell of an error
]
