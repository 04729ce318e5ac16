"""Where in the user's program something happens while a flow is traced."""

from __future__ import annotations

import ast
import linecache
import sys
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import penstock
from penstock.errors import CompileError

_OURS: Final = str(Path(penstock.__file__).parent)
_LIBRARY: Final = str(Path(ast.__file__).parent)


class Place(NamedTuple):
    """A line of the user's program."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return the place as compilers write theirs."""
        path = Path(self.file)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line}"

    def refuse(self, what: str, advice: str) -> CompileError:
        """Make the error about this line."""
        return CompileError(f"{self}: {what}: {advice}")


def here() -> Place:
    """Return the innermost line that is neither ours nor the standard library's."""
    frame = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe() calls
    while frame.f_back is not None and _is_inside(frame.f_code.co_filename):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def of_error(error: BaseException) -> Place | None:
    """Return the innermost line of the user's that an error came through."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_inside(each.filename)]
    return Place(frames[-1].filename, frames[-1].lineno or 0) if frames else None


def handler_around(place: Place) -> int | None:
    """Return the line of the `try` whose handlers would see an exception of this line; None if there is none."""
    lines = [
        (node.lineno, node.body[0].lineno, node.body[-1].end_lineno or 0)
        for node in _tries(place.file)
        if node.handlers or node.finalbody
    ]
    return next((line for line, first, last in reversed(lines) if first <= place.line <= last), None)


@lru_cache
def _tries(file: str) -> tuple[ast.Try, ...]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ()  # no file of Python: typed at a prompt
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Try))


def _is_inside(file: str) -> bool:
    if file.startswith(("<frozen", "<string")):
        return True
    is_library = file.startswith(_LIBRARY) and "site-packages" not in file
    return file.startswith(_OURS) or is_library
