"""Ticks by recurrence rules.

dateutil finds the local (wall-clock) times, and `wall_clock` converts them into moments, in the same way as for cron.
(By RFC 5545 a local time that does not exist would be later by the size of the change. One rule for the whole product
is worth more.)

dateutil searches for the next time until the year 9999, day by day, which takes seconds if there is none. So rules are
evaluated in a year as late as possible: the calendar repeats every 400 years, weekdays included. And dateutil starts at
DTSTART, however long ago that was. So a rule is started near the requested time, a whole number of intervals later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from dateutil.rrule import rrule, rrulestr

from penstock.engine.ticks.rule import join, read_lines, read_parts
from penstock.engine.ticks.source import GREATEST_TIME, LEAST_TIME
from penstock.engine.ticks.wall_clock import WallClock, once

BEGINNING: Final = datetime(2001, 1, 1)  # noqa: DTZ001 - a local time
"""The start of rules without DTSTART: a Monday, the first of a month and of a year, at midnight."""
CYCLE_YEARS: Final = 400
SPANS_DAYS: Final = (40, 400, 9 * 366, 50 * 366)
"""How far to search back for the last tick, so that few ticks are between it and now."""
MAX_GAP: Final = timedelta(days=50 * 366)
"""A rule has no more ticks when there is none for so long."""
_DAYS_OF_RULE: Final = ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO")
_WALL: Final = re.compile(r"\d{8}T\d{6}Z?|\d{8}")
_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Recurrence:
    """The ticks of one rule.

    Args:
        text: the rule, such as `FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18`, with `RRULE:` before it or not; lines before it may
            give a `DTSTART:`, lines after it an `EXDATE:`.
        zone: the zone in which it is read.

    Raises:
        ValueError: it is invalid, or no time ever matches it.
    """

    def __init__(self, text: str, zone: tzinfo) -> None:
        self._clock = WallClock(zone)
        lines = read_lines(text)
        self._excluded = frozenset(self._read_wall(one) for one in filter(None, lines.get("EXDATE", "").split(",")))
        self._start = self._read_wall(lines["DTSTART"]) if "DTSTART" in lines else None
        self._parts = read_parts(lines["RRULE"])
        self._until = self._read_wall(self._parts.pop("UNTIL")) if "UNTIL" in self._parts else None
        self._check_start()
        self._complete_parts()
        if next(self._walls(self._start or BEGINNING - timedelta(days=1)), None) is None:
            raise ValueError(f"{text!r} matches no date within its first 50 years")

    def forward(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a time, as `TickSource` says."""
        after = max(after, LEAST_TIME)
        if after >= GREATEST_TIME:
            return
        last = after
        for moment in once(self._clock, self._walls(self._clock.first_wall(after) - timedelta(minutes=1))):
            if moment > last:
                last = moment
                yield moment

    def backward(self, before: datetime) -> Iterator[datetime]:
        """Yield the ticks before a time, as `TickSource` says."""
        before = min(before, GREATEST_TIME)
        for days in SPANS_DAYS:
            # Rules only go forward, so start them further and further back.
            begin = max(before - timedelta(days=days), LEAST_TIME)
            ticks: list[datetime] = []
            for tick in self.forward(begin):
                if tick >= before:
                    break
                ticks.append(tick)
            if ticks:
                yield from reversed(ticks)
                yield from self.backward(ticks[0])
                return
            if begin == LEAST_TIME:
                return

    def _walls(self, after: datetime) -> Iterator[datetime]:
        """Yield the local times, not earlier than one, until there is none for long."""
        begin = self._step_to(after)
        if self._start is not None and ("COUNT" in self._parts or begin < self._start):
            begin = self._start
        later = (GREATEST_TIME.year - 1 - MAX_GAP.days // 366 - begin.year) // CYCLE_YEARS * CYCLE_YEARS
        last = max(after, begin)
        for found in _expand(self._parts, begin.replace(year=begin.year + later)):
            wall = found.replace(year=found.year - later)
            if (self._until is not None and wall > self._until) or wall - last > MAX_GAP:
                return
            if wall >= after and (self._start is None or wall >= self._start) and wall not in self._excluded:
                last = wall
                yield wall

    def _step_to(self, wall: datetime) -> datetime:
        """Return the start of a period of the rule, some periods before a time."""
        start, interval = self._start or BEGINNING, int(self._parts.get("INTERVAL", "1"))
        frequency = self._parts["FREQ"]
        if frequency in ("DAILY", "WEEKLY"):
            length = timedelta(days=interval * (7 if frequency == "WEEKLY" else 1))
            return start + ((wall - start) // length - 2) * length
        months = interval * (12 if frequency == "YEARLY" else 1)
        # From the first of a month: a later day does not exist in every month.
        passed = (wall.year - start.year) * 12 + wall.month - start.month
        month = (1 if frequency == "YEARLY" else start.month) - 1 + (passed // months - 2) * months
        return datetime(start.year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - a local time

    def _check_start(self) -> None:
        for part in ("INTERVAL", "COUNT"):
            if self._start is None and self._parts.get(part, "1") != "1":
                raise ValueError(f'{part} needs a start: put a line such as "DTSTART:20260101T090000" before the rule')

    def _complete_parts(self) -> None:
        """Add the parts that the rule takes from its start, so that it can start elsewhere."""
        start, parts = self._start or BEGINNING, self._parts
        parts.setdefault("BYHOUR", str(start.hour))
        parts.setdefault("BYMINUTE", str(start.minute))
        parts["BYSECOND"] = "0"
        if not any(part in parts for part in _DAYS_OF_RULE):
            if parts["FREQ"] == "WEEKLY":
                parts["BYDAY"] = _WEEKDAYS[start.weekday()]
            elif parts["FREQ"] == "MONTHLY":
                parts["BYMONTHDAY"] = str(start.day)
            elif parts["FREQ"] == "YEARLY":
                parts.setdefault("BYMONTH", str(start.month))
                parts["BYMONTHDAY"] = str(start.day)

    def _read_wall(self, text: str) -> datetime:
        if not _WALL.fullmatch(text):
            raise ValueError(f"must be a time such as 20261224T180000, or 20261224T170000Z for UTC; got {text!r}")
        try:
            time = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S" if "T" in text else "%Y%m%d")  # noqa: DTZ007 - a local time
        except ValueError as error:
            raise ValueError(f"{text!r} is not a valid date and time") from error
        if not LEAST_TIME.year <= time.year < GREATEST_TIME.year:
            raise ValueError(f"must be between the years {LEAST_TIME.year} and {GREATEST_TIME.year - 1}; got {text!r}")
        if text.endswith("Z"):
            return time.replace(tzinfo=UTC).astimezone(self._clock.zone).replace(tzinfo=None, fold=0)
        return time


def _expand(parts: Mapping[str, str], begin: datetime) -> Iterator[datetime]:
    rule: Any = rrulestr(join(parts), dtstart=begin)
    assert isinstance(rule, rrule), "one line is one rule"
    return iter(rule)
