"""Routes of the view and assessment calls, in both families: /v1/view/start and the gateway's /api/view/v1/start."""

from django.urls import path

from viewer.assessment_views import AssessmentViewSet
from viewer.views import ViewViewSet

VIEWS = {"start": "start", "update": "update_view", "end": "end", "read": "read", "sync": "sync"}
ASSESSMENTS = {"submit": "submit", "read": "read"}

urlpatterns = [
    path(route, viewset.as_view({"post": method}), name=f"{family}-{kind}-{name}")
    for kind, viewset, actions in (("view", ViewViewSet, VIEWS), ("assessment", AssessmentViewSet, ASSESSMENTS))
    for name, method in actions.items()
    for family, route in (("v1", f"v1/{kind}/{name}"), ("gateway", f"api/{kind}/v1/{name}"))
] + [
    path("v1/view/explain", ViewViewSet.as_view({"get": "explain"}), name="v1-view-explain"),
    path("api/view/v1/explain", ViewViewSet.as_view({"get": "explain"}), name="gateway-view-explain"),
]
