"""Changing the mode and the rules: one transaction each, after which this process sees what it has done.

Nothing here asks whether the change is wise; who calls it has shown what it changes and had it confirmed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import router, transaction

from modes import policy
from modes.keys import Mode
from modes.models import CarryRules, Instance, ModeChange, Scope
from modes.rules import RuleSet


def switch(mode: Mode, rules: RuleSet | None, by: str, now: datetime, note: str = "") -> ModeChange | None:
    """Sets the mode, and the instance's rules where they are given, under a new epoch; the audit row of it.

    None: the mode and the rules are those already, and nothing was written. Of several at once each waits for the one
    before it. Raises ValidationError for rules nobody could explain.
    """
    with _changing():
        row, _ = Instance.objects.select_for_update().get_or_create(pk=Instance.ONLY)
        before = row.mode
        other_rules = rules if rules is not None and rules.as_json() != _in_force() else None
        if mode == before and other_rules is None:
            return None
        row.mode, row.epoch = mode.value, row.epoch + 1
        row.save(update_fields=["mode", "epoch"])
        if other_rules is not None:
            save_rules(Scope.INSTANCE, "", other_rules, by, now)
        return ModeChange.objects.create(
            from_mode=before,
            to_mode=mode.value,
            epoch=row.epoch,
            rules=None if rules is None else rules.as_json(),
            changed_by=by,
            changed_at=now,
            note=note,
        )


def save_rules(scope: str, scope_id: str, rules: RuleSet | None, by: str, now: datetime) -> CarryRules:
    """Stores the rules of one place under a new version, or leaves the same ones as they are; the stored row.

    rules: None withdraws them, so that the wider ones hold. Raises ValidationError for a scope without its id, and for
    rules nobody could explain.
    """
    given = None if rules is None else rules.as_json()
    wanted = CarryRules(scope=scope, scope_id=scope_id, rules=given, version=1, updated_by=by, updated_at=now)
    wanted.full_clean(validate_unique=False, validate_constraints=False)
    with _changing():
        row, is_new = CarryRules.objects.select_for_update().get_or_create(
            scope=wanted.scope,
            scope_id=wanted.scope_id,
            defaults={"rules": given, "version": 1, "updated_by": by, "updated_at": now},
        )
        if not is_new and row.rules != given:
            row.rules, row.version, row.updated_by, row.updated_at = given, row.version + 1, by, now
            row.save(update_fields=["rules", "version", "updated_by", "updated_at"])
        return row


def _in_force() -> object:
    """The instance's own rules as they are stored, those of a set without a rule where there are none."""
    row = CarryRules.objects.select_for_update().filter(scope=Scope.INSTANCE, scope_id="").first()
    return RuleSet().as_json() if row is None or row.rules is None else row.rules


@contextmanager
def _changing() -> Iterator[None]:
    """A transaction; this process forgets what it knew, now and again once everybody sees the change.

    The second time is for a caller with a transaction around: until that ends other threads read what was before.
    """
    using = router.db_for_write(Instance)
    with transaction.atomic(using=using):
        yield
        transaction.on_commit(policy.forget, using=using)
    policy.forget()
