"""A timetable: all the ticks of a Schedule."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import TypeVar

from penstock.api.duration import duration_s
from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.cron import Cron
from penstock.engine.ticks.dates import Dates, read_date
from penstock.engine.ticks.interval import EPOCH, Interval
from penstock.engine.ticks.recurrence import Recurrence
from penstock.engine.ticks.source import TickSource
from penstock.engine.ticks.zone import read_zone
from penstock.errors import InvalidSpecError, Problem

T = TypeVar("T")


class Timetable:
    """The ticks of several sources, each tick once.

    Args:
        sources: the ticks that it combines.
        zone: the zone in which its ticks are shown.
        start: no tick is before it; aware.
        end: no tick is after it; aware.
    """

    def __init__(
        self, sources: Sequence[TickSource], zone: tzinfo, *, start: datetime | None = None, end: datetime | None = None
    ) -> None:
        self.zone = zone
        self._sources = tuple(sources)
        self._start = start
        self._end = end

    def next(self, after: datetime) -> datetime | None:
        """Return the first tick after a time.

        Args:
            after: an aware time.

        Returns:
            The tick in UTC; None if there is none, or none for fifty years.
        """
        return next(self.forward(after), None)

    def previous(self, before: datetime) -> datetime | None:
        """Return the last tick before a time, as `next` does."""
        return next(self.backward(before), None)

    def between(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """Return the ticks after a time and not later than another.

        Args:
            after: an aware time.
            until: an aware time.
            limit: how many at most; the earliest ones.

        Returns:
            The ticks in UTC, in order.
        """
        ticks: list[datetime] = []
        for tick in self.forward(after):
            if tick > until or len(ticks) >= limit:
                break
            ticks.append(tick)
        return ticks

    def forward(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a time, in UTC, in order."""
        if self._start is not None:
            # A tick may be exactly at the start.
            after = max(after, self._start - timedelta(microseconds=1))
        last = after
        for tick in heapq.merge(*(source.forward(after) for source in self._sources)):
            if self._end is not None and tick > self._end:
                return
            if tick > last:
                last = tick
                yield tick

    def backward(self, before: datetime) -> Iterator[datetime]:
        """Yield the ticks before a time, in UTC, the latest first."""
        if self._end is not None:
            before = min(before, self._end + timedelta(microseconds=1))
        last = before
        for tick in heapq.merge(*(source.backward(before) for source in self._sources), reverse=True):
            if self._start is not None and tick < self._start:
                return
            if tick < last:
                last = tick
                yield tick


def read_timetable(spec: ScheduleSpec, *, path: str = "spec") -> Timetable:
    """Read the timetable of a Schedule.

    Args:
        spec: its spec.
        path: field path of the spec, for problems.

    Raises:
        InvalidSpecError: a field is invalid, or there can never be a tick. Holds every problem.
    """
    zones, reader = _Reader(path), _Reader(path)
    zone = zones.read_field("timeZone", lambda: read_zone(spec.time_zone)) or UTC
    sources = [source for source in _read_sources(spec, zone, reader) if source is not None]
    start = reader.read_date("startTime", spec.start_time, zone)
    end = reader.read_date("endTime", spec.end_time, zone)
    if not has_ticks(spec) and not spec.events:
        reader.add_problem("", "must have at least one of cron, interval, at, rrule and events")
    if start is not None and end is not None and start > end:
        reader.add_problem("endTime", f"must not be before startTime, {spec.start_time}; got {spec.end_time}")
    if problems := [*reader.problems, *zones.problems]:
        raise InvalidSpecError(problems)
    return Timetable(sources, zone, start=start, end=end)


def has_ticks(spec: ScheduleSpec) -> bool:
    """Whether a Schedule has ticks; if not, it has only events."""
    return any((spec.cron, spec.interval, spec.at, spec.rrule))


def _read_sources(spec: ScheduleSpec, zone: tzinfo, reader: _Reader) -> Iterator[TickSource | None]:
    for index, text in enumerate(spec.cron or ()):
        yield reader.read_field(f"cron[{index}]", partial(Cron, text, zone))
    if spec.interval is not None:
        anchor = reader.read_date("interval.anchor", spec.interval.anchor, zone) or EPOCH
        every = timedelta(seconds=duration_s(spec.interval.every))
        yield reader.read_field("interval.every", lambda: Interval(every, anchor))
    if spec.at is not None:
        dates = [reader.read_date(f"at[{index}]", text, zone) for index, text in enumerate(spec.at)]
        yield Dates(date for date in dates if date is not None)
    for index, text in enumerate(spec.rrule or ()):
        yield reader.read_field(f"rrule[{index}]", partial(Recurrence, text, zone))


class _Reader:
    """Reads fields one after the other, and collects their problems."""

    def __init__(self, path: str) -> None:
        self.problems: list[Problem] = []
        self._path = path

    def read_field(self, field: str, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ValueError as error:
            self.add_problem(field, str(error))
            return None

    def read_date(self, field: str, text: str | None, zone: tzinfo) -> datetime | None:
        return None if text is None else self.read_field(field, partial(read_date, text, zone))

    def add_problem(self, field: str, message: str) -> None:
        self.problems.append(Problem(f"{self._path}.{field}" if field else self._path, message))
