"""What a module of flows does while it is imported: what is for its start as a program is skipped then."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

_IS_IMPORTED: Final[ContextVar[bool]] = ContextVar("penstock_is_imported", default=False)


class ModuleLine(NamedTuple):
    """A line at the top level of a module."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return `FILE:LINE`, relative to the working directory."""
        folder = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - pathlib is a tenth of a task's start
        return f"{self.file.removeprefix(folder)}:{self.line}"


@contextmanager
def importing() -> Iterator[None]:
    """Let `is_skipped` skip, for an import by a command or a Pod."""
    token = _IS_IMPORTED.set(True)
    try:
        yield
    finally:
        _IS_IMPORTED.reset(token)


def current_module_line() -> ModuleLine | None:
    """Return the line of the innermost module that is being executed; None if none is, as in another thread."""
    frame = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe() calls
    while frame.f_code.co_name != "<module>":
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return ModuleLine(frame.f_code.co_filename, frame.f_lineno)


def is_skipped(what: str) -> bool:
    """Return whether a call is to do nothing, as its module is imported by a command or a Pod; then warn of it.

    Args:
        what: what is called: "serve()".
    """
    if not _IS_IMPORTED.get():
        return False
    sys.stderr.write(
        f"penstock: warning: {current_module_line()}: {what} does nothing when its module is imported: put it under"
        ' `if __name__ == "__main__":`\n'
    )
    return True
