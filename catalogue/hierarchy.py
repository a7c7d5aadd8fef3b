"""A collection's tree as facts: its leaves in course order, which of them count, what lies above each.

Pure: a Sunbird hierarchy node in, a frozen `Hierarchy` out. Nothing here reads a table, a setting or a clock, and
nothing raises, because published trees are what they are. What may be *loaded* is judged in `reading`.

Every id is one thing wherever it is used, so the tree is read as a graph with one vertex per id: a unit placed
twice has the leaves of both places, and a child course expanded in one place is known in the others too.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

COLLECTION_MIME_TYPE = "application/vnd.ekstep.content-collection"
MAX_COUNT = 2**31 - 1

_KEPT = ("identifier", "name", "mimeType", "contentType", "primaryCategory", "visibility", "index", "optional")
_KEPT_NUMBERS = ("leafNodesCount", "totalQuestions", "maxScore")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_Vertex = tuple[bool, str]  # (is a leaf, id): one id may be a content here and a unit there


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the tree says of one content. Texts are "" and numbers None where it says nothing.

    total_questions: of an assessment. max_score: raw marks, not percent. index: position among its siblings.
    """

    id: str
    name: str
    mime_type: str
    content_type: str
    primary_category: str
    total_questions: int | None
    max_score: float | None
    index: int | None


@dataclass(frozen=True, slots=True)
class Node:
    """What the tree says of one nested collection: a unit, or a child course (a collection of its own).

    declared_leaf_count: its leafNodesCount, None when it declares none. expanded: some place of use lists children.
    """

    id: str
    name: str
    content_type: str
    primary_category: str
    visibility: str
    index: int | None
    declared_leaf_count: int | None
    is_child_course: bool
    expanded: bool


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One collection's tree. Everything is in course order and each id occurs once.

    leaves: all contents. required and optional: their two disjoint parts. units: every nested collection, child
    courses too. child_courses: those units that are collections of their own. complete: False when the leaves are
    not all known, because the root has no tree or some collection in it came unexpanded. declared_leaf_count: the
    root's leafNodesCount, None when it declares none.
    """

    collection_id: str
    leaves: tuple[str, ...]
    required: frozenset[str]
    optional: frozenset[str]
    units: tuple[Node, ...]
    child_courses: tuple[Node, ...]
    complete: bool
    declared_leaf_count: int | None
    _leaves_of: Mapping[str, tuple[str, ...]] = field(repr=False, hash=False)
    _required_of: Mapping[str, frozenset[str]] = field(repr=False, hash=False)
    _ancestors: Mapping[str, tuple[str, ...]] = field(repr=False, hash=False)
    _leaf_facts: Mapping[str, Leaf] = field(repr=False, hash=False)

    @classmethod
    def from_node(cls, node: Mapping[str, Any]) -> "Hierarchy":
        """The facts of `node`, the `content` of a hierarchy API answer. Never raises, whatever the node holds.

        Cost: about (number of nodes) x (depth). A root without identifier gets the collection id "".
        """
        graph = _Graph(node)
        root = graph.root
        unit_ids = graph.units()
        leaves_of = {unit: graph.leaves(unit) for unit in (root, *unit_ids)}
        required_of = {unit: frozenset(graph.leaves(unit, required=True)) for unit in leaves_of}
        above: dict[str, list[str]] = {}
        for unit, leaves in leaves_of.items():
            for leaf in leaves:
                above.setdefault(leaf, []).append(unit)
        units = tuple(graph.node(unit) for unit in unit_ids)
        return cls(
            collection_id=root,
            leaves=leaves_of[root],
            required=required_of[root],
            optional=frozenset(leaves_of[root]) - required_of[root],
            units=units,
            child_courses=tuple(unit for unit in units if unit.is_child_course),
            complete=graph.complete(),
            declared_leaf_count=_count(node.get("leafNodesCount")),
            _leaves_of=leaves_of,
            _required_of=required_of,
            _ancestors={leaf: tuple(units_above) for leaf, units_above in above.items()},
            _leaf_facts=graph.leaf_facts,
        )

    def leaves_of(self, node_id: str) -> tuple[str, ...]:
        """The distinct leaves at any depth below the root or a nested collection; () for any other id."""
        return self._leaves_of.get(node_id, ())

    def required_of(self, node_id: str) -> frozenset[str]:
        """The leaves that must be completed for the root or a nested collection; empty for any other id.

        Only optional flags strictly below the node count. Its own flag says that the course can be completed
        without it; a learner who takes it nevertheless has to finish what is in it, or its progress would be
        100 % at the first leaf.
        """
        return self._required_of.get(node_id, frozenset())

    def ancestors(self, content_id: str) -> tuple[str, ...]:
        """The root and every nested collection that leads to this leaf, in any place of use; () for no leaf."""
        return self._ancestors.get(content_id, ())

    def leaf(self, content_id: str) -> Leaf | None:
        """What the tree says of a content, from its first place of use; None when it is no leaf of this tree."""
        return self._leaf_facts.get(content_id)


class _Graph:
    """The tree with each id as one vertex. `edges[parent][child]` is True while every such use is optional."""

    def __init__(self, root_node: Mapping[str, Any]) -> None:
        self.root = node_id(root_node) or ""
        self.leaf_facts: dict[str, Leaf] = {}
        self._first: dict[str, Mapping[str, Any]] = {}
        self._child_courses: set[str] = set()
        self._edges: dict[str, dict[_Vertex, bool]] = {self.root: {}}
        self._expanded: set[str] = set()
        self._promising: set[str] = set()
        self._nameless_gap = False
        self._walk(root_node)

    def _walk(self, root_node: Mapping[str, Any]) -> None:
        # A stack and not recursion: trees nest as deep as their authors like. `walked` ends a node inside itself.
        stack: list[tuple[Mapping[str, Any], str, bool]] = []
        walked: set[tuple[int, str, bool]] = set()

        def descend(node: Mapping[str, Any], parent: str, optional: bool) -> None:
            step = (id(node), parent, optional)
            if step not in walked:
                walked.add(step)
                stack.extend((child, parent, optional or flag) for child, flag in reversed(_flagged_children(node)))

        if not (_text(root_node, "mimeType") and is_leaf(root_node)):
            self._note_collection(self.root, root_node)
            descend(root_node, self.root, False)
        while stack:
            node, parent, optional = stack.pop()
            identifier = node_id(node)
            if is_leaf(node):
                if identifier:
                    self._link(parent, (True, identifier), optional)
                    self.leaf_facts.setdefault(identifier, _leaf(identifier, node))
            elif identifier:
                self._link(parent, (False, identifier), optional)
                self._note_collection(identifier, node)
                descend(node, identifier, False)
            else:
                self._nameless_gap |= not child_nodes(node) and (_promises_leaves(node) or is_child_course(node))
                descend(node, parent, optional)

    def _link(self, parent: str, child: _Vertex, optional: bool) -> None:
        uses = self._edges[parent]
        uses[child] = uses.get(child, True) and optional

    def _note_collection(self, identifier: str, node: Mapping[str, Any]) -> None:
        self._edges.setdefault(identifier, {})
        self._first.setdefault(identifier, node)
        if is_child_course(node):
            self._child_courses.add(identifier)
        if child_nodes(node):
            self._expanded.add(identifier)
        if _promises_leaves(node):
            self._promising.add(identifier)

    def _preorder(self, start: str, *, required: bool = False) -> Iterator[_Vertex]:
        stack: list[_Vertex] = [(False, start)]
        seen: set[_Vertex] = set()
        while stack:
            vertex = stack.pop()
            if vertex in seen:
                continue
            seen.add(vertex)
            yield vertex
            is_a_leaf, identifier = vertex
            if not is_a_leaf:
                uses = self._edges[identifier]
                stack.extend(child for child in reversed(uses) if not (required and uses[child]))

    def leaves(self, start: str, *, required: bool = False) -> tuple[str, ...]:
        """The leaves below `start`; with `required` only those some path reaches without an optional step."""
        return tuple(name for is_a_leaf, name in self._preorder(start, required=required) if is_a_leaf)

    def units(self) -> tuple[str, ...]:
        """The ids of all collections below the root."""
        return tuple(name for is_a_leaf, name in self._preorder(self.root) if not is_a_leaf and name != self.root)

    def node(self, identifier: str) -> Node:
        """The facts of a nested collection, from its first place of use."""
        node = self._first[identifier]
        return Node(
            id=identifier,
            name=_text(node, "name"),
            content_type=_text(node, "contentType"),
            primary_category=_text(node, "primaryCategory"),
            visibility=_text(node, "visibility"),
            index=_whole(node.get("index")),
            declared_leaf_count=_count(node.get("leafNodesCount")),
            is_child_course=identifier in self._child_courses,
            expanded=identifier in self._expanded,
        )

    def complete(self) -> bool:
        """Whether the leaves below the root are all known."""
        if self.root not in self._expanded or self._nameless_gap:
            return False
        owed = (self._promising | self._child_courses) - {self.root}
        return owed <= self._expanded


def trimmed(node: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `node` with only what `Hierarchy.from_node` reads, so that both give the same facts.

    A published course is megabytes of metadata around a few kilobytes of tree. Characters that PostgreSQL's JSON
    refuses (NUL, lone surrogates) become U+FFFD. The node must be a tree, as parsed from JSON.
    """
    kept = _trimmed_alone(node)
    stack = [(node, kept)]
    while stack:
        source, target = stack.pop()
        if is_leaf(source):
            continue
        children = child_nodes(source)
        target["children"] = [_trimmed_alone(child) for child in children]
        stack.extend(zip(children, target["children"], strict=True))
    return kept


def _trimmed_alone(node: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key in _KEPT + _KEPT_NUMBERS:
        value = node.get(key)
        if isinstance(value, str):
            kept[key] = _storable(value)
        elif isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            kept[key] = value
    relations = _relations(node)
    flags: dict[str, Any] = {
        _storable(child): {"optional": True} for child, told in relations.items() if _marks_optional(told)
    }
    if _is_true(relations.get("optional")):
        flags["optional"] = True
    if flags:
        kept["relationalMetadata"] = flags
    unexpanded = not is_leaf(node) and not child_nodes(node)
    if unexpanded and _promises_leaves(node) and not _count(node.get("leafNodesCount")):
        # The lists can be long and only say that something is missing; a single entry says it as well.
        kept["leafNodes"] = ["unexpanded"]
    return kept


def node_id(node: Mapping[str, Any]) -> str | None:
    """The node's identifier without outer blanks, or None when it has none that is text."""
    return _text(node, "identifier") or None


def is_leaf(node: Mapping[str, Any]) -> bool:
    """Whether the node is a content: any mime type but a collection's; without a mime type, one without children.

    A question set is a content whatever it holds: its children are its questions.
    """
    mime_type = _text(node, "mimeType")
    return mime_type != COLLECTION_MIME_TYPE if mime_type else not child_nodes(node)


def is_child_course(node: Mapping[str, Any]) -> bool:
    """Whether a nested collection node is a collection of its own rather than a unit made for this tree."""
    return _text(node, "visibility") == "Default" or _text(node, "contentType") == "Course"


def child_nodes(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The children that are objects: by `index` where each of them has one, else as given; [] without any."""
    given = node.get("children")
    if not isinstance(given, list):
        return []
    children = [child for child in given if isinstance(child, Mapping)]
    keyed = [(index, child) for child in children if (index := _whole(child.get("index"))) is not None]
    if len(keyed) < len(children):
        return children
    return [child for _, child in sorted(keyed, key=lambda pair: pair[0])]


def _flagged_children(node: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], bool]]:
    relations = _relations(node)
    return [(child, _is_optional(child, relations)) for child in child_nodes(node)]


def _is_optional(child: Mapping[str, Any], parent_relations: Mapping[str, Any]) -> bool:
    """Three spellings: on the parent under the child's id, on the child, and a plain key of the child."""
    return (
        _marks_optional(parent_relations.get(node_id(child) or ""))
        or _is_true(_relations(child).get("optional"))
        or _is_true(child.get("optional"))
    )


def _relations(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node's relationalMetadata; the store keeps it as JSON text, and some answers pass that on."""
    given = node.get("relationalMetadata")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return {}
    return given if isinstance(given, Mapping) else {}


def _marks_optional(relation: object) -> bool:
    return isinstance(relation, Mapping) and _is_true(relation.get("optional"))


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def _promises_leaves(node: Mapping[str, Any]) -> bool:
    """Whether the node says that it has leaves, listed or not."""
    if _count(node.get("leafNodesCount")):
        return True
    return any(isinstance(node.get(key), list) and node[key] for key in ("leafNodes", "childNodes"))


def _leaf(identifier: str, node: Mapping[str, Any]) -> Leaf:
    return Leaf(
        id=identifier,
        name=_text(node, "name"),
        mime_type=_text(node, "mimeType"),
        content_type=_text(node, "contentType"),
        primary_category=_text(node, "primaryCategory"),
        total_questions=_count(node.get("totalQuestions")),
        max_score=_number(node.get("maxScore")),
        index=_whole(node.get("index")),
    )


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _text(node: Mapping[str, Any], key: str) -> str:
    value = node.get(key)
    return value.strip() if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    """`value` as a whole number within +-2^31; None for anything else."""
    number = _number(value)
    return int(number) if number is not None and abs(number) <= MAX_COUNT else None


def _count(value: object) -> int | None:
    number = _whole(value)
    return number if number is not None and number >= 0 else None
