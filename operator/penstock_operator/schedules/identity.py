"""Whose run it is: of which Schedule, of which Backfill.

A run that is to outlive its Schedule has no owner reference to it, but an annotation with the Schedule's uid; the
chart's admission policy reserves both for the operator. With either, the run counts only if all else agrees that the
operator writes: the Schedule's label, and the name, which can be computed from the Schedule and the tick or event; and
if no user is recorded as its creator.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from penstock.api import names
from penstock.engine.names import event_run_name, repeated_run_name
from penstock.engine.timestamp import epoch
from penstock.errors import StoredStatusError
from penstock.kube.metadata import ObjectMeta, OwnerReference

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


class ScheduledTick(NamedTuple):
    """What a run was created for."""

    schedule: ScheduleReference
    tick: datetime
    number: int
    """0 for the first run of the tick, then that of the repetition."""


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
    if owner is None and (backfill_of(run) or any(each.controller for each in run.owner_references)):
        return None
    return _proved_schedule(run, owner)


def backfill_of(run: ObjectMeta) -> str:
    """Return the uid of the Backfill that created a run; empty if none did."""
    owner = run.find_controller("Backfill")
    return run.annotations.get(names.ANNOTATION_BACKFILL_UID, "") if owner is None else owner.uid


def backfilled_schedule_of(run: ObjectMeta) -> ScheduleReference | None:
    """Return the Schedule of a finished run that outlives its Backfill; None for one that is deleted with that."""
    owner = _schedule_among_owners(run)
    if not any_backfill_of(run) or (owner is None and run.owner_references):
        return None
    return _proved_schedule(run, owner)


def any_backfill_of(run: ObjectMeta) -> str:
    """Return the uid of the Backfill that created a run, `UNKNOWN_BACKFILL` if only that there was one is known.

    Older versions did not note it: when such a Backfill is gone, so is the owner reference to it.
    """
    was_backfilled = names.LABEL_BACKFILL in run.labels and _schedule_among_owners(run) is not None
    is_own = run.find_controller("Schedule") is not None
    return backfill_of(run) or (UNKNOWN_BACKFILL if was_backfilled and not is_own else "")


def scheduled_tick_of(run: ObjectMeta) -> ScheduledTick | None:
    """Return what a run was created for, by a Schedule or a Backfill; None if by neither, or for an event."""
    schedule = _proved_schedule(run, _schedule_among_owners(run)) if any_backfill_of(run) else schedule_of(run)
    return None if schedule is None else _read_tick(run, schedule)


def _schedule_among_owners(run: ObjectMeta) -> OwnerReference | None:
    return next((each for each in run.owner_references if each.is_a("Schedule")), None)


def _proved_schedule(run: ObjectMeta, owner: OwnerReference | None) -> ScheduleReference | None:
    """Return the Schedule that owns or is noted on a run; None unless all that the operator writes agrees.

    Args:
        run: the run.
        owner: the owner reference to the Schedule, if there is one.
    """
    name, noted = run.labels.get(names.LABEL_SCHEDULE, ""), run.annotations.get(names.ANNOTATION_SCHEDULE_UID, "")
    uid = noted if owner is None else owner.uid
    # Runs that older versions created have an owner, the Backfill at least, and no note.
    if not name or not (uid or run.find_controller("Backfill")):
        return None
    if owner is not None and (owner.name != name or noted not in ("", uid)):
        return None
    if _is_restored(run):
        # By a user who may. Some names follow from the uid of a Schedule that is another one now.
        return ScheduleReference(name, uid)
    schedule = ScheduleReference(name, uid)
    is_named = _is_named_for_event(run, schedule) or _read_tick(run, schedule) is not None
    return schedule if is_named and CREATED_BY not in run.annotations else None


def _is_restored(run: ObjectMeta) -> bool:
    return names.LABEL_RESTORED in run.labels


def _is_named_for_event(run: ObjectMeta, schedule: ScheduleReference) -> bool:
    event, identity = run.labels.get(names.LABEL_EVENT), run.annotations.get(names.ANNOTATION_EVENT)
    if event is None or identity is None:
        return False
    return run.name == event_run_name(schedule.name, schedule.uid, event, identity)


def _read_tick(run: ObjectMeta, schedule: ScheduleReference) -> ScheduledTick | None:
    """Read the tick from a run's name, and the number of a repetition from its annotations if the name agrees."""
    tick = tick_of(schedule.name, run.name)
    if tick is not None:
        return ScheduledTick(schedule, tick, 0)
    try:
        tick = datetime.fromtimestamp(epoch(run.annotations.get(names.ANNOTATION_TICK, "")), tz=UTC)
        number = int(run.annotations.get(names.ANNOTATION_REPETITION, ""))
    except (StoredStatusError, ValueError, OverflowError):
        return None
    if number < 1 or not any_backfill_of(run):
        return None
    name = repeated_run_name(run_name(schedule.name, tick), schedule.uid, number)
    is_computable = schedule.uid != "" and not _is_restored(run)
    return ScheduledTick(schedule, tick, number) if run.name == name or not is_computable else None
