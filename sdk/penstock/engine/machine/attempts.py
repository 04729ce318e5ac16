"""The attempts of tasks and items: what is seen of them, how they end, and what of them is stopped."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.attempt_deadlines import Deadline, passed_deadline
from penstock.engine.machine.effects import RemoveFinalizer, StopAttempt
from penstock.engine.machine.facts import (
    ApprovalDecision,
    AttemptGone,
    AttemptSeen,
    CacheBusy,
    CacheHit,
    CacheMiss,
    Cause,
    CreateHeld,
    CreateRefused,
    Fact,
    Outcome,
)
from penstock.engine.machine.items import json_size
from penstock.engine.machine.notices import Notice
from penstock.engine.machine.run import Run
from penstock.engine.machine.shutdown import ShutdownMode
from penstock.engine.machine.task import TaskRun
from penstock.engine.machine.task_instance import CANCELLING_REASONS, WAITING_REASONS, TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_TASK_STATES, TaskState
from penstock.errors import ExpressionError

OUTPUTS_BYTES = 384 * 1024
"""Most bytes of outputs of all tasks together, as compact JSON: the status must stay below an object's limit."""


class Attempts:
    """Takes over facts about attempts.

    Args:
        board: the state of the run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._released_uids: set[str] = set()

    def observe(self, fact: Fact, now: float) -> None:
        """Take over a fact. Facts may come twice, late, or out of order."""
        run = self._run
        position = run.plan.positions.get(fact.key.task)
        if position is None:
            return
        task = run.tasks[position]
        if fact.key.item is not None and not self._is_item(task, fact.key.item):
            if isinstance(fact, AttemptSeen) and task.state is TaskState.PENDING and run.remaining[position]:
                # Which items there are is known once the upstream's own Pods have been looked at.
                run.early_facts.setdefault(position, []).append(fact)
            return
        if isinstance(fact, AttemptSeen):
            self._handle_seen(task, fact, now)
            return
        instance = task.live_task_instance(fact.key.item)
        if instance is None:
            return
        if isinstance(fact, CacheHit | CacheMiss | CacheBusy):
            self._handle_cache_answer(task, instance, fact, now)
        elif instance.attempt == fact.attempt and instance.state is not TaskState.RETRYING:
            self._handle_absence(task, instance, fact, now)

    def _handle_absence(
        self, task: TaskRun, instance: TaskInstance, fact: AttemptGone | CreateRefused | CreateHeld, now: float
    ) -> None:
        """Take over what became of an attempt that is not there."""
        if isinstance(fact, CreateHeld):
            instance.mark_queued(Reason.QUOTA_EXCEEDED, fact.message)
            self._run.record_state(task, instance)
            self._run.set_timer(task, fact.key, instance)
        elif isinstance(fact, CreateRefused):
            self.end_attempt(
                task, fact.key, instance, Outcome(Cause.FAILURE, now, Reason.CREATE_REFUSED, fact.message), now
            )
        elif task.plan.kind is TaskKind.FLOW and (instance.is_seen or instance.state is not TaskState.PENDING):
            message = f"the child run {instance.pod} was deleted"
            self.end_attempt(task, fact.key, instance, Outcome(Cause.FAILURE, now, Reason.CHILD_DELETED, message), now)
        elif instance.is_seen or instance.state is TaskState.RUNNING or instance.stopping:
            outcome = Outcome(Cause.DISRUPTION, now, Reason.POD_DELETED, "the Pod was deleted and left no outcome")
            self.end_attempt(task, fact.key, instance, outcome, now)
        else:
            self._run.due_attempts.append(fact.key)

    def _handle_cache_answer(
        self, task: TaskRun, instance: TaskInstance, fact: CacheHit | CacheMiss | CacheBusy, now: float
    ) -> None:
        is_waiting = (
            instance.state in (TaskState.PENDING, TaskState.QUEUED) and not instance.is_seen and instance.attempt == 1
        )
        if not is_waiting or instance.is_granted:
            return
        if isinstance(fact, CacheMiss):
            instance.is_granted = True
            self._run.due_attempts.append(fact.key)
        elif isinstance(fact, CacheBusy):
            instance.mark_queued(Reason.CACHE_BUSY, fact.message)
            self._run.record_state(task, instance)
            self._run.set_timer(task, fact.key, instance)
        else:
            outcome = self._within_outputs_budget(Outcome(Cause.SUCCESS, now, outputs=fact.outputs))
            if outcome.outputs is None:
                self.end_attempt(task, fact.key, instance, outcome, now)
                return
            instance.state, instance.reason, instance.message, instance.finished_at = TaskState.CACHED, None, None, now
            if fact.key.item is None:
                task.source = fact.run
            self._run.finish_instance(task, fact.key, instance, outcome.outputs, now)

    def is_wanted(self, key: TaskInstanceKey, attempt: int) -> bool:
        """Whether an attempt that was to be created is still to be: the run may have been stopped since."""
        position = self._run.plan.positions.get(key.task)
        instance = None if position is None else self._run.tasks[position].live_task_instance(key.item)
        return (
            instance is not None
            and instance.attempt == attempt
            and not instance.stopping
            and instance.state in (TaskState.PENDING, TaskState.QUEUED)
        )

    # Pods, Jobs and child runs

    def is_news(self, seen: AttemptSeen) -> bool:
        """Whether an attempt's Pod is other than it was when it was seen last."""
        position = self._run.plan.positions.get(seen.key.task)
        instance = None if position is None else self._run.tasks[position].live_task_instance(seen.key.item)
        return instance is None or instance.uid != seen.uid or seen.version == 0 or seen.version > instance.version

    def _handle_seen(self, task: TaskRun, seen: AttemptSeen, now: float) -> None:
        run = self._run
        instance = task.live_task_instance(seen.key.item)
        if instance is not None and instance.uid == seen.uid and seen.version < instance.version:
            # The reply to a create may come after the watch has shown what became of the Pod.
            return
        is_past = instance is not None and (
            seen.attempt < instance.attempt
            or (seen.attempt == instance.attempt and instance.state is TaskState.RETRYING)
        )
        if is_past or (instance is None and task.is_task_instance_finished(seen.key.item)):
            self._release_finalizer(task, seen)
            return
        if instance is None:
            instance = run.begin_instance(task, seen.key.item)
        started_at = run.clock.started_at
        if started_at is None or seen.created_at < started_at:
            self.start_run(seen.created_at)
        if instance.apply_seen(seen, now):
            run.record_state(task, instance)
        if task.items is not None and instance.started_at is not None:
            task.items.started_at = min(task.items.started_at or instance.started_at, instance.started_at)
        if seen.outcome is not None:
            self.end_attempt(task, seen.key, instance, seen.outcome, now)
            self._release_finalizer(task, seen)
            return
        reason = run.stop_reason(is_finally=task.plan.is_finally)
        if reason is not None and not instance.stopping:
            # A Pod that nobody knew of when the run was stopped.
            self._stop(task, seen.key, instance, reason, now)
        elif instance.stopping and not seen.is_deleting:
            run.do_once_stored(task, StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid, instance.stopping))
        run.set_timer(task, seen.key, instance)

    def start_run(self, started_at: float) -> None:
        """Note when the run's first task was started."""
        self._run.clock.started_at = started_at
        self._run.status.mark_head_changed()

    def _release_finalizer(self, task: TaskRun, seen: AttemptSeen) -> None:
        # An attempt whose end is decided: whatever of its Pod still runs is in the way, and its finalizer too.
        run = self._run
        if not seen.is_finished and not seen.is_deleting:
            run.do_once_stored(task, StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid))
        if seen.is_tracked:
            if seen.uid not in self._released_uids:
                self._released_uids.add(seen.uid)
                run.do_once_stored(task, RemoveFinalizer(seen.pod, seen.uid))
        else:
            self._released_uids.discard(seen.uid)

    def end_attempt(
        self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, outcome: Outcome, now: float
    ) -> None:
        """Take over how an attempt ended."""
        run = self._run
        outcome = self._within_outputs_budget(instance.apply_stop_reason(outcome))
        veto = self._veto(task, instance, outcome) if outcome.cause is Cause.FAILURE else None
        instance.end_attempt(outcome, policy=task.plan.retry, run_uid=run.identity.uid, key=key, veto=veto)
        reason = run.stop_reason(is_finally=task.plan.is_finally)
        if reason is not None and instance.state is TaskState.RETRYING:
            instance.cancel_retry(reason)
        run.decided_outcomes += 1
        run.record_state(task, instance)
        if instance.state is not TaskState.COMPLETED:
            task.record_failure(key.item, instance)
            run.record_history(task)
            run.outbox.notices.append(Notice.of_attempt(key, instance))
        if instance.state is TaskState.RETRYING:
            instance.timer_at = None
            run.set_timer(task, key, instance)
            return
        run.finish_instance(
            task, key, instance, outcome.outputs if instance.state is TaskState.COMPLETED else None, now
        )

    def _veto(self, task: TaskRun, instance: TaskInstance, outcome: Outcome) -> str | None:
        """Return why a failure is final whatever its budget; None if it is not."""
        policy = task.plan.retry
        if outcome.reason == Reason.TOO_DEEP:
            return "another attempt would be as deep"
        if outcome.exit_code is not None and outcome.exit_code in policy.non_retryable_exit_codes:
            return f"exit code {outcome.exit_code} is one of retry.nonRetryableExitCodes"
        if policy.when is None or outcome.reason in CANCELLING_REASONS:
            return None
        failure = {
            # As plain text: expressions know no enumerations.
            "reason": None if outcome.reason is None else str(outcome.reason),
            "exitCode": outcome.exit_code,
            "message": outcome.message,
            "attempt": instance.attempt,
        }
        params = self._run.expression_values(frozenset())["params"]
        try:
            may_retry = policy.when.evaluate_condition({"params": params, "failure": failure})
        except ExpressionError as error:
            return f"retry.when: {error}"
        return None if may_retry else f"retry.when is false: {policy.when.source}"

    def _within_outputs_budget(self, outcome: Outcome) -> Outcome:
        if outcome.outputs is None:
            return outcome
        size = json_size(outcome.outputs)
        if self._run.outputs_bytes + size > OUTPUTS_BYTES:
            message = (
                f"with these {size} bytes the run's outputs would exceed {OUTPUTS_BYTES} bytes: "
                "pass large data by reference"
            )
            return Outcome(Cause.FAILURE, outcome.finished_at, Reason.INVALID_OUTPUTS, message, outcome.exit_code)
        return outcome

    def fail_permanently(
        self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, message: str, now: float
    ) -> None:
        """End a unit for good whose inputs can't be had: what is wrong stays wrong."""
        instance.fail_permanently(Reason.EXPRESSION_ERROR, message, now)
        self._end_failed(task, key, instance, now)

    def _end_failed(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, now: float) -> None:
        run = self._run
        run.record_state(task, instance)
        task.record_failure(key.item, instance)
        run.outbox.notices.append(Notice.of_attempt(key, instance))
        run.finish_instance(task, key, instance, None, now)

    # Approvals

    def ask_approval(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, now: float) -> None:
        """Have a task wait for a person's decision, or take over one that was made before.

        Raises:
            ExpressionError: what is asked can't be told.
        """
        run = self._run
        assert task.plan.approval is not None
        if instance.state is not TaskState.PAUSED:
            instance.wait_for_approval(task.plan.approval.message.render(run.expression_context(task)), now)
            run.record_state(task, instance)
            run.outbox.notices.append(Notice.of_question(key, instance))
        instance.is_seen = True
        run.set_timer(task, key, instance)
        self.decide_approval(task, now)

    def decide_approval(self, task: TaskRun, now: float) -> None:
        """Take over what a person decided about an approval, if it waits for that."""
        given: ApprovalDecision | None = self._run.control.approvals.get(task.plan.name)
        instance = task.live_task_instance(None)
        if given is None or instance is None or instance.state is not TaskState.PAUSED:
            return
        key = TaskInstanceKey(task.plan.name)
        if given.is_approved:
            outputs = {"decision": "Approve", "comment": given.comment or ""}
            instance.end_attempt(
                Outcome(Cause.SUCCESS, now, outputs=outputs),
                policy=task.plan.retry,
                run_uid=self._run.identity.uid,
                key=key,
                veto=None,
            )
            self._run.record_state(task, instance)
            self._run.finish_instance(task, key, instance, outputs, now)
        else:
            instance.fail_permanently(Reason.REJECTED, given.comment or "rejected without a comment", now)
            self._end_failed(task, key, instance, now)

    # Clocks

    def check_deadlines(self, now: float) -> None:
        """Look at the attempts whose time has come."""
        run = self._run
        for timer in run.timers.pop_due(now):
            task = run.tasks[timer.position]
            instance = task.live_task_instance(timer.item)
            if instance is None or instance.attempt != timer.attempt:
                continue
            instance.timer_at = None
            key = TaskInstanceKey(task.plan.name, timer.item)
            self._check_deadline(task, key, instance, now)
            if task.live_task_instance(timer.item) is instance:
                run.set_timer(task, key, instance)

    def _check_deadline(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, now: float) -> None:
        run = self._run
        deadline = passed_deadline(task.plan, instance, now, is_suspended=run.control.is_suspended)
        if deadline is Deadline.RETRY:
            instance.begin_next_attempt()
            run.due_attempts.append(key)
            run.record_state(task, instance)
        elif deadline is Deadline.NODE_LOST:
            message = f"the Pod {instance.pod} should be gone, but its node {instance.node} does not say so"
            self.end_attempt(task, key, instance, Outcome(Cause.DISRUPTION, now, Reason.NODE_LOST, message), now)
        elif deadline is Deadline.TASK_DEADLINE:
            self._stop(task, key, instance, Reason.TASK_DEADLINE_EXCEEDED, now)
        elif deadline is Deadline.ATTEMPT_TIMEOUT:
            is_approval = task.plan.kind is TaskKind.APPROVAL
            self._stop(task, key, instance, Reason.APPROVAL_TIMEOUT if is_approval else Reason.DEADLINE_EXCEEDED, now)
        elif deadline is Deadline.QUEUE_TIMEOUT:
            why = Reason(instance.reason) if instance.reason in WAITING_REASONS else Reason.QUEUE_TIMEOUT
            self._stop(task, key, instance, why, now)

    def stop_all(
        self, tasks: Sequence[TaskRun], reason: Reason, now: float, *, mode: ShutdownMode | None = None
    ) -> None:
        """Stop what runs of some tasks, for the sake of the run.

        Args:
            tasks: the tasks.
            reason: why.
            now: seconds since the epoch.
            mode: how the run is ended early, if it is: a drain stops approvals only.
        """
        for task in tasks:
            for index, instance in task.live_instances():
                if mode is ShutdownMode.DRAIN and task.plan.kind is not TaskKind.APPROVAL:
                    continue
                key = TaskInstanceKey(task.plan.name, index)
                is_stronger = task.plan.kind is TaskKind.FLOW and mode is ShutdownMode.TERMINATE
                if not instance.stopping or is_stronger:
                    self._stop(task, key, instance, reason, now)
            if task.items is not None:
                self._run.close_fan_out(task, now)

    def _stop(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, reason: Reason, now: float) -> None:
        run = self._run
        has_pod = (
            instance.is_seen and task.plan.kind is not TaskKind.APPROVAL and instance.state is not TaskState.RETRYING
        )
        if not has_pod:
            # No Pod is there to be stopped, or none that was seen: one that appears is let go at sight.
            outcome = Outcome(Cause.FAILURE, now, reason, instance.stop_message(reason))
            instance.stopping = None
            self.end_attempt(task, key, instance, outcome, now)
            return
        instance.stopping = reason
        run.record_state(task, instance)
        if instance.pod is not None and instance.uid is not None:
            run.do_once_stored(task, StopAttempt(key, instance.attempt, instance.pod, instance.uid, reason))
        run.set_timer(task, key, instance)

    def _is_item(self, task: TaskRun, index: int) -> bool:
        if task.plan.fan_out is None:
            return False
        if task.items is None:
            if task.state in FINAL_TASK_STATES or self._run.remaining[task.plan.position]:
                return False
            try:
                self._run.expand(task)
            except ExpressionError:
                return False
        assert task.items is not None
        return 0 <= index < task.items.total
