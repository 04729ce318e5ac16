"""The log of local runs on standard error."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Final

from penstock.engine.suggestion import enumerate_names
from penstock.errors import OptionError
from penstock.local.console.traceback_text import format_traceback, mark_printed, print_uncaught_once

LEVEL_VARIABLE: Final = "PENSTOCK_LOGGING_LEVEL"
_RESET: Final = "\033[0m"
_DIM: Final = "\033[2m"
_COLOURS: Final[Mapping[str, str]] = {
    "Completed": "\033[32m",
    "Cached": "\033[36m",
    "Skipped": "\033[33m",
    "Cancelled": "\033[33m",
    "Failed": "\033[31m",
    "TimedOut": "\033[31m",
    "Crashed": "\033[31m",
}
_LEVEL_COLOURS: Final[Mapping[str, str]] = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}


class ConsoleFormatter(logging.Formatter):
    """Writes `23:59:59.123 | INFO    | Task run 'load-0' | Completed`.

    Args:
        is_coloured: use the colours of terminals.
    """

    def __init__(self, *, is_coloured: bool) -> None:
        super().__init__()
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line, followed by its exception."""
        message = record.getMessage()
        clock = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"
        name = getattr(record, "run_name", None)
        who = f"{getattr(record, 'run_kind', 'Run')} {name!r}" if name else record.name
        level = f"{record.levelname:7}"
        if self._is_coloured:
            state = getattr(record, "state_name", None)
            colour = _COLOURS.get(state or "")
            if colour and message.startswith(str(state)):
                message = f"{colour}{state}{_RESET}{message[len(str(state)) :]}"
            clock = f"{_DIM}{clock}{_RESET}"
            if (level_colour := _LEVEL_COLOURS.get(record.levelname)) is not None:
                level = f"{level_colour}{level}{_RESET}"
        line = f"{clock} | {level} | {who} | {message}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not mark_printed(error):
            # At DEBUG Penstock's own frames are shown too.
            is_whole = logging.getLogger("penstock").isEnabledFor(logging.DEBUG)
            line += f"\n{format_traceback(error, is_whole=is_whole)}"
        return line


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # writes to the current sys.stderr
    """Writes to the current value of sys.stderr."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    @property
    def stream(self) -> object:
        """Standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, _: object) -> None:
        """Ignore other streams."""


def is_terminal() -> bool:
    """Whether standard error is a terminal that shows colours."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _level() -> str:
    """Return the level of the environment.

    Raises:
        OptionError: there is no such level.
    """
    level = os.environ.get(LEVEL_VARIABLE, "").strip().upper() or "INFO"
    if level not in logging.getLevelNamesMapping():
        known = enumerate_names(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
        raise OptionError(f"{LEVEL_VARIABLE}={os.environ[LEVEL_VARIABLE]!r}: no such level; levels are {known}")
    return level


def set_up() -> None:
    """Log runs to standard error, unless the program has configured logging itself."""
    root = logging.getLogger("penstock")
    if root.level == logging.NOTSET:
        root.setLevel(_level())
    if root.handlers or logging.getLogger().handlers:
        return
    handler = _StderrHandler()
    handler.setFormatter(ConsoleFormatter(is_coloured=is_terminal()))
    root.addHandler(handler)
    root.propagate = False
    print_uncaught_once()
