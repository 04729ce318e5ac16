"""The values of a Schedule's expressions about a tick: `tick.time`, `tick.date`, `tick.previous.date`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from penstock.engine.ticks.timetable import Timetable


def tick_roots(timetable: Timetable, tick: datetime) -> dict[str, Any]:
    """Return the roots of the expressions in the params of the run of a tick.

    Args:
        timetable: the Schedule's ticks, in whose zone times are shown.
        tick: the tick, aware.
    """
    local = tick.astimezone(timetable.zone)
    before = timetable.previous(tick)
    previous = {} if before is None else {"date": before.astimezone(timetable.zone).date().isoformat()}
    return {"tick": {"time": local.isoformat(), "date": local.date().isoformat(), "previous": previous}}
