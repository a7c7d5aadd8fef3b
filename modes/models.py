"""The instance's own choices: its one row, its carry-forward rules, and what was changed when and by whom."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from common.errors import InvalidId
from common.ids import MAX_ID_LENGTH, check_id
from modes import rules as rule_sets
from modes.keys import Mode
from modes.rules import Match, RuleError, RuleSet, TargetKind

MODES = [(mode.value, mode.value.replace("_", " ")) for mode in Mode]
_TARGETS = {
    TargetKind.ANY: "Into any enrolment",
    TargetKind.PROGRAM: "Into enrolments of programs",
    TargetKind.COLLECTION: "Into enrolments of a collection's own batches",
}


class Instance(models.Model):
    """How this instance counts. There is exactly one row, with the primary key 1."""

    ONLY: ClassVar[int] = 1

    mode = models.CharField(
        max_length=32,
        choices=MODES,
        default=Mode.STRICT.value,
        help_text=(
            "What counts in which context. It is changed by `manage.py set_mode`, which first tells whose answers "
            "would change; never here."
        ),
    )
    epoch = models.PositiveIntegerField(
        default=1, help_text="Grows with every change of the mode, so that every process notices."
    )
    force_view_end = models.BooleanField(
        "force view end",
        default=False,
        help_text=(
            "Off: an end whose content was never started is refused (404), because a silent answer would lose a "
            "completion. On: it completes the content. Switch it on if your clients' start calls can get lost; a "
            'client can also ask for it call by call with "force": true.'
        ),
    )

    mode_since = models.DateTimeField(
        null=True, blank=True, help_text="When the mode became this one (UTC); empty: it always was."
    )
    rows_epoch = models.PositiveIntegerField(
        default=0, help_text="At which epoch rows were given other places last; 0: never."
    )
    rows_settled = models.BooleanField(
        default=True, help_text="Whether every learner's rows are known to be where the mode keeps them."
    )

    class Meta:
        verbose_name = "instance"
        verbose_name_plural = "instance"

    def __str__(self) -> str:
        return f"This instance ({self.mode})"


class Scope(models.TextChoices):
    """Where carry-forward rules hold. A program's win over its collection's, and those over the instance's."""

    INSTANCE = "instance", "the whole instance"
    COLLECTION = "collection", "collection"
    PROGRAM = "program", "program"


class CarryRules(models.Model):
    """The carry-forward rules of one place; `modes.switching.save_rules` is the only one who writes them.

    Rows are never deleted: a version that was counted twice would leave it open which rules a carry went by. Rules
    that are withdrawn are NULL, and the wider ones hold again; a set without a rule holds, and carries nothing.
    """

    scope = models.CharField(max_length=16, choices=Scope.choices)
    scope_id = models.CharField(
        "id",
        max_length=MAX_ID_LENGTH,
        blank=True,
        default="",
        help_text="Of the program or collection; empty for the whole instance.",
    )
    rules = models.JSONField(null=True, blank=True)
    version = models.PositiveIntegerField(default=0, help_text="One more for each change.")
    updated_at = models.DateTimeField(help_text="When they were last changed (UTC).")
    updated_by = models.TextField(help_text="Who changed them last.")

    class Meta:
        ordering = ("scope", "scope_id")
        constraints = [models.UniqueConstraint(fields=("scope", "scope_id"), name="carry_rules_of_a_place")]
        verbose_name = "carry rules"
        verbose_name_plural = "carry rules"

    def __str__(self) -> str:
        return f"Carry rules of {self.get_scope_display()} {self.scope_id}".rstrip()

    def clean(self) -> None:
        """Refuses an id that does not fit the scope, and rules nobody could explain. Raises ValidationError."""
        super().clean()
        try:
            self.scope_id = check_id("id", self.scope_id) or ""
        except InvalidId as error:
            raise ValidationError(error.message) from None
        if self.scope == Scope.INSTANCE and self.scope_id:
            raise ValidationError("Rules of the whole instance have no id")
        if self.scope != Scope.INSTANCE and not self.scope_id:
            raise ValidationError("Rules of a program or collection need its id")
        try:
            self.rule_set()
        except RuleError as error:
            raise ValidationError({"rules": str(error)}) from None

    def rule_set(self) -> RuleSet | None:
        """The rules as they are applied; None where they are withdrawn. Raises RuleError."""
        return None if self.rules is None else rule_sets.parse(self.rules, self.version)

    def in_words(self) -> str:
        """The rules in a sentence."""
        try:
            found = self.rule_set()
        except RuleError as error:
            return f"Nothing is carried, the rules cannot be read: {error}"
        if found is None:
            return "Withdrawn" if self.scope == Scope.INSTANCE else "Withdrawn: the wider rules hold"
        if not found.rules:
            return "Nothing is carried"
        link = "; or " if found.match is Match.ANY else "; and "
        return f"{_TARGETS[found.target]}: {link.join(str(rule) for rule in found.rules)}"


class ModeChange(models.Model):
    """One change of the mode or of its rules, as it was made. Rows are added and never changed."""

    from_mode = models.CharField(max_length=32, choices=MODES)
    to_mode = models.CharField(max_length=32, choices=MODES)
    epoch = models.PositiveIntegerField(unique=True, help_text="Of the instance, from this change on.")
    rules = models.JSONField(
        null=True, blank=True, help_text="The instance's rules that were given with it; none were where it is empty."
    )
    changed_by = models.TextField(help_text="Who changed it.")
    changed_at = models.DateTimeField(help_text="When it was changed (UTC).")
    note = models.TextField(blank=True, help_text="Why, in the words of who changed it.")

    class Meta:
        ordering = ("-epoch",)
        verbose_name = "mode change"

    def __str__(self) -> str:
        return f"{self.epoch}: {self.from_mode} to {self.to_mode}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Adds the row. Raises TypeError for one that is there already."""
        if not self._state.adding:
            raise TypeError("What was changed is never rewritten")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Never. Raises TypeError."""
        raise TypeError("What was changed is never forgotten")


class Walk(models.Model):
    """One pass over all learners after a change: who comes later finds how far it got, and goes on there."""

    reason = models.TextField(help_text="What was changed.")
    epoch = models.PositiveIntegerField(help_text="Of the instance, when it was begun.")
    started_at = models.DateTimeField(help_text="When it was begun (UTC).")
    after = models.TextField(blank=True, default="", help_text="The learner it came to last; empty: none yet.")
    learners = models.PositiveBigIntegerField(default=0, help_text="How many it came to.")
    carried = models.PositiveBigIntegerField(default=0, help_text="How many completions or collections it carried.")
    failed = models.PositiveBigIntegerField(
        default=0, help_text="Learners who could not be brought in line; the log tells why."
    )
    leased_until = models.DateTimeField(null=True, blank=True, help_text="Until then somebody is at it (UTC).")
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="When it came to its end, or was replaced by a newer one (UTC)."
    )

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"Walk {self.pk}: {self.reason}"
