"""Ticks at listed dates."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import MAXYEAR, MINYEAR, UTC, datetime, tzinfo

from penstock.engine.ticks.wall_clock import WallClock


class Dates:
    """Ticks at these moments.

    Args:
        moments: aware times, in any order.
    """

    def __init__(self, moments: Iterable[datetime]) -> None:
        self._ticks = sorted({moment.astimezone(UTC) for moment in moments})

    def forward(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a time, as `TickSource` says."""
        return iter(self._ticks[bisect_right(self._ticks, after) :])

    def backward(self, before: datetime) -> Iterator[datetime]:
        """Yield the ticks before a time, as `TickSource` says."""
        return reversed(self._ticks[: bisect_left(self._ticks, before)])


def read_date(text: str, zone: tzinfo) -> datetime:
    """Read a moment on a whole minute.

    Args:
        text: RFC 3339, or the same without an offset, or a date. Without an offset it is a local time of the zone. A
            date is at midnight.
        zone: the zone.

    Returns:
        The moment in UTC. Of a local time that occurs twice it is the first; of one that does not exist, the moment at
        which the clock is changed.

    Raises:
        ValueError: the date or time does not exist, or it has seconds.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a valid date and time ({error})") from error
    if time.second or time.microsecond:
        raise ValueError(f"must be on a whole minute; got {text!r}")
    try:
        return WallClock(zone).moments(time).first if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"must be between the years {MINYEAR} and {MAXYEAR} in UTC; got {text!r}") from error
