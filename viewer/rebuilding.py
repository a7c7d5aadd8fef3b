"""One learner's rows where another mode keeps them. Pure, and safe to repeat: every plan starts from his own rows.

A row that the mode keeps elsewhere stays where it is, and counts in a row that is rebuilt in its new place, together
with what was in that place before. What was before is kept, so that the learner's own rows can always be told again:
those that were never rebuilt as they are, and of a rebuilt one what was there before with what he did in it since.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce

from common.rows import Attempt, Consumption, RowKey, Status
from modes import keys
from modes.keys import Mode
from viewer.merging import earlier, joined

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was in a place before its row was rebuilt (None: nothing), and the row as it was rebuilt."""

    before: Consumption | None
    after: Consumption


Images = Mapping[RowKey, Rebuilt]


@dataclass(frozen=True, slots=True)
class Shape:
    """What has to be written: rows with the versions they replace, rows that go; and what was before those rebuilt."""

    rows: tuple[tuple[Consumption, int], ...] = ()
    gone: tuple[tuple[RowKey, int], ...] = ()
    images: Images = field(default_factory=dict)


def reshaped(
    mode: Mode,
    tag: str,
    current: Collection[str],
    rows: Sequence[Consumption],
    images: Mapping[str, Images],
    unkept: Iterable[Consumption] = (),
) -> Shape:
    """What brings `rows`, all of one learner, to where `mode` keeps them.

    tag: the origin of what is rebuilt now; current: origins of what was rebuilt for this mode before. images: by
    origin. unkept: completions that no row tells, as rows.
    """
    own = own_rows(rows, images)
    wanted = own | _rebuilt(mode, tag, own, unkept)
    stored = {row.key: row for row in rows}
    written = {
        key: row
        for key, row in wanted.items()
        if key not in stored or not _same(stored[key], row, current if row.rebuilt else ())
    }
    versions = {key: stored[key].version if key in stored else 0 for key in written}
    return Shape(
        rows=tuple((row, versions[key]) for key, row in sorted(written.items())),
        gone=tuple((row.key, row.version) for row in rows if row.key not in wanted),
        images={
            key: Rebuilt(own.get(key), replace(row, version=versions[key] + 1))
            for key, row in sorted(written.items())
            if row.rebuilt
        },
    )


def own_rows(rows: Iterable[Consumption], images: Mapping[str, Images]) -> dict[RowKey, Consumption]:
    """What the learner did in each place himself, or what was carried there, without what was rebuilt there."""
    found = {row.key: _own(row, images.get(row.origin or "", {}).get(row.key)) for row in rows}
    return {key: row for key, row in found.items() if row is not None}


def elsewhere(mode: Mode, attempts: Iterable[Attempt]) -> dict[tuple[RowKey, str], Attempt]:
    """(place, attempt id) -> the newest account of each attempt that `mode` keeps in another place."""
    found: dict[tuple[RowKey, str], Attempt] = {}
    for attempt in sorted(attempts, key=lambda one: (one.last_attempted_on, one.key)):
        place = keys.write_key(mode, keys.viewed(attempt.key))
        if place != attempt.key:
            found[place, attempt.attempt_id] = replace(attempt, key=place)
    return found


def _own(row: Consumption, rebuilt: Rebuilt | None) -> Consumption | None:
    """The own part of one row. A rebuilt row whose record is lost is taken as it is: nothing of it may go."""
    if not row.rebuilt:
        return row
    if rebuilt is None:
        return replace(row, origin=None)
    before, after = rebuilt.before, rebuilt.after
    if row.version == after.version:
        return before
    started = replace(row, status=Status.IN_PROGRESS, progress=0, timespent=0.0, view_count=0, last_completed_time=None)
    base = before or replace(started, own_completed_time=None, origin=None)
    # An import may complete it without telling when.
    told = row.own_completed_time is not None or (row.status is Status.COMPLETED) > (after.status is Status.COMPLETED)
    done = told or base.status is Status.COMPLETED
    return replace(
        row,
        status=Status.COMPLETED if done else Status.IN_PROGRESS,
        progress=100 if done else row.progress if row.progress > after.progress else base.progress,
        timespent=base.timespent + (row.timespent - after.timespent),
        view_count=base.view_count + row.view_count - after.view_count,
        last_completed_time=earlier(row.own_completed_time, base.last_completed_time),
        origin=None if told else base.origin,
    )


def _rebuilt(
    mode: Mode, tag: str, own: Mapping[RowKey, Consumption], unkept: Iterable[Consumption]
) -> dict[RowKey, Consumption]:
    """The rows of those places in which `mode` keeps what was done elsewhere."""
    parts: dict[RowKey, list[Consumption]] = {}
    for row in [*own.values(), *unkept]:
        part, place = keys.own_part(row), keys.write_key(mode, keys.viewed(row.key))
        if part is not None and place != row.key:
            parts.setdefault(place, []).append(replace(part, key=place))
    return {place: _of_parts(tag, own.get(place), found) for place, found in parts.items()}


def _of_parts(tag: str, own: Consumption | None, parts: Sequence[Consumption]) -> Consumption:
    """One row of what is in its place and what comes there. Its own completion is only what was completed there."""
    here = keys.own_part(own) if own is not None else None
    # His own comes last: what he did in a rebuilt row bears the latest access of all its parts.
    by_access = sorted(
        [*parts, *([here] if here is not None else [])], key=lambda part: part.last_access_time or _NEVER
    )
    return replace(
        reduce(joined, by_access),
        progress_details={name: value for part in by_access for name, value in part.progress_details.items()},
        own_completed_time=own.own_completed_time if own is not None else None,
        origin=tag,
    )


def _same(stored: Consumption, wanted: Consumption, tags: Collection[str]) -> bool:
    """True where nothing has to be written. tags: the origins under which a row that is rebuilt may stand already."""
    if wanted.rebuilt and stored.origin not in tags:
        return False
    origin = stored.origin if wanted.rebuilt else wanted.origin
    return replace(wanted, origin=origin, version=stored.version, last_updated_time=stored.last_updated_time) == stored
