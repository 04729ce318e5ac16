"""A queue that owners share: whoever has thousands of items in it delays another's only by one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items come out in turn by owner; those of one owner in the order in which they were put in.

    Args:
        may_serve: whether an owner's items may come out now; when it would say something else, call `serve_again`.
    """

    def __init__(self, may_serve: Callable[[Hashable], bool] = lambda _owner: True) -> None:
        self._may_serve = may_serve
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

    def serve_again(self) -> None:
        """Note that `may_serve` may say yes to an owner to which it said no."""
        if self._getters and self._next_owner() is not None:
            self._wake_next()

    async def get(self) -> T:
        """Wait for the next item."""
        while (owner := self._next_owner()) is None:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if not getter.cancelled():
                    # It was woken for an item that another can have now.
                    self.serve_again()
                raise
        items = self._items[owner]
        item = items.popleft()
        if items:
            self._items.move_to_end(owner)
        else:
            del self._items[owner]
        return item

    def _next_owner(self) -> Hashable | None:
        return next(filter(self._may_serve, self._items), None)

    def _wake_next(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
