"""The pure fold, cell by cell (DESIGN "View lifecycle"), and what holds for every history."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import Consumption, RowKey, Status
from tests.viewer.events import at, view
from viewer.lifecycle import MAX_APPLIED, Outcome, Verb, ViewEvent, fold, progress_of

KEY = RowKey("rahul", "class-1-maths", "batch-1", "single-digit-addition")


def play(*events: ViewEvent, row: Consumption | None = None) -> tuple[Consumption | None, list[Outcome]]:
    outcomes = []
    for event in events:
        row, outcome = fold(KEY, row, event)
        outcomes.append(outcome)
    return row, outcomes


def started(minute: float = 0) -> Consumption:
    row, _ = play(view(Verb.START, minute))
    assert row is not None
    return row


def completed(minute: float = 1) -> Consumption:
    row, _ = play(view(Verb.END, minute), row=started())
    assert row is not None
    return row


def test_start_inserts_a_row_in_progress() -> None:
    row = started(5)
    assert (row.status, row.progress, row.view_count, row.version) == (Status.IN_PROGRESS, 0, 1, 1)
    assert row.last_access_time == at(5)
    assert row.last_completed_time is None


@pytest.mark.parametrize("verb", [Verb.UPDATE, Verb.END])
def test_update_and_end_without_a_start_write_nothing(verb: Verb) -> None:
    assert fold(KEY, None, view(verb)) == (None, Outcome.NOT_STARTED)


def test_a_forced_end_inserts_a_completed_row() -> None:
    row, outcome = fold(KEY, None, view(Verb.END, 3, force=True))
    assert outcome is Outcome.APPLIED
    assert row is not None
    assert (row.status, row.progress, row.last_completed_time, row.own_completed_time) == (2, 100, at(3), at(3))


def test_a_second_start_changes_nothing() -> None:
    row = started()
    assert fold(KEY, row, view(Verb.START, 9)) == (row, Outcome.OLDER)


def test_a_second_start_with_details_merges_them() -> None:
    row, _ = fold(KEY, started(), view(Verb.START, 2, details={"progress": 30, "page": 4}))
    assert row is not None
    assert (row.progress, row.progress_details) == (30, {"progress": 30, "page": 4})


def test_update_raises_progress_merges_details_and_adds_time() -> None:
    events = [
        view(Verb.UPDATE, 1, details={"progress": 40, "page": 1}, timespent=10.5),
        view(Verb.UPDATE, 2, details={"progress": 20, "at": "12:01"}, timespent=2.25),
    ]
    row, _ = play(*events, row=started())
    assert row is not None
    assert (row.progress, row.timespent) == (40, 12.75)
    assert row.progress_details == {"progress": 20, "page": 1, "at": "12:01"}
    assert row.last_access_time == at(2)


def test_of_two_details_the_later_access_wins_whichever_came_first() -> None:
    late = view(Verb.UPDATE, 5, client=4, details={"page": 9})
    early = view(Verb.UPDATE, 6, client=2, details={"page": 3, "volume": 1})
    for order in ([late, early], [early, late]):
        row, _ = play(*order, row=started())
        assert row is not None
        assert row.progress_details == {"page": 9, "volume": 1}
        assert row.last_access_time == at(4)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (None, None),
        ({}, None),
        ({"progress": 45}, 45),
        ({"progress": 45.99}, 45),
        ({"progress": -3}, 0),
        ({"progress": 100}, 99),
        ({"progress": 1e300}, 99),
        ({"progress": True}, None),
        ({"progress": "45"}, None),
        ({"progress": None}, None),
    ],
)
def test_progress_is_read_from_numbers_only_and_stays_below_100_before_the_end(
    details: dict[str, object] | None, expected: int | None
) -> None:
    assert progress_of(details) == expected


def test_end_completes_and_takes_the_details_it_brings() -> None:
    row, _ = fold(KEY, started(), view(Verb.END, 7, details={"progress": 30}))
    assert row is not None
    assert (row.status, row.progress, row.last_completed_time) == (Status.COMPLETED, 100, at(7))
    assert row.progress_details == {"progress": 30}


@pytest.mark.parametrize(
    "event",
    [
        view(Verb.START, 9, details={"progress": 1}),
        view(Verb.UPDATE, 9, details={"progress": 1}, timespent=5),
        view(Verb.END, 9),
        view(Verb.END, 9, force=True),
        view(Verb.END, 9, client=8),
    ],
)
def test_a_revisit_writes_nothing(event: ViewEvent) -> None:
    row = completed(1)
    assert fold(KEY, row, event) == (row, Outcome.OLDER)


def test_an_earlier_client_time_moves_the_completion_and_nothing_else() -> None:
    row = completed(10)
    corrected, outcome = fold(KEY, row, view(Verb.END, 20, client=4))
    assert outcome is Outcome.APPLIED
    assert corrected is not None
    assert (corrected.last_completed_time, corrected.own_completed_time) == (at(4), at(4))
    assert (corrected.last_access_time, corrected.timespent) == (row.last_access_time, row.timespent)


def test_an_end_makes_a_carried_row_the_learners_own_and_keeps_the_earlier_completion() -> None:
    carried = Consumption(KEY, Status.COMPLETED, 100, at(0), at(0), last_completed_time=at(-900), origin="p-1")
    row, outcome = fold(KEY, carried, view(Verb.END, 30))
    assert outcome is Outcome.APPLIED
    assert row is not None
    assert (row.origin, row.own_completed_time, row.last_completed_time) == (None, at(30), at(-900))


def test_a_repeated_event_id_adds_nothing_and_another_content_under_it_is_a_conflict() -> None:
    first = view(Verb.UPDATE, 1, timespent=5, identity="e:1")
    row, _ = play(first, row=started())
    assert fold(KEY, row, view(Verb.UPDATE, 2, timespent=5, identity="e:1"))[1] is Outcome.DUPLICATE
    other = view(Verb.UPDATE, 2, timespent=6, identity="e:1", payload="other")
    assert fold(KEY, row, other) == (row, Outcome.CONFLICT)


def test_a_repeat_counts_only_as_far_back_as_it_says() -> None:
    row, _ = play(view(Verb.UPDATE, 1, timespent=5, identity="m:1"), row=started())
    within = view(Verb.UPDATE, 1.5, timespent=5, identity="m:1", repeats_since=0.5)
    beyond = view(Verb.UPDATE, 9, timespent=5, identity="m:1", repeats_since=8)
    assert fold(KEY, row, within)[1] is Outcome.DUPLICATE
    again, outcome = fold(KEY, row, beyond)
    assert outcome is Outcome.APPLIED
    assert again is not None
    assert again.timespent == 10


def test_only_the_last_events_are_remembered() -> None:
    row: Consumption | None = started()
    for number in range(MAX_APPLIED + 5):
        row, _ = fold(KEY, row, view(Verb.UPDATE, number, identity=f"e:{number}"))
    assert row is not None
    assert [event.id for event in row.applied] == [f"e:{number}" for number in range(5, MAX_APPLIED + 5)]


VERBS = st.sampled_from(Verb)
MINUTES = st.integers(0, 60)


@st.composite
def client_timed_events(draw: st.DrawFn) -> ViewEvent:
    verb = draw(VERBS)
    details = draw(st.none() | st.fixed_dictionaries({"progress": st.integers(-5, 120)}))
    return view(
        verb, draw(MINUTES), client=draw(MINUTES), details=details, timespent=draw(st.sampled_from([0.0, 1.5])),
        force=True,
    )  # fmt: skip


def accepted(events: list[ViewEvent]) -> list[ViewEvent]:
    """The events with a start before them: those whose calls a server accepts in any order."""
    return [view(Verb.START, 0, client=0), *events]


@given(st.lists(client_timed_events(), max_size=8), st.randoms(use_true_random=False))
def test_order_repetition_and_interleaving_do_not_matter(events: list[ViewEvent], random: object) -> None:
    straight, _ = play(*accepted(events))
    shuffled = accepted(events) + events
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    # A client repeats what was refused until it is accepted: an update that came before the start comes again.
    other, outcomes = play(*shuffled)
    refused = [event for event, outcome in zip(shuffled, outcomes, strict=True) if outcome is Outcome.NOT_STARTED]
    other, _ = play(*refused, row=other)
    assert straight is not None
    assert other is not None
    facts = [(row.status, row.progress, row.last_completed_time) for row in (straight, other)]
    assert facts[0] == facts[1]


@given(st.lists(client_timed_events(), max_size=12))
def test_status_and_progress_never_fall_and_completion_only_moves_earlier(events: list[ViewEvent]) -> None:
    row: Consumption | None = None
    for event in events:
        before = row
        row, outcome = fold(KEY, row, event)
        if before is None or row is None:
            continue
        assert row.status >= before.status
        assert row.progress >= before.progress
        assert row.timespent >= before.timespent
        assert (row.progress == 100) == (row.status is Status.COMPLETED)
        if before.last_completed_time:
            assert row.last_completed_time is not None
            assert row.last_completed_time <= before.last_completed_time
        assert row.version == before.version + (outcome is Outcome.APPLIED)
        assert row.last_updated_time - before.last_updated_time < timedelta(days=1)
