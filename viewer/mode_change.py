"""Changing the mode of an instance that may be in use: what stands in the way, the flip, and what has to follow."""

import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from common.errors import Conflict
from common.rows import RowKey
from modes import instance, keys, policy, switching
from modes.carry import Decision
from modes.keys import Mode
from modes.models import ModeChange
from modes.rules import RuleSet
from viewer import aggregator, carrying, statusmap
from viewer.store import get_store

PAGE = 200


def hindrance(mode: Mode) -> str | None:
    """Why this instance cannot change to `mode`; None: it can."""
    if not mode.is_built:
        return f"{mode} is not built yet"
    if keys.same_rows(instance.current().mode, mode) or not get_store().learners_after(None, 1):
        return None
    return (
        f"Learners have progress in rows of {instance.current().mode}, and {mode} keeps its rows elsewhere: "
        "giving them new keys is not built yet"
    )


def flip(mode: Mode, rules: RuleSet | None, by: str, now: datetime) -> ModeChange | None:
    """Changes mode and rules, and returns when every process goes by them; None where they are those already.

    The status map is closed in any case: whoever did this before may have been killed before he came to it. Raises
    Conflict where something stands in the way, also where a learner wrote while it was changed; then it is as before.
    """
    if told := hindrance(mode):
        raise Conflict(told)
    rules_before = policy.policy_for(None, "").rules
    change = switching.switch(mode, rules, by, now)
    statusmap.close(now)  # it shows rows as the mode before did
    time.sleep(instance.MAX_AGE_SECONDS)
    if change is not None and not keys.same_rows(Mode(change.from_mode), mode) and get_store().learners_after(None, 1):
        switching.switch(Mode(change.from_mode), rules_before, by, now, note="undone: a learner wrote meanwhile")
        raise Conflict("A learner wrote while the mode was changed; it is as before")
    return change


def follow(user_ids: Iterable[str], now: datetime, *, dry_run: bool = False) -> Iterator[tuple[str, list[Decision]]]:
    """Brings learners in line with the mode: carries and folds; each with what was carried.

    Doing it again changes nothing, so it may be stopped and begun anew. dry_run: only tells what would be carried.
    """
    for user_id in user_ids:
        decisions = carrying.carry(user_id, now, trigger="command", dry_run=dry_run)
        if not dry_run:
            for _ in aggregator.recompute(user_id=user_id):
                pass
        yield user_id, decisions


def undo(user_id: str, record_id: str, now: datetime) -> RowKey:
    """Takes one carry back and adds its context up anew, so that nothing shows it any more; its place.

    Again it changes nothing. Raises NotFound and Conflict as `carrying.undo`.
    """
    key = carrying.undo(user_id, record_id, now)
    aggregator.fold_context(key.context, now)
    return key


def everybody(after: str | None = None) -> Iterator[str]:
    """Every learner behind `after`, a page at a time."""
    while page := get_store().learners_after(after, PAGE):
        yield from page
        after = page[-1]
