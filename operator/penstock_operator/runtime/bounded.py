"""A set and a mapping that hold at most so many keys: a further one takes the place of the oldest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedMap(OrderedDict[K, V]):
    """A dict of bounded size. A key's age counts from when it was first set, or last moved by `move_to_end`.

    Args:
        capacity: most keys held.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def __setitem__(self, key: K, value: V) -> None:
        """Set a key; drops the oldest one if there are too many."""
        super().__setitem__(key, value)
        if len(self) > self._capacity:
            self.popitem(last=False)


class BoundedSet(Generic[K]):
    """A set of bounded size. A key's age counts from when it was first added.

    Args:
        capacity: most keys held.
    """

    def __init__(self, capacity: int) -> None:
        self._keys: BoundedMap[K, None] = BoundedMap(capacity)

    def add(self, key: K) -> None:
        """Add a key; drops the oldest one if there are too many."""
        self._keys[key] = None

    def discard(self, key: K) -> None:
        """Remove a key if it is there."""
        self._keys.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)
