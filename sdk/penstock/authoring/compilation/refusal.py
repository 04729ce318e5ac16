"""Refusals: signals that end the call of a flow's function, whatever that function catches.

They do not derive from Exception, so `except Exception` does not catch them. Handlers that catch everything do, so
signals are remembered, and the call ends with the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import CompileError

_remembered: list[Signal] | None = None


class Signal(BaseException):
    """Ends the call of a flow's function."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        if _remembered is not None:
            _remembered.append(self)


class RefusedError(Signal):
    """The flow cannot be compiled. `compile_flow` raises it as a CompileError."""


@contextmanager
def remembered_signals() -> Iterator[list[Signal]]:
    """Remember the signals of the block, first one first. For the whole process, as the backend. Not thread-safe."""
    global _remembered  # noqa: PLW0603 - one for the process, because the function may use threads
    before, _remembered = _remembered, []
    try:
        yield _remembered
    finally:
        _remembered = before


def raise_remembered() -> None:
    """Raise the first signal of the call of a flow's function, if there is one."""
    if _remembered:
        raise _remembered[0]


@contextmanager
def compile_errors() -> Iterator[None]:
    """Raise refusals as errors.

    Raises:
        CompileError: the flow cannot be compiled.
    """
    try:
        yield
    except RefusedError as refused:
        raise CompileError(str(refused)) from refused.__cause__
