"""When the clocks of a zone change, and how that affects ticks: to show it before it happens."""

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
"""Times shown of one change: an expression that is due every minute has hundreds."""


class Effect(StrEnum):
    """What a change does to a local (wall-clock) time."""

    MOVED = "moved"
    """It does not exist; its tick is at the change."""
    DROPPED = "dropped"
    """It does not exist, and has no tick."""
    ONCE = "once"
    """It occurs twice; its tick is at the first occurrence."""
    TWICE = "twice"
    """It occurs twice, and each occurrence is a tick."""


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change of a zone's clock.

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
        """The local time of that moment by the offset before it."""
        return self.moment.replace(tzinfo=None) + self.before

    @property
    def new_wall(self) -> datetime:
        """The local time of that moment by the offset after it."""
        return self.moment.replace(tzinfo=None) + self.after


class Affected(NamedTuple):
    """A time of a Schedule that a change affects."""

    wall: datetime
    effect: Effect


def clock_changes(zone: tzinfo, after: datetime, until: datetime) -> Iterator[ClockChange]:
    """Yield the changes of a zone's clock between two aware times."""
    day = after.astimezone(UTC)
    while day < until:
        following = min(day + DAY, until.astimezone(UTC))
        old, new = _offset(zone, day), _offset(zone, following)
        if old != new:
            yield _locate(zone, day, following)
        day = following


def affected_times(spec: ScheduleSpec, timetable: Timetable, change: ClockChange) -> list[Affected]:
    """Return the times of a Schedule that do not exist, or occur twice, at a change: the first few of each kind.

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
    # The same times, read in a zone without changes, are the local (wall-clock) times.
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
