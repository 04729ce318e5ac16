"""Approvals: tasks that wait for a person's decision. A rejected approval fails its task here."""

from __future__ import annotations

from penstock.engine.expressions.budget import unlimited
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.attempts import Attempts
from penstock.engine.machine.effects.notices import Notice
from penstock.engine.machine.facts import ApprovalDecision, Cause, Outcome
from penstock.engine.machine.run.run import Run
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import TaskState
from penstock.errors import ExpressionError, in_field


class Approvals:
    """Asks for decisions and applies them.

    Args:
        run: the state of the run.
        attempts: ends the attempt of a task that was rejected.
    """

    def __init__(self, run: Run, attempts: Attempts) -> None:
        self._run = run
        self._attempts = attempts

    def request_approval(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, now: float) -> None:
        """Have a task wait for a person's decision, or apply a decision that was made before.

        Raises:
            ExpressionError: the approval's message could not be evaluated.
        """
        run = self._run
        assert task.plan.approval is not None
        if instance.state is not TaskState.PAUSED:
            try:
                with unlimited():
                    message = task.plan.approval.message.render(run.expression_context(task))
            except ExpressionError as error:
                raise in_field("approval.message", error) from error
            instance.wait_for_approval(message, now)
            run.record_state(task, key, instance)
            run.outbox.notices.append(Notice.of_approval_request(key, instance))
        instance.is_seen = True
        run.set_timer(task, key, instance)
        self.apply_decision(task, now)

    def apply_decision(self, task: TaskRun, now: float) -> None:
        """Complete or fail a task that waits for a decision, if the run's spec has one."""
        run = self._run
        decision: ApprovalDecision | None = run.control.approvals.get(task.plan.name)
        instance = task.live_task_instance(None)
        if decision is None or instance is None or instance.state is not TaskState.PAUSED:
            return
        key = TaskInstanceKey(task.plan.name)
        if (why := _why_uncounted(task, decision, has_approvers=run.control.has_approvers)) is not None:
            if (instance.reason, instance.message) != (Reason.DECISION_NOT_PROVED, why):
                instance.reason, instance.message = Reason.DECISION_NOT_PROVED, why
                run.record_state(task, key, instance)
                run.outbox.notices.append(Notice.of_uncounted_decision(task.plan.name, why))
            return
        run.outbox.notices.append(Notice.of_decision(task.plan.name, decision))
        if not decision.is_approved:
            message = decision.comment or "rejected without a comment"
            self._attempts.fail_permanently(task, key, instance, Reason.REJECTED, message, now)
            return
        outputs = {"decision": "Approve", "comment": decision.comment or ""}
        instance.end_attempt(
            Outcome(Cause.SUCCESS, now, outputs=outputs),
            policy=task.plan.retry,
            run_uid=run.identity.uid,
            key=key,
            veto=None,
        )
        run.record_state(task, key, instance)
        run.finish_instance(task, key, instance, outputs, now)


def _why_uncounted(task: TaskRun, decision: ApprovalDecision, *, has_approvers: bool) -> str | None:
    """Return why a decision does not count; None if it does."""
    approvers = task.plan.approval.approvers if task.plan.approval is not None else None
    if approvers is None or not has_approvers:
        return None
    word = "Approve" if decision.is_approved else "Reject"
    if decision.record is None or not decision.is_proved:
        return f"{word} does not count, because it is not proved who decided: {approvers}"
    if not approvers.include(decision.record.by.user, decision.record.groups):
        return f"{word} by {decision.record.by.user} does not count: {approvers}"
    return None
