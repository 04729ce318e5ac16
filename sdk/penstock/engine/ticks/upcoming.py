"""The next ticks of a timetable, cached: finding them may mean checking every day of a year."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from penstock.engine.ticks.timetable import Timetable


class Upcoming:
    """Gives the same ticks as `Timetable.forward`, but computes each only once as time passes.

    Args:
        timetable: the ticks.
        count: how many of them are wanted.
    """

    def __init__(self, timetable: Timetable, count: int) -> None:
        self._timetable = timetable
        self._count = count
        self._asked_at: datetime | None = None
        self._ticks: list[datetime] = []

    def after(self, time: datetime) -> list[datetime]:
        """Return the first ticks after a time, in UTC; fewer than `count` if there are no more.

        Args:
            time: an aware time.
        """
        is_known = self._asked_at is not None and self._asked_at <= time and len(self._ticks) == self._count
        left = [tick for tick in self._ticks if tick > time] if is_known else []
        if len(left) < self._count:
            left += islice(self._timetable.forward(left[-1] if left else time), self._count - len(left))
        self._asked_at, self._ticks = time, left
        return list(left)
