"""`load_catalogue`: whole or not at all, twice is once, and every bad entry is named with its place."""

import io
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from catalogue import api
from catalogue.loader import load as store
from catalogue.models import Batch, Collection, Learner, Program
from catalogue.reading import read

pytestmark = pytest.mark.django_db

COLLECTION = "application/vnd.ekstep.content-collection"
LEAF = {"identifier": "single-digit-addition", "mimeType": "video/mp4"}


def course(identifier="class-1-maths", children=(LEAF,), **facts):
    node = {"identifier": identifier, "mimeType": COLLECTION, "contentType": "Course", "name": "Class 1 Maths"}
    return {**node, "visibility": "Default", "children": list(children), **facts}


def full_file():
    return {
        "collections": [{"id": "api.content.hierarchy", "result": {"content": course()}}],
        "batches": [
            {
                "batchId": "batch-1",
                "courseId": "class-1-maths",
                "name": "First",
                "status": 1,
                "enrollmentType": "open",
                "startDate": "2026-01-05",
                "endDate": "2035-12-31 00:00:00:000+0530",
                "enrollmentEndDate": None,
                "createdFor": ["org-1"],
                "mentors": ["unknown keys are tolerated"],
            }
        ],
        "programs": [{"programId": "program-abc", "name": "ABC", "collections": ["class-1-maths", "class-2-maths"]}],
        "learners": [{"userId": "Rahul", "firstName": "Rahul", "lastName": "Verma", "schoolUdiseCode": "29710011207"}],
        "consents": [{"userId": "Rahul"}],
    }


def everything():
    return [list(model.objects.order_by("pk").values()) for model in (Collection, Batch, Program, Learner)]


def test_a_file_is_loaded_and_answered(load):
    output = load(full_file())
    assert "collections 1 added, 0 changed, 0 unchanged" in output
    assert "learners 1 added, 0 changed, 0 unchanged" in output
    batch = api.batch("batch-1")
    assert (batch.collection_id, batch.program_id, batch.status) == ("class-1-maths", None, 1)
    assert (batch.start_date, batch.end_date) == (date(2026, 1, 5), date(2035, 12, 31))
    assert batch.created_for == ("org-1",)
    assert api.program("program-abc").collections == ("class-1-maths", "class-2-maths")
    assert api.profiles(["Rahul"])["Rahul"].school_udise_code == "29710011207"
    assert api.hierarchy("class-1-maths").leaves == ("single-digit-addition",)


def test_loading_twice_changes_nothing(load):
    load(full_file())
    before = everything()
    output = load(full_file())
    assert everything() == before
    assert "collections 0 added, 0 changed, 1 unchanged" in output
    assert "batches 0 added, 0 changed, 1 unchanged" in output


def test_only_what_differs_is_changed(load):
    load(full_file())
    loaded_at = Collection.objects.get().updated_at
    changed = full_file()
    changed["batches"][0]["name"] = "Renamed"
    changed["learners"].append({"userId": "Meena"})
    output = load(changed)
    assert "batches 0 added, 1 changed, 0 unchanged" in output
    assert "learners 1 added, 0 changed, 1 unchanged" in output
    assert api.batch("batch-1").name == "Renamed"
    assert Collection.objects.get().updated_at == loaded_at


def test_a_dry_run_counts_alike_and_writes_nothing(load):
    dry = load(full_file(), dry_run=True)
    assert everything() == [[], [], [], []]
    assert dry.removeprefix("Dry run, nothing written") == load(full_file()).removeprefix("Loaded")


def test_silence_is_honoured(load):
    assert load(full_file(), verbosity=0) == ""


def test_one_hierarchy_answer_or_one_content_node_is_a_file(load):
    load({"result": {"content": course("class-1-maths")}, "responseCode": "OK"})
    load(course("class-2-maths", collections="[]"))
    assert set(api.collections(["class-1-maths", "class-2-maths"])) == {"class-1-maths", "class-2-maths"}


def test_the_real_answer_is_loaded(settings):
    path = Path(settings.BASE_DIR).parent / "shared" / "data" / "course-hierarchy.json"
    call_command("load_catalogue", str(path), verbosity=0)
    facts = api.collections(["do_212347136096788480178"])["do_212347136096788480178"]
    assert (facts.name, facts.channel, facts.version_key) == ("Math for dummies", "in.ekstep", "1498027549839")
    assert len(api.hierarchy(facts.collection_id).leaves) == 2


def test_standard_input_is_a_file(monkeypatch, capsys):
    content = "\ufeff" + json.dumps(full_file())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    call_command("load_catalogue", "-")
    assert "collections 1 added" in capsys.readouterr().out


# (what is wrong, the file, what the error says)
BAD_FILES = [
    ("no object", [], "the file must hold an object, not a list"),
    ("nothing known", {"courses": []}, "nothing to load"),
    ("a list that is none", {"batches": {}}, "batches: must be a list, not an object"),
    ("an entry that is none", {"learners": ["Rahul"]}, "learners[0]: must be an object, not text"),
    ("a failed answer", {"result": {}}, "result.content: is missing: this answer holds no hierarchy"),
    ("a failed answer in the list", {"collections": [{"result": None}]}, "collections[0].result.content: is missing"),
    ("a root without identifier", {"collections": [course(" ")]}, "collections[0].identifier: is missing"),
    ("a root that is no collection", {"collections": [LEAF]}, "collections[0].mimeType: is not a collection's"),
    ("an id with a slash", {"collections": [course("a/b")]}, "collections[0].identifier: has a character"),
    (
        "a bad id in the tree",
        {"collections": [course(children=[course("u", children=[{"identifier": 5}])])]},
        "collections[0].children[0].children[0].identifier: must be text",
    ),
    (
        "children that are no list",
        {"result": {"content": course("c") | {"children": {}}}},
        "result.content.children: must be a list",
    ),
    ("a child that is no node", course(children=["x"]), "children[0]: must be an object, not text"),
    ("a name that is no text", course(name=["x"]), "name: must be text, not a list"),
    ("a count that is none", course(leafNodesCount="3"), "leafNodesCount: must be a whole number from 0"),
    (
        "a character of no database",
        {"learners": [{"userId": "Rahul", "state": "a\0"}]},
        "learners[0].state: has a character",
    ),
    ("a batch without id", {"batches": [{"courseId": "c"}]}, "batches[0].batchId: is missing"),
    ("a batch of nothing", {"batches": [{"batchId": "b"}]}, "batches[0].courseId: the batch names neither"),
    ("a batch of both", {"batches": [{"batchId": "b", "courseId": "c", "programId": "p"}]}, "the batch names both"),
    (
        "two names, two courses",
        {"batches": [{"batchId": "b", "courseId": "c", "collectionId": "d"}]},
        'batches[0].collectionId: "d" contradicts courseId "c"',
    ),
    (
        "no such status",
        {"batches": [{"batchId": "b", "courseId": "c", "status": 3}]},
        "batches[0].status: must be a whole number from 0 to 2",
    ),
    (
        "no date",
        {"batches": [{"batchId": "b", "courseId": "c", "startDate": "soon"}]},
        'batches[0].startDate: "soon" is no date',
    ),
    ("no day of the calendar", {"programs": [{"programId": "p", "endDate": "2026-02-30"}]}, "programs[0].endDate: "),
    (
        "a time without sense",
        {"programs": [{"programId": "p", "endDate": "2026-02-03 at noon"}]},
        "programs[0].endDate: ",
    ),
    (
        "an end before its start",
        {"programs": [{"programId": "p", "startDate": "2026-02-03", "endDate": "2026-02-02"}]},
        "programs[0].endDate: 2026-02-02 is before startDate 2026-02-03",
    ),
    (
        "a program of no ids",
        {"programs": [{"programId": "p", "collections": ["c", 7]}]},
        "programs[0].collections[1]: must be text",
    ),
    ("a blank learner", {"learners": [{"userId": ""}]}, "learners[0].userId: is missing"),
    (
        "one learner twice",
        {"learners": [{"userId": "Rahul"}, {"userId": "Meena"}, {"userId": " Rahul"}]},
        'learners[2].userId: "Rahul" is already at learners[0]',
    ),
]


@pytest.mark.parametrize(("content", "message"), [case[1:] for case in BAD_FILES], ids=[c[0] for c in BAD_FILES])
def test_a_bad_entry_is_named_with_its_place(load, content, message):
    with pytest.raises(CommandError) as refused:
        load(content)
    assert message in str(refused.value)
    assert everything() == [[], [], [], []]


def test_all_bad_entries_are_named_and_the_good_ones_are_not_loaded(load):
    content = full_file()
    content["batches"] += [{"batchId": "batch-2", "courseId": "c", "startDate": 5}, {"batchId": "batch-1"}]
    content["learners"].append(None)
    with pytest.raises(CommandError) as refused:
        load(content)
    places = [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]]
    assert places == ["batches[1].startDate", "batches[2].courseId", "batches[2].batchId", "learners[1]"]
    assert everything() == [[], [], [], []]


def test_a_file_that_is_not_json_is_told_with_line_and_column(load):
    with pytest.raises(CommandError, match=r"not JSON: .*\(line 2, column 1\)"):
        load('{"learners": [\n}')
    with pytest.raises(CommandError, match="NaN is no JSON number"):
        load('{"learners": NaN}')
    with pytest.raises(CommandError, match="nested too deeply"):
        load("[" * 100_000)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("load_catalogue", str(tmp_path / "absent.json"))
    (tmp_path / "latin.json").write_bytes(b'{"learners": "\xe9"}')
    with pytest.raises(CommandError, match="not UTF-8: byte 14"):
        call_command("load_catalogue", str(tmp_path / "latin.json"))


def test_a_tree_deeper_than_any_course_is_refused(load):
    node = course("u")
    for level in range(101):
        node = course(f"u{level}", children=[node])
    with pytest.raises(CommandError, match="the tree is deeper than 100 levels"):
        load(node)


def test_nodes_without_identifier_are_tolerated_and_noted(load):
    content = course(children=[{"mimeType": COLLECTION, "children": [LEAF]}])
    output = load(content, verbosity=2)
    assert "note: the hierarchy: 1 nodes without identifier" in output
    assert output.strip().endswith("notes 1")
    assert api.hierarchy("class-1-maths").leaves == ("single-digit-addition",)


def test_a_child_course_found_in_a_tree_is_known_too(load):
    output = load(course(children=[course("short", name="Short", leafNodesCount=1)]))
    assert "child courses 1 added" in output
    assert api.collections(["short"])["short"].parent_id == "class-1-maths"
    assert api.hierarchy("short").leaves == ("single-digit-addition",)


def test_a_collection_loaded_itself_wins_over_one_found_in_a_tree(load):
    parent = course(children=[course("short", name="Old copy")])
    own = course("short", name="Itself")
    load(parent)
    assert "collections 0 added, 1 changed" in load(own)
    assert "child courses 0 added, 0 changed, 0 unchanged" in load(parent)
    load({"collections": [own, parent]})
    facts = api.collections(["short"])["short"]
    assert (facts.name, facts.parent_id) == ("Itself", None)


def test_the_version_grows_even_when_the_clock_stands_still():
    at = datetime(2026, 1, 5, tzinfo=UTC)
    for name in ("One", "Two", "Three"):
        store(read(json.dumps(course(name=name))), now=at)
        versions = api.collections(["class-1-maths"])["class-1-maths"].updated_at
        assert versions >= at
    assert (versions - at).microseconds == 2000


def test_rows_are_compared_in_bulk(django_assert_num_queries):
    learners = json.dumps({"learners": [{"userId": f"learner-{n}"} for n in range(400)]})
    store(read(learners))
    with django_assert_num_queries(3):  # savepoint, the 400 known rows, release; nothing is written
        store(read(learners))
