"""The catalogue in the admin: to look things up. Nothing is edited here, `load_catalogue` is the way in."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from catalogue.models import Batch, Collection, Learner, Program

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Model]
else:
    _Base = admin.ModelAdmin


class _ReadOnly(_Base):
    """An admin without add, change and delete: a row edited by hand would be undone by the next load."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


@admin.register(Collection)
class CollectionAdmin(_ReadOnly):
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
class BatchAdmin(_ReadOnly):
    """Batches of collections and of programs."""

    list_display = ("batch_id", "name", "collection_id", "program_id", "status", "start_date", "end_date")
    list_filter = ("status",)
    search_fields = ("batch_id", "name", "collection_id", "program_id")


@admin.register(Program)
class ProgramAdmin(_ReadOnly):
    """Programs with their collections."""

    list_display = ("program_id", "name", "start_date", "end_date", "collections")
    search_fields = ("program_id", "name")


@admin.register(Learner)
class LearnerAdmin(_ReadOnly):
    """Learner profiles."""

    list_display = ("user_id", "first_name", "last_name", "state", "district", "school_name", "root_org_id")
    list_filter = ("state",)
    search_fields = ("user_id", "first_name", "last_name")
