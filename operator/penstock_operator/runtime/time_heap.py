"""Keys in the order of their times, each with one time that may change."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Final, Generic, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)

_Entry: TypeAlias = tuple[float, int, K]

STALE_ENTRIES: Final = 256
"""The heap is rebuilt when it holds so many entries more than twice its keys."""


class TimeHeap(Generic[K]):
    """A heap of keys by time; keys of the same time come in the order in which they were set.

    A key that is removed or gets another time leaves its entry in the heap, until that entry comes first or the heap
    holds too many such entries. Times are numbers on any one clock, in seconds.
    """

    def __init__(self) -> None:
        self._entries: dict[K, _Entry[K]] = {}
        self._heap: list[_Entry[K]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def time_of(self, key: K) -> float | None:
        """Return a key's time; None if it has none."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def set(self, key: K, when: float) -> None:
        """Give a key its time, in place of an earlier given one."""
        entry = self._entries[key] = (when, next(self._order), key)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > STALE_ENTRIES + 2 * len(self._entries):
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def discard(self, key: K) -> None:
        """Remove a key if it is there."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Remove every key."""
        self._entries.clear()
        self._heap.clear()

    @property
    def first(self) -> K | None:
        """The key with the earliest time; None if there is none."""
        self._drop_stale()
        return self._heap[0][2] if self._heap else None

    @property
    def next_time(self) -> float | None:
        """The earliest time; None if there is no key."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[K]:
        """Remove the keys whose time has come, and return them, the earliest first."""
        due: list[K] = []
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._entries.get(entry[2]) is entry:
                del self._entries[entry[2]]
                due.append(entry[2])
        return due

    def _drop_stale(self) -> None:
        while self._heap and self._entries.get(self._heap[0][2]) is not self._heap[0]:
            heapq.heappop(self._heap)
