"""The wall clock of a zone: which moments its local times stand for.

A local time is a naive `datetime`. Where the clock is set forward, some local times do not exist (a gap). Where it is
set back, some occur twice (a fold). PEP 495 distinguishes the two: in both the offsets of `fold=0` and `fold=1` differ;
in a fold the first is greater, in a gap the second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

LONGEST_SHIFT: Final = timedelta(hours=26)
"""No clock was ever changed by more: the largest changes, of Alaska and the Philippines, were 24 hours."""
SECOND: Final = timedelta(seconds=1)


class Moments(NamedTuple):
    """The moments at which a clock shows a time, in UTC."""

    first: datetime
    """Of a local time that does not exist, the moment of the change."""
    last: datetime
    """The same as `first`, unless the time occurs twice."""
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
        """Return the earliest local time from a moment on: the clock may yet be set back.

        Args:
            after: the moment, aware.
        """
        return self._shifted(after, min(self._offset_at(after), self._offset_at(after + LONGEST_SHIFT)))

    def last_wall(self, before: datetime) -> datetime:
        """Return the latest local time up to a moment: the clock may have been set back.

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
        """Return the moment of the change between two moments, to the second."""
        old = self._offset_at(before)
        while after - before > SECOND:
            middle = (before + (after - before) / 2).replace(microsecond=0)
            if self._offset_at(middle) == old:
                before = middle
            else:
                after = middle
        return after


def once(clock: WallClock, walls: Iterable[datetime]) -> Iterator[datetime]:
    """Yield one moment for each local time: the first, if it occurs twice, and the change, if it does not exist.

    Args:
        clock: of the zone.
        walls: naive times, in order, forward or backward.

    Returns:
        Moments in the same order. Two local times that one change skips have the same moment.
    """
    return (clock.moments(wall).first for wall in walls)


def whenever(clock: WallClock, walls: Iterable[datetime], *, is_backward: bool) -> Iterator[datetime]:
    """Yield every moment at which the clock shows one of the local times.

    Args:
        clock: of the zone.
        walls: naive times, in order.
        is_backward: whether the times are in descending order.

    Returns:
        Moments in the same order: the second occurrences of an hour that occurs twice come after its first ones.
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
