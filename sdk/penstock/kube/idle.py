"""When nothing has been in progress for a moment: the time for work that nothing waits for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Final

MOMENT_S: Final = 0.1
"""Between a task's end and the start of its successors nothing is in progress for some milliseconds: too short to count
as idle."""


class IdleSignal:
    """Counts what is in progress, and lets callers wait until nothing is.

    Args:
        moment_s: how long nothing must have been in progress, seconds.
        clock: monotonic seconds.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        *,
        moment_s: float = MOMENT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._moment_s = moment_s
        self._clock = clock
        self._sleep = sleep
        self._in_progress = 0
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._last_at = float("-inf")
        self._busy = _Busy(self)

    def touch(self) -> None:
        """Note that something has just happened: the moment begins again."""
        self._last_at = self._clock()

    def busy(self) -> AbstractContextManager[None]:
        """Count a block as in progress."""
        return self._busy

    def begin(self) -> None:
        """Count something as in progress."""
        self._in_progress += 1
        self._is_free.clear()

    def end(self) -> None:
        """Count it no more."""
        self._in_progress -= 1
        self.touch()
        if not self._in_progress:
            self._is_free.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until nothing has been in progress for a moment, at most so many seconds."""
        if timeout_s <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_free.wait()
                while (left_s := self._last_at + self._moment_s - self._clock()) > 0:
                    await self._sleep(left_s)
                    await self._is_free.wait()


class _Busy:
    """A block that counts as in progress. One for all of them and no generator, as each write takes one."""

    __slots__ = ("_signal",)

    def __init__(self, signal: IdleSignal) -> None:
        self._signal = signal

    def __enter__(self) -> None:
        self._signal.begin()

    def __exit__(self, *_error: object) -> None:
        self._signal.end()
