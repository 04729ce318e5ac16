"""Output of the function of a flow: its runs in a cluster print and log nothing, so there is a warning.

Values that are known only when the flow runs may be printed and logged: their values are not read.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Final

from penstock.authoring.compilation.program.code_location import current_location, is_inside
from penstock.authoring.compilation.symbols import Symbol
from penstock.authoring.loggers import FLOW_LOGGER

INSTALLED: Final = "site-packages"


class CompileWarning(UserWarning):
    """The function of a flow does something that its runs in a cluster do not do."""


@contextlib.contextmanager
def warnings_of_output() -> Iterator[None]:
    """Warn when the function prints or logs while it is traced. For the whole process, as the backend."""
    plain_print, make_record, level = builtins.print, logging.getLogRecordFactory(), FLOW_LOGGER.level

    def warn_of_print(*values: Any, **options: Any) -> None:
        if options.get("file") not in {None, sys.stdout, sys.stderr}:
            plain_print(*values, **options)
        elif values:
            _warn("prints", "print in a task instead")

    def warn_of_record(*args: Any, **keywords: Any) -> logging.LogRecord:
        record = make_record(*args, **keywords)
        if record.name == FLOW_LOGGER.name or not (is_inside(record.pathname) or INSTALLED in record.pathname):
            _warn("logs", "log in a task instead")
        if isinstance(record.msg, Symbol):
            record.msg = record.msg.description
        if _contains_symbol(record.args):
            record.args = None
        return record

    def drop(_: logging.LogRecord) -> bool:
        return False

    builtins.print = warn_of_print
    logging.setLogRecordFactory(warn_of_record)
    FLOW_LOGGER.addFilter(drop)
    FLOW_LOGGER.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(_Printed()):
            yield
    finally:
        FLOW_LOGGER.setLevel(level)
        FLOW_LOGGER.removeFilter(drop)
        logging.setLogRecordFactory(make_record)
        builtins.print = plain_print


class _Printed(io.TextIOBase):
    """Warns of what is written to standard output."""

    def write(self, text: Any) -> int:
        if isinstance(text, Symbol) or text.strip():
            _warn("prints", "print in a task instead")
        return 0 if isinstance(text, Symbol) else len(text)


def _contains_symbol(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_contains_symbol, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_contains_symbol, value))
    return isinstance(value, Symbol)


def _warn(what: str, advice: str) -> None:
    warnings.warn(
        f"{current_location()}: the flow {what} outside of tasks, which has no effect in the cluster: {advice}",
        CompileWarning,
        2,
    )
