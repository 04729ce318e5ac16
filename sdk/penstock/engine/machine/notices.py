"""Notices of a run: what a person should find among its Events."""

from __future__ import annotations

from typing import NamedTuple

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.task_instance import TaskInstance
from penstock.engine.state import SUCCESSFUL_RUN_STATES, RunState, TaskState


class Notice(NamedTuple):
    """Something that a person who looks at the run should find among its Events."""

    is_warning: bool
    reason: str
    message: str
    identity: str
    """What makes it different from other notices of the run, the same in every process."""

    @classmethod
    def of_attempt(cls, key: TaskInstanceKey, instance: TaskInstance) -> Notice:
        """Tell of an attempt that did not end well."""
        name = key.task if key.item is None else f"{key.task}[{key.item}]"
        text = f"task {name}: attempt {instance.attempt} ended: {instance.reason}: {instance.message or ''}".rstrip(
            ": "
        )
        if instance.state is TaskState.RETRYING:
            return cls(
                is_warning=True,
                reason="TaskRetrying",
                message=f"{text}; tried again",
                identity=f"{name}/{instance.attempt}",
            )
        return cls(is_warning=True, reason=f"Task{instance.state}", message=text, identity=f"{name}/{instance.attempt}")

    @classmethod
    def of_approval_request(cls, key: TaskInstanceKey, instance: TaskInstance) -> Notice:
        """Tell that a person is asked."""
        return cls(
            is_warning=False,
            reason="ApprovalRequested",
            message=f"task {key.task} waits for a decision{f': {instance.message}' if instance.message else ''}",
            identity=f"{key.task}/asked",
        )

    @classmethod
    def of_run(cls, state: RunState, message: str) -> Notice:
        """Tell how the run ended."""
        return cls(is_warning=state not in SUCCESSFUL_RUN_STATES, reason=str(state), message=message, identity="run")
