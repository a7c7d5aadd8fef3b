"""Keys of the map, and rows, scores and kept facts as bytes and back. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from common.ids import safe_part
from common.rows import Consumption, ContextKey, RowKey, Status
from common.timestamps import from_epoch_ms, to_epoch_ms
from viewer.merging import WHOLE_CONTEXT
from viewer.progress import Sources
from viewer.scoring import Best, best_scores
from viewer.statusmap.scripts import VERSION_DIGITS
from viewer.store import codec

MAX_DETAILS = 2048  # bytes of JSON; a row with more is taken from the store
GENERATION, ID, FULL = b"_gen", b"_id", b"_full"
ROW, SCORES, KEPT = "r:", "s:", "k:"


class _Packed(NamedTuple):
    """A row without its key, its version and the events it took in; times in epoch ms."""

    status: int
    progress: int
    details: str | None
    timespent: float
    view_count: int
    last_access_time: int | None
    last_completed_time: int | None
    last_updated_time: int
    own_completed_time: int | None
    origin: str | None


_encoder, _rows = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_Packed)
_best = msgspec.msgpack.Decoder(Best)


def generation_key(epoch: int, user_id: str) -> str:
    """Where the learner's generation is; the braces put all of a learner's keys into one Cluster slot."""
    return f"viewer:{{{epoch}:{safe_part(user_id)}}}:g"


def writers_key(epoch: int, user_id: str) -> str:
    """Where the learner's writes in progress are."""
    return f"viewer:{{{epoch}:{safe_part(user_id)}}}:w"


def hash_key(epoch: int, context: ContextKey) -> str:
    """Where the contents of one context are."""
    place = f"{safe_part(context.collection_id)}:{safe_part(context.context_id)}"
    return f"viewer:{{{epoch}:{safe_part(context.user_id)}}}:h:{place}"


def fields_of(content_id: str) -> tuple[str, str, str]:
    """The fields that tell of one content."""
    return f"{ROW}{content_id}", f"{SCORES}{content_id}", f"{KEPT}{content_id}"


def packed(row: Consumption) -> bytes:
    """The row, its version first and in a fixed width, so that a script can compare it."""
    details = codec.to_json(row.progress_details)
    values = _Packed(
        status=int(row.status),
        progress=row.progress,
        details=details if len(details.encode()) <= MAX_DETAILS else None,
        timespent=row.timespent,
        view_count=row.view_count,
        last_access_time=_ms(row.last_access_time),
        last_completed_time=_ms(row.last_completed_time),
        last_updated_time=to_epoch_ms(row.last_updated_time),
        own_completed_time=_ms(row.own_completed_time),
        origin=row.origin,
    )
    return b"%0*d" % (VERSION_DIGITS, row.version) + _encoder.encode(values)


def unpacked(key: RowKey, value: bytes) -> Consumption | None:
    """The row, but for the events it took in; None where its details were too large to be kept."""
    kept = _rows.decode(value[VERSION_DIGITS:])
    if kept.details is None:
        return None
    return Consumption(
        key=key,
        status=Status(kept.status),
        progress=kept.progress,
        progress_details=codec.from_json(kept.details),
        timespent=kept.timespent,
        view_count=kept.view_count,
        last_access_time=_time(kept.last_access_time),
        last_completed_time=_time(kept.last_completed_time),
        last_updated_time=from_epoch_ms(kept.last_updated_time),
        own_completed_time=_time(kept.own_completed_time),
        origin=kept.origin,
        version=int(value[:VERSION_DIGITS]),
    )


def fields(sources: Sources) -> Iterator[tuple[str, bytes]]:
    """Everything a full hash of this context says."""
    for row in sources.rows:
        yield f"{ROW}{row.key.content_id}", packed(row)
    for key, best in best_scores(sources.attempts).items():
        yield f"{SCORES}{key.content_id}", _encoder.encode(best)
    for content, facts in sources.agg.kept.items():
        if content != WHOLE_CONTEXT:
            yield f"{KEPT}{content}", codec.to_json(facts).encode()


def best_of(value: bytes) -> Best:
    """The scores of one content."""
    return _best.decode(value)


def kept_of(value: bytes) -> Mapping[str, Any]:
    """What is kept of one content."""
    kept: Mapping[str, Any] = codec.from_json(value)
    return kept


def _ms(value: Any) -> int | None:
    return to_epoch_ms(value) if value is not None else None


def _time(value: int | None) -> Any:
    return from_epoch_ms(value) if value is not None else None
