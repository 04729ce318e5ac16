"""Locations in the user's program: the file and line of a call, for messages."""

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


class CodeLocation(NamedTuple):
    """A line of the user's program."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return `FILE:LINE`, relative to the working directory."""
        path = Path(self.file)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line}"

    def compile_error(self, what: str, advice: str) -> CompileError:
        """Return an error for this line.

        Args:
            what: what is wrong.
            advice: what to do about it.
        """
        return CompileError(f"{self}: {what}: {advice}")


def current_location() -> CodeLocation:
    """Return the innermost line of the call stack that is in neither Penstock nor the standard library."""
    frame = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe() calls
    while frame.f_back is not None and _is_inside(frame.f_code.co_filename):
        frame = frame.f_back
    return CodeLocation(frame.f_code.co_filename, frame.f_lineno)


def location_of_error(error: BaseException) -> CodeLocation | None:
    """Return the innermost line of the user's program in the traceback of an error."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_inside(each.filename)]
    return CodeLocation(frames[-1].filename, frames[-1].lineno or 0) if frames else None


def handler_around(location: CodeLocation) -> str | None:
    """Return what would catch an exception of this line, such as "`try` of line 7"; None if there is nothing."""
    for node in reversed(_handlers(location.file)):
        if node.body[0].lineno <= location.line <= (node.body[-1].end_lineno or 0):
            return f"`{'with suppress()' if isinstance(node, ast.With) else 'try'}` of line {node.lineno}"
    return None


@lru_cache
def _handlers(file: str) -> tuple[ast.Try | ast.TryStar | ast.With, ...]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ()  # not a Python file: entered at a prompt
    return tuple(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Try | ast.TryStar)
        or (isinstance(node, ast.With) and any(_is_suppress(item.context_expr) for item in node.items))
    )


def _is_suppress(expression: ast.expr) -> bool:
    """Whether an expression is a call of `contextlib.suppress`."""
    function = expression.func if isinstance(expression, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", None)) == "suppress"


def _is_inside(file: str) -> bool:
    if file.startswith(("<frozen", "<string")):
        return True
    is_library = file.startswith(_LIBRARY) and "site-packages" not in file
    return file.startswith(_OURS) or is_library
