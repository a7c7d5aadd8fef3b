"""What enrol and unenrol do: check the batch, change one enrolment, say so. No HTTP, no SQL.

An enrolment is changed by compare-and-set on its version: of any number of callers at once one enrols the learner, and
the others learn that he is enrolled. The write marks the context, so whatever was viewed before counts from then on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from django.conf import settings

from catalogue import api as catalogue
from common.errors import InvalidProgram, Unavailable
from common.rows import ContextKey, Enrolment, Status
from summaries import batches
from summaries.errors import AlreadyEnrolled, BatchCompleted, InvalidBatch, NotEnrolled
from viewer import aggregator, tasks
from viewer.store import get_store

MAX_TRIES = 16
Change = Callable[[ContextKey, datetime], None]


def enrol(key: ContextKey, now: datetime) -> None:
    """Enrols the learner into one collection through one of its batches.

    Raises, in this order: InvalidBatch, InvalidEnrollmentType, BatchCompleted, EnrolmentDateEnded, AlreadyEnrolled.
    """
    batches.check_enrol(catalogue.batch(key.context_id), today(now), of=key.collection_id)
    _enrol(key, now)
    tasks.wake(key.user_id)


def unenrol(key: ContextKey, now: datetime) -> None:
    """Ends the learner's enrolment; what was done in it is kept.

    Raises, in this order: InvalidBatch, InvalidEnrollmentType, BatchCompleted, NotEnrolled, and BatchCompleted for a
    course the learner has completed.
    """
    batches.check_unenrol(catalogue.batch(key.context_id), today(now), of=key.collection_id)
    _unenrol(key, now)
    tasks.wake(key.user_id)


def enrol_program(user_id: str, program_id: str, batch_id: str, now: datetime) -> list[str]:
    """The collections of the program this call enrolled the learner into, with the program's batch as their context.

    After a crash between two of them the same call does the rest. Raises InvalidProgram, what `enrol` raises of the
    batch, and AlreadyEnrolled when there was nothing left to do.
    """
    collections = _collections(program_id)
    batches.check_enrol(catalogue.batch(batch_id), today(now), of=program_id)
    enrolled, _ = _each(user_id, collections, batch_id, now, _enrol)
    if not enrolled:
        raise AlreadyEnrolled
    return enrolled


def unenrol_program(user_id: str, program_id: str, batch_id: str, now: datetime) -> list[str]:
    """The collections of the program this call ended the learner's enrolment in; completed ones stay as they are.

    Raises InvalidProgram, what `unenrol` raises of the batch, NotEnrolled when no collection was active, and
    BatchCompleted when every active one is completed.
    """
    collections = _collections(program_id)
    batches.check_unenrol(catalogue.batch(batch_id), today(now), of=program_id)
    ended, refusals = _each(user_id, collections, batch_id, now, _unenrol)
    if not ended:
        raise BatchCompleted if any(isinstance(one, BatchCompleted) for one in refusals) else NotEnrolled
    return ended


def participants(batch_id: str, *, active: bool, limit: int, offset: int) -> tuple[list[str], int | None]:
    """A page of the batch's learners by when they enrolled, each once, and where the next page begins; None: nowhere.

    Raises InvalidBatch. Cost: the batch's list is streamed up to the page's end.
    """
    if catalogue.batch(batch_id) is None:
        raise InvalidBatch
    end = offset + limit
    seen: dict[str, None] = {}  # through a program's batch a learner has several enrolments
    for one in get_store().batch_enrolments(batch_id):
        if one.active is active:
            seen[one.user_id] = None
        if len(seen) > end:
            break
    return list(islice(seen, offset, end)), end if len(seen) > end else None


def today(now: datetime) -> date:
    """The calendar day of `now` where this instance is: batches begin and end with it."""
    return now.astimezone(ZoneInfo(settings.VIEWER_TIME_ZONE)).date()


def _collections(program_id: str) -> tuple[str, ...]:
    program = catalogue.program(program_id)
    if program is None:
        raise InvalidProgram("programId", f"There is no program {program_id}")
    if not program.collections:
        raise InvalidProgram("programId", f"Program {program_id} has no collections")
    return program.collections


def _each(
    user_id: str, collections: tuple[str, ...], batch_id: str, now: datetime, change: Change
) -> tuple[list[str], list[Exception]]:
    """The collections whose enrolment `change` changed, and why the others stayed; a worker is woken once."""
    changed: list[str] = []
    refusals: list[Exception] = []
    for collection_id in collections:
        try:
            change(ContextKey(user_id, collection_id, batch_id), now)
            changed.append(collection_id)
        except (AlreadyEnrolled, NotEnrolled, BatchCompleted) as refusal:
            refusals.append(refusal)
    if changed:
        tasks.wake(user_id)
    return changed, refusals


def _enrol(key: ContextKey, now: datetime) -> None:
    """A new enrolment, or the old one active again with its dates, progress and certificates.

    Raises AlreadyEnrolled.
    """

    def change(stored: Enrolment | None) -> Enrolment:
        if stored is None:
            return Enrolment(*key, added_by=key.user_id, enrolled_date=now, updated_at=now)
        if stored.active:
            raise AlreadyEnrolled
        return replace(stored, active=True, updated_at=now, version=stored.version + 1)

    _save(key, change, now)


def _unenrol(key: ContextKey, now: datetime) -> None:
    """The enrolment inactive and otherwise as it was. Raises NotEnrolled and BatchCompleted."""

    def change(stored: Enrolment | None) -> Enrolment:
        if stored is None or not stored.active:
            raise NotEnrolled
        if stored.status is Status.COMPLETED:
            raise BatchCompleted
        return replace(stored, active=False, updated_at=now, version=stored.version + 1)

    # What was just acknowledged may have completed the course: that is only known once it is added up.
    aggregator.fold_pending([key], now)
    _save(key, change, now)


def _save(key: ContextKey, change: Callable[[Enrolment | None], Enrolment], now: datetime) -> None:
    """Stores what `change` makes of the stored enrolment, read again whenever another writer was first."""
    store = get_store()
    for _ in range(MAX_TRIES):
        stored = store.enrolment(key)
        if store.save_enrolment(change(stored), stored.version if stored else 0, now):
            return
    raise Unavailable("This enrolment is being changed by too many at once; try again")
