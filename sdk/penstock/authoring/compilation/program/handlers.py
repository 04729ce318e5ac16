"""Exception handlers around a call, in any function between it and the function of the flow.

A task fails in its Pod, when the flow's function has long returned: no handler of that function catches the failure.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import FrameType
from typing import Any

from penstock.authoring.compilation.program.code_location import CodeLocation, is_end, is_inside
from penstock.authoring.compilation.program.context_managers import hiding_manager, is_hiding


class Handlers:
    """Finds the handlers around what the function of a flow does."""

    def __init__(self) -> None:
        self.task: Any = None
        """The asyncio task of a coroutine function."""

    def refuse(self, what: str, location: CodeLocation, *, called_at: CodeLocation | None) -> None:
        """Refuse what could fail, inside of a handler.

        Args:
            what: what is done: "'load' is called".
            location: where, for the message.
            called_at: the line of the call, which may not be on the stack any more.

        Raises:
            RefusedError: there is a handler around it.
        """
        on_stack = filter(None, map(_handler, self._frames()))
        found = (None if called_at is None else _handler_of_line(*called_at)) or next(on_stack, None)
        if found is not None:
            raise location.compile_error(
                f"{what} inside the {found}, which does not catch failures in a Pod",
                "pass allow_failure(future) to a task that handles the failure, call it with return_state=True outside"
                " of it, or use @flow(run_as='pod')",
            )

    def _frames(self) -> Iterator[FrameType]:
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe() calls
        while frame is not None and not is_end(frame):
            yield frame
            frame = frame.f_back
        # Coroutines that are gathered are called by the event loop; what waits for them is not on the stack.
        waiting = None if self.task is None else self.task.get_coro()
        while waiting is not None:
            frame = getattr(waiting, "cr_frame", None)
            if frame is not None:
                yield frame
            waiting = getattr(waiting, "cr_await", None)


def _handler(frame: FrameType) -> str | None:
    file = frame.f_code.co_filename
    if not is_inside(file):
        return _handler_of_line(file, frame.f_lineno, frame)
    # A context manager that decorates a function.
    if (file, frame.f_code.co_name) == (contextlib.__file__, "inner") and is_hiding(
        manager := frame.f_locals.get("self")
    ):
        return f"context manager {getattr(manager, 'func', type(manager)).__name__!r} that decorates the function"
    return None


def _handler_of_line(file: str, line: int, frame: FrameType | None = None) -> str | None:
    """Return what would catch an exception of this line, such as "`try` of line 7"; None if there is nothing."""
    handlers, functions = _parsed(file)
    around = max((each.lineno for each in functions if _contains([each], line)), default=0)
    for node in reversed(handlers):
        # A handler around the definition of a function is not around its calls.
        if node.lineno >= around and _contains(node.body, line) and (word := _word(node, frame)) is not None:
            return f"`{word}` of line {node.lineno}"
    return None


def _word(node: ast.stmt, frame: FrameType | None) -> str | None:
    if isinstance(node, ast.Try | ast.TryStar):
        return "try"
    if _is_suppressing(node):
        return "with suppress()"
    assert isinstance(node, ast.With | ast.AsyncWith)
    manager = None if frame is None else hiding_manager(node, frame)
    return None if manager is None else f"with {manager}"


def _contains(body: list[Any], line: int) -> bool:
    return line in range(body[0].lineno, (body[-1].end_lineno or 0) + 1)


@lru_cache
def _parsed(file: str) -> tuple[list[Any], list[Any]]:
    """Return the statements of a file that may catch exceptions, and its functions."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return [], []  # not a Python file: entered at a prompt
    nodes = list(ast.walk(tree))
    handlers = [each for each in nodes if isinstance(each, ast.Try | ast.TryStar | ast.With | ast.AsyncWith)]
    return handlers, [each for each in nodes if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def _is_suppressing(node: ast.stmt) -> bool:
    """Whether a statement is `with contextlib.suppress(...)`."""
    if not isinstance(node, ast.With | ast.AsyncWith):
        return False
    called = [item.context_expr.func for item in node.items if isinstance(item.context_expr, ast.Call)]
    return any(getattr(each, "attr", getattr(each, "id", None)) == "suppress" for each in called)
