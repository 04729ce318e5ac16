"""The run of a Backfill for one tick: how it is built, and how it is recognised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from penstock.api import names
from penstock.api.schedule import ScheduleSpec
from penstock.engine.audit import cause_of
from penstock.engine.names import repeated_run_name
from penstock.engine.ticks.backfill import TickRun
from penstock.engine.ticks.timetable import Timetable
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.kube.kinds.run_summary import RunSummary
from penstock.kube.metadata import ObjectMeta
from penstock_operator.schedules.identity import backfill_of, scheduled_tick_of
from penstock_operator.schedules.run import build_tick_run


class RunTemplate(NamedTuple):
    """What the runs of a Backfill are built from."""

    schedule: ObjectMeta
    """Of the Schedule as it is now."""
    spec: ScheduleSpec
    """The Schedule's spec as it is now, but with the clock fields from when the Backfill began."""
    timetable: Timetable
    """The ticks by those fields."""


def build_backfill_run(backfill: ObjectMeta, template: RunTemplate, tick: datetime, number: int) -> dict[str, Any]:
    """Build a run of a tick.

    Args:
        backfill: metadata of the Backfill.
        template: what it is built from.
        tick: the tick.
        number: how many runs the tick had before.

    Raises:
        ExpressionError: the value of a param could not be evaluated.
    """
    run = build_tick_run(template.schedule, template.spec, template.timetable, tick)
    metadata = run["metadata"]
    if number:
        metadata["name"] = repeated_run_name(metadata["name"], template.schedule.uid, number)
        metadata["annotations"][names.ANNOTATION_REPETITION] = str(number)
    metadata["labels"][names.LABEL_BACKFILL] = backfill.name
    metadata["annotations"].pop(names.ANNOTATION_ON_BEHALF_OF, None)
    if (cause := cause_of(backfill.annotations, backfill.generation)) is not None:
        metadata["annotations"][names.ANNOTATION_ON_BEHALF_OF] = cause
    metadata["ownerReferences"] = [owner_reference("Backfill", backfill.name, backfill.uid)]
    return run


def read_tick_run(run: RunSummary, schedule: str, numbers: Mapping[int, int]) -> TickRun | None:
    """Read which tick a run is for; None if it is for none of these, or no Schedule or Backfill created it.

    It may be of an earlier Schedule of this name.

    Args:
        run: a run.
        schedule: name of the Schedule.
        numbers: the ticks by their time, in seconds since the epoch.
    """
    found = scheduled_tick_of(run.metadata)
    if found is None or found.schedule.name != schedule:
        return None
    tick = numbers.get(int(found.tick.timestamp()))
    return None if tick is None else tick_run(run, tick, found.number)


def tick_run(run: RunSummary, tick: int, number: int) -> TickRun:
    """Return a run as the run of a tick.

    Args:
        run: the run.
        tick: number of the tick.
        number: 0 for the first run of the tick, then that of the repetition.
    """
    status = run.status
    return TickRun(
        tick, number, status.state or None, backfill_of(run.metadata), has_started=status.start_time is not None
    )
