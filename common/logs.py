"""One JSON object a log line, so that a machine can read what a person can read."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

import msgspec

_to_line = msgspec.json.Encoder(enc_hook=str).encode
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Renders time, level, logger, message, the `extra` fields and the traceback, if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return _to_line(line).decode()
        except (TypeError, ValueError):  # a key that is no text, a lone surrogate: rare, and no reason to lose a line
            return json.dumps(line, default=str, skipkeys=True)
