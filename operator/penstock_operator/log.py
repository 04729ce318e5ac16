"""The format of the operator's log: text for people, JSON for machines."""

from __future__ import annotations

import difflib
import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self, TextIO

LEVELS: Final = ("debug", "info", "warning", "error")
QUIET_LOGGERS: Final = {
    # One line for every event of every object, at INFO.
    "kopf.objects": logging.WARNING,
    # Every watch that kopf opens, at DEBUG, and every request that aiohttp serves.
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "kubernetes": logging.INFO,
    "urllib3": logging.INFO,
}
_OWN_ATTRIBUTES: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_JSON_VALUES: Final = (str, int, float, bool)


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a format's name.

        Raises:
            ValueError: there is no such format; the message lists the formats.
        """
        try:
            return cls(text.lower())
        except ValueError:
            near = difflib.get_close_matches(text.lower(), [choice.value for choice in cls], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{text!r} is not one of {', '.join(cls)}{hint}") from None


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, error, and whatever came as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line."""
        line: dict[str, object] = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in record.__dict__.items():
            if name not in _OWN_ATTRIBUTES and isinstance(value, _JSON_VALUES):
                line.setdefault(name, value)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - overrides
        """Write the time as Kubernetes does: RFC 3339 in UTC."""
        return _timestamp(record)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def set_up_logging(level: str, log_format: LogFormat, *, stream: TextIO | None = None) -> None:
    """Send all of the process's log to one place, in one format; replaces what was configured before.

    Args:
        level: one of `LEVELS`.
        log_format: text or JSON.
        stream: where to; None: standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, quiet_level in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(max(quiet_level, root.level))
    logging.captureWarnings(capture=True)
