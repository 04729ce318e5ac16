"""The clock on the wall of a zone: which moments its times stand for.

A time on the wall is a naive `datetime`. Where the clock is set forward, some times are left out (a gap); where it is
set back, some come twice (a fold). PEP 495 tells them apart: the offsets of `fold=0` and `fold=1` differ, and which one
is greater says what it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

LONGEST_SHIFT: Final = timedelta(hours=26)
"""No clock was ever set by more: Alaska's and the Philippines' days of change had 24 hours."""
SECOND: Final = timedelta(seconds=1)


class Moments(NamedTuple):
    """The moments at which a clock shows a time, in UTC."""

    first: datetime
    """Of a time that is left out, the moment at which the clock is set."""
    last: datetime
    """The same as `first`, unless the time comes twice."""
    is_left_out: bool


class WallClock:
    """The clock of a zone.

    Args:
        zone: the zone.
    """

    def __init__(self, zone: tzinfo) -> None:
        self.zone: Final = zone

    def moments(self, wall: datetime) -> Moments:
        """Return when the clock shows a time.

        Args:
            wall: a naive time.
        """
        earlier, later = self._offset(wall), self._offset(wall.replace(fold=1))
        first = (wall - earlier).replace(tzinfo=UTC)
        if earlier == later:
            return Moments(first, first, is_left_out=False)
        if earlier > later:
            return Moments(first, (wall - later).replace(tzinfo=UTC), is_left_out=False)
        change = self._change(first - (later - earlier), first)
        return Moments(change, change, is_left_out=True)

    def first_wall(self, after: datetime) -> datetime:
        """Return a time that the clock does not show earlier than, from a moment on: it may yet be set back.

        Args:
            after: the moment, aware.
        """
        return self._shifted(after, min(self._offset_at(after), self._offset_at(after + LONGEST_SHIFT)))

    def last_wall(self, before: datetime) -> datetime:
        """Return a time that the clock has not shown later than, up to a moment: it may have been set back.

        Args:
            before: the moment, aware.
        """
        return self._shifted(before, max(self._offset_at(before), self._offset_at(before - LONGEST_SHIFT)))

    def _offset(self, wall: datetime) -> timedelta:
        offset = self.zone.utcoffset(wall.replace(tzinfo=self.zone))
        assert offset is not None, "a zone that read_zone gives has an offset at any time"
        return offset

    def _offset_at(self, moment: datetime) -> timedelta:
        offset = moment.astimezone(self.zone).utcoffset()
        assert offset is not None, "as above"
        return offset

    @staticmethod
    def _shifted(moment: datetime, offset: timedelta) -> datetime:
        return moment.astimezone(UTC).replace(tzinfo=None) + offset

    def _change(self, before: datetime, after: datetime) -> datetime:
        """Return the moment between two, to the second, at which the clock is set."""
        old = self._offset_at(before)
        while after - before > SECOND:
            middle = (before + (after - before) / 2).replace(microsecond=0)
            if self._offset_at(middle) == old:
                before = middle
            else:
                after = middle
        return after


def once(clock: WallClock, walls: Iterable[datetime]) -> Iterator[datetime]:
    """Yield one moment for each time: the first, if it comes twice, and that of the change, if it is left out.

    Args:
        clock: what shows them.
        walls: naive times, in order, forward or backward.

    Returns:
        Moments in the same order; those of two times left out together are the same.
    """
    return (clock.moments(wall).first for wall in walls)


def whenever(clock: WallClock, walls: Iterable[datetime], *, is_backward: bool) -> Iterator[datetime]:
    """Yield every moment at which the clock shows one of some times.

    Args:
        clock: what shows them.
        walls: naive times, in order.
        is_backward: whether they go back in time.

    Returns:
        Moments in the same order: those of the hour that comes twice stand after those of the hour's first time.
    """
    waiting: deque[datetime] = deque()
    for wall in walls:
        moments = clock.moments(wall)
        if moments.is_left_out:
            continue
        near, far = (moments.last, moments.first) if is_backward else (moments.first, moments.last)
        while waiting and (waiting[0] >= near if is_backward else waiting[0] <= near):
            yield waiting.popleft()
        yield near
        if far != near:
            waiting.append(far)
    yield from waiting
