"""The attempts of tasks and items: what is observed of them, how they end, and which of them are stopped."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.engine.compiler.task_plan import TaskKind, TaskPlan
from penstock.engine.expressions.budget import is_spent
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import FailedAttempt, RemoveFinalizer, StopAttempt, VerifyAttempt
from penstock.engine.machine.effects.notices import Notice
from penstock.engine.machine.effects.outbox import HeldFact
from penstock.engine.machine.facts import (
    AttemptGone,
    AttemptKind,
    AttemptSeen,
    Cause,
    CreateHeld,
    CreateRefused,
    Outcome,
    RenderFailed,
)
from penstock.engine.machine.outputs_limit import limit_outputs
from penstock.engine.machine.reason_groups import CANCELLING_REASONS, WAITING_REASONS
from penstock.engine.machine.retry_policy import why_not_retried
from penstock.engine.machine.run.run import Run
from penstock.engine.machine.run.shutdown import ShutdownMode
from penstock.engine.machine.tasks.attempt_deadlines import (
    IN_PLACE_MARGIN_S,
    Deadline,
    name_queue_timeout,
    passed_deadline,
)
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import TaskState

Absence = AttemptGone | CreateRefused | RenderFailed | CreateHeld


class Attempts:
    """Handles facts about attempts.

    Args:
        run: the state of the run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._released_uids: set[str] = set()

    def observe(self, fact: AttemptSeen | Absence, now: float) -> None:
        """Handle a fact. Facts may come twice, late, or out of order."""
        run = self._run
        position = run.plan.positions.get(fact.key.task)
        if position is None:
            return
        task = run.tasks[position]
        if isinstance(fact, AttemptSeen) and fact.kind is not _kind_of(task.plan):
            # Something else made an object that looks like an attempt of this task. An approval has none at all.
            return
        if fact.key.item is not None and not run.is_item(task, fact.key.item):
            if isinstance(fact, AttemptSeen) and task.state is TaskState.PENDING and run.remaining[position]:
                # Which items there are is known only when the Pods of the upstream tasks have been observed.
                run.early_facts.setdefault(position, []).append(fact)
            return
        instance = task.live_task_instance(fact.key.item)
        if instance is not None:
            if isinstance(fact, AttemptSeen) and _is_replaced(instance, fact):
                # Names are unique: the attempt's own object is gone, and another client has created another.
                fact = AttemptGone(fact.key, fact.attempt)
            if instance.stopping and self._hold_end(instance, fact):
                return
        if isinstance(fact, AttemptSeen):
            self._handle_seen(task, fact, now)
        elif instance is not None and instance.attempt == fact.attempt and instance.state is not TaskState.RETRYING:
            self._handle_absence(task, instance, fact, now)

    def is_begun(self, seen: AttemptSeen) -> bool:
        """Whether the machine has begun an attempt itself, or has finished its task or item.

        Or has its Pod among those that were observed before their task was ready.
        """
        position = self._run.plan.positions.get(seen.key.task)
        if position is None:
            return False
        task = self._run.tasks[position]
        instance = task.live_task_instance(seen.key.item)
        if instance is None:
            is_early = any(fact.uid == seen.uid for fact in self._run.early_facts.get(position, ()))
            return is_early or task.is_task_instance_finished(seen.key.item)
        return seen.attempt <= instance.attempt

    def observe_held(self, now: float) -> None:
        """Handle the facts that waited for the stops of their attempts to be stored."""
        facts = self._run.outbox.take_facts()
        for position, fact in enumerate(facts):
            if is_spent():
                self._run.outbox.return_facts(facts[position:])
                break
            self.observe(fact, now)

    def _hold_end(self, instance: TaskInstance, fact: HeldFact | CreateHeld) -> bool:
        """Keep a fact that ends an attempt until the reason why the attempt is being stopped is stored.

        The reason decides how the attempt counts. A crash would lose it, and then the Pod alone would decide: what
        follows from the one could contradict what follows from the other.
        """
        run, version = self._run, instance.stop_version
        if version <= run.status.stored_version or fact.attempt != instance.attempt:
            return False
        if isinstance(fact, CreateHeld) or (isinstance(fact, AttemptSeen) and fact.outcome is None):
            return False
        run.outbox.add_effect(fact, version=version, stored_version=run.status.stored_version)
        return True

    def _handle_absence(self, task: TaskRun, instance: TaskInstance, fact: Absence, now: float) -> None:
        """Handle an attempt whose Pod was not created, or was deleted."""
        run = self._run
        if isinstance(fact, CreateHeld):
            if instance.stopping:
                return
            instance.mark_queued(Reason.QUOTA_EXCEEDED, fact.message)
            run.record_state(task, fact.key, instance)
            run.set_timer(task, fact.key, instance)
            return
        if isinstance(fact, RenderFailed):
            self.fail_permanently(task, fact.key, instance, Reason.EXPRESSION_ERROR, fact.message, now)
            return
        if isinstance(fact, CreateRefused):
            outcome = Outcome(Cause.FAILURE, now, Reason.CREATE_REFUSED, fact.message)
        elif task.plan.kind is TaskKind.FLOW and (instance.is_seen or instance.state is not TaskState.PENDING):
            outcome = Outcome(Cause.FAILURE, now, Reason.CHILD_DELETED, f"the child run {instance.pod} was deleted")
        elif instance.is_seen or instance.state is TaskState.RUNNING or instance.stopping:
            outcome = Outcome(
                Cause.DISRUPTION, now, Reason.POD_DELETED, "the Pod was deleted before its outcome was recorded"
            )
        else:
            run.due_attempts.append(fact.key)
            return
        self.end_attempt(task, fact.key, instance, outcome, now)

    def is_wanted(self, key: TaskInstanceKey, attempt: int) -> bool:
        """Whether an attempt is still to be created: the run may have been stopped since."""
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
        """Whether an attempt's Pod differs from what was last observed of it."""
        position = self._run.plan.positions.get(seen.key.task)
        instance = None if position is None else self._run.tasks[position].live_task_instance(seen.key.item)
        if instance is None or instance.uid != seen.uid or seen.version == 0 or seen.version > instance.version:
            return True
        # The reply to a create has no status, and what the API server says at once, as of a Pod with scheduling gates,
        # is of the same version.
        is_same = seen.version == instance.version
        return is_same and seen.waiting_reason is not None and seen.waiting_reason != instance.reason

    def _handle_seen(self, task: TaskRun, seen: AttemptSeen, now: float) -> None:
        run = self._run
        instance = task.live_task_instance(seen.key.item)
        if instance is not None and _is_outdated(instance, seen):
            return
        is_past = instance is not None and (
            seen.attempt < instance.attempt
            or (seen.attempt == instance.attempt and instance.state is TaskState.RETRYING)
        )
        if is_past or (instance is None and task.is_task_instance_finished(seen.key.item)):
            self._remove_finalizer(task, seen)
            return
        if instance is None:
            instance = run.begin_instance(task, seen.key.item)
        started_at = run.clock.started_at
        if started_at is None or seen.created_at < started_at:
            run.set_start_time(seen.created_at)
        if instance.apply_seen(seen, now):
            run.record_state(task, seen.key, instance)
        if task.items is not None and instance.started_at is not None:
            task.items.started_at = min(task.items.started_at or instance.started_at, instance.started_at)
        if seen.outcome is not None:
            self.end_attempt(task, seen.key, instance, seen.outcome, now)
            self._remove_finalizer(task, seen)
            return
        reason = run.stop_reason(is_finally=task.plan.is_finally)
        if reason is not None and not instance.stopping:
            # A Pod that was not known yet when the run was stopped.
            self._stop(task, seen.key, instance, reason, now)
        elif instance.stopping and not seen.is_deleting:
            self._stop_pod(task, seen.key, instance)
        run.set_timer(task, seen.key, instance)

    def _remove_finalizer(self, task: TaskRun, seen: AttemptSeen) -> None:
        """Remove the finalizer from the Pod of an attempt whose end is decided, and stop what still runs in it."""
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
        """Record how an attempt ended, and retry or finish its task or item."""
        run = self._run
        queue_timeout = name_queue_timeout(task.plan, instance.stopping)
        outcome = instance.apply_stop_reason(outcome, queue_timeout=queue_timeout)
        outcome = limit_outputs(outcome, used_bytes=run.outputs_bytes)
        veto = None
        if outcome.cause is Cause.FAILURE:
            veto = why_not_retried(task.plan.retry, outcome, attempt=instance.attempt, params=run.params)
        instance.end_attempt(outcome, policy=task.plan.retry, run_uid=run.identity.uid, key=key, veto=veto)
        reason = run.stop_reason(is_finally=task.plan.is_finally)
        if reason is not None and instance.state is TaskState.RETRYING:
            instance.cancel_retry(reason)
        run.decided_outcomes += 1
        run.record_state(task, key, instance)
        if instance.state not in (TaskState.COMPLETED, TaskState.SKIPPED):
            task.record_failure(key.item, instance)
            run.record_history(task)
            retry = instance.describe_retry(task.plan.retry, outcome)
            run.outbox.notices.append(Notice.of_attempt(key, instance, retry))
            is_disruption, is_retried = outcome.cause is Cause.DISRUPTION, instance.state is TaskState.RETRYING
            run.outbox.failed_attempts.append(FailedAttempt(str(instance.reason), is_disruption, is_retried))
        if instance.state is TaskState.RETRYING:
            instance.timer_at = None
            run.set_timer(task, key, instance)
            return
        outputs = outcome.outputs if instance.state is TaskState.COMPLETED else None
        run.finish_instance(task, key, instance, outputs, now)

    def fail_permanently(
        self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, reason: Reason, message: str, now: float
    ) -> None:
        """Fail a task or item without a retry: another attempt would fail in the same way."""
        run = self._run
        instance.fail_permanently(reason, message, now)
        run.record_state(task, key, instance)
        task.record_failure(key.item, instance)
        run.outbox.notices.append(Notice.of_attempt(key, instance))
        run.outbox.failed_attempts.append(FailedAttempt(str(reason), is_disruption=False, is_retried=False))
        run.finish_instance(task, key, instance, None, now)

    # Deadlines

    def check_deadlines(self, now: float) -> None:
        """Handle the attempts of which a timer is due."""
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
            run.record_state(task, key, instance)
        elif deadline is Deadline.NODE_LOST and self._hold_end(instance, AttemptGone(key, instance.attempt)):
            instance.gone_due_at = None
        elif deadline is Deadline.NODE_LOST:
            message = f"Pod {instance.pod} should have ended, but its node {instance.node} has not reported it"
            self.end_attempt(task, key, instance, Outcome(Cause.DISRUPTION, now, Reason.NODE_LOST, message), now)
        elif deadline is Deadline.END_OVERDUE:
            instance.can_end_in_place, instance.end_due_at = False, None
            self._stop_pod(task, key, instance)
        elif deadline is Deadline.TASK_DEADLINE:
            self._stop(task, key, instance, Reason.TASK_DEADLINE_EXCEEDED, now)
        elif deadline is Deadline.ATTEMPT_TIMEOUT:
            is_approval = task.plan.kind is TaskKind.APPROVAL
            self._stop(task, key, instance, Reason.APPROVAL_TIMEOUT if is_approval else Reason.DEADLINE_EXCEEDED, now)
        elif deadline is Deadline.QUEUE_TIMEOUT:
            why = Reason(instance.reason) if instance.reason in WAITING_REASONS else Reason.QUEUE_TIMEOUT
            self._stop(task, key, instance, why, now)

    # Stopping

    def stop_all(
        self, tasks: Sequence[TaskRun], reason: Reason, now: float, *, mode: ShutdownMode | None = None
    ) -> None:
        """Stop the live attempts of some tasks because the run is being stopped.

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
                is_stronger = mode is ShutdownMode.TERMINATE
                if not instance.stopping or (is_stronger and task.plan.kind is TaskKind.FLOW):
                    self._stop(task, key, instance, reason, now)
                elif is_stronger and instance.gone_due_at is None:
                    # The first reason stays: it is stored, and decides.
                    self._stop_pod(task, key, instance)
            if task.items is not None:
                self._run.close_fan_out(task, now)

    def _stop(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, reason: Reason, now: float) -> None:
        run = self._run
        has_pod = (
            instance.is_seen and task.plan.kind is not TaskKind.APPROVAL and instance.state is not TaskState.RETRYING
        )
        # A create that was sent may succeed yet. If the run is stopped, the attempt ends all the same, and its Pod is
        # removed when it appears; else another attempt or task follows, which must not begin while this Pod could.
        may_have_pod = has_pod or (
            instance.is_sent and instance.state is not TaskState.RETRYING and reason not in CANCELLING_REASONS
        )
        if not may_have_pod:
            message = instance.stop_message(reason, queue_timeout=name_queue_timeout(task.plan, reason))
            # Between two attempts of a task, the last one says how its container ended. Of items that is not stored.
            is_between = instance.state is TaskState.RETRYING and key.item is None
            outcome = Outcome(Cause.FAILURE, now, reason, message, instance.exit_code if is_between else None)
            instance.stopping = None
            self.end_attempt(task, key, instance, outcome, now)
            return
        instance.stopping = reason
        run.record_state(task, key, instance)
        instance.stop_version = run.status.version_of(task)
        if not has_pod:
            run.outbox.verifies.append(VerifyAttempt(key, instance.attempt))
        else:
            self._stop_pod(task, key, instance)
        run.set_timer(task, key, instance)

    def _stop_pod(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance) -> None:
        """Have the Pod of an attempt stopped as soon as the reason is stored."""
        if instance.pod is not None and instance.uid is not None:
            stop = StopAttempt(key, instance.attempt, instance.pod, instance.uid, instance.stopping)
            self._run.do_once_stored(task, stop)

    def choose_stops(self, stops: Sequence[StopAttempt], now: float) -> list[StopAttempt]:
        """Decide how attempts are stopped, now that it is about to be done: a Pod may have started or ended meanwhile.

        A Pod is ended without being deleted if that keeps its log. If it has not ended in time, it is deleted, and
        `Terminate` does not wait for that.

        Args:
            stops: those whose reasons are stored.
            now: seconds since the epoch.

        Returns:
            One for each Pod, but none for a Pod that has ended or is ending already.
        """
        chosen: dict[str, StopAttempt] = {}
        for stop in stops:
            task = self._run.tasks[self._run.plan.positions[stop.key.task]]
            instance = task.live_task_instance(stop.key.item)
            if stop.reason is None:
                # The attempt has ended: what is left of its Pod is stopped.
                chosen[stop.uid] = stop
            elif instance is not None and instance.attempt == stop.attempt and instance.stopping:
                if instance.pod is not None and instance.uid is not None:
                    # Of a Job, the Pod may have become known.
                    stop = stop._replace(pod=instance.pod, uid=instance.uid)  # noqa: PLW2901 - the same, as it is now
                if not instance.can_end_in_place or self._is_to_be_deleted(instance, now):
                    chosen[stop.uid] = stop
                elif instance.end_due_at is None:
                    chosen[stop.uid] = stop._replace(is_in_place=True)
        return list(chosen.values())

    def _is_to_be_deleted(self, instance: TaskInstance, now: float) -> bool:
        """Whether a Pod that can be ended in place is deleted all the same."""
        due_at, shutdown = instance.end_due_at, self._run.shutdown
        is_overdue = due_at is not None and now >= due_at + IN_PLACE_MARGIN_S
        return is_overdue or (shutdown is not None and shutdown.mode is ShutdownMode.TERMINATE)


def _kind_of(task: TaskPlan) -> AttemptKind | None:
    """Return what carries a task's attempts; None for an approval, which has none."""
    if task.kind is TaskKind.CONTAINER:
        return AttemptKind.JOB if task.is_job else AttemptKind.POD
    return AttemptKind.CHILD_RUN if task.kind is TaskKind.FLOW else None


def _is_outdated(instance: TaskInstance, seen: AttemptSeen) -> bool:
    """Whether what is observed says less than what is known of the same Pod.

    The reply to a create may come after the watch has reported the same or a later version of the Pod.
    """
    return instance.uid == seen.uid and (seen.version < instance.version or not seen.has_status)


def _is_replaced(instance: TaskInstance, seen: AttemptSeen) -> bool:
    """Whether an object has the name of an attempt, but is not the one that carried it so far.

    A Job and its Pods have different uids; which Pods are the Job's is checked before.
    """
    return (
        instance.attempt == seen.attempt
        and seen.kind is not AttemptKind.JOB
        and instance.state is not TaskState.RETRYING
        and bool(instance.uid)
        and instance.uid != seen.uid
    )
