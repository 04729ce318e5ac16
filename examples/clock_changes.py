"""Where the clocks change, and by how much: every time zone of the IANA database, one task each.

    python examples/clock_changes.py 2026

A flow of coroutines. Zones are looked up on an event loop, a hundred at a time; an unreadable zone does not stop
the others.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import zoneinfo
from collections import Counter
from typing import NamedTuple

from penstock import flow, get_run_logger, task
from penstock.artifacts import acreate_table_artifact
from penstock.cache_policies import INPUTS, TASK_SOURCE
from penstock.futures import as_completed
from penstock.task_runners import ThreadPoolTaskRunner


class Change(NamedTuple):
    """A moment when a zone's clocks change."""

    zone: str
    at: dt.datetime
    minutes: int
    """How far they go forward; below 0: back."""


@task
def list_zones() -> list[str]:
    """List the zones that are places; the others are old names and abbreviations."""
    return sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith("Etc/"))


@task(cache_policy=INPUTS + TASK_SOURCE, cache_expiration=dt.timedelta(days=7), retries=1)
async def find_changes(zone: str, year: int) -> list[Change]:
    """Find the changes of one zone in one year: week by week, then to the minute."""
    changes = []
    start = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    for week in range(53):
        before, after = start + dt.timedelta(weeks=week), start + dt.timedelta(weeks=week + 1)
        if offset(zone, before) == offset(zone, after):
            continue
        while after - before > dt.timedelta(minutes=1):
            middle = before + (after - before) / 2
            if offset(zone, middle) == offset(zone, before):
                before = middle
            else:
                after = middle
        minutes = round((offset(zone, after) - offset(zone, before)).total_seconds() / 60)
        if after.year == year:
            changes.append(Change(zone, after.replace(second=0, microsecond=0), minutes))
        await asyncio.sleep(0)
    return changes


@flow(task_runner=ThreadPoolTaskRunner(max_workers=100), flow_run_name="clock changes of {year}")
async def clock_changes(year: int = 2026, zones: list[str] | None = None) -> dict[int, int]:
    """Count the zones by how many minutes their clocks go forward."""
    futures = find_changes.map(zones or list_zones(), year)
    found: list[Change] = []
    for future in as_completed(futures):
        if future.state.is_completed():
            found += future.result()
        else:
            get_run_logger().warning("%s: %s", future.name, future.state.message)
    forward = Counter(change.minutes for change in found if change.minutes > 0)
    unusual = [change._asdict() for change in found if abs(change.minutes) != 60]  # noqa: PLR2004 - an hour
    await acreate_table_artifact(unusual, key="unusual-changes", description="Clocks that change by other than an hour")
    return dict(forward)


def offset(zone: str, moment: dt.datetime) -> dt.timedelta:
    """Return how far a zone is from UTC at a moment."""
    away = moment.astimezone(zoneinfo.ZoneInfo(zone)).utcoffset()
    assert away is not None
    return away


if __name__ == "__main__":
    year = int(sys.argv[1]) if len(sys.argv) > 1 else dt.datetime.now(dt.UTC).year
    for minutes, zones in sorted(asyncio.run(clock_changes(year)).items()):
        print(f"{zones} zones go {minutes} minutes forward")
