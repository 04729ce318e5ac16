"""Which run: the key that everything about runs goes by."""

from __future__ import annotations

from typing import NamedTuple


class RunKey(NamedTuple):
    """Which run."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the key as people write it."""
        return f"{self.namespace}/{self.name}"
