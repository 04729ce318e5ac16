"""Locations in the user's program: the file and line of a call, for messages."""

from __future__ import annotations

import ast
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import penstock
from penstock.authoring.compilation.refusal import RefusedError

CALLER: Final = "call_flow_function"
"""The method that calls the function of a flow."""
_OURS: Final = str(Path(penstock.__file__).parent)
_LIBRARY: Final = str(Path(ast.__file__).parent)


class CodeLocation(NamedTuple):
    """A line of the user's program."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return `FILE:LINE`, relative to the working directory."""
        path = Path(self.file)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line}"

    def compile_error(self, what: str, advice: str) -> RefusedError:
        """Return an error for this line.

        Args:
            what: what is wrong.
            advice: what to do about it.
        """
        return RefusedError(f"{self}: {what}: {advice}")


def current_location() -> CodeLocation:
    """Return the innermost line of the call stack that is in neither Penstock nor the standard library."""
    frame = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe() calls
    while frame.f_back is not None and is_inside(frame.f_code.co_filename):
        frame = frame.f_back
    return CodeLocation(frame.f_code.co_filename, frame.f_lineno)


def is_flow_function_at_work() -> bool:
    """Whether the current call comes from the function of a flow, and not from what surrounds it while it is traced."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as above
    while frame is not None and is_inside(frame.f_code.co_filename):
        if is_end(frame):
            return False
        frame = frame.f_back
    return True


def is_end(frame: FrameType) -> bool:
    """Whether a frame is that of the compiler's call of the function of a flow: what is around it is not the flow's."""
    return frame.f_code.co_name == CALLER and is_inside(frame.f_code.co_filename)


def location_of_error(error: BaseException) -> CodeLocation | None:
    """Return the innermost line of the user's program in the traceback of an error."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not is_inside(each.filename)]
    return CodeLocation(frames[-1].filename, frames[-1].lineno or 0) if frames else None


def is_inside(file: str) -> bool:
    """Whether a file belongs to Penstock or to the standard library."""
    if file.startswith(("<frozen", "<string")):
        return True
    is_library = file.startswith(_LIBRARY) and "site-packages" not in file
    return file.startswith(_OURS) or is_library
