"""The operators' pages about the mode: changing it, what would be under another one, why an answer is as it is.

They stand beside the instance's own page and ask for its permissions: to look, its view permission; to change the
mode or to take a carry back, its change permission.
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from common import timestamps
from common.errors import NotFound, ViewerError
from common.identity import Caller
from common.rows import MOVED, Provenance, RowKey, Status
from common.timestamps import from_epoch_ms
from modes import explaining as words
from modes import instance
from modes.admin import InstanceAdmin
from modes.carry import Reason
from modes.keys import Mode
from modes.models import CarryRules, Instance, ModeChange, Scope
from modes.rules import Match, RuleError, RuleSet, parse
from summaries import explaining as enrolments
from summaries import preview as previewing
from summaries import whatif
from summaries.admin_forms import MOST_LEARNERS, ConfirmForm, ExplainForm, ModeForm, UndoForm, WhatIfForm
from summaries.inputs import SummaryInput
from viewer import explaining as contents
from viewer import mode_change
from viewer.inputs import ReadInput
from viewer.store import get_store

SAMPLES = 50  # enrolments a preview shows
STATUSES = {Status.NOT_STARTED: "not started", Status.IN_PROGRESS: "in progress", Status.COMPLETED: "complete"}

admin.site.unregister(Instance)


@admin.register(Instance)
class ModePagesAdmin(InstanceAdmin):
    """The instance's page, with the pages about its mode beside it."""

    def get_urls(self) -> list[URLPattern]:
        """The pages' routes, before those of the instance."""
        pages = {
            "change-mode/": self.change_mode,
            "change-mode/confirm/": self.confirm_mode,
            "what-if/": self.what_if,
            "explain/": self.explain,
            "explain/undo/": self.undo,
        }
        named = [
            path(route, self.admin_site.admin_view(page), name=f"modes_instance_{page.__name__}")
            for route, page in pages.items()
        ]
        return [*named, *super().get_urls()]

    # --- changing the mode -------------------------------------------------------------------------------------------

    def change_mode(self, request: HttpRequest) -> HttpResponse:
        """Asks for the mode; once it is given, what it would change. Raises PermissionDenied."""
        self._must_change(request)
        if request.method != "POST":
            return self._ask_mode(request, ModeForm(initial={"mode": str(instance.read().mode)}))
        form = ModeForm(request.POST)
        if not form.is_valid():
            return self._ask_mode(request, form)
        return self._preview_mode(request, form)

    def confirm_mode(self, request: HttpRequest) -> HttpResponse:
        """Changes the mode, where its name was typed and nobody has changed it meanwhile. Raises PermissionDenied."""
        self._must_change(request)
        if request.method != "POST":
            return redirect("admin:modes_instance_change_mode")
        asked, form = ModeForm(request.POST), ConfirmForm(request.POST)
        if not asked.is_valid():
            return self._ask_mode(request, asked)
        if form.is_valid() and self._flip(request, form):
            return redirect("admin:modes_instance_changelist")
        return self._preview_mode(request, asked, form)

    def _ask_mode(self, request: HttpRequest, form: ModeForm) -> HttpResponse:
        return self._page(request, "change_mode", "Change the mode", form=form, mode=instance.read().mode)

    def _preview_mode(self, request: HttpRequest, asked: ModeForm, refused: ConfirmForm | None = None) -> HttpResponse:
        """What the change would change, and the form that confirms it. refused: the one that did not."""
        settings_now = instance.read()  # before the preview: who changes it from now on is noticed
        mode, rules = asked.chosen
        try:
            preview = _preview(mode, rules, MOST_LEARNERS)
        except ViewerError as error:
            asked.add_error(None, error.message)
            return self._ask_mode(request, asked)
        kept = {name: asked[name].value() for name in ModeForm.base_fields}
        confirmation = ConfirmForm(initial={**kept, "epoch": settings_now.epoch})
        return self._page(
            request,
            "preview",
            "Change the mode: what it would change",
            form=confirmation,
            refusals=_refusals(refused) if refused else [],
            note=asked.cleaned_data["note"],
            mode_now=settings_now.mode,
            mode_then=mode,
            sentences=_sentences(mode, rules),
            preview=preview,
            most=MOST_LEARNERS,
        )

    def _flip(self, request: HttpRequest, form: ConfirmForm) -> bool:
        """True where the mode is now as it was confirmed; else the form has what stands in the way."""
        mode, rules = form.chosen
        try:
            by, note = request.user.get_username(), form.cleaned_data["note"]
            change = mode_change.flip(mode, rules, by, timestamps.now(), note=note, seen=form.cleaned_data["epoch"])
        except ViewerError as error:
            form.add_error(None, f"{error.message}.")
            return False
        if change is None:
            self.message_user(request, "These are the mode and the rules already. Nothing was changed.")
            return True
        self._log_change(request, change)
        told = format_html(
            'The mode is {} (epoch {}), and every process goes by it. A <a href="{}">walk</a> over all '
            'learners follows in the background. The change stands in the <a href="{}">list of mode changes</a>.',
            mode,
            change.epoch,
            reverse("admin:modes_walk_changelist"),
            reverse("admin:modes_modechange_changelist"),
        )
        self.message_user(request, told, messages.SUCCESS)
        return True

    def _log_change(self, request: HttpRequest, change: ModeChange) -> None:
        told = f"Changed the mode from {change.from_mode} to {change.to_mode} (epoch {change.epoch})."
        self.log_change(request, Instance.objects.get(pk=Instance.ONLY), f"{told} {change.note}".strip())

    # --- what if -----------------------------------------------------------------------------------------------------

    def what_if(self, request: HttpRequest) -> HttpResponse:
        """One learner's or a sample's progress under another mode or other rules. Raises PermissionDenied."""
        self._must_view(request)
        form = WhatIfForm(request.POST if request.method == "POST" else None)
        found: dict[str, Any] = {}
        if form.is_valid():
            try:
                found = _compared(form)
            except ViewerError as error:
                form.add_error(None, error.message)
        return self._page(request, "what_if", "What if", form=form, **found)

    # --- explaining --------------------------------------------------------------------------------------------------

    def explain(self, request: HttpRequest) -> HttpResponse:
        """Why an answer is as it is, and what was carried for the learner. Raises PermissionDenied."""
        self._must_view(request)
        form = ExplainForm(request.GET or None)
        found: dict[str, Any] = {}
        if form.is_valid():
            given = form.cleaned_data
            user_id = Caller.operator().acts_for(given["user_id"])
            try:
                found = {"user_id": user_id, "records": [_record(one) for one in _carries(user_id)]}
                found |= _explained(given, timestamps.now())
            except ViewerError as error:
                form.add_error(None, error.message)
        may_undo = self.has_change_permission(request)
        return self._page(request, "explain", "Explain a learner", form=form, may_undo=may_undo, **found)

    def undo(self, request: HttpRequest) -> HttpResponse:
        """Asks whether to take a carry back; once it is confirmed, takes it back. Raises PermissionDenied."""
        self._must_change(request)
        form = UndoForm(request.POST if request.method == "POST" else request.GET)
        if not form.is_valid():
            messages.error(request, " ".join(_refusals(form)))
            return redirect("admin:modes_instance_explain")
        user_id, record_id = Caller.operator().acts_for(form.cleaned_data["user_id"]), form.cleaned_data["record"]
        place = [user_id]
        try:
            record = _carry_of(user_id, record_id)
            if request.method != "POST":
                shown = {"user_id": user_id, "record": _record(record)}
                return self._page(request, "undo", "Take a carry back", form=form, **shown)
            mode_change.undo(user_id, record_id, timestamps.now())
        except ViewerError as error:
            messages.error(request, error.message)
        else:
            place += record.facts["target"]
            told = f"Took {record_id} of {user_id} back: {_content(record)} {_place(record, 'target')}."
            self.log_change(request, Instance.objects.get_or_create(pk=Instance.ONLY)[0], told)
            messages.success(request, told)
        names = ("user_id", "collection_id", "context_id", "content_id")
        return redirect(f"{reverse('admin:modes_instance_explain')}?{urlencode(dict(zip(names, place, strict=False)))}")

    # --- pages -------------------------------------------------------------------------------------------------------

    def _must_change(self, request: HttpRequest) -> None:
        if not self.has_change_permission(request):
            raise PermissionDenied

    def _must_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(request, f"admin/modes/instance/{name}.html", {**shared, **context})


# --- what the pages show ---------------------------------------------------------------------------------------------


def _sentences(mode: Mode, rules: RuleSet | None) -> list[str]:
    """The mode and the instance's rules as they would be, in words."""
    told = [f"{words.MODES[mode]} (mode {mode})."]
    if rules is not None:
        in_words = CarryRules(scope=Scope.INSTANCE, rules=rules.as_json()).in_words()
        return [*told, f"The rules of the instance would be: {in_words}."]
    return [*told, "The rules stay as they are."] if mode.carries else told


def _refusals(form: forms.Form) -> list[str]:
    """Why a form was refused, field by field."""
    return [str(error) for errors in form.errors.values() for error in errors]


def _preview(mode: Mode, rules: RuleSet | None, learners: int) -> dict[str, Any]:
    """The counts of a preview, and its samples as they are shown."""
    user_ids = islice(mode_change.everybody(), learners)
    counted = previewing.preview(mode, rules, user_ids, timestamps.now(), samples=SAMPLES)
    return {"counts": counted, "rows": [_row(one) for one in counted.samples]}


def _compared(form: WhatIfForm) -> dict[str, Any]:
    """What the form asks for: a learner's enrolments, or the preview of a sample."""
    (mode, rules), given = form.chosen, form.cleaned_data
    shared = {"mode_now": instance.current().mode, "mode_then": mode, "sentences": _sentences(mode, rules)}
    if given["sample"]:
        return {**shared, "preview": _preview(mode, rules, given["sample"])}
    user_id = Caller.operator().acts_for(given["user_id"])
    own = previewing.places_with_rules()
    compared = whatif.compare(user_id, mode, rules, timestamps.now(), own)
    return {**shared, "user_id": user_id, "rows": [_row(one) for one in compared]}


def _row(one: whatif.Comparison) -> dict[str, Any]:
    """One enrolment, now and then, as a line of a table."""
    return {
        "key": one.key,
        "differs": one.differs,
        "now": {"status": STATUSES[one.now.status], "percent": one.now.completion_percentage},
        "then": {"status": STATUSES[one.then.status], "percent": one.then.completion_percentage},
        "changes": [(content, STATUSES[was], STATUSES[will]) for content, (was, will) in one.changes.items()],
    }


def _explained(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The explanation of a content, else of an enrolment; nothing where only a learner was named."""
    caller = Caller.operator()
    if given["content_id"]:
        told = contents.explain(caller, ReadInput(**given), now)
        decision = told["decision"] or {"candidates": []}
        return {"told": told, "candidates": [_candidate(one) for one in decision["candidates"]]}
    if given["collection_id"]:
        asked = {name: given[name] for name in ("user_id", "collection_id", "context_id")}
        return {"enrolment": enrolments.explain(caller, SummaryInput(**asked), now)}
    return {}


def _candidate(told: Mapping[str, Any]) -> dict[str, Any]:
    """A completion elsewhere and its verdict, as a line of a table."""
    return {
        "collection_id": told["collectionId"],
        "context_id": told["contextId"],
        "completed": _moment(told["completedTime"]),
        "evaluated": _moment(told["evaluatedTime"]),
        "verdict": words.VERDICTS[Reason(told["verdict"])],
        "checks": [(_in_words([check["rule"]]), check["holds"]) for check in told["checks"]],
    }


def _carries(user_id: str) -> list[Provenance]:
    """The learner's records that say what came from where; the latest first."""
    records = [one for one in get_store().provenance(user_id) if {"source", "target"} <= one.facts.keys()]
    return sorted(records, key=lambda record: (record.recorded_at, record.id), reverse=True)


def _carry_of(user_id: str, record_id: str) -> Provenance:
    """One of those records. Raises NotFound."""
    for record in _carries(user_id):
        if record.id == record_id:
            return record
    raise NotFound(f"{user_id} has no carry {record_id}")


def _record(record: Provenance) -> dict[str, Any]:
    """One record of what was carried, as a line of a table."""
    facts = record.facts
    return {
        "id": record.id,
        "action": record.action,
        "recorded": words.moment(record.recorded_at, _zone()),
        "undone": words.moment(record.undone_at, _zone()) if record.undone_at else None,
        "content": _content(record),
        "is_move": record.action == MOVED,
        "source": _place(record, "source"),
        "target": _place(record, "target"),
        "rules": _in_words(facts.get("held", [])),
        "rules_version": facts.get("rulesVersion"),
        "mode": facts.get("mode"),
        "trigger": facts.get("trigger"),
    }


def _content(record: Provenance) -> str:
    """The content a record is about, which names a row; a context's is about all there is."""
    _, _, *content = record.facts["target"]
    return str(content[0]) if content else "everything"


def _place(record: Provenance, name: str) -> str:
    """The source or the target of a record in words."""
    collection_id, context_id, *content = record.facts[name]
    return words.place(RowKey(record.user_id, collection_id, context_id, content[0] if content else ""))


def _in_words(rules: list[Any]) -> str:
    """These rules as they were kept, in words; those that are no rules any more as they are."""
    try:
        return "; ".join(map(str, parse({"match": str(Match.ALL), "rules": rules}).rules))
    except RuleError:
        return str(rules)


def _moment(epoch_ms: int | None) -> str:
    return words.moment(from_epoch_ms(epoch_ms) if epoch_ms else None, _zone())


def _zone() -> ZoneInfo:
    return ZoneInfo(settings.VIEWER_TIME_ZONE)
