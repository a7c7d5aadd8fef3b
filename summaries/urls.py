"""Routes of enrolments and summaries, in both families; enrolments also with one l, as Sunbird's gateway spells it."""

from typing import Any

from django.urls import path, register_converter
from django.urls.resolvers import URLPattern

from summaries.views import BatchViewSet, CourseViewSet, ProgramViewSet, SummaryViewSet, download_file


class AnyId:
    """Whatever stands in the path, slashes too: what is no id is refused as one, not as an unknown route."""

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        """As it is; percent-encoding was undone by the server."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(AnyId, "any_id")


def _routes(kind: Any, base: str, calls: dict[str, str]) -> list[URLPattern]:
    """Each call as /v1/<base>/<call> and /api/<base>/v1/<call>."""
    return [
        path(route, kind.as_view({"post": method}), name=f"{family}-{base}-{call}")
        for call, method in calls.items()
        for family, route in (("v1", f"v1/{base}/{call}"), ("gateway", f"api/{base}/v1/{call}"))
    ]


def _aliases(kind: Any, base: str, calls: dict[str, str]) -> list[URLPattern]:
    """The same calls under another spelling, which the OpenAPI document does not tell again."""
    return [
        path(route, kind.as_view({"post": method}, schema=None))
        for call, method in calls.items()
        for route in (f"v1/{base}/{call}", f"api/{base}/v1/{call}")
    ]


TWO_LS = {"enroll": "enroll", "unenroll": "unenroll"}
ONE_L = {"enrol": "enroll", "unenrol": "unenroll"}
_LIST = SummaryViewSet.as_view({"get": "list_all"})
_DOWNLOAD = SummaryViewSet.as_view({"get": "download"})
_EXPORT = SummaryViewSet.as_view({"get": "export"})
_EXPLAIN = SummaryViewSet.as_view({"get": "explain"})

urlpatterns = [
    *_routes(CourseViewSet, "course", TWO_LS),
    *_aliases(CourseViewSet, "course", ONE_L),
    *_routes(ProgramViewSet, "program", TWO_LS),
    *_aliases(ProgramViewSet, "program", ONE_L),
    *_routes(BatchViewSet, "batch", {"participants/list": "participants"}),
    *_routes(SummaryViewSet, "summary", {"read": "read", "whatif": "whatif"}),
    *_routes(SummaryViewSet, "view", {"agg": "aggregate"}),
    path("v1/summary/explain", _EXPLAIN, name="v1-summary-explain"),
    path("api/summary/v1/explain", _EXPLAIN, name="gateway-summary-explain"),
    path("v1/summary/download/<any_id:user_id>", _DOWNLOAD, name="v1-summary-download"),
    path("api/summary/v1/download/<any_id:user_id>", _DOWNLOAD, name="gateway-summary-download"),
    path("v1/summary/export/<any_id:user_id>", _EXPORT, name="v1-summary-export"),
    path("api/summary/v1/export/<any_id:user_id>", _EXPORT, name="gateway-summary-export"),
    path("v1/summary/file/<any_id:token>", download_file),
    path("api/summary/v1/file/<any_id:token>", download_file),
    path("v1/summary/list/<any_id:user_id>", _LIST, name="v1-summary-list"),
    path("api/summary/v1/list/<any_id:user_id>", _LIST, name="gateway-summary-list"),
]
