"""What the status map's tests do over and over: write as a call does, read, and see whether the map answered."""

from collections.abc import Callable
from typing import Any

from django.test import override_settings

from common.identity import Caller
from common.rows import Attempt, RowKey
from tests.viewer.events import at
from viewer import reading, statusmap
from viewer.inputs import ReadInput
from viewer.statusmap import packing
from viewer.statusmap.state import states
from viewer.store import Applied, get_store

COLLECTION, CONTEXT = "class-1-maths", "batch-1"


def write(key: RowKey, *events: Any) -> list[Applied]:
    """What the view calls do: store, map, and then they would acknowledge."""
    told = []
    for event in events:
        with statusmap.writing([key.user_id]) as written:
            told.append(get_store().apply(key, event))
            written.show([(key, told[-1])])
    return told


def read(key: RowKey, contents: list[str] | None = None) -> list[dict[str, Any]]:
    """The contents of a view/read of the key's context."""
    scope = ReadInput(
        user_id=key.user_id, collection_id=key.collection_id, context_id=key.context_id, content_id=contents
    )
    answer: list[dict[str, Any]] = reading.read(Caller(None), scope, at(1000))["contents"]
    return answer


def from_store(key: RowKey, contents: list[str] | None = None) -> list[dict[str, Any]]:
    """The same, without a map."""
    with override_settings(REDIS_URL=""):
        return read(key, contents)


def counted(name: str, work: Callable[[], object]) -> int:
    """How many more of `name` there are after `work`."""
    before = statusmap.counts()[name]
    work()
    return statusmap.counts()[name] - before


def hits(key: RowKey, contents: list[str] | None = None) -> int:
    return counted("hits", lambda: read(key, contents))


def filled(key: RowKey) -> None:
    """Sees to it that the map has the key's context."""
    read(key)
    assert hits(key) == 1


def status(key: RowKey) -> int:
    (found,) = (item["status"] for item in read(key, [key.content_id]))
    return int(found)


def hash_of(key: RowKey) -> str:
    return packing.hash_key(states.current().epoch, key.context)


def generation_of(key: RowKey) -> str:
    return packing.generation_key(states.current().epoch, key.user_id)


def attempt(key: RowKey, number: int, score: float) -> Attempt:
    return Attempt(key, f"attempt-{number}", score, 10.0, f"{score}/10.0", at(0), at(number), at(number))


class Reader:
    """A read that missed, stopped between its reading of the store and its fill."""

    def __init__(self, key: RowKey) -> None:
        seen = statusmap.look({key.context: None})
        assert not seen.found
        reserved = statusmap.begin_fill(seen, [key.context])
        assert reserved is not None
        self._reserved, self._sources = reserved, get_store().sources(key.context)

    def go_on(self) -> str:
        """Fills; what became of it."""
        names = ("fills", "refused", "failures")
        before = statusmap.counts()
        statusmap.fill(self._reserved, [self._sources])
        (told,) = [name for name in names if statusmap.counts()[name] > before[name]]
        return told
