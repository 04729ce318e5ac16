"""A calendar month that shows ticks."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from penstock.cli.text.console import Text

CELL: Final = 6
MAX_SHOWN: Final = 99
WEEKDAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


def draw_month(
    first: dt.date, ticks: Mapping[dt.date, int], changes: Collection[dt.date], today: dt.date
) -> Iterator[Text]:
    """Draw a month, one line per week.

    Args:
        first: any day of the month.
        ticks: number of ticks by day.
        changes: days with a clock change; they are marked with `!`.
        today: drawn in reverse video.
    """
    yield Text(f"{calendar.month_name[first.month]} {first.year}", "bold")
    yield Text("".join(f"{name:<{CELL}}" for name in WEEKDAYS).rstrip(), "dim")
    for week in calendar.Calendar().monthdatescalendar(first.year, first.month):
        line = Text()
        for day in week:
            if day.month != first.month:
                line.append(" " * CELL)
                continue
            count = ticks.get(day, 0)
            style = ("bold green" if count else "dim") + (" reverse" if day == today else "")
            line.append(f"{day.day:>2}", style)
            mark = "!" if day in changes else ""
            line.append(f"{mark + _count(count):<{CELL - 2}}", "yellow" if mark else "green")
        line.rstrip()
        yield line
    if any((day.year, day.month) == (first.year, first.month) for day in changes):
        yield Text("● ticks  ! clock change", "dim")


def _count(count: int) -> str:
    if count <= 1:
        return "●" * count
    return f"●{count}" if count <= MAX_SHOWN else f"●{MAX_SHOWN}+"
