"""Reads of single objects that many ask for at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedReads(Generic[K, T]):
    """Reads objects as they are now, or later.

    A thousand that ask for the same object together share two reads. A read that was sent before the call does not
    serve it: whoever edits an object and then starts a run must get the edit.

    Args:
        read: reads an object.
    """

    def __init__(self, read: Callable[[K], Awaitable[T]]) -> None:
        self._read = read
        self._reading: dict[K, asyncio.Task[T]] = {}
        self._next: dict[K, asyncio.Task[T]] = {}

    async def get(self, key: K) -> T:
        """Read an object; raises what the read raises."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._read_after(key, self._reading.get(key)))
        return await asyncio.shield(task)

    async def _read_after(self, key: K, earlier: asyncio.Task[T] | None) -> T:
        if earlier is not None:
            await asyncio.wait([earlier])
        task = self._reading[key] = self._next.pop(key)
        try:
            return await self._read(key)
        finally:
            if self._reading.get(key) is task:
                del self._reading[key]
