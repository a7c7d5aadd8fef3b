"""Changing the mode of an instance that may be in use: the flip, what has to follow for each learner, and the undo."""

import time
from collections.abc import Iterator
from datetime import datetime

from common.rows import MOVED
from modes import explaining as words
from modes import instance, switching
from modes.keys import Mode
from modes.models import ModeChange
from modes.rules import RuleSet
from viewer import aggregator, carrying, moves, statusmap
from viewer.store import get_store

PAGE = 200


def flip(
    mode: Mode, rules: RuleSet | None, by: str, now: datetime, note: str = "", *, seen: int | None = None
) -> ModeChange | None:
    """Changes mode and rules, and returns when every process goes by them; None where they are those already.

    From then on every answer is the new mode's: a learner whose rows have other places in it is brought there when
    somebody comes to him. A walk over all learners follows in the background. The status map is closed in any case:
    whoever did this before may have been killed before he came to it. Raises Conflict as `switching.switch`.
    """
    store = get_store()
    was_empty = not store.learners_after(None, 1)
    change = switching.switch(mode, rules, by, now, note, seen=seen)
    statusmap.close(now)  # it shows rows as the mode before did
    time.sleep(instance.MAX_AGE_SECONDS)
    if change is not None and was_empty and not store.learners_after(None, 1):
        switching.settle(change.epoch)
    return change


def bring_in_line(
    user_id: str, now: datetime, *, trigger: str, asked: bool = False, dry_run: bool = False
) -> list[str]:
    """Brings one learner in line with mode and rules: carries, moves and folds; what was carried or moved, in words.

    Doing it again changes nothing. asked: an operator asks for it, so that also moves what does not by itself. dry_run:
    only tells.
    """
    moved = moves.move(user_id, now, trigger=trigger, asked=asked, dry_run=dry_run)
    copied = carrying.carry(user_id, now, trigger=trigger, dry_run=dry_run)
    if not dry_run:
        for _ in aggregator.recompute(user_id=user_id):
            pass
    return [*(words.moved_words(one) for one in moved), *(words.copied_words(one) for one in copied)]


def undo(user_id: str, record_id: str, now: datetime) -> str:
    """Takes one carry or move back and adds up anew what it concerned; what was taken back, in words.

    Again it changes nothing. Raises NotFound, and Conflict as `carrying.undo`.
    """
    record = next((one for one in get_store().provenance(user_id) if one.id == record_id), None)
    if record is not None and record.action == MOVED:
        for key in (moves.undo(user_id, record_id, now), moves.target_of(record)):
            aggregator.fold_context(key, now)
        return words.context(moves.source_of(record))
    place = carrying.undo(user_id, record_id, now)
    aggregator.fold_context(place.context, now)
    return f"{place.content_id} {words.place(place)}"


def everybody(after: str | None = None) -> Iterator[str]:
    """Every learner behind `after`, a page at a time."""
    while page := get_store().learners_after(after, PAGE):
        yield from page
        after = page[-1]
