"""The instance page, the carry-forward rules, and what was changed: read by who may look, changed by who may change."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html

from common import timestamps
from common.admin import ReadOnly
from modes import instance, switching
from modes.models import CarryRules, Instance, ModeChange, Walk

EXAMPLE = (
    '{"match": "any", "target": "any", "rules": [{"type": "completedWithin", "unit": "months", "value": 3}, '
    '{"type": "withinContextDuration"}]}'
)
SAVED = ("in_words", "version", "updated_by", "updated_at")


@admin.register(Instance)
class InstanceAdmin(admin.ModelAdmin[Instance]):
    """Edits the switches. The mode is shown, not edited: changing it re-reads every learner's answers."""

    readonly_fields = ("mode", "mode_since", "epoch", "rows_epoch", "rows_settled")

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
        transaction.on_commit(instance.forget)  # another thread may have read what was before, until now


class CarryRulesForm(forms.ModelForm[CarryRules]):
    """One place and its rules as JSON; `CarryRules.clean` says what is wrong with them."""

    class Meta:
        model = CarryRules
        fields = ("scope", "scope_id", "rules")
        widgets = {"rules": forms.Textarea(attrs={"rows": 8, "cols": 100})}
        help_texts = {
            "rules": format_html(
                "For example <code>{}</code>. Types: completedWithin and collectionCompletedWithin (with a unit, days "
                "or months, and a value), withinContextDuration, ongoingBatch, always; match: any or all; target: any, "
                "program or collection. A list without a rule carries nothing. An empty field withdraws the rules, so "
                "that those of the wider place hold.",
                EXAMPLE,
            )
        }


@admin.register(CarryRules)
class CarryRulesAdmin(admin.ModelAdmin[CarryRules]):
    """Edits the rules of the instance and what programs and collections have instead."""

    form = CarryRulesForm
    list_display = ("__str__", "in_words", "version", "updated_by", "updated_at")
    list_filter = ("scope",)
    search_fields = ("scope_id",)
    show_full_result_count = False
    list_per_page = 50

    @admin.display(description="in words")
    def in_words(self, obj: CarryRules) -> str:
        """The rules in a sentence."""
        return obj.in_words()

    def get_fields(self, request: HttpRequest, obj: CarryRules | None = None) -> tuple[str, ...]:
        """What is asked for; once it is saved, what was made of it too."""
        return CarryRulesForm.Meta.fields if obj is None else (*CarryRulesForm.Meta.fields, *SAVED)

    def get_readonly_fields(self, request: HttpRequest, obj: CarryRules | None = None) -> tuple[str, ...]:
        """What no form edits; once the rules are saved, their place neither."""
        return () if obj is None else ("scope", "scope_id", *SAVED)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: rules are withdrawn, so that no version is counted twice."""
        return False

    def save_model(self, request: HttpRequest, obj: CarryRules, form: Any, change: bool) -> None:
        """Saves the rules under the next version, in the name of who is logged in."""
        by = request.user.get_username()
        row = switching.save_rules(obj.scope, obj.scope_id, obj.rule_set(), by, timestamps.now())
        obj.pk = row.pk


@admin.register(Walk)
class WalkAdmin(ReadOnly):
    """Shows how far each pass over all learners came; a worker makes it."""

    list_display = ("reason", "learners", "carried", "failed", "started_at", "finished_at")


@admin.register(ModeChange)
class ModeChangeAdmin(ReadOnly):
    """Shows every change of the mode; it is written by the change itself."""

    list_display = ("epoch", "from_mode", "to_mode", "changed_by", "changed_at", "note")
    list_filter = ("to_mode",)
    search_fields = ("changed_by", "note")
