"""The instance's own choices: one row, edited in the admin."""

from typing import ClassVar

from django.db import models

from modes.keys import Mode


class Instance(models.Model):
    """How this instance counts. There is exactly one row, with the primary key 1."""

    ONLY: ClassVar[int] = 1

    mode = models.CharField(
        max_length=32,
        choices=[(mode.value, mode.value) for mode in Mode],
        default=Mode.STRICT.value,
        help_text="What counts in which context. It is changed by its own guarded action, never here.",
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

    class Meta:
        verbose_name = "instance"
        verbose_name_plural = "instance"

    def __str__(self) -> str:
        return f"This instance ({self.mode})"
