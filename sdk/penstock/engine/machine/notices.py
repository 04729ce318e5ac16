"""Notices of a run: the Events that are recorded about it."""

from __future__ import annotations

from typing import NamedTuple

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.task_instance import TaskInstance
from penstock.engine.state import SUCCESSFUL_RUN_STATES, RunState, TaskState


class Notice(NamedTuple):
    """An Event to record about the run."""

    is_warning: bool
    reason: str
    message: str
    identity: str
    """What distinguishes it from other notices of the run, the same in every process."""

    @classmethod
    def of_attempt(cls, key: TaskInstanceKey, instance: TaskInstance) -> Notice:
        """Return the notice of a failed attempt."""
        name = key.task if key.item is None else f"{key.task}[{key.item}]"
        text = f"task {name}: attempt {instance.attempt} failed ({instance.reason})"
        if instance.message:
            text += f": {instance.message}"
        if instance.state is TaskState.RETRYING:
            return cls(
                is_warning=True,
                reason="TaskRetrying",
                message=f"{text}; retrying",
                identity=f"{name}/{instance.attempt}",
            )
        return cls(is_warning=True, reason=f"Task{instance.state}", message=text, identity=f"{name}/{instance.attempt}")

    @classmethod
    def of_approval_request(cls, key: TaskInstanceKey, instance: TaskInstance) -> Notice:
        """Return the notice of an approval that waits for a decision."""
        return cls(
            is_warning=False,
            reason="ApprovalRequested",
            message=f"task {key.task} is waiting for approval{f': {instance.message}' if instance.message else ''}",
            identity=f"{key.task}/asked",
        )

    @classmethod
    def of_run(cls, state: RunState, message: str) -> Notice:
        """Return the notice of the run's end."""
        return cls(is_warning=state not in SUCCESSFUL_RUN_STATES, reason=str(state), message=message, identity="run")
