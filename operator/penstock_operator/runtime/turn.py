"""Lets the event loop go round when the expressions of one turn have taken long enough.

A worker that finds its next key at once does not let others run in between, and each key may cost milliseconds of
expressions. Leases are renewed, replies read and requests answered by the same loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from penstock.engine.expressions.budget import spent

TURN_COST: Final = 5_000_000
"""Of expressions, in one turn of the event loop; the work that reaches it is not interrupted."""


class Turn:
    """The present turn of the event loop. Use it on the loop's thread alone.

    Args:
        cost: after which the turn has to end.
    """

    def __init__(self, cost: int = TURN_COST) -> None:
        self._cost = cost
        self._began_with = spent()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for a turn in which expressions may be evaluated: usually that is this one. Who came first is first."""
        if not self._waiting and spent() - self._began_with < self._cost:
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._begin, loop)
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a turn, which the one who has waited longest may use."""
        self._began_with = spent()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break
        if self._waiting:
            loop.call_soon(self._begin, loop)
