"""What each learner did with each content, kept in Redis so that a read is one round trip and no query.

The store is the truth and the map only a copy: it may be lost, emptied, full, cut off or set back to an older copy of
itself at any time, and no answer is ever older than what was acknowledged before the question (decision 11). Without
REDIS_URL every function here does nothing at once.

    writing(user_ids)      around a write to the store: tells the map before the caller acknowledges
    look(wanted)           what the map knows; the rest has to be read from the store
    begin_fill, fill       around that reading of the store: puts it into the map
    heal(now)              switches the map on and off; called by every sweep
    close(now)             switches it off, for who replaces rows beneath it
    counts()               hits, misses and the like of this process
"""

from viewer.statusmap.counters import counts
from viewer.statusmap.healing import close, heal
from viewer.statusmap.lookup import Found, Look, Wanted, begin_fill, fill, found_in, look
from viewer.statusmap.writing import Written, writing

__all__ = [
    "Found",
    "Look",
    "Wanted",
    "Written",
    "begin_fill",
    "close",
    "counts",
    "fill",
    "found_in",
    "heal",
    "look",
    "writing",
]
