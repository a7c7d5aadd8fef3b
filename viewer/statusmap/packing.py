"""Keys of the map, and rows, scores and kept facts as bytes and back. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from common.ids import safe_part
from common.rows import Consumption, ContextKey
from viewer.merging import WHOLE_CONTEXT
from viewer.progress import ROW_FACTS, Sources, row_facts
from viewer.scoring import Best, best_scores
from viewer.statusmap.scripts import VERSION_DIGITS
from viewer.store import codec

MAX_DETAILS = 2048  # bytes of JSON; a row with more is taken from the store
GENERATION, ID, FULL = b"_gen", b"_id", b"_full"
ROW, SCORES, KEPT = "r:", "s:", "k:"


Own = tuple[dict[str, Any], Mapping[str, Any] | None]
"""What a row tells (`progress.row_facts`) and its details; None: too large to be kept."""
_encoder, _rows = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[Any])
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
    """What the row tells, its version first and in a fixed width, so that a script can compare it."""
    details = codec.to_json(row.progress_details)
    kept = details if len(details.encode()) <= MAX_DETAILS else None
    return b"%0*d" % (VERSION_DIGITS, row.version) + _encoder.encode([kept, *row_facts(row).values()])


def unpacked(value: bytes) -> Own:
    """What `packed` was given."""
    details, *told = _rows.decode(value[VERSION_DIGITS:])
    return dict(zip(ROW_FACTS, told, strict=True)), None if details is None else codec.from_json(details)


def own(row: Consumption) -> Own:
    """As `unpacked` of a row whose details are never too large."""
    return row_facts(row), row.progress_details


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
