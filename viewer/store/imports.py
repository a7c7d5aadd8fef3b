"""The tables an import writes, each with its key, its columns and the merge of two accounts of one row."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.rows import ActivityAgg, Enrolment, Status
from viewer import merging
from viewer.store import codec, sql
from viewer.store.database import Database
from viewer.store.port import ImportBatch
from viewer.store.sql import UCC

BUCKETS = 64
BY_BATCH_KEY = ("batchid", "bucket", "enrolled_date", "userid", "courseid")
BY_BATCH = (
    *BY_BATCH_KEY,
    "active",
    "status",
    "completionpercentage",
    "completedon",
    "issued_certificates",
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table: how its rows are kept and how two accounts of a row become one."""

    name: str
    key: Sequence[str]
    columns: Sequence[str]
    encode: Callable[[Any], tuple[Any, ...]]
    decode: Callable[[Sequence[Any]], Any]
    merge: Callable[[Any, Any], Any]


CONSUMPTION = Table(
    UCC,
    codec.CONSUMPTION_KEY,
    codec.CONSUMPTION,
    codec.consumption_values,
    codec.consumption_from,
    merging.merge_consumption,
)
ATTEMPTS = Table(
    "assessment_aggregator",
    codec.ATTEMPT_KEY,
    codec.ATTEMPT,
    codec.attempt_values,
    codec.attempt_from,
    merging.merge_attempt,
)
ENROLMENTS = Table(
    "user_enrolments",
    codec.ENROLMENT_KEY,
    codec.ENROLMENT,
    codec.enrolment_values,
    codec.enrolment_from,
    merging.merge_enrolment,
)
AGGS = Table("user_activity_agg", codec.AGG_KEY, codec.AGG, codec.agg_values, codec.agg_from, merging.merge_agg)
KeyOf = Callable[[Any], tuple[str, ...]]


def tables(batch: ImportBatch) -> Iterator[tuple[Table, KeyOf, Sequence[Any]]]:
    """Each table the batch has rows for, with the key a row has there.

    Always in this order, which is a fold's too (aggregate, then enrolment): in another, the two could deadlock.
    """
    yield CONSUMPTION, lambda row: tuple(row.key), batch.rows
    yield ATTEMPTS, lambda row: (*row.key, row.attempt_id), batch.attempts
    yield AGGS, lambda row: codec.agg_key_values(row.key), aggs_of(batch)
    yield ENROLMENTS, lambda row: tuple(row.key), batch.enrolments


def aggs_of(batch: ImportBatch) -> list[ActivityAgg]:
    """The aggregates an import brings, told by its enrolments too. Version 0 would say that there is none."""
    told = [agg for agg in map(merging.kept_of, batch.enrolments) if agg is not None]
    return [replace(agg, version=max(agg.version, 1)) for agg in (*batch.aggs, *told)]


def merge_all(
    table: Table, key_of: KeyOf, stored: Mapping[tuple[str, ...], Any], given: Sequence[Any]
) -> dict[tuple[str, ...], Any]:
    """Key -> row after every account was taken in; rows nothing was said of are left out."""
    merged: dict[tuple[str, ...], Any] = {}
    for row in given:
        key = key_of(row)
        known = merged.get(key, stored.get(key))
        merged[key] = row if known is None else table.merge(known, row)
    return merged


def bucket(user_id: str) -> int:
    """The learner's part of a batch, 0-63: the same in every process and release."""
    return zlib.crc32(user_id.encode()) % BUCKETS


def by_batch_values(enrolment: Enrolment) -> tuple[Any, ...]:
    """Values in the order of BY_BATCH."""
    return (
        enrolment.context_id,
        bucket(enrolment.user_id),
        enrolment.enrolled_date,
        enrolment.user_id,
        enrolment.collection_id,
        enrolment.active,
        int(enrolment.status),
        enrolment.completion_percentage,
        enrolment.completed_on,
        codec.to_json(enrolment.issued_certificates),
    )


def enrolment_from_batch(columns: Sequence[Any]) -> Enrolment:
    """What a batch's entry tells of an enrolment."""
    user_id, collection_id, context_id, enrolled, active, status, percentage, completed, certificates = columns
    return Enrolment(
        user_id=user_id,
        collection_id=collection_id,
        context_id=context_id,
        enrolled_date=codec.from_time(enrolled),
        active=bool(active),
        status=Status(status),
        completion_percentage=percentage,
        completed_on=codec.from_time(completed),
        issued_certificates=tuple(codec.from_json(certificates)),
    )


def save_by_batch(database: Database, enrolments: Iterable[Enrolment], *, same_dates: bool = False) -> None:
    """Writes what reports read of these enrolments; one without a date is in no batch's list yet.

    same_dates: they are listed under the dates they have, if they are listed.
    """
    rows = [by_batch_values(enrolment) for enrolment in enrolments if enrolment.enrolled_date]
    if not rows:
        return
    if not same_dates:
        # The date is part of the key: an earlier one found later would leave a second entry of the learner.
        database.many(
            "DELETE FROM enrolments_by_batch WHERE batchid = %s AND bucket = %s AND userid = %s AND courseid = %s",
            [(row[0], row[1], row[3], row[4]) for row in rows],
        )
    database.many(sql.upsert(database.dialect, "enrolments_by_batch", BY_BATCH, BY_BATCH_KEY), rows)
