"""Rows as a record of provenance keeps them: plain JSON, with times in epoch ms, and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from common.rows import Consumption
from common.timestamps import from_epoch_ms, to_epoch_ms
from viewer.store import codec

_TIMES = frozenset({"last_access_time", "last_completed_time", "last_updated_time", "own_completed_time"})


def image(row: Consumption) -> dict[str, Any]:
    """The whole row, by the names of its columns."""
    values = zip(codec.CONSUMPTION, codec.consumption_values(row), strict=True)
    return {name: to_epoch_ms(value) if isinstance(value, datetime) else value for name, value in values}


def row_of(kept: Mapping[str, Any]) -> Consumption:
    """The row that `image` kept."""
    return codec.consumption_from(
        [
            from_epoch_ms(kept[name]) if name in _TIMES and kept[name] is not None else kept[name]
            for name in codec.CONSUMPTION
        ]
    )
