"""The state machine of one run: from what was stored and what is observed to what is done next.

The invariant that crash safety depends on: from the stored status, the Pods that exist and the time, the same decision
follows, whatever was held in memory before. So nothing is held here that could not be computed again, and an
irreversible decision (stopping a Pod, removing its finalizer) waits until its reason is stored.

The cost of a step depends on what has changed: a task that ends affects its downstream tasks, an item its fan-out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock.engine.compiler.expression_costs import FAILURE_WEIGHT
from penstock.engine.compiler.plan import Plan
from penstock.engine.expressions.input_values import weigh
from penstock.engine.keys import RunIdentity
from penstock.engine.machine.approvals import Approvals
from penstock.engine.machine.attempts import Attempts
from penstock.engine.machine.effects.effects import CreateAttempt, Step
from penstock.engine.machine.effects.notices import Notice
from penstock.engine.machine.facts import AttemptSeen, CacheBusy, CacheHit, CacheMiss, Control, Fact
from penstock.engine.machine.run.run import Run
from penstock.engine.machine.run.run_state import judge_unfinished_run
from penstock.engine.machine.run.run_status import Changes
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.run.verdict import RunVerdict, flow_outputs, judge_run
from penstock.engine.machine.run_timeouts import RunTimeouts
from penstock.engine.machine.starter import Starter
from penstock.engine.machine.task_cache import TaskCache
from penstock.engine.machine.tasks.items import json_size
from penstock.engine.machine.tasks.kept_tasks import choose_kept
from penstock.engine.reasons import Reason
from penstock.engine.restart import KEEP_COMPLETED, Restart
from penstock.engine.state import (
    COMPLETED_TASK_STATES,
    FINAL_TASK_STATES,
    RunState,
    TaskState,
)
from penstock.errors import SlowExpressionError

__all__ = ["MAX_UNSTORED_OUTCOMES", "Machine", "RunIdentity"]

MAX_UNSTORED_OUTCOMES: Final = 1000
"""With this many outcomes not yet stored, a run creates nothing: they exist only in Pods."""

NAMES_WEIGHT: Final = 1024
"""At most the weight of what expressions see of the run itself."""

MOST_WEIGHT: Final = 1 << 16
"""Params are not weighed further: no expression is cheap for so many."""


class Machine:
    """Decides what one run does next.

    Args:
        plan: the compiled Flow.
        identity: which run it is.
        params: the resolved params.
        now: seconds since the epoch.
        stored: the stored status, if the run has one of ours.
        control: the part of the run's spec that may change while it runs.
        ancestor: for a run that retries another: `status.retryOf`.
        kept: for a run that retries another and has no stored status yet: the other's `status.tasks`.
        restart: what of these runs again although it completed.

    Raises:
        StoredStatusError: the stored status cannot be read, or is not of this plan.
    """

    def __init__(
        self,
        plan: Plan,
        identity: RunIdentity,
        params: Mapping[str, Any],
        *,
        now: float,
        stored: Mapping[str, Any] | None = None,
        control: Control | None = None,
        ancestor: Mapping[str, Any] | None = None,
        kept: Iterable[Mapping[str, Any]] = (),
        restart: Restart = KEEP_COMPLETED,
    ) -> None:
        self.plan = plan
        self.identity = identity
        self._run = Run(plan, identity, params, control=control or Control(), now=now)
        self._attempts = Attempts(self._run)
        self._approvals = Approvals(self._run, self._attempts)
        self._cache = TaskCache(self._run, self._attempts)
        self._timeouts = RunTimeouts(self._run, self._attempts)
        self._starter = Starter(self._run, self._attempts, self._approvals, self._cache)
        self._has_costs = plan.costs.is_any
        self._params_weight = weigh(params, most=MOST_WEIGHT) if self._has_costs else 0
        self._is_started = False
        self._stored_outcomes = 0
        self._sent_outcomes: dict[int, int] = {}
        run = self._run
        if stored is not None and stored.get("tasks"):
            self._restore(stored, now)
        else:
            run.status.head.ancestor = ancestor
            source = None if ancestor is None else str(ancestor["name"])
            self._keep_completed(choose_kept(plan, kept, restart), source=source)
        for position, remaining in enumerate(run.remaining):
            task = run.tasks[position]
            if not remaining and task.state is TaskState.PENDING and not task.is_begun:
                run.ready.append(position)
        self._apply_control(now)

    # Facts and decisions of people

    def observe(self, fact: Fact, now: float) -> None:
        """Handle a fact. Facts may come twice, late, or out of order.

        Args:
            fact: what was observed.
            now: seconds since the epoch.
        """
        if self._is_started and isinstance(fact, AttemptSeen) and not self._attempts.is_begun(fact):
            # The Pods that existed when the machine was built show which attempts were made before; it makes later ones
            # itself. An object that claims to be another is not ours, or is adopted when the attempt is created.
            return
        # Most facts are about Pods: they are checked first.
        if isinstance(fact, AttemptSeen) or not isinstance(fact, CacheHit | CacheMiss | CacheBusy):
            self._attempts.observe(fact, now)
        else:
            self._cache.observe(fact, now)

    def is_news(self, seen: AttemptSeen) -> bool:
        """Whether a step may follow from an observed Pod: the reply to its create comes again as an event."""
        return self._attempts.is_news(seen)

    def set_control(self, control: Control, now: float) -> None:
        """Apply the present spec of the run.

        Args:
            control: the part of the spec that may change.
            now: seconds since the epoch.
        """
        run = self._run
        was_suspended, run.control = run.control.is_suspended, control
        # observedGeneration shows that the changed spec was read.
        run.status.mark_head_changed(is_urgent=True)
        run.clock.timeout_s = self.plan.timeout_s if control.timeout_s is None else control.timeout_s
        self._timeouts.update_timer()
        if was_suspended is not control.is_suspended and not self.is_finished:
            run.outbox.notices.append(Notice.of_suspension(control))
        if was_suspended and not control.is_suspended:
            for task in run.tasks:
                for index, instance in task.live_instances():
                    if instance.state is TaskState.RETRYING:
                        instance.timer_at = None
                        run.set_timer(task, task.key(index), instance)
        self._apply_control(now)

    def shut_down(self, mode: ShutdownMode, reason: Reason, message: str, now: float) -> None:
        """End the run early. A later shutdown can only be stronger than an earlier one.

        Args:
            mode: how.
            reason: why; it becomes the reason of stopped tasks.
            message: the same for people.
            now: seconds since the epoch.
        """
        self._shut_down(Shutdown(mode, reason, message), now)

    def is_wanted(self, create: CreateAttempt) -> bool:
        """Whether an attempt is still to be created: the run may have been stopped since."""
        return not self.is_finished and self._attempts.is_wanted(create.key, create.attempt)

    def advance(self, now: float, *, may_create: bool = True) -> Step:
        """Decide what follows from all that was observed.

        Args:
            now: seconds since the epoch.
            may_create: false while nothing may be created; a later step then creates it.

        Returns:
            The writes to make and when to advance again.
        """
        run = self._run
        if not self._is_started:
            self._is_started = True
            self._starter.resume_unseen(now)
            self._timeouts.stop_overdue(now)
        self._attempts.observe_held(now)
        self._starter.decide_ready(now)
        creates: list[CreateAttempt] = []
        if not self.is_finished:
            self._timeouts.check_timeouts(now)
            self._attempts.check_deadlines(now)
            self._starter.decide_ready(now)
            if may_create and not run.control.is_suspended and not self._is_full:
                creates = self._starter.create(now)
            self._starter.decide_ready(now)
        self._timeouts.start_finally_clock(now)
        self._finish_run(now)
        self._update_state(now)
        wake_at = None if self.is_finished else run.next_due_at(now)
        # Nothing is created until outcomes are stored, so store them immediately.
        is_urgent = run.status.is_urgent or self._is_full
        stops = self._attempts.choose_stops(run.outbox.take_stops(), now)
        return run.outbox.take_step(
            creates, stops, wake_at=wake_at, is_changed=run.status.is_dirty, is_urgent=is_urgent
        )

    def mark_stored(self, version: int) -> bool:
        """Record that all changes up to this version are stored, and release the effects that waited for them.

        Returns:
            Whether a step would have an effect.
        """
        status = self._run.status
        status.stored_version = max(status.stored_version, version)
        was_full = self._is_full
        self._stored_outcomes = self._sent_outcomes.pop(version, self._stored_outcomes)
        is_freed = self._run.outbox.mark_stored(status.stored_version)
        return is_freed or was_full or self.is_finished or status.is_dirty

    def take_changes(self) -> Changes:
        """Return what the stored status lacks; see `RunStatus.take_changes`."""
        changes = self._run.status.take_changes()
        self._sent_outcomes[changes.version] = self._run.decided_outcomes
        return changes

    def mark_not_stored(self, changes: Changes) -> None:
        """Record that these changes were not stored."""
        self._sent_outcomes.pop(changes.version, None)
        self._run.status.return_changes(changes)

    @property
    def _is_full(self) -> bool:
        return self._run.decided_outcomes - self._stored_outcomes >= MAX_UNSTORED_OUTCOMES

    @property
    def state(self) -> RunState:
        """The run's state."""
        return self._run.state

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The Flow's outputs, once the run has finished."""
        return self._run.status.head.outputs

    @property
    def is_finished(self) -> bool:
        """Whether the run has reached a final state."""
        return self._run.is_finished

    @property
    def is_finished_and_stored(self) -> bool:
        """Whether the run has finished and nothing waits for the status to be stored."""
        return self.is_finished and not self._run.outbox.waiting and not self._run.status.is_dirty

    @property
    def live_counts(self) -> dict[TaskState, int]:
        """Numbers of tasks and items that have begun and have not finished, by state."""
        return dict(self._run.live_counts)

    @property
    def obstacle_counts(self) -> dict[str, int]:
        """Numbers of tasks and items that something keeps from starting, by reason."""
        return self._run.obstacles.counts

    @property
    def live_task_instances(self) -> int:
        """Number of tasks and items that have begun and have not finished."""
        return self._run.live_counts.total()

    @property
    def may_be_slow(self) -> bool:
        """Whether facts and steps must be handled where nothing else waits.

        Most expressions can wait: a step that meets a slow one leaves its task as it is, and says so. Those of
        `retry.when`, `cache.key` and approvals cannot, and neither can the items of a fan-out that has begun.
        """
        if not self._has_costs:
            return False
        run, costs = self._run, self.plan.costs
        if self._params_weight + FAILURE_WEIGHT > costs.retry_when:
            return True
        weight = self._params_weight + 2 * (run.outputs_bytes + run.history_bytes) + NAMES_WEIGHT
        if weight > costs.keys:
            return True
        return any(
            weight > cheap_weight
            and run.tasks[position].values is None
            and run.tasks[position].state not in FINAL_TASK_STATES
            and (not run.remaining[position] or position in run.early_facts)
            for position, cheap_weight in costs.fan_outs
        )

    # Control

    def _apply_control(self, now: float) -> None:
        """Apply the decisions in the spec: shutdown and approvals."""
        run = self._run
        if self.is_finished:
            return
        if run.control.shutdown is not None:
            shutdown = Shutdown.by_spec(run.control.shutdown, run.control.shutdown_by)
            if run.shutdown is None or run.shutdown.mode < shutdown.mode:
                run.outbox.notices.append(Notice.of_shutdown(shutdown.mode.word, shutdown.message))
            self._shut_down(shutdown, now)
        for name in run.control.approvals:
            position = self.plan.positions.get(name)
            if position is not None and self.plan.tasks[position].approval is not None:
                self._approvals.apply_decision(run.tasks[position], now)

    def _shut_down(self, shutdown: Shutdown, now: float) -> None:
        run = self._run
        if self.is_finished or (run.shutdown is not None and run.shutdown.mode >= shutdown.mode):
            return
        run.shutdown = run.status.head.shutdown = shutdown
        run.status.mark_head_changed(is_urgent=True)
        self._stop_for_shutdown(now)

    def _stop_for_shutdown(self, now: float) -> None:
        run = self._run
        shutdown = run.shutdown
        assert shutdown is not None
        is_terminated = shutdown.mode is ShutdownMode.TERMINATE
        stopped = run.tasks if is_terminated else run.tasks[: self.plan.first_finally]
        self._attempts.stop_all(stopped, shutdown.reason, now, mode=shutdown.mode)

    # The run

    def _update_state(self, now: float) -> None:
        run = self._run
        if self.is_finished:
            return
        for key, instance in run.obstacles.update(now):
            run.outbox.notices.append(Notice.of_obstacle(key, instance))
        state, reason, message = judge_unfinished_run(run)
        head = run.status.head
        if state is run.state:
            if (reason, message) != (head.reason, head.message):
                run.status.set_reason(reason, message)
            self._timeouts.update_timer()
            return
        if state is RunState.PAUSED:
            run.clock.pause(now)
        else:
            run.clock.resume(now)
        run.state = state
        run.status.set_state(state, reason, message)
        self._timeouts.update_timer()

    def _finish_run(self, now: float) -> None:
        run = self._run
        if self.is_finished or run.status.finished_tasks < len(run.tasks):
            return
        completed_at = run.ended_at(run.tasks, now)
        verdict = judge_run(run.tasks, shutdown=run.shutdown)
        try:
            outputs, problem = flow_outputs(self.plan, run.expression_values(self.plan.output_tasks, is_finally=True))
        except SlowExpressionError:
            run.outbox.is_slow = True
            return
        if problem is not None and verdict.state is RunState.COMPLETED:
            verdict = RunVerdict(RunState.FAILED, Reason.EXPRESSION_ERROR, problem)
        run.state = verdict.state
        run.clock.resume(now)
        run.status.finish_run(verdict.state, verdict.reason, verdict.message, outputs, completed_at)
        run.outbox.notices.append(Notice.of_run(verdict.state, verdict.message or run.status.summary()))

    # What was stored before

    def _restore(self, stored: Mapping[str, Any], now: float) -> None:
        run = self._run
        run.status.restore(stored)
        head = run.status.head
        run.state, run.shutdown = head.state, head.shutdown
        run.has_started = run.clock.started_at is not None and head.state is not RunState.PENDING
        for task in run.tasks:
            run.record_history(task)
            run.outputs_bytes += json_size(task.outputs)
            if task.items is not None:
                run.outputs_bytes += task.items.outputs_bytes
            run.note_failure(task)
            if task.state in FINAL_TASK_STATES:
                run.count_finished(task)
                continue
            for index, instance in task.live_instances():
                run.record_state(task, task.key(index), instance)
            if task.items is not None and (task.items.has_unstarted or not task.items.live):
                run.open_fan_outs[task.plan.position] = None
        run.status.mark_restored()
        run.obstacles.is_resumed = True
        self._timeouts.update_timer()
        # Before any Pod is observed: how a stopped item counts depends on it.
        self._timeouts.has_just_passed(now)

    def _keep_completed(self, kept: Mapping[int, Mapping[str, Any]], *, source: str | None) -> None:
        """Keep what the run completed that this one retries, by position."""
        run = self._run
        for position, entry in kept.items():
            task = run.tasks[position]
            if entry["state"] not in COMPLETED_TASK_STATES:
                task.kept = entry
                continue
            task.restore(entry)
            task.source = source
            run.outputs_bytes += json_size(task.outputs)
            if task.items is not None:
                run.outputs_bytes += task.items.outputs_bytes
            run.status.finish_task(task)
            run.count_finished(task)
