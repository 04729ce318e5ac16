"""Which object of some kind: the key by which Flows, Schedules and ConfigMaps are found."""

from __future__ import annotations

from typing import NamedTuple


class ObjectKey(NamedTuple):
    """An object's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the key as people write it."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
