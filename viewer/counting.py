"""Which rows count in a context under this instance's mode: the mode's decisions applied to what the store says."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from catalogue import api as catalogue
from catalogue.hierarchy import Hierarchy
from common.rows import COPIED, Attempt, Consumption, ContextKey, Provenance, RowKey
from modes import instance, keys
from viewer.progress import Lost, Sources
from viewer.store import get_store

Tree = Callable[[str], Hierarchy | None]


def counted(sources: Sources, tree: Tree) -> Sources:
    """`sources` with the collection's tree and with the rows that count in the context, wherever they are kept.

    The tree is read after the aggregate: a fold must not know less than its rows do. Cost: nothing in modes that keep
    a row where it was viewed and were never changed; else up to three reads, however many contents.
    """
    chosen = instance.current()
    hierarchy = tree(sources.key.collection_id)
    known = replace(sources, hierarchy=hierarchy)
    contexts = keys.counted(chosen.mode, sources.key, hierarchy.leaves if hierarchy else ())
    seen = shown(known if contexts == (sources.key,) else _elsewhere(known, contexts))
    if not chosen.was_changed or sources.enrolment is None:
        return seen
    return replace(seen, lost=lost(sources, chosen.mode, get_store().provenance(sources.key.user_id)))


def shown(sources: Sources) -> Sources:
    """`sources` without what this mode hides. One more read where the mode was changed and attempts are there."""
    rows = keys.visible(instance.current().mode, sources.rows)
    return replace(sources, rows=rows, attempts=own_attempts(sources.attempts))


def lost(sources: Sources, mode: keys.Mode, records: Sequence[Provenance]) -> list[Lost]:
    """The completions carried into this context that do not count: those `mode` hides, and those taken back."""
    seen = {row.key: row for row in keys.visible(mode, sources.rows)}
    hidden = [Lost(row.last_updated_time) for row in sources.rows if seen.get(row.key) != row]
    undone = [
        Lost(record.recorded_at, record.undone_at)
        for record in records
        if record.action == COPIED and record.undone_at is not None and _target(record).context == sources.key
    ]
    return [*hidden, *undone]


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
    kept = kept_in(contexts)  # before the rows, as everywhere
    rows: Sequence[Consumption]
    attempts: Sequence[Attempt]
    if len(contexts) == 1:
        own = store.sources(contexts[0])
        rows, attempts = own.rows, own.attempts
    else:
        places = [RowKey(*context, context.collection_id) for context in contexts]
        rows, attempts = store.rows(places), store.attempts(places)
    return replace(sources, rows=rows, attempts=attempts, kept_elsewhere=kept)


def kept_in(contexts: Sequence[ContextKey]) -> dict[str, Any]:
    """Content -> what the aggregates of these contexts of one learner keep of it. One read."""
    aggs = get_store().aggs(contexts)
    return {content: told for agg in aggs.values() for content, told in agg.kept.items()}


def _carried_attempts(records: Sequence[Provenance]) -> set[tuple[RowKey, str]]:
    """Those that a carry brought, and not the learner."""
    return {
        (_target(record), attempt)
        for record in records
        if record.action == COPIED and record.undone_at is None
        for attempt in record.facts.get("attempts", ())
    }


def _target(record: Provenance) -> RowKey:
    return RowKey(record.user_id, *record.facts["target"])
