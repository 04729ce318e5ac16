"""`penstock schedule preview`: the next ticks of a Schedule, from the cluster or from a file."""

from __future__ import annotations

import argparse
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Final

from penstock.api.schedule import ScheduleSpec
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.schedules import get_schedule, read_schedule_spec
from penstock.cli.manifests.manifest import read_file
from penstock.cli.manifests.select import select_object
from penstock.cli.text.console import Console, Text
from penstock.cli.text.month import draw_month
from penstock.cli.text.schedule_rules import describe_rules
from penstock.cli.text.times import format_distance
from penstock.drawing.task_rows import Object, format_duration
from penstock.engine.ticks.clock_change import Affected, ClockChange, Effect, affected_times, clock_changes
from penstock.engine.ticks.dates import read_date
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.errors import CommandError

MAX_TICKS: Final = 1000
MAX_TICKS_OF_MONTH: Final = 50_000
"""One tick per minute makes 44,640 in a month."""
CLOCK_CHANGE_HORIZON: Final = dt.timedelta(days=366)
"""Per tick: limits the search for clock changes if ticks are far apart."""
DAY: Final = dt.timedelta(days=1)
_EFFECT_TEXTS: Final = {
    Effect.MOVED: "{time} does not exist: the tick is at {clock}",
    Effect.DROPPED: "{time} does not exist: no tick",
    Effect.ONCE: "{time} occurs twice: the first one is the tick",
    Effect.TWICE: "{time} occurs twice: both are ticks",
}


def command(arguments: argparse.Namespace) -> int:
    """Show the ticks of a Schedule of a file or of the cluster."""
    if not 1 <= arguments.ticks <= MAX_TICKS:
        raise CommandError(f"--ticks {arguments.ticks}: must be from 1 to {MAX_TICKS}")
    if arguments.file:
        schedule = select_schedule(read_file(arguments.file), file=arguments.file, name=arguments.name)
    elif arguments.name:
        schedule = get_schedule(Cluster.connect(arguments), arguments.name)
    else:
        raise CommandError("name a Schedule, or give a file with -f FILE")
    name = schedule["metadata"]["name"]
    spec = read_schedule_spec(schedule)
    now = dt.datetime.now(dt.UTC)
    after = now
    if arguments.after:
        try:
            after = read_date(arguments.after, read_timetable(spec).zone)
        except ValueError as error:
            raise CommandError(f"--after: {error}") from error
    console = Console()
    for line in preview(name, spec, after=after, now=now, count=arguments.ticks):
        console.print(line, soft_wrap=True)
    return 0


def preview(name: str, spec: ScheduleSpec, *, after: dt.datetime, now: dt.datetime, count: int) -> Iterator[Text]:
    """Draw the ticks of a Schedule.

    Args:
        name: its name.
        spec: its valid spec.
        after: show ticks after this time; timezone-aware.
        now: the current time; timezone-aware.
        count: number of ticks.
    """
    timetable = read_timetable(spec)
    zone_name = spec.time_zone or "UTC"
    yield Text(
        f"{name}: {describe_rules(spec)}; time zone {zone_name}{'' if spec.time_zone else ' (timeZone is not set)'}"
    )
    if spec.suspend:
        yield Text("The Schedule is suspended: no runs are created until spec.suspend is false.", "yellow")
    ticks = timetable.between(after, dt.datetime.max.replace(tzinfo=dt.UTC), count)
    if not ticks:
        has_clock = any((spec.cron, spec.interval, spec.at, spec.rrule))
        yield Text(
            "The Schedule has no more ticks." if has_clock else "The Schedule has no ticks: only events create runs.",
            "yellow",
        )
        return
    yield Text()
    changes = list(
        clock_changes(timetable.zone, after - DAY, min(ticks[-1], after + count * CLOCK_CHANGE_HORIZON) + DAY)
    )
    yield from _table(ticks, timetable, spec, changes, now)
    first = ticks[0].astimezone(timetable.zone).date()
    yield Text()
    yield from _month(first, timetable, changes, now)
    if len(ticks) < count:
        yield Text("The Schedule has no more ticks after these.", "yellow")
    warnings = [line for change in changes for line in _clock_change_lines(change, spec, timetable, zone_name)]
    if warnings:
        yield Text()
        yield from warnings


def select_schedule(text: str, *, file: str, name: str | None) -> Object:
    """Return the Schedule of a file; raises as `select_object` does."""
    return select_object(
        text, file=file, name=name, description="Schedule", accepts=lambda content: content.get("kind") == "Schedule"
    )


def _table(
    ticks: list[dt.datetime],
    timetable: Timetable,
    spec: ScheduleSpec,
    changes: list[ClockChange],
    now: dt.datetime,
) -> Iterator[Text]:
    yield Text(f"{'LOCAL':<30}{'UTC':<20}FROM NOW", "dim")
    moved = {
        change.moment: affected.wall
        for change in changes
        for affected in affected_times(spec, timetable, change)
        if affected.effect is Effect.MOVED
    }
    for tick in ticks:
        local = tick.astimezone(timetable.zone)
        offset = local.isoformat()[19:] or "+00:00"
        line = Text(
            f"{f'{local:%a %Y-%m-%d %H:%M}  {offset}':<30}{f'{tick:%Y-%m-%d %H:%MZ}':<20}{format_distance(tick, now)}"
        )
        if tick in moved:
            line.append(f"  ! moved: {moved[tick]:%H:%M} is skipped by the clock change", "yellow")
        yield line


def _month(first: dt.date, timetable: Timetable, changes: list[ClockChange], now: dt.datetime) -> Iterator[Text]:
    zone = timetable.zone
    begin = dt.datetime(first.year, first.month, 1, tzinfo=zone)
    end = dt.datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=zone)
    moment = dt.timedelta(microseconds=1)
    found = timetable.between(begin.astimezone(dt.UTC) - moment, end.astimezone(dt.UTC) - moment, MAX_TICKS_OF_MONTH)
    days = Counter(tick.astimezone(zone).date() for tick in found)
    # All changes of this month, also those before the first tick.
    changed = {change.moment.astimezone(zone).date() for change in [*changes, *clock_changes(zone, begin, end)]}
    yield from draw_month(first, days, changed, now.astimezone(zone).date())


def _clock_change_lines(change: ClockChange, spec: ScheduleSpec, timetable: Timetable, zone: str) -> Iterator[Text]:
    affected = affected_times(spec, timetable, change)
    if not affected and spec.interval is None:
        return
    shift = change.after - change.before
    way = "forward" if shift > dt.timedelta() else "back"
    amount = format_duration(abs(shift).total_seconds())
    yield Text(
        f"! {change.old_wall:%a %Y-%m-%d}: clock change in {zone}, {way} by {amount}, "
        f"from {change.old_wall:%H:%M} to {change.new_wall:%H:%M}",
        "yellow",
    )
    for one in affected:
        yield Text(f"    {_describe_effect(one, change)}", "yellow")
    if spec.interval is not None:
        later = "later" if shift > dt.timedelta() else "earlier"
        yield Text(
            f"    interval counts elapsed time: from then on its ticks are {amount} {later} in local time", "yellow"
        )


def _describe_effect(affected: Affected, change: ClockChange) -> str:
    return _EFFECT_TEXTS[affected.effect].format(time=f"{affected.wall:%H:%M}", clock=f"{change.new_wall:%H:%M}")
