"""The state of a run that has not finished: Pending, Running or Paused. How a run ends is in `verdict`."""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.engine.failure_message import headline
from penstock.engine.machine.run.run import Run
from penstock.engine.machine.run.shutdown import ShutdownMode
from penstock.engine.machine.tasks.obstacles import Summary
from penstock.engine.reasons import Reason
from penstock.engine.state import RunState, TaskState

NAMED_TASKS = 10
"""Tasks that a message names."""
ENDING: Final = {
    ShutdownMode.DRAIN: Reason.DRAINING,
    ShutdownMode.CANCEL: Reason.CANCELLING,
    ShutdownMode.TERMINATE: Reason.TERMINATING,
}
"""Reasons of a run that is being ended early."""


class UnfinishedState(NamedTuple):
    """What an unfinished run is doing."""

    state: RunState
    reason: str | None = None
    message: str | None = None


def judge_unfinished_run(run: Run) -> UnfinishedState:
    """Return whether a run waits to start, runs, or is paused."""
    counts = run.live_counts
    active = counts[TaskState.PENDING] + counts[TaskState.QUEUED] + counts[TaskState.RUNNING]
    if run.control.is_suspended and active <= len(run.due_attempts):
        return UnfinishedState(RunState.PAUSED, Reason.SUSPENDED, "spec.suspend is true: nothing new starts")
    is_waiting = counts[TaskState.PAUSED] and not (active or counts[TaskState.RETRYING])
    if is_waiting and not (run.due_attempts or run.ready or run.open_fan_outs):
        if (undecided := _undecided(run)) is not None:
            return undecided
        waiting = [task.plan.name for task in run.tasks if task.state is TaskState.PAUSED]
        message = f"waiting for approval: {', '.join(waiting[:NAMED_TASKS])}"
        return UnfinishedState(RunState.PAUSED, Reason.AWAITING_APPROVAL, message)
    state = RunState.RUNNING if run.has_started else RunState.PENDING
    obstacle = run.obstacles.summary()
    if run.shutdown is not None:
        return UnfinishedState(state, ENDING[run.shutdown.mode], _with(run.shutdown.message, obstacle))
    if run.control.is_suspended:
        message = "spec.suspend is true: nothing new starts, what runs continues"
        return UnfinishedState(state, Reason.SUSPENDING, _with(message, obstacle))
    return UnfinishedState(state, *(obstacle or ()))


def _with(message: str, obstacle: Summary | None) -> str:
    """Add to what is being done to a run what it waits for."""
    return message if obstacle is None else f"{message}; {headline(obstacle.reason, obstacle.message)}"


def _undecided(run: Run) -> UnfinishedState | None:
    """Return that a decision does not count, if that is why a run waits: no one else is asked."""
    for task in run.tasks:
        if task.state is TaskState.PAUSED:
            for _, instance in task.live_instances():
                if instance.reason == Reason.DECISION_NOT_PROVED:
                    message = f"task {task.plan.name}: {instance.message}"
                    return UnfinishedState(RunState.PAUSED, Reason.DECISION_NOT_PROVED, message)
    return None
