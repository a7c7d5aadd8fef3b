"""What the status map of this process did, for whoever watches it."""

import threading
from collections import Counter

NAMES = ("hits", "misses", "fills", "refused", "failures", "switched_off")
_counts: Counter[str] = Counter()
_lock = threading.Lock()


def count(name: str, times: int = 1) -> None:
    """Counts `times` more of `name`, one of NAMES."""
    with _lock:
        _counts[name] += times


def counts() -> dict[str, int]:
    """Since the process began.

    hits, misses: contexts that a read found in the map, or looked for in vain. fills: contexts put into it; refused:
    fills that came too late. failures: times Redis did not do what it was asked. switched_off: times this process
    switched the map off for everybody.
    """
    with _lock:
        return {name: _counts[name] for name in NAMES}
