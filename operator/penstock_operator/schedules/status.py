"""The status of a Schedule: what of it is remembered, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from penstock.engine.state import RunState
from penstock.engine.ticks.firing import Firing, Ledger
from penstock.engine.timestamp import epoch, rfc3339
from penstock_operator.schedules.notices import explain
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.runs import ScheduledRun
from penstock_operator.schedules.tick_run import run_name

SHOWN_ACTIVE: Final = 50


@dataclass(slots=True)
class Outcome:
    """What a look led to.

    Args:
        firing: what was decided, as far as it was carried out.
        reason: of the condition `Ready`.
        message: likewise.
        is_refused: whether a run could not be created.
    """

    firing: Firing
    reason: str = "Scheduled"
    message: str = "creates runs"
    is_refused: bool = False


def read_ledger(body: Mapping[str, Any], plan: Plan, now: datetime) -> tuple[Ledger, str]:
    """Return what has been decided of a Schedule, and since when its ticks are in force.

    They are since it was created, or since an edit of what says when it is due: nothing before is made up for.

    Args:
        body: the Schedule.
        plan: the same, read.
        now: an aware time.
    """
    stored = body.get("status") or {}
    if not stored.get("timing"):
        since = body["metadata"]["creationTimestamp"]
    elif stored["timing"] == plan.timing and stored.get("timingSince"):
        since = stored["timingSince"]
    else:
        since = rfc3339(now.timestamp())
    decided = max(read_time(since), read_time(stored.get("decidedTickTime") or since))
    return Ledger(decided, tuple(read_time(text) for text in stored.get("queued") or ())), since


def build_status(
    body: Mapping[str, Any],
    plan: Plan,
    outcome: Outcome,
    *,
    active: Sequence[ScheduledRun],
    finished: Sequence[ScheduledRun],
    since: str,
    now: datetime,
) -> dict[str, Any]:
    """Build the status after a look, without the conditions. None stands for what is not there.

    Args:
        body: the Schedule.
        plan: the same, read.
        outcome: what the look led to.
        active: its runs that are not over, in the order of their ticks.
        finished: its runs that are over.
        since: since when its ticks are in force.
        now: an aware time.
    """
    stored, firing = body.get("status") or {}, outcome.firing
    successes = [run.completion_time for run in finished if run.state == RunState.COMPLETED and run.completion_time]
    successes += [stored["lastSuccessTime"]] if stored.get("lastSuccessTime") else []
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
        if not stored.get("lastTickTime") or last > read_time(stored["lastTickTime"]):
            status |= {"lastTickTime": write_time(last), "lastRun": run_name(body["metadata"]["name"], last)}
    if firing.missed:
        latest = max(firing.missed, key=lambda missed: missed.tick)
        status["missedTicks"] = stored.get("missedTicks", 0) + sum(missed.count for missed in firing.missed)
        status["lastMissed"] = {
            "tickTime": write_time(latest.tick),
            "reason": latest.reason.value,
            "message": explain(latest, plan.timetable.zone),
        }
    return status


def write_time(time: datetime) -> str:
    """Write an aware time as the API has it."""
    return rfc3339(time.timestamp())


def read_time(text: str) -> datetime:
    """Read a time of the API.

    Raises:
        StoredStatusError: it is none.
    """
    return datetime.fromtimestamp(epoch(text), tz=UTC)
