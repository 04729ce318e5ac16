"""Whose run it is: of which Schedule, of which Backfill.

A run that is to outlive its Schedule has no owner reference to it. It is recognised by an annotation with the
Schedule's uid, which the chart's admission policy reserves for the operator, by the Schedule's label, and by its name,
which can be computed from the Schedule and the tick or event.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from penstock.api import names
from penstock.engine.names import event_run_name
from penstock.kube.metadata import ObjectMeta

CREATED_BY: Final = f"audit.{names.GROUP}/created-by"
"""Recorded at admission for the requests of everybody but the operator: who has created a run is not its Schedule."""
MINUTE_S: Final = 60
UNKNOWN_BACKFILL: Final = "unknown"
"""In place of the uid of a Backfill."""
LONGEST_MINUTE: Final = 10
"""Digits of a tick in a name; the year 9999 has as many."""


class ScheduleReference(NamedTuple):
    """The Schedule that a run belongs to. It need not exist any more."""

    name: str
    uid: str


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


def schedule_of(run: ObjectMeta) -> ScheduleReference | None:
    """Return the Schedule that created a run; None if none did, or a Backfill of it."""
    owner = run.find_controller("Schedule")
    if owner is not None:
        return ScheduleReference(owner.name, owner.uid)
    name, uid = run.labels.get(names.LABEL_SCHEDULE), run.annotations.get(names.ANNOTATION_SCHEDULE_UID)
    if not name or not uid or backfill_of(run) or any(each.controller for each in run.owner_references):
        return None
    if CREATED_BY in run.annotations and names.LABEL_RESTORED not in run.labels:
        return None
    event, identity = run.labels.get(names.LABEL_EVENT), run.annotations.get(names.ANNOTATION_EVENT)
    if event is not None and identity is not None:
        is_computed = run.name == event_run_name(name, uid, event, identity)
    else:
        is_computed = tick_of(name, run.name) is not None
    return ScheduleReference(name, uid) if is_computed else None


def backfill_of(run: ObjectMeta) -> str:
    """Return the uid of the Backfill that created a run; empty if none did."""
    owner = run.find_controller("Backfill")
    return run.annotations.get(names.ANNOTATION_BACKFILL_UID, "") if owner is None else owner.uid


def backfilled_schedule_of(run: ObjectMeta) -> ScheduleReference | None:
    """Return the Schedule of a finished run that outlives its Backfill; None for one that is deleted with that."""
    if not any_backfill_of(run):
        return None
    owner = next((each for each in run.owner_references if each.is_a("Schedule")), None)
    if owner is not None:
        return ScheduleReference(owner.name, owner.uid)
    name, uid = run.labels.get(names.LABEL_SCHEDULE), run.annotations.get(names.ANNOTATION_SCHEDULE_UID)
    if not name or not uid or run.owner_references:
        return None
    if CREATED_BY in run.annotations and names.LABEL_RESTORED not in run.labels:
        return None
    return ScheduleReference(name, uid)


def any_backfill_of(run: ObjectMeta) -> str:
    """Return the uid of the Backfill that created a run, `UNKNOWN_BACKFILL` if only that there was one is known.

    Older versions did not note it: when such a Backfill is gone, so is the owner reference to it.
    """
    was_backfilled = names.LABEL_BACKFILL in run.labels and any(each.is_a("Schedule") for each in run.owner_references)
    is_own = run.find_controller("Schedule") is not None
    return backfill_of(run) or (UNKNOWN_BACKFILL if was_backfilled and not is_own else "")
