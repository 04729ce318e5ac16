"""Ticks at equal distances of elapsed time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from penstock.engine.ticks.source import GREATEST_TIME, LEAST_TIME

MINUTE: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(days=3660)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Interval:
    """Ticks at a moment and at every multiple of a duration before and after it.

    Local time does not count: when a clock is changed, the ticks come at another time of the day.

    Args:
        every: the distance, in whole minutes.
        anchor: the moment, aware, on a whole minute.

    Raises:
        ValueError: the distance or the moment is not in whole minutes, or out of bounds.
    """

    def __init__(self, every: timedelta, anchor: datetime = EPOCH) -> None:
        if every < MINUTE or every % MINUTE or every > LONGEST:
            raise ValueError(f"must be whole minutes, from 1m to {LONGEST // timedelta(hours=1)}h")
        self._every = every
        self._anchor = anchor

    def forward(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a time, as `TickSource` says."""
        after = max(after, LEAST_TIME)
        tick = self._anchor + ((after - self._anchor) // self._every + 1) * self._every
        while tick < GREATEST_TIME:
            yield tick.astimezone(UTC)
            tick += self._every

    def backward(self, before: datetime) -> Iterator[datetime]:
        """Yield the ticks before a time, as `TickSource` says."""
        before = min(before, GREATEST_TIME)
        # The floor of the negated quotient rounds up: the last multiple that is strictly before.
        tick = self._anchor + (-((self._anchor - before) // self._every) - 1) * self._every
        while tick >= LEAST_TIME:
            yield tick.astimezone(UTC)
            tick -= self._every
