"""The sample keeps its promises: it is what a newcomer, the documentation and other apps' tests start from."""

import json
from datetime import date

import pytest
from django.core.management import call_command

from catalogue import api
from catalogue.models import Batch, Learner, Program

COURSE = "do_214157026482000001"
OTHER = "do_214157026482000002"
CHILD = "do_214157026482000003"
TODAY = date(2026, 6, 1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sample(sample_path):
    call_command("load_catalogue", str(sample_path), verbosity=0)


def test_it_is_small_and_loads_again_unchanged(sample_path, capsys):
    assert sample_path.stat().st_size < 80_000
    call_command("load_catalogue", str(sample_path))
    output = capsys.readouterr().out
    assert "1 unchanged" in output
    assert " 0 added, 0 changed" in output
    assert "1 added" not in output


def test_the_course_has_all_that_a_tree_can_have():
    hierarchy = api.hierarchy(COURSE)
    facts = [hierarchy.leaf(leaf) for leaf in hierarchy.leaves]
    assert len(facts) == hierarchy.declared_leaf_count >= 25
    assert hierarchy.complete
    assert max(len(hierarchy.ancestors(leaf)) for leaf in hierarchy.leaves) >= 4
    assert {fact.mime_type.rsplit("/")[-1] for fact in facts} >= {
        "mp4",
        "pdf",
        "epub",
        "vnd.ekstep.h5p-archive",
        "vnd.ekstep.ecml-archive",
    }
    assessments = [fact for fact in facts if fact.content_type == "SelfAssess"]
    assert len(assessments) == 2
    assert all(fact.total_questions and fact.max_score for fact in assessments)
    practice = [fact for fact in facts if fact.primary_category == "Practice Question Set"]
    assert [fact.mime_type for fact in practice] == ["application/vnd.sunbird.questionset"]
    assert [course.id for course in hierarchy.child_courses] == [CHILD]
    assert api.collections([CHILD])[CHILD].parent_id == COURSE


def test_the_course_has_an_optional_unit_an_optional_leaf_and_a_shared_leaf():
    hierarchy = api.hierarchy(COURSE)
    all_optional = [unit.id for unit in hierarchy.units if set(hierarchy.leaves_of(unit.id)) <= hierarchy.optional]
    assert len(all_optional) == 1
    assert len(hierarchy.optional - set(hierarchy.leaves_of(all_optional[0]))) == 1
    used = {leaf: sum(leaf in hierarchy.leaves_of(unit.id) for unit in hierarchy.units) for leaf in hierarchy.leaves}
    assert 4 in used.values()  # two units, each inside another


def test_declared_counts_are_the_trees():
    for hierarchy in (api.hierarchy(COURSE), api.hierarchy(OTHER), api.hierarchy("class-1-maths")):
        assert hierarchy.declared_leaf_count == len(hierarchy.leaves)
        assert all(unit.declared_leaf_count == len(hierarchy.leaves_of(unit.id)) for unit in hierarchy.units)


def test_batches_and_programs_are_ongoing_but_one():
    program_ids = [program.pk for program in Program.objects.all() if COURSE in program.collections]
    assert len(program_ids) == 1
    assert api.program(program_ids[0]).collections == (COURSE, OTHER)
    assert Batch.objects.filter(program_id=program_ids[0]).count() == 2
    assert Batch.objects.filter(collection_id=COURSE).count() == 2
    ended = Batch.objects.filter(end_date__lt=TODAY)
    assert [batch.status for batch in ended] == [2]
    assert all(batch.start_date < TODAY and batch.status == 1 for batch in Batch.objects.exclude(pk__in=ended))


def test_the_designs_own_story_is_there():
    assert api.hierarchy("class-1-maths").leaves == (
        "single-digit-addition",
        "double-digit-addition",
        "triple-digit-addition",
    )
    assert api.hierarchy("class-2-maths").leaves == ("single-digit-addition", "double-digit-addition")
    batches = api.batches(["batch-1", "batch-2", "class-2-batch-1", "program-batch-1"])
    assert [batch.collection_id for batch in batches.values()] == ["class-1-maths"] * 2 + ["class-2-maths", None]
    assert batches["program-batch-1"].program_id == "program-abc"
    assert api.program("program-abc").collections == ("class-1-maths",)
    assert "Rahul" in api.profiles(["Rahul"])


def test_learners_have_full_profiles_in_two_states(sample_path):
    learners = json.loads(sample_path.read_text(encoding="utf-8"))["learners"]
    assert len(learners) == 13
    assert all(all(learner.values()) and len(learner) == 16 for learner in learners)
    assert Learner.objects.values("root_org_id").distinct().count() == 2
    assert Learner.objects.values("state").distinct().count() == 2
    names = [learner["firstName"] + learner["lastName"] for learner in learners]
    assert any("'" in name for name in names)
    assert any("é" in name or "ë" in name for name in names)
    assert any(ord(name[0]) > 0x900 for name in names)
    assert len({learner["schoolUdiseCode"] for learner in learners if learner["schoolName"] != "GLPS Hosakere"}) == 11
