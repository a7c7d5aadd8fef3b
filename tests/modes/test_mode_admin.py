"""The operators' pages about the mode, as they meet them in the admin: change it, what if, explain, take back."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from common import timestamps
from common.identity import Caller
from common.rows import MOVED, Provenance, RowKey
from modes import instance, switching
from modes.keys import Mode
from modes.models import ModeChange, Scope
from modes.rules import Kind, Rule, RuleSet
from summaries.admin_forms import MOST_LEARNERS
from tests.modes.alone import BATCH, DOUBLE, MATHS, MONTHS, OTHER, PROGRAM, SINGLE, carry, complete, enrol, school
from viewer import mode_change
from viewer.store import get_store

pytestmark = pytest.mark.django_db
INSTANCE = "/admin/modes/instance/1/change/"
PAGES = "/admin/modes/instance/"
CHANGE_MODE, CONFIRM, WHAT_IF, EXPLAIN, UNDO = (
    f"{PAGES}{name}/" for name in ("change-mode", "change-mode/confirm", "what-if", "explain", "explain/undo")
)
RULES = json.dumps(MONTHS.as_json())
ASKED = {"mode": "copy_content", "rules": RULES, "note": "new school year"}
PLACE = {"collection_id": MATHS, "context_id": BATCH}
BAD_RULES = [
    ("{", "Enter a valid JSON."),
    ("9" * 5000, "Enter a valid JSON."),
    ("[" * 9000, "Enter a valid JSON."),
    ("null", "A rule set must be an object"),
    ('{"rules": [{"type": "sometimes"}]}', "The type of rule 1 must be one of"),
    ('{"\\ud800": 1}', "nobody knows"),
    ("x" * 10_001, "at most 10000 characters"),
]


@pytest.fixture(autouse=True)
def _school(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with school(monkeypatch):
        yield


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("alice"))
    return client


@pytest.fixture
def rahul() -> str:
    """Completed a content by itself and another in batch-1, and is enrolled in both batches."""
    complete("rahul", SINGLE)
    enrol("rahul")
    enrol("rahul", OTHER)
    complete("rahul", DOUBLE, BATCH, minute=20)
    return "rahul"


@pytest.fixture
def carried(rahul: str) -> str:
    """The record of what was carried into batch-1, in copy content mode."""
    now = timestamps.now()
    switching.switch(Mode.COPY_CONTENT, MONTHS, "bob", now)
    assert carry(rahul, now) == 3
    return origin(rahul)


def origin(user: str) -> str:
    (row,) = get_store().rows([RowKey(user, MATHS, BATCH, SINGLE)])
    assert row.origin
    return row.origin


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def confirmation(answer: Any, typed: str = "copy_content") -> dict[str, Any]:
    """What the form of the preview sends, with this typed into it."""
    assert answer.status_code == 200
    form = answer.context["form"]
    return {**{name: form[name].value() or "" for name in ("mode", "rules", "note", "epoch")}, "typed": typed}


def told(answer: Any) -> str:
    """The messages on the page that a POST led to."""
    return " ".join(str(message) for message in answer.context["messages"])


# --- who may -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "looking", "changing"),
    [([], 403, 403), (["view_instance"], 200, 403), (["view_instance", "change_instance"], 200, 200)],
)
def test_who_may_look_looks_and_who_may_change_changes(
    client: Client, carried: str, permissions: list[str], looking: int, changing: int
) -> None:
    charlie = User.objects.create_user("charlie", is_staff=True)
    charlie.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(charlie)
    record = {"user_id": "rahul", "record": carried}
    assert [client.get(page).status_code for page in (WHAT_IF, EXPLAIN)] == [looking] * 2
    assert client.post(WHAT_IF, {"user_id": "rahul", "mode": "strict"}).status_code == looking
    assert client.get(CHANGE_MODE).status_code == changing
    assert client.post(CHANGE_MODE, {"mode": "strict"}).status_code == changing
    assert client.post(CONFIRM, {"mode": "strict"}).status_code == changing
    assert client.get(UNDO, record).status_code == changing
    assert client.post(UNDO, record).status_code == (302 if changing == 200 else 403)
    index = client.get("/admin/").content.decode()
    assert (CHANGE_MODE in index) is (changing == 200)
    assert (EXPLAIN in index) is (WHAT_IF in index) is (looking == 200)
    if looking == 200:
        page = text(client.get(INSTANCE))
        assert WHAT_IF in page
        assert EXPLAIN in page
        assert (CHANGE_MODE in page) is (changing == 200)


def test_who_only_looks_sees_no_undo(client: Client, carried: str) -> None:
    charlie = User.objects.create_user("charlie", is_staff=True)
    charlie.user_permissions.set(Permission.objects.filter(codename="view_instance"))
    client.force_login(charlie)
    page = text(client.get(EXPLAIN, {"user_id": "rahul"}))
    assert "because of the command" in page
    assert UNDO not in page


@pytest.mark.parametrize("page", [CHANGE_MODE, CONFIRM, WHAT_IF, EXPLAIN, UNDO])
def test_a_stranger_is_sent_to_the_login(client: Client, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_a_form_of_another_site_changes_nothing(rahul: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("alice"))
    sent = {**ASKED, "epoch": 1, "typed": "copy_content"}
    assert client.post(CONFIRM, sent).status_code == 403
    assert client.post(UNDO, {"user_id": rahul, "record": "x"}).status_code == 403
    assert instance.read().mode is Mode.STRICT


def test_an_operator_asks_about_any_learner() -> None:
    assert Caller.operator().acts_for("f:provider:rahul") == "rahul"


# --- changing the mode -----------------------------------------------------------------------------------------------


def test_the_preview_tells_what_would_change_and_changes_nothing(staff: Client, rahul: str) -> None:
    answer = staff.post(CHANGE_MODE, ASKED)
    page = text(answer)
    counted = answer.context["preview"]["counts"]
    assert (counted.learners, counted.differing_learners, counted.differing_enrolments, counted.completed) == (
        1,
        1,
        2,
        3,
    )
    assert f"at most {MOST_LEARNERS} learners" in page
    assert "Completions are copied into enrolments as the rules say, from anywhere" in page
    assert "completed within the last 3 months" in page
    assert f"{SINGLE}: not started &rarr; complete" in page
    assert "33 %, in progress" in page
    assert "<strong>66 %, in progress</strong>" in page
    assert instance.read().mode is Mode.STRICT
    assert not ModeChange.objects.exists()


@pytest.mark.parametrize("page", [CHANGE_MODE, WHAT_IF])
def test_the_modes_that_are_built_are_offered(staff: Client, page: str) -> None:
    offered = dict(staff.get(page).context["form"].fields["mode"].choices)
    assert set(offered) == {str(mode) for mode in Mode}


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_can_be_previewed(staff: Client, rahul: str, mode: Mode) -> None:
    answer = staff.post(CHANGE_MODE, {"mode": str(mode)})
    assert answer.context["preview"]["counts"].learners == 1
    assert f"(mode {mode})" in text(answer)


def test_a_confirmed_change_is_made_and_logged(staff: Client, rahul: str) -> None:
    sent = confirmation(staff.post(CHANGE_MODE, ASKED))
    answer = staff.post(CONFIRM, sent, follow=True)
    assert answer.redirect_chain[-1][0] == INSTANCE
    assert "The mode is copy_content (epoch 2), and every process goes by it." in told(answer)
    assert '<a href="/admin/modes/modechange/">list of mode changes</a>' in text(answer)
    change = ModeChange.objects.get()
    assert (change.to_mode, change.epoch, change.rules, change.changed_by) == (
        "copy_content",
        2,
        MONTHS.as_json(),
        "alice",
    )
    assert change.note == "new school year"
    assert instance.current().mode is Mode.COPY_CONTENT
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.action_flag, entry.object_id) == ("alice", CHANGE, "1")
    assert entry.get_change_message() == "Changed the mode from strict to copy_content (epoch 2). new school year"


@pytest.mark.parametrize("typed", ["", "copy content", "strict"])
def test_without_its_name_the_mode_is_not_changed(staff: Client, rahul: str, typed: str) -> None:
    sent = confirmation(staff.post(CHANGE_MODE, ASKED), typed)
    answer = staff.post(CONFIRM, sent)
    assert "The mode was not changed." in text(answer)
    assert confirmation(answer) == {**sent, "typed": "copy_content"}, "it can be confirmed from here"
    assert instance.read().mode is Mode.STRICT


def test_who_changed_the_mode_meanwhile_is_noticed(staff: Client, rahul: str) -> None:
    sent = confirmation(staff.post(CHANGE_MODE, ASKED))
    switching.switch(Mode.COPY_COLLECTION, MONTHS, "bob", timestamps.now())
    answer = staff.post(CONFIRM, sent)
    assert "The mode was changed since you looked at it." in text(answer)
    assert instance.read().mode is Mode.COPY_COLLECTION
    assert staff.post(CONFIRM, confirmation(answer)).status_code == 302, "the new preview can be confirmed"
    assert instance.read().mode is Mode.COPY_CONTENT


def test_what_is_so_already_is_not_changed(staff: Client) -> None:
    answer = staff.post(CONFIRM, confirmation(staff.post(CHANGE_MODE, {"mode": "strict"}), "strict"), follow=True)
    assert "Nothing was changed" in told(answer)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("page", [CHANGE_MODE, CONFIRM])
@pytest.mark.parametrize(("rules", "sentence"), BAD_RULES)
def test_rules_that_mean_nothing_are_refused(staff: Client, page: str, rules: str, sentence: str) -> None:
    sent = {**ASKED, "rules": rules, "epoch": 1, "typed": "copy_content"}
    answer = staff.post(page, sent)
    assert answer.status_code == 200
    assert sentence in answer.context["form"].errors["rules"][0]
    assert instance.read().mode is Mode.STRICT


@pytest.mark.parametrize("page", [CHANGE_MODE, CONFIRM])
@pytest.mark.parametrize(("field", "value"), [("mode", ""), ("mode", "none"), ("note", "x" * 1001), ("note", "a\0b")])
def test_bad_input_is_told_at_its_field(staff: Client, page: str, field: str, value: str) -> None:
    answer = staff.post(page, {**ASKED, field: value, "epoch": 1, "typed": "copy_content"})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert instance.read().mode is Mode.STRICT


@pytest.mark.parametrize("epoch", ["", "x", "0", "9" * 30])
def test_a_confirmation_of_no_preview_changes_nothing(staff: Client, epoch: str) -> None:
    assert "The mode was not changed." in text(staff.post(CONFIRM, {**ASKED, "epoch": epoch, "typed": "copy_content"}))
    assert instance.read().mode is Mode.STRICT


def test_a_confirmation_that_is_only_opened_leads_to_the_form(staff: Client) -> None:
    answer = staff.get(CONFIRM)
    assert (answer.status_code, answer["Location"]) == (302, CHANGE_MODE)


# --- what if ---------------------------------------------------------------------------------------------------------


def test_what_if_shows_a_learner_now_and_then(staff: Client, rahul: str) -> None:
    answer = staff.post(WHAT_IF, {"user_id": rahul, "mode": "copy_content", "rules": RULES})
    rows = {row["key"].context_id: row for row in answer.context["rows"]}
    assert [(rows[place]["now"]["percent"], rows[place]["then"]["percent"]) for place in (BATCH, OTHER)] == [
        (33, 66),
        (0, 66),
    ]
    assert rows[OTHER]["changes"] == [(DOUBLE, "not started", "complete"), (SINGLE, "not started", "complete")]
    assert f"{DOUBLE}: not started &rarr; complete" in text(answer)
    assert instance.read().mode is Mode.STRICT


def test_what_if_goes_by_the_rules_a_collection_has_instead(staff: Client, rahul: str) -> None:
    switching.save_rules(Scope.COLLECTION, MATHS, RuleSet(), "bob", timestamps.now())
    answer = staff.post(WHAT_IF, {"user_id": rahul, "mode": "copy_content", "rules": RULES})
    assert not any(row["differs"] for row in answer.context["rows"])
    assert text(answer).count("the same") == 2


def test_what_if_of_a_sample_counts(staff: Client, rahul: str) -> None:
    enrol("sita")
    answer = staff.post(WHAT_IF, {"sample": "2", "mode": "copy_content", "rules": RULES})
    counted = answer.context["preview"]["counts"]
    assert (counted.learners, counted.differing_learners, counted.enrolments) == (2, 1, 3)
    assert "1 of 2" in text(answer)
    fewer = staff.post(WHAT_IF, {"sample": "1", "mode": "copy_content"})
    assert fewer.context["preview"]["counts"].learners == 1


def test_what_if_of_who_is_enrolled_nowhere_says_so(staff: Client) -> None:
    assert "nobody is enrolled nowhere." in text(staff.post(WHAT_IF, {"user_id": "nobody", "mode": "strict"}))


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({}, "__all__"),
        ({"user_id": "rahul", "sample": "5"}, "__all__"),
        ({"user_id": "a/b"}, "user_id"),
        ({"user_id": "x" * 257}, "user_id"),
        ({"user_id": "a\0b"}, "user_id"),
        ({"sample": "0"}, "sample"),
        ({"sample": str(MOST_LEARNERS + 1)}, "sample"),
        ({"sample": "many"}, "sample"),
        ({"user_id": "rahul", "mode": "none"}, "mode"),
        ({"user_id": "rahul", "rules": "["}, "rules"),
    ],
)
def test_what_if_without_a_question_is_told_what_is_wrong(staff: Client, fields: dict[str, str], blamed: str) -> None:
    answer = staff.post(WHAT_IF, {"mode": "copy_content", **fields})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [blamed]


# --- explaining ------------------------------------------------------------------------------------------------------


def test_a_content_is_explained_with_its_candidates(staff: Client, carried: str) -> None:
    answer = staff.get(EXPLAIN, {"user_id": "rahul", **PLACE, "content_id": SINGLE})
    page = text(answer)
    assert f"{SINGLE} is complete in {MATHS}, {BATCH}." in page
    assert f"(record {carried})" in page
    assert "It has been carried here already." in page
    (candidate,) = answer.context["candidates"]
    assert (candidate["collection_id"], candidate["verdict"]) == (SINGLE, "the rules allow it")
    assert candidate["checks"] == [("completed within the last 3 months", True)]
    assert "2026-03-01 14:30:00 IST" in page


def test_an_enrolment_is_explained_where_no_content_is_named(staff: Client, carried: str) -> None:
    page = text(staff.get(EXPLAIN, {"user_id": "rahul", **PLACE}))
    assert "The enrolment is at 66 %: 2 of 3 contents that count are done." in page
    assert f"Complete: {SINGLE}, {DOUBLE}." in page


def test_a_learners_records_are_listed(staff: Client, carried: str) -> None:
    answer = staff.get(EXPLAIN, {"user_id": "rahul"})
    (record,) = [one for one in answer.context["records"] if one["id"] == carried]
    assert (record["source"], record["target"], record["content"]) == ("by itself", f"in {MATHS}, {BATCH}", SINGLE)
    assert (record["rules"], record["undone"]) == ("completed within the last 3 months", None)
    assert f"record={carried}" in text(answer)


def test_a_record_about_a_whole_context_is_listed_and_one_about_no_place_is_not(staff: Client) -> None:
    facts = {"source": [MATHS, BATCH], "target": [MATHS, "program-batch-1"], "held": [{"type": "nobody knows"}]}
    for name, about in (("whole", facts), ("placeless", {})):
        get_store().keep_record(Provenance("rahul", name, "moved", "done", timestamps.now(), facts=about))
    answer = staff.get(EXPLAIN, {"user_id": "rahul"})
    (record,) = answer.context["records"]
    assert (record["content"], record["target"]) == ("everything", f"in {MATHS}, program-batch-1")
    assert "nobody knows" in record["rules"]
    assert f"everything done in {MATHS}, {BATCH} was moved on" in text(
        staff.get(UNDO, {"user_id": "rahul", "record": "whole"})
    )


def test_who_has_nothing_is_told_so(staff: Client) -> None:
    page = text(staff.get(EXPLAIN, {"user_id": "nobody", "content_id": SINGLE}))
    assert f"{SINGLE} is not started by itself." in page
    assert "<p>Nothing.</p>" in page


def test_an_id_with_anything_in_it_is_escaped(staff: Client) -> None:
    page = text(staff.get(EXPLAIN, {"user_id": "<b>&", "content_id": "<script>"}))
    assert "<script>" not in page.split('id="told"')[1]
    assert "&lt;b&gt;&amp;" in page


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a..b"}, "user_id"),
        ({"user_id": "rahul", "context_id": BATCH, "content_id": SINGLE}, "__all__"),
        ({"user_id": "rahul", "collection_id": MATHS}, "__all__"),
        ({"user_id": "rahul", "collection_id": MATHS, "context_id": "no-such"}, "__all__"),
        ({"user_id": "rahul", "content_id": "a\\b"}, "content_id"),
        ({"user_id": "rahul", "collection_id": "\x01"}, "collection_id"),
    ],
)
def test_an_unanswerable_question_is_told_what_is_wrong(staff: Client, fields: dict[str, str], blamed: str) -> None:
    answer = staff.get(EXPLAIN, fields)
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [blamed]


# --- taking back -----------------------------------------------------------------------------------------------------


def test_a_carry_is_taken_back_once_it_is_confirmed(staff: Client, carried: str) -> None:
    asked = staff.get(UNDO, {"user_id": "rahul", "record": carried})
    assert f"For rahul, {SINGLE} was carried in {MATHS}, {BATCH} on" in text(asked)
    assert origin("rahul") == carried, "asking changes nothing"
    answer = staff.post(
        UNDO, {name: asked.context["form"][name].value() for name in ("user_id", "record")}, follow=True
    )
    assert f"Took {carried} of rahul back: {SINGLE} in {MATHS}, {BATCH}." in told(answer)
    page = text(answer)
    assert f"{SINGLE} is not started in {MATHS}, {BATCH}." in page
    assert "an operator took it back" in page
    assert f"record={carried}" not in page
    (record,) = [one for one in answer.context["records"] if one["id"] == carried]
    assert record["undone"]
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.action_flag) == ("alice", CHANGE)
    assert f"Took {carried} of rahul back" in entry.get_change_message()


def test_what_cannot_be_taken_back_is_told(staff: Client, carried: str) -> None:
    complete("rahul", SINGLE, BATCH, minute=30)
    answer = staff.post(UNDO, {"user_id": "rahul", "record": carried}, follow=True)
    assert f"{SINGLE} is no longer as carry {carried} left it" in told(answer)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("fields", [{"user_id": "rahul", "record": "no-such"}, {"user_id": "a/b", "record": "x"}, {}])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_record_there_is_not_is_told(staff: Client, method: str, fields: dict[str, str]) -> None:
    answer = getattr(staff, method)(UNDO, fields, follow=True)
    assert answer.redirect_chain[-1][0].startswith(EXPLAIN)
    assert told(answer)
    assert not LogEntry.objects.exists()


@pytest.fixture
def moved(rahul: str) -> str:
    """The record of what went from batch-1 into the program, because an operator asked for it."""
    now = timestamps.now()
    switching.switch(Mode.MOVE, RuleSet(rules=(Rule(Kind.ONGOING_BATCH),)), "bob", now)
    enrol(rahul, PROGRAM, minute=30)
    assert mode_change.bring_in_line(rahul, now, trigger="command", asked=True)
    records = get_store().provenance(rahul)
    return next(one.id for one in records if one.action == MOVED and one.facts["source"] == [MATHS, BATCH])


def test_a_move_is_explained_and_taken_back(staff: Client, moved: str) -> None:
    page = text(staff.get(EXPLAIN, {"user_id": "rahul", "content_id": DOUBLE, **PLACE}))
    assert f"{DOUBLE} is not started in {MATHS}, {BATCH}." in page
    assert f"What was done with it was moved to {PROGRAM} on" in page
    assert "it was moved already, and what is done there since begins anew" in page
    asked = staff.get(UNDO, {"user_id": "rahul", "record": moved})
    assert f"and is now in {MATHS}, {PROGRAM}." in text(asked)
    answer = staff.post(UNDO, {"user_id": "rahul", "record": moved}, follow=True)
    assert f"Took {moved} of rahul back: everything in {MATHS}, {PROGRAM}." in told(answer)
    page = text(staff.get(EXPLAIN, {"user_id": "rahul", "content_id": DOUBLE, **PLACE}))
    assert f"{DOUBLE} is complete in {MATHS}, {BATCH}." in page
    assert "an operator took that back on" in page
    assert "an operator took it back" in page
    now = timestamps.now()
    assert not mode_change.bring_in_line("rahul", now, trigger="command", asked=True), "not a second time"
