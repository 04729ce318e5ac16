"""The keys that wait to be looked at: each at most once, however much happens to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from penstock_operator.runtime.time_heap import TimeHeap

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A queue of keys with a heap of later ones.

    A key carries no event: whoever gets it looks at the present state, so a hundred events cost one look. A key that
    is added while someone works on it comes again after `done`, hence no key is worked on twice at the same time.

    Not thread-safe: another thread adds with `loop.call_soon_threadsafe(queue.add, key)`.

    Args:
        clock: monotonic seconds, the same time as the event loop's pace.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._queued: set[K] = set()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._later: TimeHeap[K] = TimeHeap()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def depth(self) -> int:
        """Keys that could be worked on now."""
        return len(self._queued)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._later)

    def add(self, key: K) -> None:
        """Have a key looked at as soon as may be."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def add_at(self, key: K, when: float) -> None:
        """Have a key looked at later; of several times, the earliest holds and the others are forgotten.

        So whoever looks at a key says anew when it is due next.

        Args:
            key: what to look at.
            when: on the queue's clock, seconds.
        """
        if when <= self._clock():
            self.add(key)
            return
        known = self._later.time_of(key)
        if known is not None and known <= when:
            return
        self._later.set(key, when)
        if self._later.first == key:
            self._arm()

    def forget(self, key: K) -> None:
        """Drop a key, its time too. Work on it that has begun goes on, and is not repeated."""
        self._queued.discard(key)
        self._again.discard(key)
        self._later.discard(key)

    async def get(self) -> K:
        """Wait for the next key; whoever gets it calls `done` with it."""
        while True:
            key = await self._ready.get()
            # A forgotten key leaves its place in the queue behind.
            if key in self._queued:
                self._queued.discard(key)
                self._working.add(key)
                return key

    def done(self, key: K) -> None:
        """Say that the work on a key has ended, well or not."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Stop the clock: no later key comes any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._later.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when = self._later.next_time
        if when is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, when - self._clock()), self._release)

    def _release(self) -> None:
        self._timer = None
        for key in self._later.pop_due(self._clock()):
            self.add(key)
        self._arm()
