"""The servers of all suites, with the batches and courses that these tests need beside the sample."""

import pytest

from tests.servers import Server
from tests.summaries.wire import batch, course, day, leaf, load, unit

SPARE = [
    course("all-optional", leaf("extra-1", optional=True), leaf("extra-2", optional=True)),
    course(
        "optional-unit",
        unit("core", leaf("must-1"), leaf("must-2")),
        unit("bonus", leaf("may-1"), leaf("may-2"), optional=True),
        leaf("may-3", optional=True),
        leafNodesCount=5,
        name="Optional unit",
        description="Two must, three may.",
        appIcon="https://content.example.org/icons/optional.png",
    ),
    course("retired-course", leaf("old-1"), status="Retired", name="Retired"),
    course("empty-course", name="Nothing in it"),
]
BATCHES = [
    batch("spare-1"),
    batch("spare-2"),
    batch("spare-3"),
    batch("spare-invite", enrollmentType="Invite-Only"),
    batch("spare-nominated", enrollmentType="by-nomination"),
    batch("spare-untyped", enrollmentType=None),
    batch("spare-upcoming", startDate=day(5), status=0),
    batch("spare-last-day", endDate=day(0), enrollmentEndDate=day(0)),
    batch("spare-over", endDate=day(-1)),
    batch("spare-ended", status=2),
    batch("spare-dateless", startDate=None, endDate=None, status=None),
    batch("spare-enrolment-over", enrollmentEndDate=day(-1)),
    batch("spare-nominated-over", enrollmentType="by-nomination", endDate=day(-1), enrollmentEndDate=day(-2)),
    batch("spare-over-both", endDate=day(-1), enrollmentEndDate=day(-2)),
    batch("all-optional-1", "all-optional"),
    batch("optional-unit-1", "optional-unit"),
    batch("retired-1", "retired-course"),
    batch("empty-1", "empty-course"),
    batch("unlisted-1", "unlisted-course"),
    batch("trio-1", programId="trio"),
    batch("trio-over", programId="trio", endDate=day(-1)),
    batch("hollow-1", programId="hollow"),
]
PROGRAMS = [
    {"programId": "trio", "name": "Trio", "collections": ["class-1-maths", "class-2-maths", "optional-unit"]},
    {"programId": "hollow", "name": "Nothing in it", "collections": []},
]


@pytest.fixture(scope="session")
def school(server: Server) -> Server:
    """A running service on each tier, with everything the tests enrol into."""
    load(server, collections=SPARE, batches=BATCHES, programs=PROGRAMS)
    return server
