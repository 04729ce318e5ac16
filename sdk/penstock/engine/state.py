"""The states of runs, tasks and items, and which of them are final."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RunState(StrEnum):
    """State of a run."""

    SCHEDULED = "Scheduled"
    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    CRASHED = "Crashed"


class TaskState(StrEnum):
    """State of a task, or of one item of a fan-out."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    RETRYING = "Retrying"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    CACHED = "Cached"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    CRASHED = "Crashed"


SUCCESSFUL_RUN_STATES: Final = frozenset({RunState.COMPLETED, RunState.SKIPPED})
FINAL_RUN_STATES: Final = SUCCESSFUL_RUN_STATES | {
    RunState.FAILED,
    RunState.TIMED_OUT,
    RunState.CANCELLED,
    RunState.CRASHED,
}


def has_not_run(state: str | None, *, has_started: bool) -> bool:
    """Whether a run ended without having run: a limit skipped it or its child runs, or it was cancelled as it waited.

    Args:
        state: its state; None or empty if it has none.
        has_started: whether a task of it was started.
    """
    return state == RunState.SKIPPED or (state == RunState.CANCELLED and not has_started)


COMPLETED_TASK_STATES: Final = frozenset({TaskState.COMPLETED, TaskState.CACHED})
"""States that satisfy `dependsOn`."""
UNSUCCESSFUL_TASK_STATES: Final = frozenset(
    {TaskState.FAILED, TaskState.TIMED_OUT, TaskState.CANCELLED, TaskState.CRASHED}
)
FAILED_TASK_STATES: Final = UNSUCCESSFUL_TASK_STATES - {TaskState.CANCELLED}
"""States of tasks that failed by themselves, not because their run was stopped."""
FINAL_TASK_STATES: Final = COMPLETED_TASK_STATES | UNSUCCESSFUL_TASK_STATES | {TaskState.SKIPPED}
