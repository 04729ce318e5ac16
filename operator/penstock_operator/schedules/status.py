"""The status of a Schedule: what is remembered in it, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from penstock.engine.state import RunState
from penstock.engine.ticks.due_and_missed import Firing, Ledger
from penstock.engine.timestamp import epoch, rfc3339
from penstock.kube.conditions import find_condition
from penstock.kube.kinds.schedule import Schedule
from penstock_operator.schedules.identity import run_name
from penstock_operator.schedules.notices import explain_missed
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.runs import ScheduledRun

SHOWN_ACTIVE: Final = 50
LISTENING: Final = "Listening"
"""The condition that says whether events are listened to."""
CANNOT_LISTEN: Final = frozenset({"WebhooksOff", "KindNotAllowed", "CannotWatch"})
"""Reasons of that condition if none of the events is listened to."""


@dataclass(slots=True)
class Outcome:
    """The result of a reconcile.

    Args:
        firing: what was decided, as far as it was carried out.
        reason: of the condition `Ready`.
        message: likewise.
        is_refused: whether a run could not be created.
    """

    firing: Firing
    reason: str = "Scheduled"
    message: str = ""
    is_refused: bool = False


def read_ledger(schedule: Schedule, plan: Plan, now: datetime) -> tuple[Ledger, str]:
    """Return what has been decided of a Schedule, and since when its ticks are in force.

    Its ticks are in force since it was created, or since the last edit of the fields that say when it is due. No tick
    before that gets a run.

    Args:
        schedule: the Schedule.
        plan: the same, parsed.
        now: an aware time.
    """
    stored = schedule.status
    if not stored.timing:
        since = schedule.metadata.creation_timestamp or rfc3339(now.timestamp())
    elif stored.timing == plan.timing and stored.timing_since:
        since = stored.timing_since
    else:
        since = rfc3339(now.timestamp())
    decided = max(read_time(since), read_time(stored.decided_tick_time or since))
    return Ledger(decided, tuple(read_time(text) for text in stored.queued)), since


def build_status(
    schedule: Schedule,
    plan: Plan,
    outcome: Outcome,
    *,
    active: Sequence[ScheduledRun],
    finished: Sequence[ScheduledRun],
    since: str,
    now: datetime,
) -> dict[str, Any]:
    """Build the changes of the status after a reconcile, without the conditions. None removes a field.

    Args:
        schedule: the Schedule.
        plan: the same, parsed.
        outcome: the result of the reconcile.
        active: its unfinished runs, in the order of their ticks.
        finished: its finished runs.
        since: since when its ticks are in force.
        now: an aware time.
    """
    stored, firing = schedule.status, outcome.firing
    successes = [run.completion_time for run in finished if run.state == RunState.COMPLETED and run.completion_time]
    successes += [stored.last_success_time] if stored.last_success_time else []
    upcoming = () if plan.spec.suspend else plan.upcoming.after(now)
    status: dict[str, Any] = {
        "observedGeneration": plan.generation,
        "timing": plan.timing,
        "timingSince": since,
        "nextTickTimes": [write_time(tick) for tick in upcoming] or None,
        "decidedTickTime": write_time(firing.ledger.decided),
        "queued": [write_time(tick) for tick in firing.ledger.queued] or None,
        "activeRuns": len(active),
        "active": [run.name for run in active[:SHOWN_ACTIVE]] or None,
        "lastSuccessTime": max(successes, key=epoch, default=None),
    }
    if firing.fire:
        last = max(firing.fire)
        if not stored.last_tick_time or last > read_time(stored.last_tick_time):
            status |= {"lastTickTime": write_time(last), "lastRun": run_name(schedule.metadata.name, last)}
    if firing.missed:
        latest = max(firing.missed, key=lambda missed: missed.tick)
        status["missedTicks"] = (stored.missed_ticks or 0) + sum(missed.count for missed in firing.missed)
        status["lastMissed"] = {
            "tickTime": write_time(latest.tick),
            "reason": latest.reason.value,
            "message": explain_missed(latest, plan.timetable.zone),
        }
    return status | _count_not_run(schedule, finished)


def _count_not_run(schedule: Schedule, finished: Sequence[ScheduledRun]) -> dict[str, Any]:
    """Count the ticks whose runs have ended, since the last one that was counted, without having run."""
    stored = schedule.status
    counted_at = epoch(stored.last_not_run_time) if stored.last_not_run_time else 0.0
    times = [run.completion_time for run in finished if run.tick and run.has_not_run and run.completion_time]
    new = [time for time in times if epoch(time) > counted_at]
    if not new:
        return {}
    return {"notRunTicks": (stored.not_run_ticks or 0) + len(new), "lastNotRunTime": max(new, key=epoch)}


def describe_events(schedule: Schedule) -> tuple[str, str]:
    """Return reason and message of the condition `Ready` of a Schedule whose runs only events create."""
    listening = find_condition(schedule.status.conditions, LISTENING)
    if listening is None or listening.observed_generation != schedule.metadata.generation:
        # Its events are looked at by another controller, at the same time.
        return "Starting", "starts to listen for its events"
    if listening.reason in CANNOT_LISTEN:
        return listening.reason, f"no event can create a run: {listening.message}"
    return "Scheduled", "active; events create runs"


def write_time(time: datetime) -> str:
    """Write an aware time as the API has it."""
    return rfc3339(time.timestamp())


def read_time(text: str) -> datetime:
    """Read a time of the API.

    Raises:
        StoredStatusError: it is not a time.
    """
    return datetime.fromtimestamp(epoch(text), tz=UTC)
