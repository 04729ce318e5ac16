"""Places that owners share: when one is free, it goes to each owner that waits in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import AbstractAsyncContextManager


class FairSlots:
    """A semaphore whose waiters are served in the order of their owners, one after the other.

    However many waiters one owner has, another's first one is served next. While places are free nobody waits.

    Args:
        places: holders at the same time.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """By owner; the owner that is served next is first."""

    def hold(self, owner: str) -> AbstractAsyncContextManager[None]:
        """Hold a place.

        Args:
            owner: whose turn it takes, such as a namespace.
        """
        return _Place(self, owner)

    async def acquire(self, owner: str) -> None:
        """Wait for a place."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given and is not used.
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        while self._waiting:
            owner, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[owner] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class _Place:
    """A place while it is held. No generator, as each write takes one."""

    __slots__ = ("_owner", "_slots")

    def __init__(self, slots: FairSlots, owner: str) -> None:
        self._slots = slots
        self._owner = owner

    async def __aenter__(self) -> None:
        await self._slots.acquire(self._owner)

    async def __aexit__(self, *_error: object) -> None:
        self._slots.release()
