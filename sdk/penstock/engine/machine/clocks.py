"""The clocks of one attempt, and of all attempts of a task or item together. Pure arithmetic over what is stored."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from penstock.engine.compiler.task_plan import TaskKind, TaskPlan
from penstock.engine.machine.task_instance import TaskInstance
from penstock.engine.state import TaskState


class Alarm(Enum):
    """Which clock has run out."""

    WAKE = auto()
    """The wait before the next attempt is over."""
    LOST = auto()
    """The Pod should be gone for so long that its node counts as lost."""
    DEADLINE = auto()
    """All attempts together took too long."""
    TIMEOUT = auto()
    """The attempt took too long."""
    QUEUE_TIMEOUT = auto()
    """The attempt waited too long to start."""


_BY_WEIGHT: Final = (Alarm.LOST, Alarm.DEADLINE, Alarm.TIMEOUT, Alarm.QUEUE_TIMEOUT, Alarm.WAKE)


def alarms(task: TaskPlan, unit: TaskInstance, *, is_suspended: bool) -> list[tuple[float, Alarm]]:
    """Return the clocks that run for a unit, with the time when each runs out, in seconds since the epoch.

    Args:
        task: the compiled task.
        unit: the unit.
        is_suspended: nothing new is started, so no wait for a next attempt ends.
    """
    found: list[tuple[float, Alarm]] = []
    if unit.gone_due_at is not None and task.retry.node_lost_after_s is not None:
        found.append((unit.gone_due_at + task.retry.node_lost_after_s, Alarm.LOST))
    if unit.stopping:
        return found
    if unit.state is TaskState.RETRYING and not is_suspended:
        assert unit.wake_at is not None
        found.append((unit.wake_at, Alarm.WAKE))
    if task.deadline_s is not None and unit.began_at is not None:
        found.append((unit.began_at + task.deadline_s, Alarm.DEADLINE))
    timeout_s = task.approval.timeout_s if task.approval is not None else task.timeout_s
    if timeout_s is not None and unit.started_at is not None and unit.state is not TaskState.RETRYING:
        found.append((unit.started_at + timeout_s, Alarm.TIMEOUT))
    if (
        task.queue_timeout_s is not None
        and task.kind is not TaskKind.APPROVAL
        and unit.state in (TaskState.PENDING, TaskState.QUEUED)
        and unit.queued_at is not None
    ):
        found.append((unit.queued_at + task.queue_timeout_s, Alarm.QUEUE_TIMEOUT))
    return found


def next_alarm_at(task: TaskPlan, unit: TaskInstance, *, is_suspended: bool) -> float | None:
    """Return when the first of a unit's clocks runs out; None if none runs."""
    return min((due for due, _ in alarms(task, unit, is_suspended=is_suspended)), default=None)


def rung(task: TaskPlan, unit: TaskInstance, now: float, *, is_suspended: bool) -> Alarm | None:
    """Return the clock of a unit that has run out; of several the one that leaves least to decide."""
    due = {alarm for at, alarm in alarms(task, unit, is_suspended=is_suspended) if at <= now}
    return next((alarm for alarm in _BY_WEIGHT if alarm in due), None)
