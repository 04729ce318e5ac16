"""When nothing goes on that somebody waits for: the time for what nobody waits for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

AFTER_S: Final = 0.1
"""Between a task's end and its successors there is nothing for some milliseconds: that is no quiet yet."""


class IdleSignal:
    """Is disturbed by whatever goes on, and comes back a moment after it.

    Args:
        after_s: how long the moment is, seconds.
        clock: monotonic seconds.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        *,
        after_s: float = AFTER_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._after_s = after_s
        self._clock = clock
        self._sleep = sleep
        self._going_on = 0
        self._over = asyncio.Event()
        self._over.set()
        self._last_at = float("-inf")

    def disturb(self) -> None:
        """Learn that something has just happened."""
        self._last_at = self._clock()

    @contextlib.contextmanager
    def disturbed(self) -> Iterator[None]:
        """Know that something goes on in this block."""
        self._going_on += 1
        self._over.clear()
        try:
            yield
        finally:
            self._going_on -= 1
            self.disturb()
            if not self._going_on:
                self._over.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until it is quiet, at most so many seconds."""
        if timeout_s <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._over.wait()
                while (left_s := self._last_at + self._after_s - self._clock()) > 0:
                    await self._sleep(left_s)
                    await self._over.wait()
