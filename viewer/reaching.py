"""What was viewed in one context and counts in others: marks them, or carries it there."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from common.rows import ContextKey
from modes import instance, keys
from viewer import carrying, counting, moves
from viewer.store import get_store


def pass_on(changed: Iterable[ContextKey], now: datetime) -> int:
    """Lets what changed in these contexts count wherever it does; how many contexts were marked by that.

    Cost: nothing in modes where a context is by itself; else each learner's own partition, and nobody else's.
    """
    mode = instance.current().mode
    if not mode.reaches_others:
        return 0
    of_learner: dict[str, list[ContextKey]] = defaultdict(list)
    for key in changed:
        of_learner[key.user_id].append(key)
    if mode.copies:
        return sum(len(carrying.carry(user_id, now)) for user_id in of_learner)
    if mode.moves:
        return sum(len(moves.move(user_id, now)) for user_id in of_learner)
    return sum(_mark_reached(mode, user_id, own, now) for user_id, own in of_learner.items())


def _mark_reached(mode: keys.Mode, user_id: str, changed: Iterable[ContextKey], now: datetime) -> int:
    store = get_store()
    enrolled = [enrolment.key for enrolment in store.enrolments(user_id) if enrolment.active]
    reached = {key for one in changed for key in keys.reached(mode, one, enrolled, counting.leaves_of)}
    for key in sorted(reached):
        store.mark(key, now)
    return len(reached)
