"""The deadlines of an attempt, also while it is queued, and of all attempts of a task or item together.

Pure arithmetic over what is stored; `Attempts.check_deadlines` acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from penstock.engine.compiler.task_plan import TaskKind, TaskPlan
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import TaskState


class Deadline(Enum):
    """Which deadline has passed."""

    RETRY = auto()
    """The wait before the next attempt has ended."""
    NODE_LOST = auto()
    """The Pod should have ended so long ago that its node counts as lost."""
    END_OVERDUE = auto()
    """The Pod was to end without being deleted, and has not."""
    TASK_DEADLINE = auto()
    """All attempts together took longer than `deadline`."""
    ATTEMPT_TIMEOUT = auto()
    """The attempt took longer than `timeout`."""
    QUEUE_TIMEOUT = auto()
    """The attempt waited longer than `queueTimeout` to start."""


IN_PLACE_MARGIN_S: Final = 30.0
"""How long after its grace period a Pod that is stopped without being deleted may take to end: then it is deleted."""

DEFAULT_QUEUE_TIMEOUTS_S: Final[Mapping[str, float]] = {
    Reason.IMAGE_PULL_FAILED: 3600.0,
    Reason.CONTAINER_CONFIG_ERROR: 3600.0,
    Reason.MOUNT_FAILED: 3600.0,
    Reason.SANDBOX_FAILED: 3600.0,
    Reason.SIDECAR_FAILED: 3600.0,
    Reason.UNSCHEDULABLE: 86_400.0,
    Reason.WORKSPACE_UNBOUND: 86_400.0,
    Reason.CLAIM_UNBOUND: 86_400.0,
}
"""How long an attempt without a queueTimeout of its own may wait, by what it waits for. What others make room for, such
as a quota or a queue, has no limit. It counts from a time that the Pod has, so nothing has to be stored for it."""

_BY_PRECEDENCE: Final = (
    Deadline.NODE_LOST,
    Deadline.END_OVERDUE,
    Deadline.TASK_DEADLINE,
    Deadline.ATTEMPT_TIMEOUT,
    Deadline.QUEUE_TIMEOUT,
    Deadline.RETRY,
)


def running_deadlines(task: TaskPlan, instance: TaskInstance, *, is_suspended: bool) -> list[tuple[float, Deadline]]:
    """Return the deadlines of a task or item that count now, with their times in seconds since the epoch.

    Args:
        task: the compiled task.
        instance: the task or item.
        is_suspended: nothing new is started, so the wait before a next attempt does not end.
    """
    found: list[tuple[float, Deadline]] = []
    if instance.gone_due_at is not None and task.retry.node_lost_after_s is not None:
        found.append((instance.gone_due_at + task.retry.node_lost_after_s, Deadline.NODE_LOST))
    if instance.stopping:
        if instance.end_due_at is not None and instance.gone_due_at is None:
            found.append((instance.end_due_at + IN_PLACE_MARGIN_S, Deadline.END_OVERDUE))
        return found
    if instance.state is TaskState.RETRYING and not is_suspended:
        assert instance.wake_at is not None
        found.append((instance.wake_at, Deadline.RETRY))
    if task.deadline_s is not None and instance.began_at is not None:
        found.append((instance.began_at + task.deadline_s, Deadline.TASK_DEADLINE))
    timeout_s = task.approval.timeout_s if task.approval is not None else task.timeout_s
    if timeout_s is not None and instance.started_at is not None and instance.state is not TaskState.RETRYING:
        found.append((instance.started_at + timeout_s, Deadline.ATTEMPT_TIMEOUT))
    if (
        task.queue_timeout_s is not None
        and task.kind is not TaskKind.APPROVAL
        and instance.state in (TaskState.PENDING, TaskState.QUEUED)
        and instance.queued_at is not None
    ):
        found.append((instance.queued_at + task.queue_timeout_s, Deadline.QUEUE_TIMEOUT))
    limit_s = _default_queue_timeout_s(task, instance)
    if limit_s is not None and instance.waiting_since is not None:
        found.append((instance.waiting_since + limit_s, Deadline.QUEUE_TIMEOUT))
    return found


def name_queue_timeout(task: TaskPlan, reason: str | None) -> str:
    """Name the limit of an attempt's wait: `queueTimeout`, or the default with its length."""
    limit_s = _default_for(task, reason) if reason else None
    return "queueTimeout" if limit_s is None else f"the default queueTimeout of {_in_words(limit_s)}"


def _default_queue_timeout_s(task: TaskPlan, instance: TaskInstance) -> float | None:
    if instance.state is not TaskState.PENDING or instance.reason is None:
        return None
    return _default_for(task, instance.reason)


def _default_for(task: TaskPlan, reason: str) -> float | None:
    limit_s = DEFAULT_QUEUE_TIMEOUTS_S.get(reason) if task.has_default_queue_timeout else None
    return task.default_queue_timeout_s or limit_s if limit_s is not None else None


def _in_words(duration_s: float) -> str:
    """Return a limit as people write it: `1h`, `90s`."""
    for unit, length_s in (("h", 3600), ("m", 60)):
        if duration_s >= length_s and duration_s % length_s == 0:
            return f"{duration_s / length_s:g}{unit}"
    return f"{duration_s:g}s"


def next_deadline_at(task: TaskPlan, instance: TaskInstance, *, is_suspended: bool) -> float | None:
    """Return the next deadline of a task or item; None if there is none."""
    deadlines = running_deadlines(task, instance, is_suspended=is_suspended)
    return min(due for due, _ in deadlines) if deadlines else None


def passed_deadline(task: TaskPlan, instance: TaskInstance, now: float, *, is_suspended: bool) -> Deadline | None:
    """Return the deadline that has passed; of several the one with precedence; None if none has."""
    due = {deadline for at, deadline in running_deadlines(task, instance, is_suspended=is_suspended) if at <= now}
    return next((deadline for deadline in _BY_PRECEDENCE if deadline in due), None)
