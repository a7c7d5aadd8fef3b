"""Which rows count in a context under this instance's mode: the mode's decisions applied to what the store says."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from catalogue import api as catalogue
from catalogue.hierarchy import Hierarchy
from common.rows import Attempt, Consumption, ContextKey, Provenance, RowKey
from modes import instance, keys
from viewer.progress import Sources
from viewer.store import get_store

Tree = Callable[[str], Hierarchy | None]


def counted(sources: Sources, tree: Tree) -> Sources:
    """`sources` with the collection's tree and with the rows that count in the context, wherever they are kept.

    The tree is read after the aggregate: a fold must not know less than its rows do. Cost: nothing in modes that keep
    a row where it was viewed; else up to three reads, however many contents.
    """
    mode = instance.current().mode
    hierarchy = tree(sources.key.collection_id)
    known = replace(sources, hierarchy=hierarchy)
    contexts = keys.counted(mode, sources.key, hierarchy.leaves if hierarchy else ())
    return shown(known if contexts == (sources.key,) else _elsewhere(known, contexts))


def shown(sources: Sources) -> Sources:
    """`sources` without what this mode hides. One more read where the mode was changed and attempts are there."""
    rows = keys.visible(instance.current().mode, sources.rows)
    attempts = own_attempts(sources.attempts)
    if list(sources.rows) == rows and len(attempts) == len(sources.attempts):
        return sources
    return replace(sources, rows=rows, attempts=attempts, lost_since=hidden_since(sources.rows, rows))


def hidden_since(rows: Sequence[Consumption], seen: Sequence[Consumption]) -> datetime | None:
    """When the first of what is not shown of these rows was carried; None where all is."""
    shown_as = {row.key: row for row in seen}
    return min((row.last_updated_time for row in rows if shown_as.get(row.key) != row), default=None)


def own_attempts(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """One learner's attempts without those that a carry brought, where this mode hides what was carried."""
    chosen = instance.current()
    if chosen.mode.copies or not chosen.was_changed or not attempts:
        return attempts
    carried = _carried_attempts(get_store().provenance(attempts[0].key.user_id))
    return [one for one in attempts if (one.key, one.attempt_id) not in carried]


def leaves_of(collection_id: str) -> tuple[str, ...]:
    """The contents of a collection in course order; none for one whose tree is not known."""
    hierarchy = catalogue.hierarchy(collection_id)
    return hierarchy.leaves if hierarchy else ()


def _elsewhere(sources: Sources, contexts: Sequence[ContextKey]) -> Sources:
    """What is kept in these contexts. Of one that is a collection everything, of a content's own its content."""
    store = get_store()
    aggs = store.aggs(contexts)  # before the rows, as everywhere
    kept: dict[str, Any] = {content: told for agg in aggs.values() for content, told in agg.kept.items()}
    rows: Sequence[Consumption]
    attempts: Sequence[Attempt]
    if len(contexts) == 1:
        own = store.sources(contexts[0])
        rows, attempts = own.rows, own.attempts
    else:
        places = [RowKey(*context, context.collection_id) for context in contexts]
        rows, attempts = store.rows(places), store.attempts(places)
    return replace(sources, rows=rows, attempts=attempts, kept_elsewhere=kept)


def _carried_attempts(records: Sequence[Provenance]) -> set[tuple[RowKey, str]]:
    """Those that a carry brought, and not the learner."""
    return {
        (RowKey(record.user_id, *record.facts["target"]), attempt)
        for record in records
        if record.undone_at is None
        for attempt in record.facts.get("attempts", ())
    }
