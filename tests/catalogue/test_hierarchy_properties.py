"""What holds for every tree, and for everything that is no tree."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from catalogue.hierarchy import COLLECTION_MIME_TYPE, Hierarchy, trimmed
from catalogue.reading import BadCatalogueFile, read

FLAGS = st.sampled_from(
    [{}, {"optional": True}, {"relationalMetadata": {"optional": True}}, {"index": 1}, {"index": 0}]
)
LEAVES = st.builds(
    lambda name, flags: {"identifier": name, "mimeType": "video/mp4", **flags}, st.sampled_from("abcdef"), FLAGS
)


def _unit(name, children, flags):
    node = {"identifier": name, "mimeType": COLLECTION_MIME_TYPE, "visibility": "Parent", "children": children}
    return {**node, **flags}


UNITS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        _unit, st.sampled_from(["u", "v", "w", "x", "y", None]), st.lists(inner, max_size=4), FLAGS
    ),
    max_leaves=20,
)
TREES = st.builds(lambda children: _unit("root", children, {}), st.lists(UNITS, max_size=5))
KEYS = st.sampled_from(
    ["identifier", "children", "mimeType", "relationalMetadata", "index", "leafNodesCount", "childNodes", "maxScore"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(COLLECTION_MIME_TYPE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=6),
    max_leaves=25,
)


@given(TREES)
def test_required_and_optional_leaves_are_all_leaves_and_disjoint(tree):
    hierarchy = Hierarchy.from_node(tree)
    for node_id in ("root", *(unit.id for unit in hierarchy.units)):
        assert hierarchy.required_of(node_id) <= set(hierarchy.leaves_of(node_id)) <= set(hierarchy.leaves)
    assert hierarchy.required | hierarchy.optional == set(hierarchy.leaves)
    assert not hierarchy.required & hierarchy.optional
    assert len(set(hierarchy.leaves)) == len(hierarchy.leaves)


@given(TREES)
def test_the_root_has_every_leaf_and_is_above_each(tree):
    hierarchy = Hierarchy.from_node(tree)
    assert hierarchy.leaves_of("root") == hierarchy.leaves
    assert hierarchy.required_of("root") == hierarchy.required
    for content_id in hierarchy.leaves:
        assert hierarchy.ancestors(content_id)[0] == "root"
        assert hierarchy.leaf(content_id).id == content_id
        for node_id in hierarchy.ancestors(content_id):
            assert content_id in hierarchy.leaves_of(node_id)


@given(TREES)
def test_a_unit_repeated_changes_nothing(tree):
    hierarchy = Hierarchy.from_node(tree)
    ordered = [{key: value for key, value in child.items() if key != "index"} for child in tree["children"]]
    once = Hierarchy.from_node({**tree, "children": ordered})
    twice = Hierarchy.from_node({**tree, "children": ordered + ordered})
    assert once == twice
    assert set(once.leaves) == set(hierarchy.leaves)
    assert once.required == hierarchy.required


@given(TREES)
def test_trimming_keeps_every_fact(tree):
    assert Hierarchy.from_node(trimmed(tree)) == Hierarchy.from_node(tree)


@given(st.dictionaries(KEYS | st.text(max_size=3), ANYTHING, max_size=8))
def test_no_json_whatever_makes_it_raise(node):
    hierarchy = Hierarchy.from_node(node)
    assert hierarchy.required | hierarchy.optional == set(hierarchy.leaves)
    trimmed(node)


FIELDS = st.sampled_from(["batchId", "courseId", "startDate", "status", "createdFor", "programId", "userId"])
LISTS = st.sampled_from(["collections", "batches", "programs", "learners", "result", "content"])
FILES = st.dictionaries(
    LISTS | KEYS,
    ANYTHING | st.lists(st.dictionaries(LISTS | FIELDS | KEYS, ANYTHING, max_size=6), max_size=3),
    max_size=5,
)


@given(FILES)
def test_a_file_is_read_or_refused_and_nothing_else(content):
    with contextlib.suppress(BadCatalogueFile):
        read(json.dumps(content))
