"""The interface of every kind of ticks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Protocol

LEAST_TIME: Final = datetime(1800, 1, 1, tzinfo=UTC)
"""There are no ticks before it: zones had no common clocks then."""
GREATEST_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""There are no ticks after it: `datetime` ends with this year."""


class TickSource(Protocol):
    """Ticks of one kind. They are on whole minutes, so that no two are in the same one."""

    def forward(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a time, in UTC, in ascending order, until there is none for fifty years.

        Args:
            after: an aware time.
        """
        ...

    def backward(self, before: datetime) -> Iterator[datetime]:
        """Yield the ticks before a time, in UTC, each earlier than the one before.

        Args:
            before: an aware time.
        """
        ...
