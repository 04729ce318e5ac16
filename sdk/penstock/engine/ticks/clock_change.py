"""When clocks are set, and what that does to ticks: for who wants to know before it happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple

from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.cron import Cron
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.ticks.wall_clock import WallClock

DAY: Final = timedelta(days=1)
SECOND: Final = timedelta(seconds=1)
MOST_SHOWN: Final = 5
"""Times of one change; of an expression that is due every minute there are hundreds."""


class Effect(StrEnum):
    """What becomes of a time on the wall."""

    MOVED = "moved"
    """It is left out, and its tick comes when the clock is set."""
    DROPPED = "dropped"
    """It is left out, and has no tick."""
    ONCE = "once"
    """It comes twice, and its tick the first time."""
    TWICE = "twice"
    """It comes twice, and each is a tick."""


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A clock is set.

    Args:
        moment: when, in UTC.
        before: its offset from UTC until then.
        after: its offset from then on.
    """

    moment: datetime
    before: timedelta
    after: timedelta

    @property
    def old_wall(self) -> datetime:
        """What the clock would show at that moment if it were not set."""
        return self.moment.replace(tzinfo=None) + self.before

    @property
    def new_wall(self) -> datetime:
        """What it shows."""
        return self.moment.replace(tzinfo=None) + self.after


class Affected(NamedTuple):
    """A time of a Schedule that is touched by a change."""

    wall: datetime
    effect: Effect


def clock_changes(zone: tzinfo, after: datetime, until: datetime) -> Iterator[ClockChange]:
    """Yield when the clock of a zone is set between two aware times."""
    day = after.astimezone(UTC)
    while day < until:
        following = min(day + DAY, until.astimezone(UTC))
        old, new = _offset(zone, day), _offset(zone, following)
        if old != new:
            yield _locate(zone, day, following)
        day = following


def affected_times(spec: ScheduleSpec, timetable: Timetable, change: ClockChange) -> list[Affected]:
    """Return the times of a Schedule that are left out, or come twice, at a change: the first few of each kind.

    Args:
        spec: its spec.
        timetable: its ticks.
        change: of the clock of its zone.
    """
    starred = [text for text in spec.cron or () if Cron(text, UTC).has_star]
    others = [text for text in spec.cron or () if text not in starred]
    return [
        *_affected(spec, timetable, change, others, spec.rrule, (Effect.MOVED, Effect.ONCE)),
        *_affected(spec, timetable, change, starred, None, (Effect.DROPPED, Effect.TWICE)),
    ]


def _affected(
    spec: ScheduleSpec,
    timetable: Timetable,
    change: ClockChange,
    cron: list[str],
    rrule: list[str] | None,
    effects: tuple[Effect, Effect],
) -> Iterator[Affected]:
    if not (cron or rrule):
        return
    # The same times, read in a zone whose clock is never set, are those on the wall.
    only = {"cron": cron or None, "rrule": rrule, "interval": None, "at": None}
    walls = read_timetable(spec.model_copy(update=only | dict.fromkeys(("time_zone", "start_time", "end_time"))))
    first, last = sorted((change.old_wall, change.new_wall))
    clock = WallClock(timetable.zone)
    start, end = first.replace(tzinfo=UTC) - timedelta(microseconds=1), last.replace(tzinfo=UTC) - SECOND
    for tick in walls.between(start, end, MOST_SHOWN):
        wall = tick.replace(tzinfo=None)
        left_out, twice = effects
        effect = left_out if clock.moments(wall).is_left_out else twice
        if effect is Effect.DROPPED or _is_tick(timetable, clock.moments(wall).first):
            yield Affected(wall, effect)


def _is_tick(timetable: Timetable, moment: datetime) -> bool:
    return timetable.next(moment - timedelta(microseconds=1)) == moment


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None, "a zone that read_zone gives has an offset at any time"
    return offset


def _locate(zone: tzinfo, before: datetime, after: datetime) -> ClockChange:
    old, new = _offset(zone, before), _offset(zone, after)
    while after - before > SECOND:
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle <= before:
            break
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return ClockChange(after, old, new)
