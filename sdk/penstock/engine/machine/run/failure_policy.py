"""What a failure does to the rest of a run: the Flow's `failurePolicy`, in one place.

The live run and a run restored from its status both ask here. From the same stored status they must decide the same.
"""

from __future__ import annotations

from penstock.engine.compiler.plan import Plan
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.state import FINAL_TASK_STATES, UNSUCCESSFUL_TASK_STATES, TaskState


def stops_run(plan: Plan, task: TaskRun) -> bool:
    """Whether nothing new starts because of how a task failed, or because of the failed items of a running fan-out.

    A failure that another task waits for does not stop the run, nor does one that `allowFailed` permits, nor that of a
    finally task.
    """
    if not plan.stops_on_failure or task.plan.is_finally:
        return False
    state = task.state
    if state in UNSUCCESSFUL_TASK_STATES:
        return not task.is_tolerated and state not in task.plan.awaited_states
    if state in FINAL_TASK_STATES:
        return False
    return has_too_many_failures(task) and TaskState.FAILED not in task.plan.awaited_states


def closes_fan_out(plan: Plan, task: TaskRun) -> bool:
    """Whether a fan-out starts no further items because of those that failed."""
    return plan.stops_on_failure and has_too_many_failures(task)


def has_too_many_failures(task: TaskRun) -> bool:
    """Whether more items of a fan-out failed than `allowFailed` permits."""
    items = task.items
    return items is not None and items.failures > task.plan.allow_failed.of(items.total)
