"""Functions that coroutines may await and others just call: `await Variable.get("region")`."""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

IN_THREADS: ContextVar[bool] = ContextVar("in_threads", default=True)
"""Whether `blocking` uses a thread. While a flow is compiled nothing waits, and a thread would not know the caller."""
_COROUTINES: Final = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_GET_AWAITABLE: Final = dis.opmap["GET_AWAITABLE"]
_CACHE: Final = 0
"""The code of the unused instructions that follow a call."""
_INSTRUCTION_BYTES: Final = 2


def awaitable(fn: Callable[P, R]) -> Callable[P, R]:
    """Let coroutines write `await fn(...)`; without `await` they get the result itself, as everybody else does.

    Prefect returns a coroutine wherever a coroutine is running. Here the call looks whether its caller awaits what it
    gets, so code that does not is right as well, and nothing is left undone for want of an `await`.
    """

    @functools.wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs.pop("_sync", None)  # an option of Prefect that says what is seen here anyway
        answer = fn(*args, **kwargs)
        return _awaited(answer) if is_awaited(sys._getframe(1)) else answer  # type: ignore[return-value]  # noqa: SLF001 - see above

    return call


def blocking(fn: Callable[P, R]) -> Callable[P, R]:
    """Let coroutines write `await fn(...)`, which then waits in a thread; otherwise as `awaitable`."""

    @functools.wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs.pop("_sync", None)
        if not is_awaited(sys._getframe(1)):  # noqa: SLF001 - the frame of the caller
            return fn(*args, **kwargs)
        if not IN_THREADS.get():
            return _awaited(fn(*args, **kwargs))  # type: ignore[return-value]  # as above
        import asyncio  # noqa: PLC0415 - code that awaits has loaded it

        return asyncio.to_thread(fn, *args, **kwargs)  # type: ignore[return-value]  # see above

    return call


def is_awaited(frame: FrameType) -> bool:
    """Whether the call that a frame is in is the operand of `await`."""
    if not frame.f_code.co_flags & _COROUTINES:
        return False
    code = frame.f_code.co_code
    following = frame.f_lasti + _INSTRUCTION_BYTES
    while following < len(code) and code[following] == _CACHE:
        following += _INSTRUCTION_BYTES
    return following < len(code) and code[following] == _GET_AWAITABLE


async def _awaited(value: R) -> R:
    return value
