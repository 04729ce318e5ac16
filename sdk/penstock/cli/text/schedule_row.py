"""A Schedule as one row of a list. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.cli.text.schedule_rules import describe_rules
from penstock.cli.text.times import format_distance
from penstock.drawing.task_rows import Object, read_time, status_of
from penstock.engine.validation.validation import parse_schedule
from penstock.errors import InvalidSpecError

HEADINGS: Final = ("NAME", "FLOW", "WHEN", "ZONE", "STATUS", "ACTIVE", "LAST RUN", "LAST SUCCESS", "NEXT TICK")
NO_ZONE: Final = "UTC"


class LastRun(NamedTuple):
    """The last run that a Schedule created."""

    name: str
    time: dt.datetime
    """Its tick, or when its event arrived."""


def schedule_row(schedule: Object, now: dt.datetime) -> list[str]:
    """Return the cells of a Schedule, one for each heading.

    Args:
        schedule: the Schedule.
        now: the current time, aware.
    """
    spec, status = schedule["spec"], status_of(schedule)
    run, success = last_run(schedule), read_time(status.get("lastSuccessTime"))
    following = None if spec.get("suspend") else next_tick(schedule)
    return [
        schedule["metadata"]["name"],
        (spec["runTemplate"]["spec"].get("flow") or {}).get("name", ""),
        rules_of(schedule),
        spec.get("timeZone") or NO_ZONE,
        state_of(schedule),
        str(status.get("activeRuns", 0)),
        f"{run.name} ({format_distance(run.time, now)})" if run else "",
        format_distance(success, now) if success else "",
        format_distance(following, now) if following else "",
    ]


def rules_of(schedule: Object) -> str:
    """Summarize when a Schedule creates runs."""
    try:
        return describe_rules(parse_schedule(schedule))
    except InvalidSpecError:
        return "(invalid)"


def state_of(schedule: Object) -> str:
    """Say whether a Schedule creates runs: Active, Suspended, or the reason why it does not."""
    if schedule["spec"].get("suspend"):
        return "Suspended"
    conditions: list[Mapping[str, Any]] = status_of(schedule).get("conditions") or []
    for condition in conditions:
        if condition["type"] in {"Ready", "Listening"} and condition["status"] == "False":
            return str(condition.get("reason") or f"not {condition['type']}")
    return "Active" if conditions else "New"


def next_tick(schedule: Object) -> dt.datetime | None:
    """Return the next tick of a Schedule, as its status has it."""
    return read_time(next(iter(status_of(schedule).get("nextTickTimes") or ()), None))


def last_run(schedule: Object) -> LastRun | None:
    """Return the last run of a Schedule, by the clock or by an event."""
    status = status_of(schedule)
    entries = [(status.get("lastRun"), status.get("lastTickTime"))]
    entries += [(event.get("lastRun"), event.get("lastTime")) for event in (status.get("events") or {}).values()]
    runs = [LastRun(name, time) for name, text in entries if name and (time := read_time(text))]
    return max(runs, key=lambda run: run.time, default=None)
