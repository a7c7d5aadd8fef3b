"""The instance page: one row, read by everybody who may look, changed by who may change."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from modes import instance
from modes.models import Instance


@admin.register(Instance)
class InstanceAdmin(admin.ModelAdmin[Instance]):
    """Edits the switches. The mode is shown, not edited: changing it re-reads every learner's answers."""

    readonly_fields = ("mode", "epoch")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: there is one row."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: there is one row."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Straight to the one row, made on the first visit. Raises PermissionDenied."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        row, _ = Instance.objects.get_or_create(pk=Instance.ONLY)
        return redirect(reverse("admin:modes_instance_change", args=[row.pk]))

    def save_model(self, request: HttpRequest, obj: Instance, form: Any, change: bool) -> None:
        """Saves only what the form edits, so that a mode change meanwhile is not undone."""
        obj.save(update_fields=form.changed_data or ["force_view_end"])
        instance.forget()
