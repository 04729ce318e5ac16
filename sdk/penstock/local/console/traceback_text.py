"""Tracebacks of users' programs, without the frames of Penstock that lie between those of the program."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType
from typing import Final

import penstock

_OURS: Final = os.path.dirname(penstock.__file__)  # noqa: PTH120 - pathlib is a tenth of a task's start
_MARK: Final = "__penstock_is_printed__"


def format_traceback(error: BaseException, *, is_whole: bool = False) -> str:
    """Format an exception as Python does, with the frames of the user's program only.

    Args:
        error: the exception.
        is_whole: whether to keep Penstock's own frames.

    Returns:
        The text, without a line end. An error that has no frame of the user's program keeps all frames.
    """
    found = traceback.TracebackException.from_exception(error)
    if not is_whole:
        _fold(found, set())
    return "".join(found.format()).rstrip("\n")


def mark_printed(error: BaseException) -> bool:
    """Record that the traceback of an exception was printed; returns whether it was before."""
    was_printed = getattr(error, _MARK, False)
    try:
        setattr(error, _MARK, True)
    except AttributeError:  # a class with slots
        return False
    return bool(was_printed)


def print_uncaught_once() -> None:
    """Have Python print no second traceback of an exception that ends the program, if the log has it already."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _print_uncaught


def _print_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if getattr(error, _MARK, False):
        lines = traceback.TracebackException.from_exception(error).format_exception_only()
        print(f"{''.join(lines).rstrip()} (its traceback is in the log above)", file=sys.stderr)  # noqa: T201 - as Python does
    else:
        sys.__excepthook__(kind, error, trace)


def _fold(found: traceback.TracebackException, seen: set[int]) -> None:
    if id(found) in seen:
        return
    seen.add(id(found))
    theirs = [frame for frame in found.stack if not frame.filename.startswith(_OURS)]
    if theirs:
        found.stack = traceback.StackSummary.from_list(theirs)
    for other in (found.__cause__, found.__context__, *(found.exceptions or ())):
        if other is not None:
            _fold(other, seen)
