"""Pure decisions: which row a view writes and which rows a read answers from, in each mode.

No settings, no queries, no clock: everything a decision needs is an argument. The source of every rule is the
seeds' "Config Modes" and the scenario table above it (seed: scenarios 1-3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from common.rows import ContextKey, RowKey


class Mode(StrEnum):
    """What "in this context" means on this instance. Strict is the seeds' default."""

    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class View:
    """One content viewed by one learner, where the client says it was viewed."""

    user_id: str
    content_id: str
    collection_id: str | None = None
    context_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReadScope:
    """The rows an answer is made of.

    context: the one context they stand in, or None for a list of contents that each have their own organic row.
    keys: exactly these rows, in the order they were asked for; None means every row of `context`.
    """

    context: ContextKey | None
    keys: tuple[RowKey, ...] | None


def write_key(mode: Mode, view: View) -> RowKey:
    """The row that `view` writes.

    Strict (seed: Strict Context Mode): where it was viewed. A view outside a collection is its own collection, a
    view outside a batch is in the collection's own context (seed: scenarios 1-3).
    """
    collection_id = view.collection_id or view.content_id
    return RowKey(view.user_id, collection_id, view.context_id or collection_id, view.content_id)


def read_scope(
    mode: Mode, user_id: str, content_ids: Sequence[str], collection_id: str | None, context_id: str | None
) -> ReadScope:
    """The rows that answer a read of `content_ids` (empty: everything) in a collection and context.

    Without a collection each content answers from its own organic row (seed: scenario 1); one content has then a
    context of its own, several have none in common. At least one of content and collection must be given.
    """
    keys = tuple(write_key(mode, View(user_id, content, collection_id, context_id)) for content in content_ids)
    if collection_id is not None:
        context = ContextKey(user_id, collection_id, context_id or collection_id)
        return ReadScope(context, keys or None)
    return ReadScope(keys[0].context if len(keys) == 1 else None, keys)
