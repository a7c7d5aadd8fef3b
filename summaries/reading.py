"""What the summary calls answer: one learner's enrolments, and what was viewed without one.

A context whose mark is pending is folded before it is shown, so that these answers, view/read and every report say
the same. Nothing else is written here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from catalogue import api as catalogue
from common.errors import NotFound
from common.identity import Caller
from common.ids import check_id
from common.rows import ActivityAgg, ContextKey, Enrolment, RowKey, Status
from common.timestamps import from_epoch_ms, to_epoch_ms
from modes import keys
from summaries import paging, record
from summaries.inputs import Kind, ListQuery, SummaryInput, SummaryReadInput
from summaries.paging import Cursor, Place, Times
from viewer import aggregator, rekeying
from viewer.merging import later
from viewer.store import get_store

MAX_MS = 2**62  # later than any change
KEYS_PER_READ = 1000  # a statement has a limit of values; a learner has no limit of contents viewed
NOT_ENROLLED = 'Not enrolled in this collection and context; with "type": "all" what was viewed without is answered too'
NOTHING_THERE = "Neither an enrolment nor progress in this collection and context"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a learner's list. enrolment: None for what was viewed without one; agg: where it was read already."""

    key: ContextKey
    enrolment: Enrolment | None
    agg: ActivityAgg | None = None

    @property
    def times(self) -> Times:
        """What the entry's place in a list goes by."""
        stamps = max(self.agg.agg_last_updated.values(), default=None) if self.agg else None
        changed = from_epoch_ms(stamps) if stamps is not None else None
        if self.enrolment is None:
            accessed = record.last_read(self.agg).get("last_content_access_time")
            return Times(accessed, None, later(accessed, changed))
        own = self.enrolment
        return Times(own.last_content_access_time, own.enrolled_date, later(own.updated_at, changed))

    def place(self, made: int) -> Place:
        """As `paging.place`."""
        return paging.place((self.key.collection_id, self.key.context_id), self.times, made)


def list_all(caller: Caller, path_user_id: str, query: ListQuery, now: datetime) -> dict[str, Any]:
    """The result of summary/list: one page of records, how many there are on all pages, and where the next begins.

    Cost: a fixed number of reads however many enrolments there are, beside the folds of what is pending. Trees come
    from the process's cache.
    """
    user_id = caller.acts_for(check_id("userId", path_user_id))
    entries = _wanted(_entries(user_id, query.type, now), query)
    made = query.cursor.made if query.cursor else max(map(_changed, entries), default=0)
    placed = sorted((entry.place(made), entry) for entry in entries)
    rest = [one for one in placed if query.cursor is None or one[0] > query.cursor.after][query.offset :]
    page = rest[: query.limit]
    following = paging.written(Cursor(made, page[-1][0])) if len(rest) > len(page) else None
    return {"summary": _records([entry for _, entry in page]), "count": len(entries), "next": following}


def all_records(user_id: str, kind: Kind, now: datetime) -> list[dict[str, Any]]:
    """Every record of summary/list of this kind, in its order. Cost: as there."""
    entries = sorted((entry.place(made=MAX_MS), entry) for entry in _entries(user_id, kind, now))
    return _records([entry for _, entry in entries])


def _wanted(entries: Sequence[Entry], query: ListQuery) -> list[Entry]:
    """Those that the query asks for."""
    since = query.updated_since
    if since is not None:
        aggs = _aggs([entry.key for entry in entries if entry.agg is None])
        entries = [replace(entry, agg=entry.agg or aggs.get(entry.key)) for entry in entries]
        entries = [entry for entry in entries if entry.times.changed is None or entry.times.changed > since]
    return [entry for entry in entries if query.is_any_status or _status(entry) in query.status]


def _status(entry: Entry) -> Status:
    if entry.enrolment is not None:
        return entry.enrolment.status
    tree = catalogue.hierarchy(entry.key.collection_id)
    return record.organic(entry.key, entry.agg or ActivityAgg(entry.key), tree).status


def _changed(entry: Entry) -> int:
    changed = entry.times.changed
    return to_epoch_ms(changed) if changed else 0


def read(caller: Caller, given: SummaryReadInput, now: datetime) -> dict[str, Any]:
    """The result of summary/read: the record's fields, and the record again under `summary`, where live apps look.

    Raises NotFound for what is no enrolment; with another type, for where there is no progress either.
    """
    key = key_of(caller, given)
    aggregator.fold_pending([key], now)
    entry = _entry(key)
    enrolled = entry.enrolment is not None
    if given.type == "enrolment" and not enrolled:
        raise NotFound(NOT_ENROLLED)
    viewed = entry.agg is not None and bool(entry.agg.agg_details)
    if not (enrolled or viewed) or (given.type == "organic" and enrolled):
        raise NotFound(NOTHING_THERE)
    return _twice(_records([entry])[0])


def recompute(caller: Caller, given: SummaryInput, now: datetime) -> dict[str, Any]:
    """The result of view/agg: the record after everything was added up anew, pending or not.

    Raises NotFound where there is nothing to add up: an aggregate of nothing would be stored for ever.
    """
    key = key_of(caller, given)
    sources = get_store().sources(key)
    if sources.enrolment is None and not (sources.agg.version or sources.rows or sources.attempts):
        raise NotFound(NOTHING_THERE)
    aggregator.fold_context(key, now)
    return _twice(_records([_entry(key)])[0])


def key_of(caller: Caller, given: SummaryInput) -> ContextKey:
    """The context a call names. Raises Forbidden and MissingField."""
    return ContextKey(caller.acts_for(given.user_id), given.collection_id, given.context_id)


def _twice(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "summary": found}


def _entry(key: ContextKey) -> Entry:
    store = get_store()
    return Entry(key, store.enrolment(key), store.aggs([key]).get(key))


def _entries(user_id: str, kind: Kind, now: datetime) -> list[Entry]:
    """What a list of this kind holds, in no order."""
    store, mode = get_store(), rekeying.mode_for(user_id)
    marked = {mark.key for mark in store.marks(user_id)}
    enrolments = store.enrolments(user_id)
    own = {one.key for one in enrolments}
    if keys.awaited(mode, marked, own):
        aggregator.fold_pending(own, now)
        enrolments = store.enrolments(user_id)
    enrolled = [Entry(one.key, one) for one in enrolments]
    if kind == "enrolment":
        return enrolled
    known = {entry.key for entry in enrolled}
    without = [key for key in store.contexts(user_id) if key not in known]
    aggregator.fold_pending(marked & set(without), now)
    aggs = {key: ActivityAgg(key) for key in without} | _aggs(without)
    # A context that was emptied, by a move or by a change of mode, is still among the learner's and tells nothing.
    organic = [Entry(key, None, agg) for key, agg in aggs.items() if agg.agg_details or not agg.version]
    return organic if kind == "organic" else enrolled + organic


def _records(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The entries' records, each kind of fact read once for all of them."""
    aggs = _aggs([entry.key for entry in entries if entry.agg is None])
    aggs |= _with_live_progress(entry.agg for entry in entries if entry.enrolment is None and entry.agg is not None)
    ids = [entry.key.collection_id for entry in entries]
    facts = catalogue.collections(ids)
    # A content viewed by itself is no collection: the cache would ask for its tree every time.
    trees = {one: catalogue.hierarchy(one) for one in facts}
    return [
        record.summary(
            entry.key,
            entry.enrolment,
            aggs.get(entry.key, entry.agg),
            trees.get(entry.key.collection_id),
            facts.get(entry.key.collection_id),
        )
        for entry in entries
    ]


def _aggs(keys: Sequence[ContextKey]) -> dict[ContextKey, ActivityAgg]:
    store = get_store()
    found: dict[ContextKey, ActivityAgg] = {}
    for start in range(0, len(keys), KEYS_PER_READ):
        found |= store.aggs(keys[start : start + KEYS_PER_READ])
    return found


def _with_live_progress(organic: Iterable[ActivityAgg]) -> dict[ContextKey, ActivityAgg]:
    """These aggregates of contents viewed by themselves, with the percent their rows have now.

    Progress inside a content marks nothing (it changes no count of a collection); here it is the record's percentage.
    """
    started = {
        RowKey(*agg.key, agg.key.collection_id): agg
        for agg in organic
        if record.is_content(agg.key, agg) and agg.content_status.get(agg.key.collection_id) == Status.IN_PROGRESS
    }
    live: dict[ContextKey, ActivityAgg] = {}
    for row in get_store().rows(list(started)):
        agg, content = started[row.key], row.key.content_id
        facts = {**agg.agg_details[content], "progress": row.progress}
        if row.status is Status.IN_PROGRESS:
            live[agg.key] = replace(agg, agg_details={**agg.agg_details, content: facts})
    return live
