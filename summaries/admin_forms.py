"""The forms of the operators' pages about the mode. What a field takes is checked here, never in a page."""

import json
from typing import Any

from django import forms

from common.errors import FieldError
from common.ids import MAX_ID_LENGTH, check_id
from modes.keys import Mode
from modes.rules import RuleError, RuleSet, parse

MOST_LEARNERS = 200
"""That a page looks at before it answers."""
RULES_HELP = (
    'As JSON, such as {"match": "any", "rules": [{"type": "completedWithin", "unit": "months", "value": 3}]}. Empty: '
    "the rules stay as they are. Programs and collections with rules of their own keep those."
)


class RulesField(forms.CharField):
    """The instance's rules as JSON; its value is a RuleSet, or None where it is empty."""

    widget = forms.Textarea

    def clean(self, value: Any) -> Any:
        """Raises ValidationError for what is no JSON, and for rules nobody could explain."""
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse(json.loads(text))
        except RuleError as error:
            # JSON can name half a character, which no page could show.
            raise forms.ValidationError(str(error).encode(errors="backslashreplace").decode()) from None
        except (ValueError, RecursionError):
            raise forms.ValidationError("Enter a valid JSON.") from None


class IdField(forms.CharField):
    """An id as the API takes it; its value is None where it is blank."""

    widget = forms.TextInput(attrs={"class": "vTextField"})

    def clean(self, value: Any) -> Any:
        """Raises ValidationError for what no id may be."""
        text = super().clean(value)
        try:
            return check_id(str(self.label), text)
        except FieldError as error:
            raise forms.ValidationError(error.message) from None


class RulesForm(forms.Form):
    """A mode, and rules for it. `mode` and `rules` are what was asked for, once the form is valid."""

    mode = forms.ChoiceField(choices=[(str(mode), mode.replace("_", " ")) for mode in Mode])
    rules = RulesField(
        required=False, help_text=RULES_HELP, max_length=10_000, widget=forms.Textarea(attrs={"rows": 6, "cols": 80})
    )

    @property
    def chosen(self) -> tuple[Mode, RuleSet | None]:
        """The mode and the rules of a valid form."""
        return Mode(self.cleaned_data["mode"]), self.cleaned_data["rules"]


class ModeForm(RulesForm):
    """The mode to change to."""

    note = forms.CharField(
        required=False,
        max_length=1000,
        help_text="Why, for the history.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )


class ConfirmForm(ModeForm):
    """What was previewed, and the name of its mode as the operator typed it. epoch: of the instance at the preview."""

    epoch = forms.IntegerField(widget=forms.HiddenInput)
    typed = forms.CharField(
        label="Name of the mode",
        help_text="Type the name of the mode to confirm.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ModeForm.base_fields:
            self.fields[name].widget = forms.HiddenInput()

    def clean_typed(self) -> str:
        """Raises ValidationError for anything but the mode's name."""
        typed = str(self.cleaned_data["typed"])
        if typed != self.cleaned_data.get("mode"):
            raise forms.ValidationError("This is not the name of the mode. Nothing was changed.")
        return typed


class WhatIfForm(RulesForm):
    """Whose progress to compare: one learner's, or that of some."""

    user_id = IdField(label="Learner", required=False, max_length=MAX_ID_LENGTH)
    sample = forms.IntegerField(
        label="Sample of learners",
        required=False,
        min_value=1,
        max_value=MOST_LEARNERS,
        help_text=f"Instead of one learner: how many to look at, up to {MOST_LEARNERS}.",
    )
    field_order = ("user_id", "sample", "mode", "rules")

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError unless it is one or the other."""
        given: dict[str, Any] = super().clean() or {}
        if not self.errors and bool(given["user_id"]) == bool(given["sample"]):
            raise forms.ValidationError("Name either a learner or the size of a sample.")
        return given


class ExplainForm(forms.Form):
    """Which answer to explain. Without a content a whole enrolment; with the learner alone only what was carried."""

    user_id = IdField(label="Learner", max_length=MAX_ID_LENGTH)
    collection_id = IdField(label="Collection", required=False, max_length=MAX_ID_LENGTH)
    context_id = IdField(label="Context", required=False, max_length=MAX_ID_LENGTH, help_text="The batch.")
    content_id = IdField(
        label="Content",
        required=False,
        max_length=MAX_ID_LENGTH,
        help_text="Empty: the whole enrolment is explained. The learner alone: what was carried is listed.",
    )

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for half a place."""
        given: dict[str, Any] = super().clean() or {}
        collection, context = given.get("collection_id"), given.get("context_id")
        if context and not collection:
            raise forms.ValidationError("A context needs its collection.")
        if collection and not context and not given.get("content_id"):
            raise forms.ValidationError("Name the context of the enrolment, or a content.")
        return given


class UndoForm(forms.Form):
    """Which carry to take back."""

    user_id = IdField(label="Learner", max_length=MAX_ID_LENGTH, widget=forms.HiddenInput)
    record = IdField(label="Record", max_length=MAX_ID_LENGTH, widget=forms.HiddenInput)
