"""Changing the mode and the rules: one transaction each, after which this process sees what it has done.

Nothing here asks whether the change is wise; who calls it has shown what it changes and had it confirmed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import router, transaction

from common.errors import Conflict
from modes import policy
from modes.keys import Mode, same_rows
from modes.models import CarryRules, Instance, ModeChange, Scope, Walk
from modes.rules import RuleSet


def switch(
    mode: Mode, rules: RuleSet | None, by: str, now: datetime, note: str = "", *, seen: int | None = None
) -> ModeChange | None:
    """Sets the mode, and the instance's rules where they are given, under a new epoch; the audit row of it.

    None: the mode and the rules are those already, and nothing was written. Of several at once each waits for the one
    before it. seen: the epoch that who asks has seen. Raises Conflict where it is another one by now, and
    ValidationError for rules nobody could explain.
    """
    with _changing():
        row, _ = Instance.objects.select_for_update().get_or_create(pk=Instance.ONLY)
        if seen is not None and row.epoch != seen:
            raise Conflict("The mode was changed since you looked at it")
        before = row.mode
        other_rules = rules if rules is not None and rules.as_json() != _in_force() else None
        if mode == before and other_rules is None:
            return None
        row.mode, row.epoch = mode.value, row.epoch + 1
        if mode != before:
            row.mode_since = now
        if not same_rows(Mode(before), mode):
            row.rows_epoch, row.rows_settled = row.epoch, False
        row.save(update_fields=["mode", "epoch", "mode_since", "rows_epoch", "rows_settled"])
        if other_rules is not None:
            _store_rules(Scope.INSTANCE, "", other_rules, by, now)
        _begin_walk(f"{before} to {mode}", row.epoch, now)
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

    rules: None withdraws them, so that the wider ones hold. Where the mode carries, a walk over all learners follows.
    Raises ValidationError for a scope without its id, and for rules nobody could explain.
    """
    with _changing():
        row, changed = _store_rules(scope, scope_id, rules, by, now)
        stored = Instance.objects.filter(pk=Instance.ONLY).first()
        if changed and stored is not None and Mode(stored.mode).carries:
            _begin_walk(f"rules of {row.get_scope_display()} {row.scope_id}".rstrip(), stored.epoch, now)
        return row


def settle(epoch: int) -> None:
    """Says that every learner's rows are where this epoch's mode keeps them, unless a later one has other places."""
    with _changing():
        Instance.objects.filter(pk=Instance.ONLY, rows_epoch__lte=epoch).update(rows_settled=True)


def _store_rules(scope: str, scope_id: str, rules: RuleSet | None, by: str, now: datetime) -> tuple[CarryRules, bool]:
    """The stored row, and whether it is another one than before."""
    given = None if rules is None else rules.as_json()
    wanted = CarryRules(scope=scope, scope_id=scope_id, rules=given, version=1, updated_by=by, updated_at=now)
    wanted.full_clean(validate_unique=False, validate_constraints=False)
    row, is_new = CarryRules.objects.select_for_update().get_or_create(
        scope=wanted.scope,
        scope_id=wanted.scope_id,
        defaults={"rules": given, "version": 1, "updated_by": by, "updated_at": now},
    )
    if not is_new and row.rules != given:
        row.rules, row.version, row.updated_by, row.updated_at = given, row.version + 1, by, now
        row.save(update_fields=["rules", "version", "updated_by", "updated_at"])
        return row, True
    return row, is_new


def _begin_walk(reason: str, epoch: int, now: datetime) -> None:
    """A new pass over all learners, instead of those that are under way: it does what they would have done."""
    Walk.objects.filter(finished_at=None).update(finished_at=now)
    Walk.objects.create(reason=reason, epoch=epoch, started_at=now)


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
