"""The attempts of tasks and items: what is seen of them, how they end, and what of them is stopped."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.clocks import Alarm, rung
from penstock.engine.machine.effects import ReleaseAttempt, StopAttempt
from penstock.engine.machine.facts import (
    ApprovalGiven,
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

    def __init__(self, board: Run) -> None:
        self._board = board
        self._disposed: set[str] = set()

    def observe(self, fact: Fact, now: float) -> None:
        """Take over a fact. Facts may come twice, late, or out of order."""
        board = self._board
        position = board.plan.positions.get(fact.key.task)
        if position is None:
            return
        task = board.tasks[position]
        if fact.key.item is not None and not self._is_item(task, fact.key.item):
            if isinstance(fact, AttemptSeen) and task.state is TaskState.PENDING and board.remaining[position]:
                # Which items there are is known once the upstream's own Pods have been looked at.
                board.early.setdefault(position, []).append(fact)
            return
        if isinstance(fact, AttemptSeen):
            self._see(task, fact, now)
            return
        unit = task.live_task_instance(fact.key.item)
        if unit is None:
            return
        if isinstance(fact, CacheHit | CacheMiss | CacheBusy):
            self._hear_cache(task, unit, fact, now)
        elif unit.attempt == fact.attempt and unit.state is not TaskState.RETRYING:
            self._hear(task, unit, fact, now)

    def _hear(
        self, task: TaskRun, unit: TaskInstance, fact: AttemptGone | CreateRefused | CreateHeld, now: float
    ) -> None:
        """Take over what became of an attempt that is not there."""
        if isinstance(fact, CreateHeld):
            unit.hold(Reason.QUOTA_EXCEEDED, fact.message)
            self._board.note(task, unit)
            self._board.arm(task, fact.key, unit)
        elif isinstance(fact, CreateRefused):
            self.settle(task, fact.key, unit, Outcome(Cause.FAILURE, now, Reason.CREATE_REFUSED, fact.message), now)
        elif task.plan.kind is TaskKind.FLOW and (unit.is_seen or unit.state is not TaskState.PENDING):
            message = f"the child run {unit.pod} was deleted"
            self.settle(task, fact.key, unit, Outcome(Cause.FAILURE, now, Reason.CHILD_DELETED, message), now)
        elif unit.is_seen or unit.state is TaskState.RUNNING or unit.stopping:
            outcome = Outcome(Cause.DISRUPTION, now, Reason.POD_DELETED, "the Pod was deleted and left no outcome")
            self.settle(task, fact.key, unit, outcome, now)
        else:
            self._board.due.append(fact.key)

    def _hear_cache(
        self, task: TaskRun, unit: TaskInstance, fact: CacheHit | CacheMiss | CacheBusy, now: float
    ) -> None:
        is_waiting = unit.state in (TaskState.PENDING, TaskState.QUEUED) and not unit.is_seen and unit.attempt == 1
        if not is_waiting or unit.is_granted:
            return
        if isinstance(fact, CacheMiss):
            unit.is_granted = True
            self._board.due.append(fact.key)
        elif isinstance(fact, CacheBusy):
            unit.hold(Reason.CACHE_BUSY, fact.message)
            self._board.note(task, unit)
            self._board.arm(task, fact.key, unit)
        else:
            outcome = self._within_budget(Outcome(Cause.SUCCESS, now, outputs=fact.outputs))
            if outcome.outputs is None:
                self.settle(task, fact.key, unit, outcome, now)
                return
            unit.state, unit.reason, unit.message, unit.finished_at = TaskState.CACHED, None, None, now
            if fact.key.item is None:
                task.source = fact.run
            self._board.conclude(task, fact.key, unit, outcome.outputs, now)

    def is_wanted(self, key: TaskInstanceKey, attempt: int) -> bool:
        """Whether an attempt that was to be created is still to be: the run may have been stopped since."""
        position = self._board.plan.positions.get(key.task)
        unit = None if position is None else self._board.tasks[position].live_task_instance(key.item)
        return (
            unit is not None
            and unit.attempt == attempt
            and not unit.stopping
            and unit.state in (TaskState.PENDING, TaskState.QUEUED)
        )

    # Pods, Jobs and child runs

    def is_news(self, seen: AttemptSeen) -> bool:
        """Whether an attempt's Pod is other than it was when it was seen last."""
        position = self._board.plan.positions.get(seen.key.task)
        unit = None if position is None else self._board.tasks[position].live_task_instance(seen.key.item)
        return unit is None or unit.uid != seen.uid or seen.version == 0 or seen.version > unit.version

    def _see(self, task: TaskRun, seen: AttemptSeen, now: float) -> None:
        board = self._board
        unit = task.live_task_instance(seen.key.item)
        if unit is not None and unit.uid == seen.uid and seen.version < unit.version:
            # The reply to a create may come after the watch has shown what became of the Pod.
            return
        is_past = unit is not None and (
            seen.attempt < unit.attempt or (seen.attempt == unit.attempt and unit.state is TaskState.RETRYING)
        )
        if is_past or (unit is None and task.is_task_instance_finished(seen.key.item)):
            self._let_go(task, seen)
            return
        if unit is None:
            unit = board.begin(task, seen.key.item)
        started_at = board.clock.started_at
        if started_at is None or seen.created_at < started_at:
            self.start_run(seen.created_at)
        if unit.see(seen, now):
            board.note(task, unit)
        if task.items is not None and unit.started_at is not None:
            task.items.started_at = min(task.items.started_at or unit.started_at, unit.started_at)
        if seen.outcome is not None:
            self.settle(task, seen.key, unit, seen.outcome, now)
            self._let_go(task, seen)
            return
        reason = board.stop_reason(is_finally=task.plan.is_finally)
        if reason is not None and not unit.stopping:
            # A Pod that nobody knew of when the run was stopped.
            self._stop(task, seen.key, unit, reason, now)
        elif unit.stopping and not seen.is_deleting:
            board.after(task, StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid, unit.stopping))
        board.arm(task, seen.key, unit)

    def start_run(self, started_at: float) -> None:
        """Note when the run's first task was started."""
        self._board.clock.started_at = started_at
        self._board.report.touch_head()

    def _let_go(self, task: TaskRun, seen: AttemptSeen) -> None:
        # An attempt whose end is decided: whatever of its Pod still runs is in the way, and its finalizer too.
        board = self._board
        if not seen.is_finished and not seen.is_deleting:
            board.after(task, StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid))
        if seen.is_tracked:
            if seen.uid not in self._disposed:
                self._disposed.add(seen.uid)
                board.after(task, ReleaseAttempt(seen.pod, seen.uid))
        else:
            self._disposed.discard(seen.uid)

    def settle(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, outcome: Outcome, now: float) -> None:
        """Take over how an attempt ended."""
        board = self._board
        outcome = self._within_budget(unit.override(outcome))
        veto = self._veto(task, unit, outcome) if outcome.cause is Cause.FAILURE else None
        unit.settle(outcome, policy=task.plan.retry, run_uid=board.run.uid, key=key, veto=veto)
        reason = board.stop_reason(is_finally=task.plan.is_finally)
        if reason is not None and unit.state is TaskState.RETRYING:
            unit.give_up(reason)
        board.settled_outcomes += 1
        board.note(task, unit)
        if unit.state is not TaskState.COMPLETED:
            task.record_failure(key.item, unit)
            board.tell(task)
            board.outbox.notices.append(Notice.of_attempt(key, unit))
        if unit.state is TaskState.RETRYING:
            unit.armed_at = None
            board.arm(task, key, unit)
            return
        board.conclude(task, key, unit, outcome.outputs if unit.state is TaskState.COMPLETED else None, now)

    def _veto(self, task: TaskRun, unit: TaskInstance, outcome: Outcome) -> str | None:
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
            "attempt": unit.attempt,
        }
        params = self._board.values(frozenset())["params"]
        try:
            may_retry = policy.when.evaluate_condition({"params": params, "failure": failure})
        except ExpressionError as error:
            return f"retry.when: {error}"
        return None if may_retry else f"retry.when is false: {policy.when.source}"

    def _within_budget(self, outcome: Outcome) -> Outcome:
        if outcome.outputs is None:
            return outcome
        size = json_size(outcome.outputs)
        if self._board.outputs_bytes + size > OUTPUTS_BYTES:
            message = (
                f"with these {size} bytes the run's outputs would exceed {OUTPUTS_BYTES} bytes: "
                "pass large data by reference"
            )
            return Outcome(Cause.FAILURE, outcome.finished_at, Reason.INVALID_OUTPUTS, message, outcome.exit_code)
        return outcome

    def fail(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, message: str, now: float) -> None:
        """End a unit for good whose inputs can't be had: what is wrong stays wrong."""
        unit.fail(Reason.EXPRESSION_ERROR, message, now)
        self._end_failed(task, key, unit, now)

    def _end_failed(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, now: float) -> None:
        board = self._board
        board.note(task, unit)
        task.record_failure(key.item, unit)
        board.outbox.notices.append(Notice.of_attempt(key, unit))
        board.conclude(task, key, unit, None, now)

    # Approvals

    def ask_approval(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, now: float) -> None:
        """Have a task wait for a person's decision, or take over one that was made before.

        Raises:
            ExpressionError: what is asked can't be told.
        """
        board = self._board
        assert task.plan.approval is not None
        if unit.state is not TaskState.PAUSED:
            unit.pause(task.plan.approval.message.render(board.context(task)), now)
            board.note(task, unit)
            board.outbox.notices.append(Notice.of_question(key, unit))
        unit.is_seen = True
        board.arm(task, key, unit)
        self.decide_approval(task, now)

    def decide_approval(self, task: TaskRun, now: float) -> None:
        """Take over what a person decided about an approval, if it waits for that."""
        given: ApprovalGiven | None = self._board.control.approvals.get(task.plan.name)
        unit = task.live_task_instance(None)
        if given is None or unit is None or unit.state is not TaskState.PAUSED:
            return
        key = TaskInstanceKey(task.plan.name)
        if given.is_approved:
            outputs = {"decision": "Approve", "comment": given.comment or ""}
            unit.settle(
                Outcome(Cause.SUCCESS, now, outputs=outputs),
                policy=task.plan.retry,
                run_uid=self._board.run.uid,
                key=key,
                veto=None,
            )
            self._board.note(task, unit)
            self._board.conclude(task, key, unit, outputs, now)
        else:
            unit.fail(Reason.REJECTED, given.comment or "rejected without a comment", now)
            self._end_failed(task, key, unit, now)

    # Clocks

    def ring(self, now: float) -> None:
        """Look at the attempts whose time has come."""
        board = self._board
        for timer in board.timers.ring(now):
            task = board.tasks[timer.position]
            unit = task.live_task_instance(timer.item)
            if unit is None or unit.attempt != timer.attempt:
                continue
            unit.armed_at = None
            key = TaskInstanceKey(task.plan.name, timer.item)
            self._ring(task, key, unit, now)
            if task.live_task_instance(timer.item) is unit:
                board.arm(task, key, unit)

    def _ring(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, now: float) -> None:
        board = self._board
        alarm = rung(task.plan, unit, now, is_suspended=board.control.is_suspended)
        if alarm is Alarm.WAKE:
            unit.begin_next_attempt()
            board.due.append(key)
            board.note(task, unit)
        elif alarm is Alarm.LOST:
            message = f"the Pod {unit.pod} should be gone, but its node {unit.node} does not say so"
            self.settle(task, key, unit, Outcome(Cause.DISRUPTION, now, Reason.NODE_LOST, message), now)
        elif alarm is Alarm.DEADLINE:
            self._stop(task, key, unit, Reason.TASK_DEADLINE_EXCEEDED, now)
        elif alarm is Alarm.TIMEOUT:
            is_approval = task.plan.kind is TaskKind.APPROVAL
            self._stop(task, key, unit, Reason.APPROVAL_TIMEOUT if is_approval else Reason.DEADLINE_EXCEEDED, now)
        elif alarm is Alarm.QUEUE_TIMEOUT:
            why = Reason(unit.reason) if unit.reason in WAITING_REASONS else Reason.QUEUE_TIMEOUT
            self._stop(task, key, unit, why, now)

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
            for index, unit in task.live():
                if mode is ShutdownMode.DRAIN and task.plan.kind is not TaskKind.APPROVAL:
                    continue
                key = TaskInstanceKey(task.plan.name, index)
                is_stronger = task.plan.kind is TaskKind.FLOW and mode is ShutdownMode.TERMINATE
                if not unit.stopping or is_stronger:
                    self._stop(task, key, unit, reason, now)
            if task.items is not None:
                self._board.close_fan_out(task, now)

    def _stop(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, reason: Reason, now: float) -> None:
        board = self._board
        has_pod = unit.is_seen and task.plan.kind is not TaskKind.APPROVAL and unit.state is not TaskState.RETRYING
        if not has_pod:
            # No Pod is there to be stopped, or none that was seen: one that appears is let go at sight.
            outcome = Outcome(Cause.FAILURE, now, reason, unit.stop_message(reason))
            unit.stopping = None
            self.settle(task, key, unit, outcome, now)
            return
        unit.stopping = reason
        board.note(task, unit)
        if unit.pod is not None and unit.uid is not None:
            board.after(task, StopAttempt(key, unit.attempt, unit.pod, unit.uid, reason))
        board.arm(task, key, unit)

    def _is_item(self, task: TaskRun, index: int) -> bool:
        if task.plan.fan_out is None:
            return False
        if task.items is None:
            if task.state in FINAL_TASK_STATES or self._board.remaining[task.plan.position]:
                return False
            try:
                self._board.expand(task)
            except ExpressionError:
                return False
        assert task.items is not None
        return 0 <= index < task.items.total
