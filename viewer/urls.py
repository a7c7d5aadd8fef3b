"""Routes of the view calls, in both families: /v1/view/start and the gateway's /api/view/v1/start."""

from django.urls import path

from viewer.views import ViewViewSet

ACTIONS = {"start": "start", "update": "update_view", "end": "end", "read": "read", "sync": "sync"}

urlpatterns = [
    path(route, ViewViewSet.as_view({"post": method}), name=f"{family}-view-{name}")
    for name, method in ACTIONS.items()
    for family, route in (("v1", f"v1/view/{name}"), ("gateway", f"api/view/v1/{name}"))
]
