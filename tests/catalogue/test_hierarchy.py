"""What a tree says: leaves in order, what counts, what lies above, and whether all of it is known."""

import json
from pathlib import Path

import pytest

from catalogue.hierarchy import COLLECTION_MIME_TYPE, Hierarchy, trimmed

OPTIONAL = {"relationalMetadata": {"optional": True}}


def unit(identifier, *children, **facts):
    node = {"mimeType": COLLECTION_MIME_TYPE, "visibility": "Parent", "children": list(children), **facts}
    return node if identifier is None else {"identifier": identifier, **node}


def course(identifier, *children, **facts):
    return unit(identifier, *children, **{"visibility": "Default", "contentType": "Course", **facts})


def leaf(identifier, **facts):
    return {"identifier": identifier, "mimeType": "video/mp4", "visibility": "Default", **facts}


def facts_of(*children, **facts):
    return Hierarchy.from_node(course("class-1-maths", *children, **facts))


def test_leaves_come_in_course_order_and_once_each():
    hierarchy = facts_of(unit("u1", leaf("b"), leaf("a")), leaf("c"), unit("u2", leaf("a"), leaf("d")))
    assert hierarchy.collection_id == "class-1-maths"
    assert hierarchy.leaves == ("b", "a", "c", "d")
    assert [node.id for node in hierarchy.units] == ["u1", "u2"]


def test_children_follow_their_index_where_all_siblings_have_one():
    assert facts_of(leaf("b", index=2), leaf("a", index=1)).leaves == ("a", "b")
    assert facts_of(leaf("b", index=2), leaf("a")).leaves == ("b", "a")
    assert facts_of(leaf("b", index=1), leaf("a", index=1)).leaves == ("b", "a")
    assert facts_of(leaf("b", index=True), leaf("a", index=0)).leaves == ("b", "a")


# (what is said, children of the course, required leaves of the course)
OPTIONAL_CASES = [
    ("nothing is optional by itself", [leaf("a"), leaf("b")], {"a", "b"}),
    ("the child says so", [leaf("a", **OPTIONAL), leaf("b")], {"b"}),
    ("the child says so as JSON text", [leaf("a", relationalMetadata='{"optional": true}'), leaf("b")], {"b"}),
    ("a plain key of the child", [leaf("a", optional=True), leaf("b")], {"b"}),
    ("false is not optional", [leaf("a", optional=False, relationalMetadata={"optional": False})], {"a"}),
    ("unreadable metadata says nothing", [leaf("a", relationalMetadata="{optional")], {"a"}),
    (
        "an optional unit makes all its leaves optional",
        [unit("u", unit("v", leaf("a")), leaf("b"), **OPTIONAL), leaf("c")],
        {"c"},
    ),
    ("optional in one unit, required in another", [unit("u", leaf("a", **OPTIONAL)), unit("v", leaf("a"))], {"a"}),
    ("optional in both places", [unit("u", leaf("a", **OPTIONAL)), unit("v", leaf("a"), **OPTIONAL)], set()),
    (
        "one unit placed twice, once as optional",
        [unit("u", unit("s", leaf("a")), **OPTIONAL), unit("v", unit("s", leaf("a")))],
        {"a"},
    ),
    ("an optional unit without identifier", [unit(None, leaf("a"), **OPTIONAL), leaf("b")], {"b"}),
    ("an optional child course", [course("short", leaf("a"), **OPTIONAL), leaf("b")], {"b"}),
]


@pytest.mark.parametrize(
    ("children", "required"), [case[1:] for case in OPTIONAL_CASES], ids=[c[0] for c in OPTIONAL_CASES]
)
def test_a_leaf_counts_when_any_use_of_it_is_required(children, required):
    hierarchy = facts_of(*children)
    assert hierarchy.required == required
    assert hierarchy.optional == set(hierarchy.leaves) - required


@pytest.mark.parametrize("as_text", [False, True])
def test_the_parent_may_say_which_child_is_optional(as_text):
    told = {"u": {"optional": True}, "b": {"optional": False}, "optional": "no flag of its own"}
    hierarchy = facts_of(unit("u", leaf("a")), leaf("b"), relationalMetadata=json.dumps(told) if as_text else told)
    assert hierarchy.required == {"b"}


def test_an_optional_unit_still_asks_for_its_own_leaves():
    hierarchy = facts_of(unit("u", leaf("a"), leaf("b", **OPTIONAL), **OPTIONAL), leaf("c"))
    assert hierarchy.required_of("u") == {"a"}
    assert hierarchy.required_of("class-1-maths") == {"c"}


def test_a_leaf_used_in_two_units_counts_in_each():
    hierarchy = facts_of(unit("u", leaf("a"), leaf("b")), unit("v", leaf("b", **OPTIONAL)))
    assert hierarchy.leaves_of("u") == ("a", "b")
    assert hierarchy.leaves_of("v") == ("b",)
    assert hierarchy.required_of("v") == frozenset()


def test_a_unit_placed_twice_has_the_leaves_of_both_places():
    hierarchy = facts_of(unit("u", unit("s", leaf("a"))), unit("v", unit("s", leaf("b"))))
    assert hierarchy.leaves_of("s") == hierarchy.leaves_of("u") == hierarchy.leaves_of("v") == ("a", "b")
    assert [node.id for node in hierarchy.units] == ["u", "s", "v"]


def test_ancestors_are_all_that_lies_above_in_any_place():
    hierarchy = facts_of(unit("u", unit("s", leaf("a"))), unit("v", leaf("a")), unit("w", leaf("b")))
    assert hierarchy.ancestors("a") == ("class-1-maths", "u", "s", "v")
    assert hierarchy.ancestors("s") == ()


def test_unknown_ids_have_no_facts():
    hierarchy = facts_of(leaf("a"))
    assert hierarchy.leaves_of("a") == ()
    assert hierarchy.required_of("elsewhere") == frozenset()
    assert hierarchy.leaf("elsewhere") is None


def test_child_courses_are_the_units_that_stand_alone():
    hierarchy = facts_of(unit("u", course("short", leaf("a"))), unit("odd", leaf("b"), contentType="Course"))
    assert [node.id for node in hierarchy.child_courses] == ["short", "odd"]
    assert hierarchy.complete


# (what the tree is like, root node, whether all its leaves are known)
COMPLETE_CASES = [
    ("every unit is expanded", course("c", unit("u", leaf("a"))), True),
    ("an empty unit promises nothing", course("c", unit("u"), leaf("a")), True),
    ("no tree", course("c"), False),
    ("children is null", course("c", children=None), False),
    ("a unit declares leaves it does not list", course("c", unit("u", leafNodesCount=3), leaf("a")), False),
    ("a unit names its leaves only", course("c", unit("u", leafNodes=["x"]), leaf("a")), False),
    ("a unit names its children only", course("c", unit("u", childNodes=["x"], children=None), leaf("a")), False),
    ("a child course without children", course("c", course("short"), leaf("a")), False),
    ("a nameless unit that declares leaves", course("c", unit(None, leafNodesCount=1), leaf("a")), False),
    ("expanded in another place", course("c", course("s"), unit("u", course("s", leaf("a")))), True),
    ("the root is a content", leaf("c"), False),
    ("a question set keeps its questions", course("c", leaf("q", leafNodesCount=5, childNodes=["x"])), True),
]


@pytest.mark.parametrize(("node", "complete"), [c[1:] for c in COMPLETE_CASES], ids=[c[0] for c in COMPLETE_CASES])
def test_a_tree_knows_whether_it_is_complete(node, complete):
    assert Hierarchy.from_node(node).complete is complete
    assert Hierarchy.from_node(trimmed(node)) == Hierarchy.from_node(node)


def test_a_question_set_is_a_leaf_whatever_it_holds():
    mime_type = "application/vnd.sunbird.questionset"
    hierarchy = facts_of(leaf("q", mimeType=mime_type, children=[leaf("question-1")]))
    assert hierarchy.leaves == ("q",)


def test_without_a_mime_type_a_node_with_children_is_a_unit():
    hierarchy = facts_of({"identifier": "u", "children": [{"identifier": "a"}, {"identifier": "b", "children": []}]})
    assert hierarchy.leaves == ("a", "b")
    assert [node.id for node in hierarchy.units] == ["u"]


def test_a_node_without_identifier_is_passed_over_and_its_children_are_not():
    hierarchy = facts_of(unit(None, unit("u", leaf("a")), leaf(None), leaf(" ")), "no node", None)
    assert hierarchy.leaves == ("a",)
    assert [node.id for node in hierarchy.units] == ["u"]


def test_a_node_inside_itself_ends():
    looped = unit("u", leaf("a"))
    looped["children"].append(looped)
    root = course("class-1-maths", looped, unit("u", unit("class-1-maths", leaf("b"))))
    root["children"].append(root)
    hierarchy = Hierarchy.from_node(root)
    assert hierarchy.leaves == ("a", "b")
    assert hierarchy.leaves_of("u") == ("a", "b")
    assert [node.id for node in hierarchy.units] == ["u"]


def test_a_very_deep_tree_is_read():
    node = leaf("a")
    for level in range(1200):
        node = unit(f"u{level}", node)
    hierarchy = facts_of(node)
    assert hierarchy.leaves == ("a",)
    assert len(hierarchy.ancestors("a")) == 1201
    assert trimmed(node)["identifier"] == "u1199"


def test_leaf_facts_are_told_and_nonsense_is_not():
    told = leaf("a", name=" Adding ", contentType="SelfAssess", totalQuestions=5, maxScore=7.5, index=1)
    hierarchy = facts_of(told, leaf("b", name=3, totalQuestions="many", maxScore=float("inf"), index=2))
    adding, other = hierarchy.leaf("a"), hierarchy.leaf("b")
    assert (adding.name, adding.mime_type, adding.content_type) == ("Adding", "video/mp4", "SelfAssess")
    assert (adding.total_questions, adding.max_score, adding.index) == (5, 7.5, 1)
    assert (other.name, other.total_questions, other.max_score) == ("", None, None)


@pytest.mark.parametrize(("declared", "told"), [(7, 7), (0, 0), (-1, None), ("7", None), (True, None), (2**40, None)])
def test_the_declared_leaf_count_is_a_count_or_nothing(declared, told):
    assert facts_of(leaf("a"), leafNodesCount=declared).declared_leaf_count == told


def test_a_real_answer_of_the_hierarchy_api(settings):
    path = Path(settings.BASE_DIR).parent / "shared" / "data" / "course-hierarchy.json"
    node = json.loads(path.read_text(encoding="utf-8"))["result"]["content"]
    hierarchy = Hierarchy.from_node(node)
    assert hierarchy.collection_id == "do_212347136096788480178"
    assert hierarchy.leaves == ("domain_44689", "do_112270494168555520130")
    assert hierarchy.required == set(hierarchy.leaves)
    assert [unit.id for unit in hierarchy.units] == ["do_112271833083518976186", "do_112271833368985600187"]
    assert hierarchy.ancestors("domain_44689") == (
        "do_212347136096788480178",
        "do_112271833083518976186",
        "do_112271833368985600187",
    )
    assert hierarchy.complete
    assert hierarchy.declared_leaf_count is None
    assert Hierarchy.from_node(trimmed(node)) == hierarchy
    assert len(json.dumps(trimmed(node))) < path.stat().st_size / 20
