"""The words for what runs, tasks and items are doing, and which of them are final."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RunState(StrEnum):
    """State of a run."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CRASHED = "Crashed"


class TaskState(StrEnum):
    """State of a task, or of one item of a fan-out."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    RETRYING = "Retrying"
    COMPLETED = "Completed"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    CRASHED = "Crashed"


FINAL_RUN_STATES: Final = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.TIMED_OUT, RunState.CRASHED})
FINAL_TASK_STATES: Final = frozenset(
    {
        TaskState.COMPLETED,
        TaskState.SKIPPED,
        TaskState.FAILED,
        TaskState.TIMED_OUT,
        TaskState.CANCELLED,
        TaskState.CRASHED,
    }
)
UNSUCCESSFUL_TASK_STATES: Final = FINAL_TASK_STATES - {TaskState.COMPLETED, TaskState.SKIPPED}
