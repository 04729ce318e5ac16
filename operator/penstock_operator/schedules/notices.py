"""What is told of a Schedule in Events, in the words of CronJob where it has one, with Run for Job."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from penstock.engine.ticks.firing import Missed, MissedReason

MANY_MISSED: Final = 100
"""More than so many at once are worth a warning of their own, as with CronJob."""
_WHY: Final = {
    MissedReason.TOO_LATE: "too late by onMissed.within",
    MissedReason.NOT_MADE_UP: "not made up for by onMissed.policy",
    MissedReason.RUN_ALREADY_ACTIVE: "an earlier run is not over, and onOverlap is Skip",
    MissedReason.QUEUE_FULL: "more ticks wait for an earlier run than maxQueued allows",
    MissedReason.NAME_TAKEN: "a run of that name exists that is not of this Schedule",
    MissedReason.REPLACED: "a later tick came before the earlier run was gone",
}
_EVENTS: Final = {MissedReason.RUN_ALREADY_ACTIVE: "RunAlreadyActive"}


class Notice(NamedTuple):
    """An Event to record."""

    is_warning: bool
    reason: str
    note: str


def explain(missed: Missed, zone: tzinfo) -> str:
    """Say what was missed and why.

    Args:
        missed: the ticks.
        zone: of the Schedule.
    """
    tick = missed.tick.astimezone(zone).isoformat()
    what = f"the tick of {tick}" if missed.count == 1 else f"{missed.count} ticks up to {tick}"
    return f"{what}: {_WHY[missed.reason]}"


def waits(tick: datetime, zone: tzinfo) -> Notice:
    """Return what to tell of a tick that waits for an earlier run."""
    note = f"The tick of {tick.astimezone(zone).isoformat()} waits until an earlier run is over"
    return Notice(is_warning=False, reason="RunAlreadyActive", note=note)


def notices(missed: tuple[Missed, ...], zone: tzinfo) -> list[Notice]:
    """Return what to tell of ticks that get no run."""
    told = [
        Notice(one.reason not in _EVENTS, _EVENTS.get(one.reason, "MissSchedule"), f"No run for {explain(one, zone)}")
        for one in missed
    ]
    count = sum(one.count for one in missed)
    if count > MANY_MISSED:
        told.append(
            Notice(
                is_warning=True,
                reason="TooManyMissedTimes",
                note=f"{count} ticks were missed; see onMissed, or the clock",
            )
        )
    return told
