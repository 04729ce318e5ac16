"""The last line of the log of a Pod that failed: what was raised.

The end of a log becomes the message of the failure. It has 2048 bytes, or 80 lines:
https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/.
"""

from __future__ import annotations

import traceback
from typing import Final

from penstock.local.lifecycle.final_state import describe

MAX_CHARACTERS: Final = 250
"""Of the line, which is at most 1000 bytes then."""
MAX_TEXT_BYTES: Final = 1000
"""An exception with a longer text, or more lines, may begin before the end of the log."""
MAX_TEXT_LINES: Final = 40


def closing_line(error: BaseException) -> str:
    """Return the type of an exception and the beginning of its text as one line."""
    # A long text may have lines that look like other errors: the last one that does is taken for the cause. The name of
    # what ends a process, SystemExit, does not look like one.
    is_marked = is_long(error) or not isinstance(error, Exception)
    line = f"error: {describe(error)}" if is_marked else describe(error)
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 3]}..."


def is_long(error: BaseException) -> bool:
    """Whether the end of a log may not have the type of the exception that it ends with."""
    text = "".join(traceback.TracebackException.from_exception(error).format_exception_only())
    return len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES or text.count("\n") > MAX_TEXT_LINES
