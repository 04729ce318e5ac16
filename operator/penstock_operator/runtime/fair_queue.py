"""A queue that owners share: whoever has thousands of items in it delays another's only by one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items come out in turn by owner; those of one owner in the order in which they were put in."""

    def __init__(self) -> None:
        self._items: OrderedDict[Hashable, deque[T]] = OrderedDict()
        """By owner; the owner whose turn is next is first."""
        self._getters: deque[asyncio.Future[None]] = deque()

    def put(self, owner: Hashable, item: T) -> None:
        """Put an item in."""
        items = self._items.get(owner)
        if items is None:
            self._items[owner] = deque([item])
        else:
            items.append(item)
        self._wake_next()

    async def get(self) -> T:
        """Wait for the next item."""
        while not self._items:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if self._items and not getter.cancelled():
                    # It was woken for an item that another can have now.
                    self._wake_next()
                raise
        owner, items = self._items.popitem(last=False)
        item = items.popleft()
        if items:
            self._items[owner] = items
        return item

    def _wake_next(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
