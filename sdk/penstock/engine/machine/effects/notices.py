"""Notices of a run: the Events that are recorded about it."""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.engine.failure_message import headline
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.facts import ApprovalDecision, Control
from penstock.engine.machine.reason_groups import HELD_REASONS
from penstock.engine.machine.tasks.obstacles import name_of
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import SUCCESSFUL_RUN_STATES, RunState

SHUTDOWN_WORDS: Final = {"Drain": "Draining", "Cancel": "Cancelling", "Terminate": "Terminating"}


class Notice(NamedTuple):
    """An Event to record about the run."""

    is_warning: bool
    reason: str
    message: str
    identity: str
    """What distinguishes it from other notices of the run, the same in every process."""

    @classmethod
    def of_attempt(cls, key: TaskInstanceKey, instance: TaskInstance, retry: str = "") -> Notice:
        """Return the notice of a failed attempt.

        Args:
            key: the task or item.
            instance: the same, after the attempt.
            retry: which retry follows, and when; empty if none does.
        """
        name = name_of(key)
        # One line: the task's entry and its log have the rest.
        text = f"task {name}: {headline(instance.reason, instance.message)} (attempt {instance.attempt}"
        return cls(
            is_warning=True,
            reason=f"Task{instance.state}",
            message=f"{text}; {retry})" if retry else f"{text})",
            identity=f"{name}/{instance.attempt}",
        )

    @classmethod
    def of_obstacle(cls, key: TaskInstanceKey, instance: TaskInstance) -> Notice:
        """Return the notice of a task with an obstacle to its start or its node: once for all items of a fan-out."""
        text = f"task {name_of(key)}: {instance.reason}"
        return cls(
            is_warning=instance.reason not in HELD_REASONS,
            reason="TaskWaiting",
            message=f"{text}: {instance.message}" if instance.message else text,
            identity=f"{key.task}/{instance.reason}",
        )

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
    def of_decision(cls, task: str, decision: ApprovalDecision) -> Notice:
        """Return the notice of a decision about an approval."""
        word = "Approved" if decision.is_approved else "Rejected"
        by = f" by {decision.record.by.user}" if decision.record else ""
        comment = f": {decision.comment}" if decision.comment else ""
        return cls(
            is_warning=False,
            reason=word,
            message=f"task {task} was {word.lower()}{by}{comment}",
            identity=f"{task}/decided",
        )

    @classmethod
    def of_uncounted_decision(cls, task: str, why: str) -> Notice:
        """Return the notice of a decision about an approval that does not count."""
        return cls(
            is_warning=True,
            reason=str(Reason.DECISION_NOT_PROVED),
            message=f"task {task}: {why}",
            identity=f"{task}/uncounted",
        )

    @classmethod
    def of_suspension(cls, control: Control) -> Notice:
        """Return the notice of a suspension, or of its end."""
        word = "Suspended" if control.is_suspended else "Resumed"
        by = control.suspended_by
        return cls(
            is_warning=False,
            reason=word,
            message=f"{word} by {by.user}" if by else word,
            identity=f"{word}/{by.time if by else ''}",
        )

    @classmethod
    def of_shutdown(cls, mode: str, message: str) -> Notice:
        """Return the notice of a shutdown that begins."""
        word = SHUTDOWN_WORDS[mode]
        return cls(is_warning=False, reason=word, message=f"{word}: {message}", identity=word)

    @classmethod
    def of_run(cls, state: RunState, message: str) -> Notice:
        """Return the notice of the run's end."""
        return cls(is_warning=state not in SUCCESSFUL_RUN_STATES, reason=str(state), message=message, identity="run")
