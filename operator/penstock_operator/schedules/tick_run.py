"""The run of a tick: what it is called, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from penstock.api import names
from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.scope import tick_roots
from penstock.engine.ticks.timetable import Timetable
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation.validation import compile_tick_params
from penstock_operator.schedules.run import build_schedule_run

MINUTE_S: Final = 60
LONGEST_MINUTE: Final = 10
"""Digits of a tick in a name; the year 9999 has as many."""


def run_name(schedule: str, tick: datetime) -> str:
    """Name the run of a tick. It follows from the tick alone, so creating it twice is a conflict."""
    return f"{schedule}-{int(tick.timestamp()) // MINUTE_S}"


def tick_of(schedule: str, run: str) -> datetime | None:
    """Return the tick that a run is for, in UTC; None if its name is not one that `run_name` gives."""
    minute = run.removeprefix(f"{schedule}-")
    if minute == run or not minute.isdecimal() or len(minute) > LONGEST_MINUTE:
        return None
    try:
        return datetime.fromtimestamp(int(minute) * MINUTE_S, tz=UTC)
    except (OverflowError, ValueError):
        return None


def build_run(body: Mapping[str, Any], spec: ScheduleSpec, timetable: Timetable, tick: datetime) -> dict[str, Any]:
    """Build the run of a tick.

    Args:
        body: the Schedule.
        spec: its spec.
        timetable: its ticks.
        tick: the tick, aware.

    Raises:
        ExpressionError: a param's value can't be had.
        InvalidSpecError: a param's expression does not compile.
    """
    metadata = body["metadata"]
    local = tick.astimezone(timetable.zone)
    template = spec.run_template
    run_spec = template.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # So that a task can ask for it: run.scheduledTime.
    run_spec.setdefault("scheduledTime", rfc3339(tick.timestamp()))
    if template.spec.params:
        roots = tick_roots(timetable, tick)
        templates = compile_tick_params(template.spec.params)
        run_spec["params"] = {name: value.evaluate(roots) for name, value in templates.items()}
    return build_schedule_run(
        body,
        template,
        name=run_name(metadata["name"], tick),
        spec=run_spec,
        labels={},
        annotations={names.ANNOTATION_TICK: local.isoformat()},
    )
