"""The seeds' mode tables as data: what Rahul does, where he then opens a content, and what must come of it.

Every row of "Config Modes" and of "Extended Enrolment Consumption", numbered as docs/modes.md numbers them. `make demo`
and tests/modes/test_scenarios.py play them. Nothing is taken from the service's code.
"""

import calendar
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

NOT_STARTED, COMPLETE = 0, 2
MATHS, MATHS_2 = "class-1-maths", "class-2-maths"
PROGRAM = "program-abc"
SINGLE, DOUBLE, TRIPLE = (f"{size}-digit-addition" for size in ("single", "double", "triple"))


# --- what a scenario is made of ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ago:
    """A time before the scenarios are prepared, in calendar months and days."""

    months: int = 0
    days: int = 0

    def before(self, moment: datetime) -> datetime:
        """That time. A month that has no such day gives its last one."""
        year, month = divmod(moment.year * 12 + moment.month - 1 - self.months, 12)
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        return moment.replace(year=year, month=month + 1, day=day) - timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a learner comes to a content from. Without a collection: he searched for it."""

    collection: str | None = None
    context: str | None = None

    def ids(self) -> dict[str, str]:
        """As the view calls name it."""
        named = {"collectionId": self.collection, "contextId": self.context}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Enrolled:
    """He was enrolled long ago: imported with that time, for nobody can enrol into a batch that is over."""

    place: Place
    ago: Ago


@dataclass(frozen=True, slots=True)
class Completed:
    """He completed a content long ago: imported with that time, which may be older than a client may tell."""

    content: str
    place: Place
    ago: Ago


@dataclass(frozen=True, slots=True)
class Enrol:
    """He enrols into a collection through one of its batches."""

    place: Place


@dataclass(frozen=True, slots=True)
class EnrolProgram:
    """He enrols into a program through one of its batches."""

    program: str
    batch: str


@dataclass(frozen=True, slots=True)
class View:
    """He starts and ends a content. ago: the time his client tells of both; None: it tells none, it is now."""

    content: str
    place: Place
    ago: Ago | None = None


@dataclass(frozen=True, slots=True)
class Opens:
    """He opens a content: what he is shown. named: the context the answer must name; None: any."""

    content: str
    place: Place
    status: int
    named: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an "Entry in DB" table, as view/read tells the row of just that place. Status 0 may be no row."""

    collection: str
    context: str
    content: str
    status: int
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One numbered row. past: imported before anything else; actions: what he then does; expects: what is read last."""

    number: str
    title: str
    actions: tuple[Enrol | EnrolProgram | View, ...]
    expects: tuple[Opens | Row, ...]
    past: tuple[Enrolled | Completed, ...] = ()


@dataclass(frozen=True, slots=True)
class ModeTables:
    """The rows of one mode. rules: the carry-forward rules they are played with."""

    mode: str
    title: str
    about: str
    scenarios: tuple[Scenario, ...]
    rules: dict[str, Any] | None = None


# --- where it happens ----------------------------------------------------------------------------------------

SEARCH = Place()
BATCH_1 = Place(MATHS, "batch-1")
BATCH_2 = Place(MATHS, "batch-2")
EXPIRED = Place(MATHS, "batch-1-expired")
CLASS_2 = Place(MATHS_2, "class-2-batch-1")
IN_PROGRAM = Place(MATHS, "program-batch-1")
JOINS_PROGRAM = EnrolProgram(PROGRAM, "program-batch-1")


def batches(today: date) -> list[dict[str, Any]]:
    """The batches, as load_catalogue reads them; the sample has their collections and the program.

    Each running batch began after everything that is completed before it, so that withinContextDuration holds for
    none of that and the window of months alone decides.
    """

    def day(delta: int) -> str:
        return (today + timedelta(days=delta)).isoformat()

    days = {
        "batch-1": ("courseId", MATHS, -5, 60),
        "batch-2": ("courseId", MATHS, -5, 60),
        "batch-1-expired": ("courseId", MATHS, -150, -8),
        "class-2-batch-1": ("courseId", MATHS_2, -5, 60),
        "program-batch-1": ("programId", PROGRAM, -5, 60),
    }
    return [
        {
            "batchId": batch,
            owner: owned,
            "status": 1,
            "enrollmentType": "open",
            "startDate": day(first),
            "endDate": day(last),
        }
        for batch, (owner, owned, first, last) in days.items()
    ]


def import_lines(user_id: str, past: Sequence[Enrolled | Completed], now: datetime) -> str:
    """What import_progress is given, a line each."""
    return "".join(json.dumps(_line(user_id, one, one.ago.before(now))) + "\n" for one in past)


def _line(user_id: str, one: Enrolled | Completed, at: datetime) -> dict[str, Any]:
    time = at.astimezone(UTC).isoformat()
    if isinstance(one, Enrolled):
        where = {"userid": user_id, "courseid": one.place.collection, "batchid": one.place.context}
        return {"table": "user_enrolments", **where, "enrolled_date": time, "active": True}
    collection = one.place.collection or one.content
    where = {"userid": user_id, "collectionid": collection, "contextid": one.place.context or collection}
    done = {"contentid": one.content, "status": 2, "last_access_time": time, "last_completed_time": time}
    return {"table": "user_content_consumption", **where, **done}


def _entries(prefix: str, actions: tuple[Enrol | EnrolProgram | View, ...], *rows: Row) -> tuple[Scenario, ...]:
    """The lines of an "Entry in DB" table, each played by a learner of its own."""
    return tuple(
        Scenario(
            f"{prefix}-DB{number}",
            f"Entry in DB: {row.collection}, {row.context}, {row.content}",
            actions,
            (row,),
        )
        for number, row in enumerate(rows, 1)
    )


# --- the seeds' words ----------------------------------------------------------------------------------------

IN_COURSE = "Rahul opens the “{}” content after going into the course “{}” when batch-1 is active"
SEARCHING = "Rahul opens the “{}” content after searching for it"
REJOINED = "batch-1 has expired and Rahul has rejoined batch-2{} and opened the content “{}”"
JOINED_CLASS_2 = (
    "Rahul has joined a collection “class-2-maths” which contains the “single-digit-addition” content and opens "
    "the content"
)
TRIPLE_ALONE = "Rahul completes “triple-digit-addition” organically. And opens the content as part of course “{}”"

# --- strict context ------------------------------------------------------------------------------------------

IN_BATCH = (Enrol(BATCH_1), View(SINGLE, BATCH_1))
STRICT_DID = (*IN_BATCH, View(DOUBLE, SEARCH))


def _rejoined(number: str, status: int) -> Scenario:
    """Rahul completed the content while batch-1 ran, as his client tells it; now the batch is over."""
    actions = (View(SINGLE, EXPIRED, Ago(days=10)), Enrol(BATCH_2))
    past = (Enrolled(EXPIRED, Ago(months=4)),)
    return Scenario(number, REJOINED.format("", SINGLE), actions, (Opens(SINGLE, BATCH_2, status),), past)


STRICT = ModeTables(
    "strict",
    "Strict Context Mode",
    "A content counts where it was consumed, and nowhere else.",
    (
        *_entries("S", STRICT_DID, Row(MATHS, "batch-1", SINGLE, COMPLETE), Row(DOUBLE, DOUBLE, DOUBLE, COMPLETE)),
        Scenario("S1", IN_COURSE.format(SINGLE, MATHS), STRICT_DID, (Opens(SINGLE, BATCH_1, COMPLETE),)),
        Scenario("S2", SEARCHING.format(SINGLE), STRICT_DID, (Opens(SINGLE, SEARCH, NOT_STARTED),)),
        _rejoined("S3", NOT_STARTED),
        Scenario(
            "S4",
            "Inverse: Rahul completes the “single-digit-addition” content after searching for it organically. Later, "
            "Rahul opens the same content via the ToC of the course “class-1-maths“",
            (View(SINGLE, SEARCH), Enrol(BATCH_1)),
            (Opens(SINGLE, BATCH_1, NOT_STARTED), Opens(SINGLE, Place(MATHS), NOT_STARTED)),
        ),
        Scenario("S5", IN_COURSE.format(DOUBLE, MATHS), STRICT_DID, (Opens(DOUBLE, BATCH_1, NOT_STARTED),)),
        Scenario("S6", SEARCHING.format(DOUBLE), STRICT_DID, (Opens(DOUBLE, SEARCH, COMPLETE),)),
        Scenario(
            "E3",
            "Strict Mode Consumption: written in a program's context, read there, in the collection, in batch-1 and by "
            "itself",
            (JOINS_PROGRAM, View(SINGLE, IN_PROGRAM)),
            (
                Opens(SINGLE, IN_PROGRAM, COMPLETE),
                *(Opens(SINGLE, place, NOT_STARTED) for place in (Place(MATHS), BATCH_1, SEARCH)),
            ),
        ),
    ),
)

# --- no context ----------------------------------------------------------------------------------------------


def _carry_forward(number: str) -> Scenario:
    return Scenario(
        number,
        "Carry Forward Consumption: written in the collection without a context, read so, and in batch-1",
        (View(SINGLE, Place(MATHS)), Enrol(BATCH_1)),
        (Opens(SINGLE, Place(MATHS), COMPLETE), Opens(SINGLE, BATCH_1, COMPLETE)),
    )


NO_CONTEXT_CONTENT = ModeTables(
    "no_context_content",
    "No Context Mode: Content Mode",
    "A content counts wherever it is found, whatever it was consumed in.",
    (
        *_entries("NC", IN_BATCH, Row(SINGLE, SINGLE, SINGLE, COMPLETE)),
        Scenario("NC1", IN_COURSE.format(SINGLE, MATHS), IN_BATCH, (Opens(SINGLE, BATCH_1, COMPLETE),)),
        Scenario("NC2", SEARCHING.format(SINGLE), IN_BATCH, (Opens(SINGLE, SEARCH, COMPLETE),)),
        _rejoined("NC3", COMPLETE),
        Scenario("NC4", JOINED_CLASS_2, (*IN_BATCH, Enrol(CLASS_2)), (Opens(SINGLE, CLASS_2, COMPLETE),)),
        _carry_forward("E1-NC"),
    ),
)

NO_CONTEXT_COLLECTION = ModeTables(
    "no_context_collection",
    "No Context Mode: Collection Mode",
    "A content counts in its collection, whichever batch or program leads there.",
    (
        *_entries("NL", IN_BATCH, Row(MATHS, MATHS, SINGLE, COMPLETE)),
        Scenario("NL1", IN_COURSE.format(SINGLE, MATHS), IN_BATCH, (Opens(SINGLE, BATCH_1, COMPLETE),)),
        Scenario("NL2", SEARCHING.format(SINGLE), IN_BATCH, (Opens(SINGLE, SEARCH, NOT_STARTED),)),
        _rejoined("NL3", COMPLETE),
        Scenario("NL4", JOINED_CLASS_2, (*IN_BATCH, Enrol(CLASS_2)), (Opens(SINGLE, CLASS_2, NOT_STARTED),)),
        Scenario(
            "NL5",
            "Rahul has joined a program “program-abc“ which contains “class-1-maths” as one of the collection. He "
            "opens the “single-digit-addition” content within this context",
            (*IN_BATCH, JOINS_PROGRAM),
            (Opens(SINGLE, IN_PROGRAM, COMPLETE),),
        ),
        _carry_forward("E1-NL"),
    ),
)

# --- copies --------------------------------------------------------------------------------------------------

LAST_3_MONTHS_OR_WITHIN = {
    "match": "any",
    "rules": [{"type": "completedWithin", "unit": "months", "value": 3}, {"type": "withinContextDuration"}],
}
ONE_MONTH, THREE_MONTHS = Ago(months=1), Ago(months=3, days=1)

COPY_DID = (View(SINGLE, SEARCH, Ago(days=10)), Enrol(BATCH_1), View(DOUBLE, BATCH_1))
COPY_DID_2 = (*COPY_DID, Enrol(CLASS_2))


def _copy_forward(number: str) -> Scenario:
    return Scenario(
        number,
        "Copy Forward Consumption: written in a program's context, read in the collection without a context",
        (JOINS_PROGRAM, View(SINGLE, IN_PROGRAM)),
        (
            Opens(SINGLE, Place(MATHS), COMPLETE, named="program-batch-1"),
            Row(MATHS, "program-batch-1", SINGLE, COMPLETE),
        ),
    )


def _rejoined_after(number: str, words: str, done: Completed, status: int) -> Scenario:
    """Rahul completed a content long before he joins batch-2, and was enrolled in batch-1 until it was over."""
    past = (Enrolled(EXPIRED, Ago(months=4)), done)
    opens = Opens(done.content, BATCH_2, status)
    return Scenario(number, REJOINED.format(f" {words}", done.content), (Enrol(BATCH_2),), (opens,), past)


COPY_CONTENT = ModeTables(
    "copy_content",
    "Copy Content Mode",
    "A completion is copied into the collections that hold the content, where the rules allow it.",
    (
        *_entries(
            "CC",
            COPY_DID,
            Row(SINGLE, SINGLE, SINGLE, COMPLETE),
            Row(MATHS, "batch-1", SINGLE, COMPLETE, copied=True),
            Row(MATHS, "batch-1", DOUBLE, COMPLETE),
            Row(MATHS, "batch-1", TRIPLE, NOT_STARTED),
        ),
        Scenario("CC1", IN_COURSE.format(SINGLE, MATHS), COPY_DID, (Opens(SINGLE, BATCH_1, COMPLETE),)),
        Scenario("CC2", SEARCHING.format(SINGLE), COPY_DID, (Opens(SINGLE, SEARCH, COMPLETE),)),
        _rejoined_after("CC3", "after 1 month", Completed(SINGLE, SEARCH, ONE_MONTH), COMPLETE),
        _rejoined_after("CC4", "after 3 months", Completed(SINGLE, SEARCH, THREE_MONTHS), NOT_STARTED),
        Scenario("CC5", SEARCHING.format(DOUBLE), COPY_DID, (Opens(DOUBLE, SEARCH, NOT_STARTED),)),
        Scenario(
            "CC6",
            TRIPLE_ALONE.format(MATHS),
            (*COPY_DID, View(TRIPLE, SEARCH)),
            (Opens(TRIPLE, BATCH_1, COMPLETE),),
        ),
        _copy_forward("E2-CC"),
    ),
    LAST_3_MONTHS_OR_WITHIN,
)

COPY_COLLECTION = ModeTables(
    "copy_collection",
    "Copy Collection Mode",
    "A completion within a collection is copied into the others that hold the content, where the rules allow it.",
    (
        *_entries(
            "CL",
            COPY_DID_2,
            Row(SINGLE, SINGLE, SINGLE, COMPLETE),
            Row(MATHS, "batch-1", SINGLE, NOT_STARTED),
            Row(MATHS, "batch-1", DOUBLE, COMPLETE),
            Row(MATHS, "batch-1", TRIPLE, NOT_STARTED),
            Row(MATHS_2, "class-2-batch-1", SINGLE, NOT_STARTED),
            Row(MATHS_2, "class-2-batch-1", DOUBLE, COMPLETE, copied=True),
        ),
        Scenario("CL1", IN_COURSE.format(SINGLE, MATHS), COPY_DID_2, (Opens(SINGLE, BATCH_1, NOT_STARTED),)),
        Scenario("CL2", SEARCHING.format(SINGLE), COPY_DID_2, (Opens(SINGLE, SEARCH, COMPLETE),)),
        _rejoined_after("CL3", "after 1 month", Completed(DOUBLE, EXPIRED, ONE_MONTH), COMPLETE),
        _rejoined_after("CL4", "after 3 months", Completed(DOUBLE, EXPIRED, THREE_MONTHS), NOT_STARTED),
        Scenario("CL5", SEARCHING.format(DOUBLE), COPY_DID_2, (Opens(DOUBLE, SEARCH, NOT_STARTED),)),
        Scenario(
            "CL6",
            TRIPLE_ALONE.format(MATHS),
            (*COPY_DID_2, View(TRIPLE, SEARCH)),
            (Opens(TRIPLE, BATCH_1, COMPLETE),),
        ),
        Scenario("CL7", IN_COURSE.format(DOUBLE, MATHS_2), COPY_DID_2, (Opens(DOUBLE, CLASS_2, COMPLETE),)),
        _copy_forward("E2-CL"),
    ),
    LAST_3_MONTHS_OR_WITHIN,
)

# --- move ----------------------------------------------------------------------------------------------------

MOVE_DID = (*IN_BATCH, JOINS_PROGRAM)
MOVE = ModeTables(
    "move",
    "Move Mode",
    "The progress of a running batch goes over into a program that has the same collection.",
    (
        *_entries(
            "M",
            MOVE_DID,
            Row(MATHS, "batch-1", SINGLE, NOT_STARTED),
            Row(MATHS, "program-batch-1", SINGLE, COMPLETE),
        ),
        Scenario("M1", IN_COURSE.format(SINGLE, MATHS), MOVE_DID, (Opens(SINGLE, BATCH_1, NOT_STARTED),)),
        Scenario(
            "M2",
            "Rahul opens the “single-digit-addition” content after going into the course “class-1-maths” via the "
            "program context",
            MOVE_DID,
            (Opens(SINGLE, IN_PROGRAM, COMPLETE),),
        ),
    ),
    {"match": "any", "target": "program", "rules": [{"type": "ongoingBatch"}]},
)

ALL = (STRICT, NO_CONTEXT_CONTENT, NO_CONTEXT_COLLECTION, COPY_CONTENT, COPY_COLLECTION, MOVE)
