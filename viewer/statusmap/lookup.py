"""The reader's side: what the map knows of some contexts, and how what the store knows gets into it.

A hit needs a generation, a hash that bears it and was filled under it, no write in progress, and a state that was on
less than a second before Redis answered. Whatever fails here fails no read: the store answers.
"""

import logging
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from common.rows import ContextKey, RowKey
from viewer import progress
from viewer.progress import Sources
from viewer.statusmap import client, packing, scripts
from viewer.statusmap.counters import count
from viewer.statusmap.state import Phase, State, states
from viewer.store import get_store

logger = logging.getLogger("viewer.statusmap")
PAUSE_SECONDS = 1.0  # without asking, after Redis failed a read: each question could cost its timeout
FILL_LIMIT = 8  # contexts one read fills; each is read from the store as a whole
WRITE_SECONDS = 30  # longer than any write to the store takes; a write that began earlier has died
Wanted = Mapping[ContextKey, Collection[str] | None]
_failed_at: list[float] = []


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one context.

    details: content -> its progressDetails, where it has a row; facts: content -> `progress.content_facts`.
    """

    details: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """What the map answered. found: the contexts it knows. state: under which others may be filled; None: not now."""

    found: dict[ContextKey, Found] = field(default_factory=dict)
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """The places of a fill that has begun: context -> id of its hash, all of one generation."""

    state: State
    generation: bytes
    ids: Mapping[ContextKey, bytes]


def found_in(sources: Sources) -> Found:
    """What the store says of one context."""
    details = {row.key.content_id: row.progress_details for row in sources.rows}
    return Found(details, progress.content_facts(sources))


def look(wanted: Wanted) -> Look:
    """What the map knows of one learner's contexts: of these contents, or of all (None).

    Cost: one round trip, and one query where a row has details that are too large for the map.
    """
    if not settings.REDIS_URL or not wanted or _pauses():
        return Look()
    state = states.current()
    if state.phase is not Phase.ON:
        return Look()
    try:
        answers = client.exchange(state.servers, _questions(state.epoch, wanted))
    except client.Failed as error:
        _failed("status map not read", error)
        return Look()
    if not states.is_fresh(state):  # only now: this process may have stood still before Redis was asked, or after
        return Look()
    found = _with_large_rows(_found(wanted, answers))
    count("hits", len(found))
    count("misses", len(wanted) - len(found))
    return Look(found, state)


def begin_fill(seen: Look, contexts: Sequence[ContextKey]) -> Reserved | None:
    """Makes a place for these contexts of one learner, before the store is read; None where they are not to be filled.

    Cost: one round trip.
    """
    if seen.state is None or len(contexts) > FILL_LIMIT:
        return None
    epoch, user_id = seen.state.epoch, contexts[0].user_id
    keys = [packing.generation_key(epoch, user_id), packing.writers_key(epoch, user_id)]
    keys += [packing.hash_key(epoch, context) for context in contexts]
    arguments: list[str | int] = [secrets.token_hex(8), secrets.token_hex(8), lifetime(), WRITE_SECONDS]
    try:
        ((generation, *ids),) = client.exchange(
            seen.state.servers, [("EVAL", scripts.RESERVE, len(keys), *keys, *arguments)]
        )
    except client.Failed as error:
        _failed("status map not filled", error)
        return None
    return Reserved(seen.state, generation, dict(zip(contexts, ids, strict=True)))


def fill(reserved: Reserved, sources: Sequence[Sources]) -> None:
    """Puts what the store said after `begin_fill` into the map, unless it may be outdated. Cost: one round trip."""
    epoch, commands = reserved.state.epoch, list[client.Command]()
    for one in sources:
        keys = [packing.generation_key(epoch, one.key.user_id), packing.hash_key(epoch, one.key)]
        told: list[str | bytes] = [part for named in packing.fields(one) for part in named]
        arguments: list[str | bytes | int] = [reserved.generation, reserved.ids[one.key], lifetime(), *told]
        commands.append(("EVAL", scripts.FILL, len(keys), *keys, *arguments))
    try:
        done = client.exchange(reserved.state.servers, commands)
    except client.Failed as error:
        _failed("status map not filled", error)
        return
    count("fills", sum(done))
    count("refused", len(done) - sum(done))


def lifetime() -> int:
    """How long what is put into the map stays there, in seconds."""
    return int(settings.VIEWER_STATUS_MAP_HOURS) * 3600


def _pauses() -> bool:
    return bool(_failed_at) and time.monotonic() - _failed_at[0] < PAUSE_SECONDS


def _failed(message: str, error: client.Failed) -> None:
    count("failures")
    _failed_at[:] = [time.monotonic()]
    logger.warning(message, extra={"error": str(error)})


def _questions(epoch: int, wanted: Wanted) -> list[client.Command]:
    """Writes in progress are asked for before the hashes: once there are none, the hashes have what was written."""
    user_id = next(iter(wanted)).user_id
    questions: list[client.Command] = [
        ("GET", packing.generation_key(epoch, user_id)),
        ("EXISTS", packing.writers_key(epoch, user_id)),
    ]
    for context, contents in wanted.items():
        key = packing.hash_key(epoch, context)
        questions.append(("HGETALL", key) if contents is None else ("HMGET", key, *_fields(contents)))
    return questions


def _fields(contents: Collection[str]) -> list[str | bytes]:
    of_contents = [name for content in contents for name in packing.fields_of(content)]
    return [packing.GENERATION, packing.FULL, *of_contents]


def _found(wanted: Wanted, answers: Sequence[Any]) -> dict[ContextKey, dict[str, bytes]]:
    """Context -> field -> value, for the hashes that may be believed."""
    generation, being_written, *hashes = answers
    found: dict[ContextKey, dict[str, bytes]] = {}
    if generation is None or being_written:
        return found
    for (context, contents), told in zip(wanted.items(), hashes, strict=True):
        named = (
            zip(told[::2], told[1::2], strict=True) if contents is None else zip(_fields(contents), told, strict=True)
        )
        values = {_text(name): value for name, value in named if value is not None}
        if values.pop("_gen", None) == generation and values.pop("_full", None):
            found[context] = values
    return found


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _with_large_rows(found: Mapping[ContextKey, dict[str, bytes]]) -> dict[ContextKey, Found]:
    """What the hashes say; rows that are too large for them come from the store.

    A context one of whose large rows is gone from there is not known.
    """
    known: dict[ContextKey, Found] = {}
    for context, values in found.items():
        rows = {_content(name): packing.unpacked(value) for name, value in values.items() if name.startswith("r:")}
        large = [RowKey(*context, content) for content, (_, details) in rows.items() if details is None]
        stored = get_store().rows(large) if large else []
        if len(stored) == len(large):
            known[context] = _merged(rows | {row.key.content_id: packing.own(row) for row in stored}, values)
    return known


def _merged(rows: Mapping[str, packing.Own], values: Mapping[str, bytes]) -> Found:
    """The facts by content, as the store's are."""
    scores = {_content(name): packing.best_of(value) for name, value in values.items() if name.startswith("s:")}
    kept = {_content(name): packing.kept_of(value) for name, value in values.items() if name.startswith("k:")}
    none: tuple[None, None] = (None, None)
    facts = {
        content: progress.merged_facts(rows.get(content, none)[0], scores.get(content), kept.get(content, {}))
        for content in sorted({*rows, *scores, *kept})
    }
    return Found({content: details or {} for content, (_, details) in rows.items()}, facts)


def _content(name: str) -> str:
    return name[2:]
