"""A limit for the rate of background work, so that it does not delay other work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class RateLimiter:
    """Lets so many steps through in a second, evenly spread.

    Args:
        per_s: times a second.
        clock: monotonic seconds; None: that of the loop.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        per_s: float,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pause_s = 1.0 / per_s
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._sleep = sleep
        self._next_at = float("-inf")

    async def step(self) -> None:
        """Wait until the next step may be taken."""
        now = self._clock()
        at = max(self._next_at, now)
        self._next_at = at + self._pause_s
        if at > now:
            await self._sleep(at - now)
