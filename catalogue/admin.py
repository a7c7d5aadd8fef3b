"""The catalogue in the admin, to look things up. Nothing is edited here: the next `load_catalogue` would undo it."""

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from catalogue.models import Batch, Collection, Fetch, Learner, Program
from common.admin import ReadOnly


@admin.register(Collection)
class CollectionAdmin(ReadOnly):
    """Collections and child courses; the list does not read their trees."""

    list_display = (
        "collection_id",
        "name",
        "status",
        "primary_category",
        "leaf_nodes_count",
        "parent_id",
        "updated_at",
    )
    list_filter = ("status", "primary_category")
    search_fields = ("collection_id", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """All collections, each tree read only when its page shows it."""
        return super().get_queryset(request).defer("hierarchy")


@admin.register(Batch)
class BatchAdmin(ReadOnly):
    """Batches of collections and of programs."""

    list_display = ("batch_id", "name", "collection_id", "program_id", "status", "start_date", "end_date")
    list_filter = ("status",)
    search_fields = ("batch_id", "name", "collection_id", "program_id")


@admin.register(Program)
class ProgramAdmin(ReadOnly):
    """Programs with their collections."""

    list_display = ("program_id", "name", "start_date", "end_date", "collections")
    search_fields = ("program_id", "name")


@admin.register(Learner)
class LearnerAdmin(ReadOnly):
    """Learner profiles."""

    list_display = ("user_id", "first_name", "last_name", "state", "district", "school_name", "root_org_id")
    list_filter = ("state",)
    search_fields = ("user_id", "first_name", "last_name")


@admin.register(Fetch)
class FetchAdmin(ReadOnly):
    """When what was fetched from Sunbird's services."""

    list_display = ("entry_id", "kind", "fetched_at", "found")
    list_filter = ("kind", "found")
    search_fields = ("entry_id",)
