"""One learner's rows under one mode after another: what the pure plan gives, and what holds for every history."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rows import Attempt, Consumption, RowKey, Status
from modes import keys
from modes.keys import Mode, View
from tests.viewer.events import at, view
from viewer.lifecycle import Outcome, Verb, ViewEvent, fold
from viewer.rebuilding import Images, elsewhere, own_rows, reshaped

RAHUL, MATHS, BATCH, OTHER = "rahul", "class-1-maths", "batch-1", "batch-2"
SINGLE, DOUBLE = "single-digit-addition", "double-digit-addition"
ALONE, IN_BATCH = RowKey(RAHUL, SINGLE, SINGLE, SINGLE), RowKey(RAHUL, MATHS, BATCH, SINGLE)
IN_OTHER, IN_COURSE = RowKey(RAHUL, MATHS, OTHER, SINGLE), RowKey(RAHUL, MATHS, MATHS, SINGLE)
CONTENT_MODE, COLLECTION_MODE = Mode.NO_CONTEXT_CONTENT, Mode.NO_CONTEXT_COLLECTION


@dataclass
class Desk:
    """One learner's rows on an instance whose mode changes; what each place was told is kept beside them.

    spent: place -> seconds acknowledged there. own: place -> when he completed it there himself.
    """

    mode: Mode = Mode.STRICT
    rows: dict[RowKey, Consumption] = field(default_factory=dict)
    unkept: Sequence[Consumption] = ()
    images: dict[str, Images] = field(default_factory=dict)
    spent: dict[RowKey, float] = field(default_factory=lambda: defaultdict(float))
    own: dict[RowKey, datetime] = field(default_factory=dict)
    changes: int = 1

    def view(self, seen: View, event: ViewEvent) -> Outcome:
        """What became of an event that the client sends for `seen`."""
        key = keys.write_key(self.mode, seen)
        before = self.rows.get(key)
        after, outcome = fold(key, before, event)
        if after is not None:
            self.rows[key] = after
            self.spent[key] += after.timespent - (before.timespent if before else 0.0)
            if after.own_completed_time is not None:
                self.own[key] = after.own_completed_time
        return outcome

    def change_to(self, mode: Mode) -> None:
        """As the learner finds it once somebody has come to him after the change."""
        before, self.mode = self.mode, mode
        if keys.same_rows(before, mode):
            return
        self.changes += 1
        older, self.images = self.images, {}
        self._bring(older)

    def come_again(self) -> int:
        """Brings him in line where he may be already; how many rows were written or removed."""
        self.changes += 1
        return self._bring({})

    def _bring(self, older: dict[str, Images]) -> int:
        tag = f"mode:{self.changes}"
        rows = sorted(self.rows.values(), key=lambda row: row.key)
        there = self.rows.keys()
        kept = [row for row in self.unkept if row.key not in there]
        shape = reshaped(self.mode, tag, set(self.images), rows, older | self.images, kept)
        for row, version in shape.rows:
            assert (self.rows[row.key].version if row.key in self.rows else 0) == version
            self.rows[row.key] = replace(row, version=version + 1)
        for key, version in shape.gone:
            assert self.rows.pop(key).version == version
        self.images[tag] = shape.images
        return len(shape.rows) + len(shape.gone)

    def told(self) -> list[Consumption]:
        """The rows without what only says how often and when they were written."""
        return sorted((blank(row) for row in self.rows.values()), key=lambda row: row.key)


def blank(row: Consumption) -> Consumption:
    origin = "mode:" if row.rebuilt else row.origin
    applied = tuple(sorted(row.applied, key=lambda event: event.id))  # a repeat is known in any order
    return replace(row, version=0, last_updated_time=at(0), origin=origin, applied=applied)


def seen(content: str = SINGLE, context: str | None = None, collection: str | None = MATHS) -> View:
    return View(RAHUL, content, collection, context) if context else View(RAHUL, content)


def counted_here(mode: Mode, place: RowKey, places: Iterable[RowKey]) -> list[RowKey]:
    """Those of the places where he did something that add up in the row of `place`."""
    return [one for one in places if one == place or keys.write_key(mode, keys.viewed(one)) == place]


MODES = st.sampled_from(list(Mode))
VIEWS = st.builds(
    View,
    st.just(RAHUL),
    st.sampled_from([SINGLE, DOUBLE]),
    st.just(MATHS),
    st.sampled_from([BATCH, OTHER, MATHS]),
) | st.builds(View, st.just(RAHUL), st.sampled_from([SINGLE, DOUBLE]))


@st.composite
def events(draw: st.DrawFn) -> ViewEvent:
    """Any event of the first hour. Seconds are whole, so that sums are exact."""
    minute = draw(st.integers(0, 60))
    client = draw(st.none() | st.integers(0, minute))
    details = draw(st.none() | st.dictionaries(st.sampled_from(["progress", "page"]), st.integers(0, 99)))
    return view(
        draw(st.sampled_from(list(Verb))),
        minute,
        client=client,
        details=details,
        timespent=float(draw(st.integers(0, 60))),
        force=draw(st.booleans()),
        identity=draw(st.none() | st.uuids().map(str)),
    )


@st.composite
def desks(draw: st.DrawFn) -> Desk:
    """A learner with rows that were carried or imported, and completions that no row tells, before he does anything."""
    desk = Desk()
    for context in draw(st.sets(st.sampled_from([BATCH, OTHER]))):
        begun = draw(st.booleans())
        own = replace(imported(draw(st.integers(0, 60)), context), status=Status.IN_PROGRESS, last_completed_time=None)
        carried = replace(
            imported(draw(st.integers(0, 60)), context),
            progress=0,
            origin="carry-1",
            view_count=int(begun),
            timespent=own.timespent if begun else 0.0,
        )
        given = draw(st.sampled_from([own, carried, imported(draw(st.integers(0, 60)), context)]))
        desk.rows[given.key] = given
        if keys.own_part(given) is not None:
            desk.spent[given.key] = given.timespent
    if draw(st.booleans()):
        desk.unkept = [replace(imported(draw(st.integers(0, 60)), "batch-3"), version=0)]
        desk.spent[desk.unkept[0].key] = desk.unkept[0].timespent
    return desk


def imported(minute: float, context: str) -> Consumption:
    """A completed row that nobody completed through a call."""
    key = RowKey(RAHUL, MATHS, context, SINGLE)
    return Consumption(key, Status.COMPLETED, 100, at(minute), at(minute), at(minute), timespent=7.0)


STEPS = st.lists(st.tuples(VIEWS, events()) | MODES, max_size=14)


def play(desk: Desk, steps: Iterable[tuple[View, ViewEvent] | Mode]) -> Desk:
    for step in steps:
        if isinstance(step, Mode):
            desk.change_to(step)
        else:
            desk.view(*step)
    return desk


@given(desks(), STEPS)
def test_coming_again_changes_nothing(desk: Desk, steps: list[tuple[View, ViewEvent] | Mode]) -> None:
    play(desk, steps)
    desk.come_again()
    before = dict(desk.rows)
    assert desk.come_again() == 0
    assert desk.rows == before


@given(desks(), STEPS)
def test_coming_after_his_own_writes_leaves_what_they_said(
    desk: Desk, steps: list[tuple[View, ViewEvent] | Mode]
) -> None:
    play(desk, steps)
    before = desk.told()
    desk.come_again()
    assert desk.told() == before


@given(desks(), STEPS, st.lists(MODES, max_size=3))
def test_going_back_gives_the_rows_of_before(
    desk: Desk, steps: list[tuple[View, ViewEvent] | Mode], through: list[Mode]
) -> None:
    play(desk, steps)
    home, before = desk.mode, desk.told()
    for mode in [*through, home]:
        desk.change_to(mode)
    assert desk.told() == before


@given(desks(), STEPS, MODES)
def test_what_he_completed_is_complete_wherever_it_counts(
    desk: Desk, steps: list[tuple[View, ViewEvent] | Mode], mode: Mode
) -> None:
    play(desk, steps)
    desk.change_to(mode)
    for place, completed in desk.own.items():
        assert desk.rows[place].own_completed_time == completed, "and in the place where he did it, it is his own"
        for kept in (place, keys.write_key(mode, keys.viewed(place))):
            assert desk.rows[kept].status is Status.COMPLETED
            assert desk.rows[kept].last_completed_time <= completed


@given(desks(), STEPS, MODES)
def test_time_spent_counts_once_in_each_place(
    desk: Desk, steps: list[tuple[View, ViewEvent] | Mode], mode: Mode
) -> None:
    play(desk, steps)
    desk.change_to(mode)
    for place, row in desk.rows.items():
        if not row.view_count and row.origin is not None:
            continue  # nobody was here but a carry
        there = counted_here(mode, place, desk.spent)
        assert row.timespent == sum(desk.spent[one] for one in there)


def rebuilt_desk() -> Desk:
    """He began in a batch, and the instance then keeps no contexts."""
    desk = Desk()
    desk.view(seen(context=BATCH), view(Verb.START, 1, details={"page": 9, "progress": 20}))
    desk.change_to(CONTENT_MODE)
    return desk


def test_a_page_he_went_back_to_is_not_turned_again() -> None:
    desk = rebuilt_desk()
    desk.view(seen(), view(Verb.UPDATE, 2, details={"page": 3}))
    desk.come_again()
    assert desk.rows[ALONE].progress_details == {"page": 3, "progress": 20}
    for mode in (Mode.STRICT, CONTENT_MODE):
        desk.change_to(mode)
    assert desk.rows[ALONE].progress_details == {"page": 3, "progress": 20}


def test_of_two_places_the_page_he_read_last_is_told() -> None:
    desk = Desk()
    desk.view(seen(context=BATCH), view(Verb.START, 1, details={"page": 9}))
    desk.view(seen(context=OTHER), view(Verb.START, 2, details={"page": 3}))
    desk.change_to(COLLECTION_MODE)
    assert desk.rows[IN_COURSE].progress_details == {"page": 3}


def test_an_earlier_completion_that_was_imported_stays_the_completion() -> None:
    desk = Desk()
    for key, minute in ((ALONE, 5), (IN_BATCH, 3)):
        desk.rows[key] = replace(imported(minute, BATCH), key=key)
    desk.change_to(CONTENT_MODE)
    desk.view(seen(), view(Verb.END, 9))
    desk.change_to(Mode.STRICT)
    assert (desk.rows[ALONE].last_completed_time, desk.rows[ALONE].own_completed_time) == (at(5), at(9))


def test_a_completion_without_a_time_that_was_imported_meanwhile_stays() -> None:
    desk = rebuilt_desk()
    desk.rows[ALONE] = replace(desk.rows[ALONE], status=Status.COMPLETED, progress=100, version=2)
    for mode in (CONTENT_MODE, Mode.STRICT):
        desk.change_to(mode)
        desk.come_again()
        assert desk.rows[ALONE].status is Status.COMPLETED


@pytest.mark.parametrize("mode", [CONTENT_MODE, COLLECTION_MODE])
def test_a_row_that_was_only_rebuilt_goes_with_the_mode(mode: Mode) -> None:
    desk = Desk()
    desk.view(seen(context=BATCH), view(Verb.END, 1, force=True))
    desk.change_to(mode)
    assert desk.rows[ALONE if mode is CONTENT_MODE else IN_COURSE].rebuilt
    desk.change_to(Mode.STRICT)
    assert desk.rows.keys() == {IN_BATCH}


def test_a_carried_completion_counts_only_where_it_was_done() -> None:
    desk = Desk()
    desk.rows[IN_BATCH] = replace(imported(1, BATCH), progress=0, origin="carry-1", view_count=0)
    desk.change_to(CONTENT_MODE)
    assert desk.rows.keys() == {IN_BATCH}


def test_a_row_whose_record_is_lost_is_his_own() -> None:
    row = replace(imported(1, BATCH), key=ALONE, origin="mode:gone")
    assert own_rows([row], {}) == {ALONE: replace(row, origin=None)}


def attempt(key: RowKey, score: float, minute: float = 1, attempt_id: str = "try-1") -> Attempt:
    return Attempt(key, attempt_id, score, 3.0, f"{score}/3.0", at(minute), at(minute), at(minute))


def test_attempts_go_where_the_mode_keeps_them() -> None:
    here, there = attempt(IN_BATCH, 1), attempt(ALONE, 2, attempt_id="try-2")
    assert elsewhere(CONTENT_MODE, [here, there]) == {(ALONE, "try-1"): replace(here, key=ALONE)}
    assert elsewhere(Mode.STRICT, [here, there]) == {}


def test_of_one_attempt_in_two_places_the_newer_account_goes() -> None:
    accounts = [attempt(IN_BATCH, 3, 5), attempt(IN_OTHER, 1, 9)]
    for order in (accounts, accounts[::-1]):
        assert elsewhere(COLLECTION_MODE, order) == {(IN_COURSE, "try-1"): replace(accounts[1], key=IN_COURSE)}
