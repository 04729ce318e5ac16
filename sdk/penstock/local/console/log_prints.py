"""print() in runs with log_prints."""

from __future__ import annotations

import builtins
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Final

from penstock.authoring.runs.context import RunLogger, logger_of
from penstock.authoring.runs.runs import FlowRun, TaskRun

_LOGGER: Final[ContextVar[RunLogger | None]] = ContextVar("penstock_print_logger", default=None)
_plain_print = builtins.print


@contextmanager
def logged_prints(run: FlowRun | TaskRun, *, is_logged: bool) -> Iterator[None]:
    """Log what the run prints to standard output, or do not if `is_logged` is false."""
    token = begin_logging_prints(run, is_logged=is_logged)
    try:
        yield
    finally:
        _LOGGER.reset(token)


def begin_logging_prints(run: FlowRun | TaskRun, *, is_logged: bool) -> Token[RunLogger | None]:
    """Log what the run prints in this context from now on."""
    if is_logged and builtins.print is not _print:
        _install()
    return _LOGGER.set(logger_of(run) if is_logged else None)


def _install() -> None:
    """Replace print permanently. Outside of runs with log_prints, the replacement calls the original."""
    global _plain_print  # noqa: PLW0603 - one builtin for the process
    _plain_print = builtins.print
    builtins.print = _print


def _print(*values: object, **options: Any) -> None:
    logger = _LOGGER.get()
    if logger is None or options.get("file") not in {None, sys.stdout}:
        _plain_print(*values, **options)
        return
    text = io.StringIO()
    _plain_print(*values, **{**options, "file": text, "flush": False})
    logger.info("%s", text.getvalue().removesuffix("\n"))
