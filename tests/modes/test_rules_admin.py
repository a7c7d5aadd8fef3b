"""Carry-forward rules and the audit of the mode, as an operator meets them in the admin."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from common import timestamps
from modes import policy, switching
from modes.admin import EXAMPLE
from modes.keys import Mode
from modes.models import CarryRules, ModeChange, Scope
from modes.rules import Kind, Rule, RuleSet, parse

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("forgotten")]
LIST = "/admin/modes/carryrules/"
ADD = f"{LIST}add/"
CHANGES = "/admin/modes/modechange/"
MONTHS = {"match": "any", "target": "any", "rules": [{"type": "completedWithin", "unit": "months", "value": 3}]}
ALWAYS = RuleSet(rules=(Rule(Kind.ALWAYS),))


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("alice"))
    return client


def form(rules: object, scope: str = Scope.COLLECTION, scope_id: str = "class-1-maths") -> dict[str, str]:
    return {"scope": scope, "scope_id": scope_id, "rules": rules if isinstance(rules, str) else json.dumps(rules)}


def save(rules: RuleSet | None, scope: str = Scope.COLLECTION, scope_id: str = "class-1-maths") -> CarryRules:
    return switching.save_rules(scope, scope_id, rules, "bob", timestamps.now())


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def test_rules_are_added_under_their_first_version_and_act_at_once(staff: Client) -> None:
    before = timestamps.now()
    assert policy.policy_for(None, "class-1-maths").rules == RuleSet()
    answer = staff.post(ADD, form(MONTHS))
    assert (answer.status_code, answer["Location"]) == (302, LIST)
    row = CarryRules.objects.get()
    assert (row.scope, row.scope_id, row.rules, row.version) == ("collection", "class-1-maths", MONTHS, 1)
    assert row.updated_by == "alice"
    assert before <= row.updated_at <= timestamps.now()
    assert policy.policy_for(None, "class-1-maths").rules == parse(MONTHS, version=1)
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.action_flag, entry.object_id) == ("alice", ADDITION, str(row.pk))


def test_a_change_is_the_next_version_in_the_name_of_who_made_it(staff: Client) -> None:
    row = save(ALWAYS)
    assert staff.post(f"{LIST}{row.pk}/change/", {"rules": json.dumps(MONTHS)}).status_code == 302
    row.refresh_from_db()
    assert (row.rules, row.version, row.updated_by) == (MONTHS, 2, "alice")
    assert LogEntry.objects.get().action_flag == CHANGE


def test_saving_without_a_change_keeps_the_version(staff: Client) -> None:
    row = save(ALWAYS)
    page = f"{LIST}{row.pk}/change/"
    shown = staff.get(page).context["adminform"].form["rules"].value()
    assert staff.post(page, {"rules": shown}).status_code == 302
    row.refresh_from_db()
    assert (row.version, row.updated_by) == (1, "bob")


def test_version_author_and_place_in_the_form_change_nothing(staff: Client) -> None:
    row = save(ALWAYS)
    sent = {**form(MONTHS, Scope.PROGRAM, "class-2"), "version": "40", "updated_by": "charlie"}
    assert staff.post(f"{LIST}{row.pk}/change/", sent).status_code == 302
    row.refresh_from_db()
    assert (row.scope, row.scope_id, row.version, row.updated_by) == ("collection", "class-1-maths", 2, "alice")


@pytest.mark.parametrize("empty", ["", "null"])
def test_an_empty_field_withdraws_the_rules(staff: Client, empty: str) -> None:
    save(ALWAYS, Scope.INSTANCE, "")
    row = save(RuleSet())
    assert policy.policy_for(None, "class-1-maths").rules.rules == ()
    assert staff.post(f"{LIST}{row.pk}/change/", {"rules": empty}).status_code == 302
    row.refresh_from_db()
    assert (row.rules, row.version) == (None, 2)
    assert policy.policy_for(None, "class-1-maths").rules.rules == ALWAYS.rules


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ([], "A rule set must be an object"),
        ({"rules": [{"type": "sometimes"}]}, "The type of rule 1 must be one of: always, completedWithin"),
        ({"rules": [{"type": "completedWithin", "unit": "weeks", "value": 1}]}, "the unit must be"),
        ({"rules": [{"type": "always"}] * 2}, "The same rule stands twice"),
        ({"rules": [], "when": 1}, 'A rule set: nobody knows "when"'),
        ("{", "Enter a valid JSON."),
    ],
)
def test_rules_nobody_could_explain_are_refused_with_the_reason(staff: Client, rules: object, sentence: str) -> None:
    found = errors(staff.post(ADD, form(rules)))
    assert list(found) == ["rules"]
    assert sentence in found["rules"][0]
    assert not CarryRules.objects.exists()


@pytest.mark.parametrize(
    ("scope", "scope_id", "sentence"),
    [
        (Scope.INSTANCE, "class-1", "Rules of the whole instance have no id"),
        (Scope.PROGRAM, "", "Rules of a program or collection need its id"),
        (Scope.PROGRAM, "a..b", "id has a character no id may have"),
    ],
)
def test_an_id_that_does_not_fit_the_scope_is_refused(
    staff: Client, scope: Scope, scope_id: str, sentence: str
) -> None:
    assert sentence in errors(staff.post(ADD, form(MONTHS, scope, scope_id)))["__all__"][0]
    assert not CarryRules.objects.exists()


def test_a_place_has_its_rules_once(staff: Client) -> None:
    save(ALWAYS)
    assert "already exists" in errors(staff.post(ADD, form(MONTHS)))["__all__"][0]
    assert CarryRules.objects.get().version == 1


def test_the_form_shows_an_example_that_can_be_saved(staff: Client) -> None:
    assert EXAMPLE.replace('"', "&quot;") in staff.get(ADD).content.decode()
    assert staff.post(ADD, form(EXAMPLE)).status_code == 302


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (
            EXAMPLE,
            "Into any enrolment: completed within the last 3 months; or completed between the first and the last",
        ),
        (
            '{"match": "all", "target": "program", "rules": [{"type": "ongoingBatch"}, {"type": "always"}]}',
            "Into enrolments of programs: in a batch that was under way; and always",
        ),
        ("{}", "Nothing is carried"),
        ("", "Withdrawn: the wider rules hold"),
    ],
)
def test_the_list_tells_the_rules_in_words(staff: Client, rules: str, sentence: str) -> None:
    assert staff.post(ADD, form(rules)).status_code == 302
    page = staff.get(LIST).content.decode()
    assert sentence in page
    assert "Carry rules of collection class-1-maths" in page
    assert ">alice</td>" in page


def test_rules_that_cannot_be_read_are_told_and_can_be_mended(staff: Client) -> None:
    row = save(ALWAYS)
    CarryRules.objects.update(rules={"rules": "always"})
    sentence = "Nothing is carried, the rules cannot be read: &quot;rules&quot; must be a list"
    page = f"{LIST}{row.pk}/change/"
    assert sentence in staff.get(LIST).content.decode()
    assert sentence in staff.get(page).content.decode()
    assert staff.post(page, {"rules": json.dumps(MONTHS)}).status_code == 302
    assert CarryRules.objects.get().rule_set() == parse(MONTHS, version=2)


def test_rules_are_searched_by_id(staff: Client) -> None:
    save(ALWAYS)
    save(ALWAYS, Scope.PROGRAM, "class-2")
    found = staff.get(LIST, {"q": "class-2"}).context["cl"].result_list
    assert [row.scope_id for row in found] == ["class-2"]


def test_rules_are_never_deleted(staff: Client) -> None:
    row = save(ALWAYS)
    assert staff.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in staff.get(LIST).content.decode()
    assert CarryRules.objects.exists()


@pytest.mark.parametrize(
    ("permissions", "looking", "saving"),
    [([], 403, 403), (["view_carryrules"], 200, 403), (["view_carryrules", "change_carryrules"], 200, 302)],
)
def test_who_may_look_looks_and_who_may_change_changes(
    client: Client, permissions: list[str], looking: int, saving: int
) -> None:
    row = save(ALWAYS)
    charlie = User.objects.create_user("charlie", is_staff=True)
    charlie.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(charlie)
    page = f"{LIST}{row.pk}/change/"
    assert client.get(LIST).status_code == looking
    assert client.get(page).status_code == looking
    assert client.get(ADD).status_code == 403
    assert client.post(page, {"rules": json.dumps(MONTHS)}).status_code == saving
    assert CarryRules.objects.get().version == (2 if saving == 302 else 1)


def test_changes_of_the_mode_are_read_and_not_edited(staff: Client) -> None:
    switching.switch(Mode.COPY_CONTENT, ALWAYS, "bob", timestamps.now(), note="new school year")
    page = f"{CHANGES}{ModeChange.objects.get().pk}/change/"
    listing = staff.get(CHANGES).content.decode()
    assert all(f">{text}</td>" in listing for text in ("strict", "copy content", "bob", "new school year"))
    assert "&quot;always&quot;" in staff.get(page).content.decode()
    assert staff.post(page, {"changed_by": "charlie"}).status_code == 403
    assert staff.post(f"{CHANGES}add/", {}).status_code == 403
    assert staff.post(page.replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403
    assert ModeChange.objects.get().changed_by == "bob"
