"""The demo's stories as data: who does what, and what must come of it. Played by demo_runner.

Expected values are the seeds' own where they give any, and else computed here by plain bookkeeping over the events
played; nothing is taken from the service's code. A story for another mode or call is one more function; the one of
summaries and assessments is demo_aggregate's.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo_aggregate import two_learners
from demo_runner import Answer, Call, Step, Story, Table, Value
from demo_sample import LOAD_SAMPLE, SAMPLE_BATCH, SAMPLE_COURSE, Unit, sample_tree, units_of
from demo_steps import (
    STATUS,
    Name,
    acks,
    completes,
    contents,
    counts,
    enrol,
    item,
    listing,
    refusal,
    row_of,
    state_of,
    summary_list,
    view,
    word,
    words_of,
)

Event = dict[str, Any]

ROW = ("user_id", "collection_id", "context_id", "content_id", "status")

MATHS = "class-1-maths"
SINGLE = "single-digit-addition"
DOUBLE = "double-digit-addition"

REAL_COURSE = "do_212347136096788480178"
REAL_LEAVES = ("domain_44689", "do_112270494168555520130")
REAL_BATCH = "0130000000000000001"


def all_stories(suffix: str, sample: Path, real: Path, events: Path | None) -> list[Story]:
    """Every story, in order.

    suffix: put behind each learner's name; sample, real: the catalogue files played on; events: the folder the service
    publishes to, None where that is out of reach.
    """

    def name(learner: str) -> str:
        return learner + suffix

    return [
        scenarios(name),
        strict(name),
        lifecycle(name, real),
        course(name, sample),
        two_learners(name, sample, events),
    ]


# --- 1: the scenario table -----------------------------------------------------------------------------------


def scenarios(name: Name) -> Story:
    """Seed: scenario table, rows 1 to 3; row 3 once for each kind of context its comment names."""
    user = name("Meena")
    wheres: list[tuple[str, str, dict[str, str], str]] = [
        ("1", "User consuming individual content", {}, "contentid"),
        ("2", "User consuming a content with in a collection", {"collectionid": MATHS}, "collection"),
    ]
    for letter, kind, context in (
        ("a", "batch", "batch-1"),
        ("b", "program", "program-abc"),
        ("c", "program batch", "program-batch-1"),
    ):
        title = f"User consuming a content with in a collection with a context ({kind})"
        wheres.append((f"3{letter}", title, {"collectionid": MATHS, "contextid": context}, "collectionid"))
    tables: list[Table] = []
    for place, (number, title, where, read_by) in enumerate(wheres):
        # Neighbours end in different states, so that a row answered from another's place would show.
        verbs = ("start",) if place % 2 else ("start", "end")
        status = 1 if place % 2 else 2
        write = {"userid": user, **where, "contentid": SINGLE}
        read = {"userid": user, read_by: where.get("collectionid", SINGLE)}
        read |= {key: value for key, value in where.items() if key == "contextid"}
        steps = [
            Step(
                f"{number}.{step}",
                f"Write: POST /v1/view/{verb} {json.dumps(write)}",
                {"start": "Progress started", "end": "Progress ended"}[verb],
                acks,
                (view(verb, **write),),
            )
            for step, verb in enumerate(verbs, 1)
        ]
        steps.append(
            Step(
                f"{number}.{len(steps) + 1}",
                f"Read: POST /v1/view/read {json.dumps(read)}",
                STATUS[status],
                words_of(SINGLE),
                (view("read", **read),),
            )
        )
        collection = where.get("collectionid", SINGLE)
        row = (user, collection, where.get("contextid", collection), SINGLE, str(status))
        tables.append(Table(f"Scenario {number}: {title}", tuple(steps)))
        tables.append(Table("The row", (Step(f"{number}.row", "", row, row_of(SINGLE)),), ROW))
    about = (
        "The seeds' scenario table: the same learner and content in different places, requests in the seeds' own "
        "spelling. Each place has a row of its own."
    )
    return Story("Story 1: scenarios 1-3", about, tuple(tables))


# --- 2: strict -----------------------------------------------------------------------------------------------


def strict(name: Name) -> Story:
    """Seed: Strict Context Mode, "Entry in DB" and the six actions in its words."""
    rahul, other = name("Rahul"), name("Sunita")
    in_batch_1 = {"userId": rahul, "collectionId": MATHS, "contextId": "batch-1"}
    organically = {"userId": rahul}

    def opens(number: int, action: str, content: str, expected: str, *calls: Call, reads: int = 1) -> Step:
        return Step(f"STRICT-{number}", action, expected, words_of(content, reads), calls)

    done = "Progress started, Progress ended"
    in_batch_2 = {**in_batch_1, "contextId": "batch-2"}
    setup = (
        Step(
            "S.1",
            "Rahul joins batch-1 and completes content “single-digit-addition” as part of batch “batch-1“ within the "
            "course “class-1-maths”",
            f"SUCCESS, {done}",
            acks,
            (enrol(**in_batch_1), *completes(**in_batch_1, contentId=SINGLE)),
        ),
        Step(
            "S.2",
            "Rahul completes content “double-digit-addition” organically",
            done,
            acks,
            completes(**organically, contentId=DOUBLE),
        ),
    )
    entries = (
        Step(
            "S.3",
            "",
            (rahul, MATHS, "batch-1", SINGLE, "2"),
            row_of(SINGLE),
            (view("read", **in_batch_1, contentId=SINGLE),),
        ),
        Step(
            "S.4",
            "",
            (rahul, DOUBLE, DOUBLE, DOUBLE, "2"),
            row_of(DOUBLE),
            (view("read", userId=rahul, contentId=DOUBLE),),
        ),
    )
    actions = (
        opens(
            1,
            "Rahul opens the “single-digit-addition” content after going into the course “class-1-maths” when "
            "batch-1 is active",
            SINGLE,
            "Complete",
            view("read", **in_batch_1, contentId=SINGLE),
        ),
        opens(
            2,
            "Rahul opens the “single-digit-addition” content after searching for it",
            SINGLE,
            "Not Started",
            view("read", **organically, contentId=SINGLE),
        ),
        opens(
            3,
            "batch-1 has expired and Rahul has rejoined batch-2 and opened the content “single-digit-addition”",
            SINGLE,
            "Not Started",
            enrol(**in_batch_2),
            view("read", **in_batch_2, contentId=SINGLE),
        ),
        # Another learner: Rahul's own completion in batch-1 would answer here. The ToC with and without a batch.
        opens(
            4,
            "Inverse: Rahul completes the “single-digit-addition” content after searching for it organically. Later, "
            "Rahul opens the same content via the ToC of the course “class-1-maths“ (played by another learner)",
            SINGLE,
            "Not Started",
            *completes(userId=other, contentId=SINGLE),
            view("read", userId=other, collectionId=MATHS, contextId="batch-1", contentId=SINGLE),
            view("read", userId=other, collectionId=MATHS, contentId=SINGLE),
            reads=2,
        ),
        opens(
            5,
            "Rahul opens the “double-digit-addition” content after going into the course “class-1-maths” when "
            "batch-1 is active",
            DOUBLE,
            "Not Started",
            view("read", **in_batch_1, contentId=DOUBLE),
        ),
        opens(
            6,
            "Rahul opens the “double-digit-addition” content after searching for it",
            DOUBLE,
            "Complete",
            view("read", **organically, contentId=DOUBLE),
        ),
    )
    enrolments = (
        Step(
            "S.5",
            "Rahul's enrolments: GET /v1/summary/list",
            "batch-1 In Progress, 1 done, 33 %; batch-2 Not Started, 0 done, 0 %",
            in_batches,
            (summary_list(rahul),),
        ),
    )
    about = (
        "Any content is strictly monitored in the context it was consumed in. Opening is what a client asks before "
        "it shows a content: view/read with the place the learner came from. In this mode no read depends on whether a "
        "batch has ended, so the sample's batch-1 stays open; Rahul is enrolled in it, and in batch-2 when he rejoins."
    )
    return Story(
        "Story 2: Strict Context Mode",
        about,
        (
            Table("What Rahul did", setup),
            Table("Entry in DB, as read back", entries, ROW),
            Table("API responses for various other actions done by the user", actions),
            Table("What the course says of him, once for each batch he is enrolled in", enrolments),
        ),
    )


def in_batches(answers: Sequence[Answer]) -> Value:
    """Picks how far each enrolment of a list is, by batch."""
    records = sorted(answers[-1].result["summary"], key=lambda each: str(each["contextId"]))
    return "; ".join(
        f"{each['contextId']} {word(each)}, {each['progress']} done, {each['completionPercentage']} %"
        for each in records
    )


# --- 3: lifecycle --------------------------------------------------------------------------------------------


def unchanged(content_id: str) -> Callable[[Sequence[Answer]], Value]:
    """Picks "unchanged" when the first and the last answer tell exactly the same of the content."""

    def pick(answers: Sequence[Answer]) -> Value:
        before, after = item(answers[0], content_id), item(answers[-1], content_id)
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return f"{acks(answers[1:-1])}; " + (f"changed: {', '.join(changed)}" if changed else "row unchanged")

    return pick


def lifecycle(name: Name, real: Path) -> Story:
    """Seed: Content View Lifecycle, on a course as the platform published it."""
    first, second = REAL_LEAVES
    place = {"userId": name("Asha"), "collectionId": REAL_COURSE, "contextId": REAL_BATCH}
    read_first = view("read", **place, contentId=first)
    late = {"progressDetails": {"progress": 10}, "timespent": 5}
    rows: list[tuple[str, Value, Callable[[Sequence[Answer]], Value], tuple[Call, ...]]] = [
        (
            f"Start {first}",
            "Progress started",
            acks,
            (view("start", **place, contentId=first),),
        ),
        ("Read it", "In Progress, 0 %", state_of(first), (read_first,)),
        (
            "Update: 45 % after 10 s",
            "SUCCESS",
            acks,
            (view("update", **place, contentId=first, progressDetails={"progress": 45}, timespent=10),),
        ),
        ("Read it", "In Progress, 45 %", state_of(first), (read_first,)),
        ("End it", "Progress ended", acks, (view("end", **place, contentId=first),)),
        ("Read it", "Complete, 100 %", state_of(first), (read_first,)),
        (
            "Revisit: start, update and end again are acknowledged and write nothing",
            "Progress started, SUCCESS, Progress ended; row unchanged",
            unchanged(first),
            (
                read_first,
                view("start", **place, contentId=first),
                view("update", **place, contentId=first, **late),
                view("end", **place, contentId=first),
                read_first,
            ),
        ),
        (
            f"Update {second} before its start",
            "404 ERR_VIEW_NOT_STARTED",
            refusal,
            (view("update", **place, contentId=second, **late),),
        ),
        (
            "End it before its start",
            "404 ERR_VIEW_NOT_STARTED",
            refusal,
            (view("end", **place, contentId=second),),
        ),
        (
            "Read the whole collection",
            f"{first} Complete, {second} Not Started",
            listing,
            (view("read", **place),),
        ),
        (
            "End it with force: its start got lost",
            "Progress ended",
            acks,
            (view("end", **place, contentId=second, force=True),),
        ),
        (
            "Read the whole collection: both leaves, in course order",
            f"{first} Complete, {second} Complete",
            listing,
            (view("read", **place),),
        ),
        (
            "The same by the gateway's path /api/view/v1/read",
            f"{first} Complete, {second} Complete",
            listing,
            (Call("/api/view/v1/read", place),),
        ),
    ]
    steps = tuple(Step(f"L.{number}", *row) for number, row in enumerate(rows, 1))
    about = (
        f"One learner in the course {REAL_COURSE} (“Math for dummies”), loaded from the hierarchy API's real answer."
    )
    found = f"Load it with: manage.py load_catalogue {real}" if real.exists() else f"{real} is absent."
    return Story(
        "Story 3: view lifecycle on a real hierarchy",
        about,
        (Table("Start, update, end, revisit, force", steps),),
        REAL_COURSE,
        found,
        optional=True,
    )


# --- 4: a whole course ---------------------------------------------------------------------------------------


@dataclass
class Ledger:
    """What one learner's events must come to. The rules in their shortest form, kept apart from the service's."""

    status: dict[str, int] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    taken: set[str] = field(default_factory=set)

    def take(self, events: Sequence[Event]) -> Counter[str]:
        """Takes the events of one sync in the order they happened; how many get which result."""
        return Counter(self._one(event) for event in sorted(events, key=lambda event: int(event["ts"])))

    def _one(self, event: Event) -> str:
        content, kind = event["contentId"], event["type"]
        before = self.status.get(content, 0)
        if event["id"] in self.taken:
            return "duplicate"
        if before == 2:
            return "older"
        if before == 0 and kind != "start":
            return "rejected"
        self.taken.add(event["id"])
        self.status[content] = 2 if kind == "end" else 1
        told = event.get("progressDetails", {}).get("progress", 0)
        self.progress[content] = 100 if kind == "end" else max(self.progress.get(content, 0), told)
        self.seconds += event.get("timespent", 0)
        return "applied"

    def counted(self, leaves: Sequence[str]) -> str:
        """How many of these leaves are complete / in progress / not started."""
        return counts([self.status.get(leaf, 0) for leaf in leaves])


def _verdicts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items()))


def verdicts(answers: Sequence[Answer]) -> Value:
    """Picks how many events of a sync got which result."""
    return _verdicts(Counter(str(each["status"]) for each in answers[-1].result["results"]))


def same_places(events: Sequence[Event]) -> Callable[[Sequence[Answer]], Value]:
    """Picks whether each result stands where its event was sent."""

    def pick(answers: Sequence[Answer]) -> Value:
        ids = [each["id"] for each in answers[-1].result["results"]]
        return "as sent" if ids == [event["id"] for event in events] else "in another order"

    return pick


def offline_events(leaves: Sequence[str], place: Mapping[str, object], begin_ms: int) -> list[Event]:
    """Half the course, minute by minute: each leaf started, updated and ended, the next one left at 40 %.

    The last event is a second look at the first leaf, after its end.
    """
    half = len(leaves) // 2
    done = [(leaf, kind) for leaf in leaves[:half] for kind in ("start", "update", "end")]
    played = [*done, (leaves[half], "start"), (leaves[half], "update"), (leaves[0], "update")]
    events: list[Event] = []
    for number, (leaf, kind) in enumerate(played, 1):
        event: Event = {"id": f"e-{number:03}", "type": kind, "ts": begin_ms + number * 60_000, "contentId": leaf}
        if kind == "update":
            event |= {"progressDetails": {"progress": 40}, "timespent": 30 + number}
        events.append({**event, **place})
    return events


def course(name: Name, sample: Path) -> Story:
    """Two learners in the sample's rich course: one by single calls, one offline."""
    units = list(units_of(sample_tree(sample, SAMPLE_COURSE)))
    leaves = units[0].leaves
    where = {"collectionId": SAMPLE_COURSE, "contextId": SAMPLE_BATCH}
    everything = f"{len(leaves)} contents, in course order"

    def in_order(answers: Sequence[Answer]) -> Value:
        listed = tuple(str(each["identifier"]) for each in contents(answers[-1]))
        return f"{len(listed)} contents, " + ("in course order" if listed == leaves else "in another order")

    def per_unit(prefix: str, ledger: Ledger) -> tuple[Step, ...]:
        def counted(unit: Unit) -> Callable[[Sequence[Answer]], Value]:
            return lambda answers: counts([item(answers[-1], leaf)["status"] for leaf in unit.leaves])

        return tuple(
            Step(f"{prefix}{number}", "  " * unit.depth + unit.title, ledger.counted(unit.leaves), counted(unit))
            for number, unit in enumerate(units)
        )

    # Anitha, one call after the other.
    anitha = {"userId": name("Anitha"), **where}
    hers = Ledger(status=dict.fromkeys(leaves, 2))
    online = (
        Step(
            "A.1",
            "Anitha starts every content of the course",
            f"{len(leaves)} x Progress started",
            acks,
            tuple(view("start", **anitha, contentId=leaf) for leaf in leaves),
        ),
        Step(
            "A.2",
            "and ends every one",
            f"{len(leaves)} x Progress ended",
            acks,
            tuple(view("end", **anitha, contentId=leaf) for leaf in leaves),
        ),
        Step("A.3", "Read the whole collection", everything, in_order, (view("read", **anitha),)),
        Step(
            "A.4",
            "Statuses in that answer",
            f"{len(leaves)} Complete",
            lambda answers: _verdicts(Counter(word(each) for each in contents(answers[-1]))),
        ),
    )

    # Imran, by what his phone kept.
    imran = name("Imran")
    two_days_ago = int(time.time() * 1000) - 2 * 24 * 3600 * 1000
    happened = offline_events(leaves, where, two_days_ago)
    batch = happened + happened[::4]
    random.Random(2021).shuffle(batch)
    half = len(leaves) // 2
    later = two_days_ago + 24 * 3600 * 1000
    more: list[Event] = [
        {"id": "m-1", "type": "end", "ts": later, "contentId": leaves[-1], **where},
        {
            "id": "m-2",
            "type": "update",
            "ts": later,
            "contentId": leaves[half],
            "progressDetails": {"progress": 60},
            "timespent": 12.5,
            **where,
        },
    ]
    his = Ledger()
    expected = [_verdicts(his.take(events)) for events in (batch, batch, more)]

    def sync(events: Sequence[Event]) -> tuple[Call, ...]:
        return (view("sync", userId=imran, events=events),)

    offline = (
        Step(
            "I.1",
            f"Imran's phone sends {len(batch)} events, shuffled, every fourth twice, the last one a revisit",
            expected[0],
            verdicts,
            sync(batch),
        ),
        Step("I.2", "The results stand where the events stood", "as sent", same_places(batch)),
        Step("I.3", "The answer got lost, the phone sends all of it again", expected[1], verdicts, sync(batch)),
        Step(
            "I.4",
            "Next day: the end of a content never started, and an update to 60 %",
            expected[2],
            verdicts,
            sync(more),
        ),
        Step(
            "I.5",
            "Read the content he stopped in",
            f"{STATUS[his.status[leaves[half]]]}, {his.progress[leaves[half]]} %",
            state_of(leaves[half]),
            (view("read", userId=imran, **where, contentId=leaves[half]),),
        ),
        Step("I.6", "Read the whole collection", everything, in_order, (view("read", userId=imran, **where),)),
        Step(
            "I.7",
            "Seconds spent in all: what came twice counts once, a revisit not at all",
            f"{his.seconds:.1f}",
            lambda answers: f"{sum(each['timespent'] for each in contents(answers[-1])):.1f}",
        ),
    )
    caption = "{} per unit, a content used in two units counts in both: complete / in progress / not started"
    about = (
        f"Two learners in {units[0].title} ({SAMPLE_COURSE}, batch {SAMPLE_BATCH}): nested units, an optional "
        "one, a child course, assessments, a content used twice. Expected counts come from the demo's own bookkeeping."
    )
    return Story(
        "Story 4: a whole course, online and offline",
        about,
        (
            Table("Anitha views every content", online),
            Table(caption.format("Anitha's contents"), per_unit("A.u", hers), action="Unit"),
            Table("Imran was offline and stops half-way", offline),
            Table(caption.format("Imran's contents"), per_unit("I.u", his), action="Unit"),
        ),
        SAMPLE_COURSE,
        LOAD_SAMPLE,
    )
