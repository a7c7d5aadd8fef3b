"""What an operator may say of carrying forward, how it is read, and what is refused because nobody could explain it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modes.rules import MAX_RULES, MAX_VALUE, Kind, Match, Rule, RuleError, RuleSet, TargetKind, parse

ALWAYS = {"type": "always"}
SEED = {  # seed: Copy Mode, "in the last 3 months or within the program/course duration"
    "match": "any",
    "target": "any",
    "rules": [{"type": "completedWithin", "unit": "months", "value": 3}, {"type": "withinContextDuration"}],
}


def window(**facts: Any) -> dict[str, Any]:
    return {"type": "completedWithin", "unit": "months", "value": 3, **facts}


windows = st.sampled_from(list(MAX_VALUE)).flatmap(
    lambda unit: st.builds(
        Rule,
        st.sampled_from([Kind.COMPLETED_WITHIN, Kind.COLLECTION_COMPLETED_WITHIN]),
        st.just(unit),
        st.integers(1, MAX_VALUE[unit]),
    )
)
plain = st.builds(Rule, st.sampled_from([kind for kind in Kind if not kind.has_window]))
rule_sets = st.builds(
    RuleSet,
    st.sampled_from(Match),
    st.lists(windows | plain, unique=True, max_size=MAX_RULES).map(tuple),
    st.sampled_from(TargetKind),
    st.integers(0, 100),
).filter(lambda one: one.match is Match.ALL or len(one.rules) < 2 or Rule(Kind.ALWAYS) not in one.rules)


def test_the_rule_of_the_design_is_read_as_it_is_meant() -> None:
    rules = parse(SEED, version=7)
    within = Rule(Kind.COMPLETED_WITHIN, "months", 3)
    assert rules == RuleSet(Match.ANY, (within, Rule(Kind.WITHIN_CONTEXT)), TargetKind.ANY, 7)


def test_what_is_not_said_is_any_and_carries_nothing() -> None:
    assert parse({}) == RuleSet(Match.ANY, (), TargetKind.ANY, 0)


@given(rule_sets)
def test_what_was_read_is_written_as_it_was_said(rules: RuleSet) -> None:
    stored = json.loads(json.dumps(rules.as_json()))
    assert parse(stored, rules.version) == rules
    assert parse(stored).as_json() == rules.as_json()


def test_a_set_is_written_with_nothing_that_was_not_said() -> None:
    assert parse(SEED, version=7).as_json() == SEED


@pytest.mark.parametrize("unit", MAX_VALUE)
def test_the_least_and_the_largest_window_are_read(unit: str) -> None:
    for value in (1, MAX_VALUE[unit]):
        assert parse({"rules": [window(unit=unit, value=value)]}).rules[0].value == value


def test_always_may_stand_by_itself_and_where_all_must_hold() -> None:
    assert parse({"rules": [ALWAYS]}).rules == (Rule(Kind.ALWAYS),)
    assert len(parse({"match": "all", "rules": [ALWAYS, window()]}).rules) == 2


def test_as_many_rules_as_are_allowed_are_read() -> None:
    rules = [window(value=value) for value in range(1, MAX_RULES + 1)]
    assert len(parse({"rules": rules}).rules) == MAX_RULES


REFUSED: list[tuple[object, str]] = [
    (None, "A rule set must be an object"),
    ([], "A rule set must be an object"),
    ("always", "A rule set must be an object"),
    ({"rule": []}, 'A rule set: nobody knows "rule"'),
    ({"version": 1}, 'A rule set: nobody knows "version"'),
    ({1: [], "rules": []}, 'A rule set: nobody knows "1"'),
    ({"rules": None}, '"rules" must be a list'),
    ({"rules": ALWAYS}, '"rules" must be a list'),
    ({"rules": [window(value=value) for value in range(1, MAX_RULES + 2)]}, "More than 20 rules cannot be explained"),
    ({"rules": [ALWAYS, ALWAYS]}, "The same rule stands twice"),
    ({"match": "all", "rules": [window(), ALWAYS, window()]}, "The same rule stands twice"),
    ({"match": "none"}, "The match must be one of: any, all"),
    ({"match": None}, "The match must be one of: any, all"),
    ({"match": "ANY"}, "The match must be one of: any, all"),
    ({"target": "batch"}, "The target must be one of: any, program, collection"),
    ({"target": ["any"]}, "The target must be one of: any, program, collection"),
    ({"rules": [ALWAYS, window()]}, '"always" beside other rules of which any may hold makes them meaningless'),
    ({"rules": ["always"]}, "Rule 1 must be an object"),
    ({"rules": [window(), None]}, "Rule 2 must be an object"),
    ({"rules": [window(months=3)]}, 'Rule 1: nobody knows "months"'),
    ({"rules": [window(), {"type": "never"}]}, "The type of rule 2 must be one of: always, completedWithin, "),
    ({"rules": [{}]}, "The type of rule 1 must be one of: always, completedWithin, "),
    ({"rules": [{"type": "always", "value": 3}]}, 'Rule 1: "always" has no value'),
    ({"rules": [{"type": "ongoingBatch", "unit": None}]}, 'Rule 1: "ongoingBatch" has no unit'),
    ({"rules": [window(type="withinContextDuration")]}, 'Rule 1: "withinContextDuration" has no unit'),
    ({"rules": [{"type": "completedWithin", "value": 3}]}, 'Rule 1: the unit must be "days" or "months"'),
    ({"rules": [window(unit="weeks")]}, 'Rule 1: the unit must be "days" or "months"'),
    ({"rules": [window(unit=["days"])]}, 'Rule 1: the unit must be "days" or "months"'),
    (
        {"rules": [{"type": "completedWithin", "unit": "days"}]},
        "Rule 1: the value must be a whole number from 1 to 36500",
    ),
    *[
        ({"rules": [window(value=value)]}, "Rule 1: the value must be a whole number from 1 to 1200")
        for value in (0, -1, 1201, 3.0, "3", True, None)
    ],
    ({"rules": [window(unit="days", value=36_501)]}, "Rule 1: the value must be a whole number from 1 to 36500"),
    (
        {"rules": [{"type": "collectionCompletedWithin", "unit": "days", "value": 0}]},
        "Rule 1: the value must be a whole number from 1 to 36500",
    ),
]


@pytest.mark.parametrize(("said", "why"), REFUSED)
def test_what_nobody_could_explain_is_refused_with_the_reason(said: object, why: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse(said)
    assert str(refused.value).startswith(why)


words = st.sampled_from(["match", "rules", "target", "type", "unit", "value"])
values = st.sampled_from(
    ["any", "all", "program", "always", "completedWithin", "months", "days", 1, 3, True, None, 2.5]
)
anything = st.recursive(
    values | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=2), inner, max_size=4),
    max_leaves=20,
)


@given(anything)
def test_whatever_is_said_is_read_or_refused(said: object) -> None:
    try:
        rules = parse(said)
    except RuleError:
        return
    assert parse(rules.as_json()) == rules


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(Kind.ALWAYS), "always"),
        (Rule(Kind.WITHIN_CONTEXT), "completed between the first and the last day of the batch or program"),
        (Rule(Kind.ONGOING_BATCH), "in a batch that was under way"),
        (Rule(Kind.COMPLETED_WITHIN, "months", 3), "completed within the last 3 months"),
        (Rule(Kind.COMPLETED_WITHIN, "months", 1), "completed within the last month"),
        (Rule(Kind.COMPLETED_WITHIN, "days", 1), "completed within the last day"),
        (
            Rule(Kind.COLLECTION_COMPLETED_WITHIN, "days", 30),
            "the whole collection was completed within the last 30 days",
        ),
    ],
)
def test_a_rule_says_itself_in_plain_words(rule: Rule, words: str) -> None:
    assert str(rule) == words


@given(st.lists(windows | plain, unique=True, max_size=8))
def test_different_rules_say_different_things_and_no_code(rules: list[Rule]) -> None:
    said = [str(rule) for rule in rules]
    assert len(set(said)) == len(rules)
    for words in said:
        assert words.replace(" ", "").isalnum()
        assert words == words.lower()
