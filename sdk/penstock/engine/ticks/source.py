"""What every kind of ticks can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Protocol

LEAST_TIME: Final = datetime(1800, 1, 1, tzinfo=UTC)
"""Before it there are no ticks: no zone had a clock of its own."""
GREATEST_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Nor after it: the calendar of the machine is near its end."""


class TickSource(Protocol):
    """Ticks of one kind. They are on whole minutes, so that no two are in the same one."""

    def forward(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a time, in UTC, each later than the one before; it ends when none comes for long.

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
