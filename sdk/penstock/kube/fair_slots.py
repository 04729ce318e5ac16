"""Places that owners share: when one is free, it goes to each owner that waits in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import AbstractAsyncContextManager
from typing import Final

FREE_TO_HELD: Final = 3
"""How many places an owner may hold for each that is left free."""


def may_hold_more(held: int, free: int) -> bool:
    """Whether an owner may take another place, so that there is one for whoever comes next.

    Owners that keep theirs for long, as those whose webhook takes ten seconds, so leave more the more of them there
    are: one alone holds three quarters of the places, and five leave one. Thresholds that follow what is free:
    Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.

    Args:
        held: places that the owner has.
        free: places that are not taken.
    """
    # The last one is for an owner that has none.
    return free > 0 and (held == 0 or (free > 1 and held < FREE_TO_HELD * free))


class FairSlots:
    """A semaphore whose waiters are served in the order of their owners, one after the other.

    However many waiters one owner has, another's first one is served next.

    Args:
        places: holders at the same time.
        leaves_places: whether each owner leaves some of them to others, by `may_hold_more`.
    """

    def __init__(self, places: int, *, leaves_places: bool = False) -> None:
        self._free = places
        # Of two, leaving one would halve the pace of all.
        self._leaves_places = leaves_places and places > 2  # noqa: PLR2004 - the comment says why
        self._held: dict[str, int] = {}
        """By owner; only those that hold a place."""
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """By owner; the owner that is served next is first. While a place is free, only those who may not have it."""

    def hold(self, owner: str) -> AbstractAsyncContextManager[None]:
        """Hold a place.

        Args:
            owner: whose turn it takes, such as a namespace.
        """
        return _Place(self, owner)

    async def acquire(self, owner: str) -> None:
        """Wait for a place."""
        if self._may_take(owner):
            self._take(owner)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
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
        if owner in self._waiting:
            # It has just had a turn.
            self._waiting.move_to_end(owner)
        # Few are passed over: each of those holds a place.
        while self._free and (found := next(filter(self._may_take, self._waiting), None)) is not None:
            self._serve(found)

    def _serve(self, owner: str) -> None:
        turns = self._waiting[owner]
        turn = turns.popleft()
        if turns:
            self._waiting.move_to_end(owner)
        else:
            del self._waiting[owner]
        if not turn.done():
            self._take(owner)
            turn.set_result(None)

    def _take(self, owner: str) -> None:
        self._free -= 1
        self._held[owner] = self._held.get(owner, 0) + 1

    def _may_take(self, owner: str) -> bool:
        if self._leaves_places:
            return may_hold_more(self._held.get(owner, 0), self._free)
        return self._free > 0


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
