"""Pure decisions: which row a view writes, which rows a read answers from and which rows an enrolment counts.

No settings, no queries, no clock: everything a decision needs is an argument. The source of every rule is the
seeds' "Config Modes" and the scenario table above it (seed: scenarios 1-3); docs/modes.md numbers them.

    mode                        in collection C, context X      a content by itself
    strict, the copies, move    (C, X, content)                 (content, content, content)
    no context, content         (content, content, content)     the same
    no context, collection      (C, C, content)                 (content, content, content)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from common.rows import Consumption, ContextKey, RowKey, Status

Leaves = Callable[[str], Sequence[str]]
"""The contents of a collection in course order; none for an unknown one."""


class Mode(StrEnum):
    """What "in this context" means on this instance. Strict is the seeds' default."""

    STRICT = "strict"
    NO_CONTEXT_CONTENT = "no_context_content"
    NO_CONTEXT_COLLECTION = "no_context_collection"
    COPY_CONTENT = "copy_content"
    COPY_COLLECTION = "copy_collection"
    MOVE = "move"

    @property
    def copies(self) -> bool:
        """True where completions are copied into other contexts."""
        return self in {Mode.COPY_CONTENT, Mode.COPY_COLLECTION}

    @property
    def moves(self) -> bool:
        """True where a batch's progress goes over into a program."""
        return self is Mode.MOVE

    @property
    def carries(self) -> bool:
        """True where what was done in one context may be brought into another, by a copy or a move."""
        return self.copies or self.moves

    @property
    def ignores_context(self) -> bool:
        """True where a row is not kept in the context it was viewed in."""
        return self in {Mode.NO_CONTEXT_CONTENT, Mode.NO_CONTEXT_COLLECTION}

    @property
    def reaches_others(self) -> bool:
        """True where what is viewed in one context may count in another."""
        return self.carries or self.ignores_context


@dataclass(frozen=True, slots=True)
class View:
    """One content viewed by one learner, where the client says it was viewed."""

    user_id: str
    content_id: str
    collection_id: str | None = None
    context_id: str | None = None


def viewed(row: RowKey) -> View:
    """The view that a row in the strict mode tells of."""
    alone = row.collection_id == row.context_id == row.content_id
    return View(row.user_id, row.content_id, *((None, None) if alone else (row.collection_id, row.context_id)))


@dataclass(frozen=True, slots=True)
class ReadScope:
    """The rows an answer is made of.

    context: the one context that was asked about, or None for a list of contents that each have their own organic row.
    keys: exactly these rows, in the order they were asked for; None means every row of `context`.
    any_context: the best of the learner's contexts of the collection answers; `context` is the one nobody enrols in.
    """

    context: ContextKey | None
    keys: tuple[RowKey, ...] | None
    any_context: bool = False

    def place(self, key: RowKey) -> RowKey:
        """Where the content of this row was asked about, which need not be where the row is kept."""
        return RowKey(*(self.context or key.context), key.content_id)


def write_key(mode: Mode, view: View) -> RowKey:
    """The row that `view` writes.

    Strict (seed: Strict Context Mode) and carry forward: where it was viewed. A view outside a collection is its own
    collection, a view outside a batch is in the collection's own context (seed: scenarios 1-3). Without contexts (seed:
    No Context Mode) the content's own row, or the collection's own context.
    """
    collection_id = view.collection_id or view.content_id
    context_id = view.context_id or collection_id
    if mode is Mode.NO_CONTEXT_CONTENT:
        collection_id = context_id = view.content_id
    elif mode is Mode.NO_CONTEXT_COLLECTION:
        context_id = collection_id
    return RowKey(view.user_id, collection_id, context_id, view.content_id)


def read_scope(
    mode: Mode,
    user_id: str,
    content_ids: Sequence[str],
    collection_id: str | None,
    context_id: str | None,
    leaves: Leaves = lambda _: (),
) -> ReadScope:
    """The rows that answer a read of `content_ids` (empty: everything) in a collection and context.

    Without a collection each content answers from its own organic row (seed: scenario 1); one content has then a
    context of its own, several have none in common. At least one of content and collection must be given.
    """
    asked = content_ids
    if mode is Mode.NO_CONTEXT_CONTENT and collection_id is not None and not content_ids:
        asked = leaves(collection_id)
    keys = tuple(write_key(mode, View(user_id, content, collection_id, context_id)) for content in asked)
    if collection_id is None:
        return ReadScope(keys[0].context if len(keys) == 1 else None, keys)
    context = ContextKey(user_id, collection_id, context_id or collection_id)
    if mode is Mode.NO_CONTEXT_COLLECTION:
        context = context._replace(context_id=collection_id)
    whole = not content_ids and mode is not Mode.NO_CONTEXT_CONTENT
    # Seed: "Extended Enrolment Consumption", row 2: a copy is read without naming where it is.
    return ReadScope(context, None if whole else keys, any_context=mode.copies and context_id is None)


def counted(mode: Mode, key: ContextKey, leaves: Sequence[str]) -> tuple[ContextKey, ...]:
    """The contexts whose rows count in `key`; `leaves`: of its collection, none where it is unknown."""
    if mode is Mode.NO_CONTEXT_COLLECTION:
        return (key._replace(context_id=key.collection_id),)
    if mode is Mode.NO_CONTEXT_CONTENT and leaves:
        return tuple(ContextKey(key.user_id, leaf, leaf) for leaf in leaves)
    return (key,)


def same_rows(one: Mode, other: Mode) -> bool:
    """True where both modes keep a view in the same row, so that changing between them moves nothing."""
    return one is other or not (one.ignores_context or other.ignores_context)


def reached(mode: Mode, changed: ContextKey, enrolled: Iterable[ContextKey], leaves: Leaves) -> list[ContextKey]:
    """Those of the learner's enrolments that count what changed in another context."""
    others = [key for key in enrolled if key != changed]
    if changed.collection_id != changed.context_id:
        return []
    if mode is Mode.NO_CONTEXT_CONTENT:
        return [key for key in others if changed.collection_id in leaves(key.collection_id)]
    if mode is Mode.NO_CONTEXT_COLLECTION:
        return [key for key in others if key.collection_id == changed.collection_id]
    return []


def awaited(mode: Mode, marked: Iterable[ContextKey], wanted: Iterable[ContextKey]) -> set[ContextKey]:
    """Those of one learner's marked contexts whose fold may change what is answered about the wanted ones."""
    asked = set(wanted)
    return set(marked) if mode.reaches_others and asked else set(marked) & asked


def visible(mode: Mode, rows: Iterable[Consumption]) -> list[Consumption]:
    """The rows as this mode shows them: strict hides what was carried, and shows what the learner did himself."""
    if mode.copies:
        return list(rows)
    return [own for own in map(own_part, rows) if own is not None]


def own_part(row: Consumption) -> Consumption | None:
    """What the learner did himself here; None: nothing.

    A carried completion keeps the progress that was there before; a row that only a carry made has a view count of 0.
    """
    if row.origin is None or row.rebuilt:
        return row
    if not row.view_count:
        return None
    return replace(row, status=Status.IN_PROGRESS, last_completed_time=None, origin=None)
