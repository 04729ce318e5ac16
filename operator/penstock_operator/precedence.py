"""Which of two kinds of work goes first when there is much of both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Precedence:
    """Holds the second kind of work back while any of the first is under way.

    Not for ever: what the second kind does must be done some time, too.

    Args:
        longest_s: how long one piece of the second kind is held back at most, seconds.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._under_way = 0
        self._is_clear = asyncio.Event()
        self._is_clear.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Do a piece of the first kind in the block."""
        self._under_way += 1
        self._is_clear.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_clear.set()

    async def give_way(self) -> None:
        """Wait until a piece of the second kind may begin."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._longest_s):
                await self._is_clear.wait()
