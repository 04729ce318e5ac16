"""Kubernetes Events about a Schedule, in the words of CronJob where it has them, with Run for Job."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from penstock.engine.ticks.due_and_missed import Missed, MissedReason
from penstock_operator.schedules.runs import ScheduledRun

MANY_MISSED: Final = 100
"""More missed ticks than this at once get a warning of their own, as with CronJob."""
_WHY: Final = {
    MissedReason.TOO_LATE: "later than onMissed.within allows",
    MissedReason.NOT_MADE_UP: "skipped by onMissed",
    MissedReason.RUN_ALREADY_ACTIVE: "an earlier run has not finished, and onOverlap is Skip",
    MissedReason.QUEUE_FULL: "more ticks are waiting for an earlier run than maxQueued allows",
    MissedReason.NAME_TAKEN: "a run with its name exists and does not belong to this Schedule",
    MissedReason.REPLACED: "a later tick came before the earlier run had ended",
}
_REASONS: Final = {MissedReason.RUN_ALREADY_ACTIVE: "RunAlreadyActive"}


class Notice(NamedTuple):
    """A Kubernetes Event to record."""

    is_warning: bool
    reason: str
    note: str


def explain_missed(missed: Missed, zone: tzinfo) -> str:
    """Say what was missed and why.

    Args:
        missed: the ticks.
        zone: of the Schedule.
    """
    tick = missed.tick.astimezone(zone).isoformat()
    what = f"the tick at {tick}" if missed.count == 1 else f"{missed.count} ticks up to {tick}"
    return f"{what}: {_WHY[missed.reason]}"


def waiting_notice(tick: datetime, zone: tzinfo) -> Notice:
    """Return the Event about a tick that waits for an earlier run."""
    note = f"The tick at {tick.astimezone(zone).isoformat()} waits for an earlier run to finish"
    return Notice(is_warning=False, reason="RunAlreadyActive", note=note)


def ended_notice(run: ScheduledRun) -> Notice:
    """Return the Event about a run that has ended; a warning if what it was for was not run."""
    note = f"Saw completed run: {run.name}, state: {run.state}"
    if run.has_not_run and run.is_of_event:
        note += f": nothing was run for its event; penstock retry {run.name} runs it"
    elif run.has_not_run:
        note += ": its tick was not run; a Backfill with reprocess: Failed runs it"
    return Notice(is_warning=run.has_not_run, reason="SawCompletedRun", note=note)


def missed_notices(missed: tuple[Missed, ...], zone: tzinfo) -> list[Notice]:
    """Return the Events about ticks that get no run."""
    notices = [
        Notice(
            one.reason not in _REASONS,
            _REASONS.get(one.reason, "MissSchedule"),
            f"No run for {explain_missed(one, zone)}",
        )
        for one in missed
    ]
    count = sum(one.count for one in missed)
    if count > MANY_MISSED:
        notices.append(
            Notice(
                is_warning=True,
                reason="TooManyMissedTimes",
                note=f"{count} ticks were missed: check spec.onMissed and the clock of the operator's node",
            )
        )
    return notices
