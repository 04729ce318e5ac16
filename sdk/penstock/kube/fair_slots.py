"""Places that owners share: when one is free, it goes to each owner that waits in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import AbstractAsyncContextManager


class FairSlots:
    """A semaphore whose waiters are served in the order of their owners, one after the other.

    However many waiters one owner has, another's first one is served next.

    Args:
        places: holders at the same time.
        most_of_one: of them, how many of one owner; None: all.
    """

    def __init__(self, places: int, most_of_one: int | None = None) -> None:
        self._free = places
        self._most_of_one = places if most_of_one is None else most_of_one
        self._held: dict[str, int] = {}
        """By owner; only those that hold a place."""
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """By owner; the owner that is served next is first. While a place is free, nobody is here."""
        self._full: dict[str, deque[asyncio.Future[None]]] = {}
        """Those who wait for a place of their own owner, which holds as many as it may."""

    def hold(self, owner: str) -> AbstractAsyncContextManager[None]:
        """Hold a place.

        Args:
            owner: whose turn it takes, such as a namespace.
        """
        return _Place(self, owner)

    async def acquire(self, owner: str) -> None:
        """Wait for a place."""
        is_full = self._is_full(owner)
        if self._free and not is_full:
            self._take(owner)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._full if is_full else self._waiting).setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given and is not used.
                self.release(owner)
            raise

    def release(self, owner: str) -> None:
        """Give a place back.

        Args:
            owner: for whom it was acquired.
        """
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        if owner in self._full:
            self._waiting[owner] = self._full.pop(owner)
        while self._free and self._waiting:
            self._serve_next()

    def _serve_next(self) -> None:
        owner, turns = self._waiting.popitem(last=False)
        turn = turns.popleft()
        if not turn.done():
            self._take(owner)
            turn.set_result(None)
        if turns:
            (self._full if self._is_full(owner) else self._waiting)[owner] = turns

    def _take(self, owner: str) -> None:
        self._free -= 1
        self._held[owner] = self._held.get(owner, 0) + 1

    def _is_full(self, owner: str) -> bool:
        return self._held.get(owner, 0) >= self._most_of_one


class _Place:
    """A place while it is held. No generator, as each write takes one."""

    __slots__ = ("_owner", "_slots")

    def __init__(self, slots: FairSlots, owner: str) -> None:
        self._slots = slots
        self._owner = owner

    async def __aenter__(self) -> None:
        await self._slots.acquire(self._owner)

    async def __aexit__(self, *_error: object) -> None:
        self._slots.release(self._owner)
