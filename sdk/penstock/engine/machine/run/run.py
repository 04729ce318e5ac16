"""The state of one run: its tasks, which of them are ready or waiting, and the steps by which a task finishes.

All of it follows from the stored status, the Pods and the time. The modules that decide share it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.task_plan import CachePlan
from penstock.engine.expressions.budget import unlimited
from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import Conclusion, ReleaseCacheLock, RemoveFinalizer, StopAttempt
from penstock.engine.machine.effects.outbox import Outbox
from penstock.engine.machine.facts import AttemptSeen, Control
from penstock.engine.machine.run.failure_policy import closes_fan_out, stops_run
from penstock.engine.machine.run.failures import list_failures
from penstock.engine.machine.run.history import History
from penstock.engine.machine.run.run_clock import RunClock
from penstock.engine.machine.run.run_status import Head, RunStatus
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.run.timers import Timers
from penstock.engine.machine.run.verdict import judge_fan_out, judge_run
from penstock.engine.machine.tasks.attempt_deadlines import next_deadline_at
from penstock.engine.machine.tasks.items import json_size
from penstock.engine.machine.tasks.obstacles import Obstacles
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.names import cache_digest
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_TASK_STATES, UNSUCCESSFUL_TASK_STATES, RunState, TaskState
from penstock.errors import ExpressionError, in_field


class StartBlock(NamedTuple):
    """Why nothing new starts."""

    reason: Reason
    message: str


class Run:
    """The state of one run.

    Args:
        plan: the compiled Flow.
        identity: which run it is.
        params: the resolved params.
        control: what the run's spec says that may change.
        now: seconds since the epoch.
    """

    def __init__(
        self, plan: Plan, identity: RunIdentity, params: Mapping[str, Any], *, control: Control, now: float
    ) -> None:
        self.plan = plan
        self.identity = identity
        self.control = control
        self.tasks = [TaskRun(task) for task in plan.tasks]
        # A finally task also waits until all other tasks have finished.
        self.remaining = [len(task.upstream) + task.is_finally for task in plan.tasks]
        self.ready: deque[int] = deque()
        self.due_attempts: deque[TaskInstanceKey] = deque()
        self.open_fan_outs: dict[int, None] = {}
        self.early_facts: dict[int, list[AttemptSeen]] = {}
        self.timers = Timers()
        self.outbox = Outbox()
        self.obstacles = Obstacles()
        self.clock = RunClock(plan.timeout_s if control.timeout_s is None else control.timeout_s)
        self.shutdown: Shutdown | None = None
        self.failed_task: str | None = None
        self.is_timed_out = False
        self.is_finally_timed_out = False
        self.decided_outcomes = 0
        self.has_started = False
        self.live_counts: Counter[TaskState] = Counter()
        self.state = RunState.PENDING
        self.outputs_bytes = 0
        self.status = RunStatus(self.tasks, Head.new(now=now, total=len(self.tasks), params=params), self.clock)
        self._main_left = plan.first_finally
        self.params = params
        self._history = History()

    @property
    def history_bytes(self) -> int:
        """Bytes of failed attempts and messages of all tasks."""
        return self._history.total_bytes

    @property
    def is_finished(self) -> bool:
        """Whether the run has reached a final state."""
        return self.state not in (RunState.PENDING, RunState.RUNNING, RunState.PAUSED)

    @property
    def is_in_finally(self) -> bool:
        """Whether all tasks but the finally tasks have finished."""
        return not self._main_left

    def start_block(self, *, is_finally: bool) -> StartBlock | None:
        """Return why no further task starts; None if tasks may start."""
        shutdown = self.shutdown
        block: StartBlock | None = None
        if shutdown is not None and (not is_finally or shutdown.mode is ShutdownMode.TERMINATE):
            block = StartBlock(shutdown.reason, f"not started: {shutdown.message}")
        elif is_finally and self.is_finally_timed_out:
            block = StartBlock(
                Reason.FINALLY_TIMED_OUT, "not started: the finally tasks took longer than finallyTimeout"
            )
        elif not is_finally and self.is_timed_out:
            block = StartBlock(Reason.RUN_TIMED_OUT, "not started: the run took longer than its timeout")
        elif not is_finally and self.failed_task is not None:
            block = StartBlock(
                Reason.RUN_STOPPING, f"not started: the run stops because task {self.failed_task} failed"
            )
        return block

    def set_start_time(self, started_at: float) -> None:
        """Record when the run's first task was started."""
        self.clock.started_at = started_at
        self.status.mark_head_changed()

    def ended_at(self, tasks: Sequence[TaskRun], now: float) -> float:
        """Return when the last of some tasks ended in this run: what it kept of another run ended before it began."""
        return max(self.status.head.created_at, *(task.completion_time or now for task in tasks))

    def stop_reason(self, *, is_finally: bool) -> Reason | None:
        """Return why running attempts are to be stopped; None if they are not."""
        shutdown = self.shutdown
        least = ShutdownMode.TERMINATE if is_finally else ShutdownMode.CANCEL
        if shutdown is not None and shutdown.mode >= least:
            return shutdown.reason
        if is_finally:
            return Reason.FINALLY_TIMED_OUT if self.is_finally_timed_out else None
        return Reason.RUN_TIMED_OUT if self.is_timed_out else None

    # Values

    def expression_values(self, names: frozenset[str], *, is_finally: bool = False) -> dict[str, Any]:
        """Return the values of expressions that refer to these tasks."""
        run: dict[str, Any] = {
            "namespace": self.identity.namespace,
            "name": self.identity.name,
            "uid": self.identity.uid,
            # Text like the others, whose type expressions are checked against.
            "scheduledTime": self.identity.scheduled_time or "",
            "startTime": self.clock.fields()["startTime"] or "",
        }
        if is_finally:
            main = self.tasks[: self.plan.first_finally]
            verdict = judge_run(main, shutdown=self.shutdown)
            run |= {
                "state": str(verdict.state),
                "reason": "" if verdict.reason is None else str(verdict.reason),
                "message": verdict.message or "",
                "failures": list_failures(main),
            }
        return {
            "params": self.params,
            "run": run,
            "tasks": {name: self.tasks[self.plan.positions[name]].as_value() for name in names},
        }

    def expression_context(self, task: TaskRun) -> dict[str, Any]:
        """Return the values of a task's expressions. They do not change any more once the task starts."""
        if task.context is None:
            task.context = self.expression_values(task.plan.render_tasks, is_finally=task.plan.is_finally)
        return task.context

    def instance_values(self, task: TaskRun, key: TaskInstanceKey) -> dict[str, Any]:
        """Return the values of the expressions of a task or of one of its items.

        Raises:
            ExpressionError: the items could not be evaluated.
        """
        values = self.expression_context(task)
        if key.item is None:
            return values
        if task.values is None:
            self.expand(task)
        assert task.values is not None
        return values | {"item": task.values[key.item], "index": key.item}

    def expand(self, task: TaskRun) -> None:
        """Evaluate the items of a fan-out.

        Raises:
            ExpressionError: they could not be evaluated.
        """
        assert task.plan.fan_out is not None
        task.values = task.plan.fan_out.expand(self.expression_context(task))
        if task.items is None:
            task.open_items(len(task.values))
            assert task.items is not None
            self.outputs_bytes += task.items.outputs_bytes

    def is_item(self, task: TaskRun, index: int) -> bool:
        """Whether a fan-out has an item with this index, as far as that is known now."""
        if task.plan.fan_out is None:
            return False
        if task.items is None:
            if task.state in FINAL_TASK_STATES or self.remaining[task.plan.position]:
                return False
            try:
                with unlimited():
                    self.expand(task)
            except ExpressionError:
                return False
        assert task.items is not None
        return 0 <= index < task.items.total

    # Tasks and items

    def begin_instance(self, task: TaskRun, index: int | None) -> TaskInstance:
        """Make a task or item live."""
        if task.plan.fan_out is not None and task.items is None:
            # A Pod of an item whose fan-out was never stored: evaluate the items again from stored outputs.
            with unlimited():
                self.expand(task)
        instance = task.begin_instance(index)
        if task.items is not None and task.items.has_unstarted:
            self.open_fan_outs[task.plan.position] = None
        self.record_state(task, task.key(index), instance)
        return instance

    def record_state(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance) -> None:
        """Record that a live task or item changed."""
        if instance.counted_state is not instance.state:
            if instance.counted_state is not None:
                self.live_counts[instance.counted_state] -= 1
            self.live_counts[instance.state] += 1
            instance.counted_state = instance.state
            self.has_started = self.has_started or instance.state in (TaskState.RUNNING, TaskState.PAUSED)
        self.obstacles.record(key, instance)
        self.status.mark_changed(task)

    def set_timer(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance) -> None:
        """Set a timer for the next deadline of a task or item."""
        due = next_deadline_at(task.plan, instance, is_suspended=self.control.is_suspended)
        if due is not None and (instance.timer_at is None or due < instance.timer_at):
            instance.timer_at = due
            self.timers.set_attempt_timer(due, position=task.plan.position, item=key.item, attempt=instance.attempt)

    def next_due_at(self, now: float) -> float | None:
        """Return when something follows even if nothing happens, seconds since the epoch; None: never."""
        times = (self.timers.next_due_at(now), self.obstacles.next_due_at())
        return min((time for time in times if time is not None), default=None)

    def do_once_stored(self, task: TaskRun, effect: RemoveFinalizer | StopAttempt) -> None:
        """Send an effect out when the present state of the task's entry is stored."""
        version = self.status.version_of(task)
        self.outbox.add_effect(effect, version=version, stored_version=self.status.stored_version)

    def record_history(self, task: TaskRun) -> None:
        """Keep failed attempts and messages of the tasks within their budget."""
        for shortened in self._history.record_task(task):
            self.status.mark_changed(shortened)

    def finish_instance(
        self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, outputs: dict[str, Any] | None, now: float
    ) -> None:
        """Finish a task or item that has reached a final state."""
        finished_at = now if instance.finished_at is None else instance.finished_at
        started_at = instance.started_at
        self.outbox.conclusions.append(
            Conclusion(
                key,
                instance.state,
                0.0 if started_at is None else max(finished_at - started_at, 0.0),
                queued_at=instance.queued_at,
                created_at=instance.created_at,
                started_at=started_at,
            )
        )
        if instance.counted_state is not None:
            self.live_counts[instance.counted_state] -= 1
            instance.counted_state = None
        self.obstacles.record(key, instance)
        if task.plan.cache is not None and instance.state is not TaskState.CACHED:
            self._release_cache_lock(task, task.plan.cache, key, instance, outputs)
        if key.item is None:
            task.outputs = outputs
            self.outputs_bytes += json_size(outputs)
            if instance.state is TaskState.CACHED:
                task.instance = None
            self.finish_task(task, instance.state, instance.reason, instance.message, finished_at, is_concluded=True)
            return
        assert task.items is not None
        self.outputs_bytes -= task.items.outputs_bytes
        task.items.finish_item(key.item, outputs)
        self.outputs_bytes += task.items.outputs_bytes
        self.status.mark_changed(task)
        if instance.state in UNSUCCESSFUL_TASK_STATES:
            self.record_history(task)
            self.note_failure(task)
        self.close_fan_out(task, finished_at)

    def cache_digest(self, task: TaskRun, cache: CachePlan, key: TaskInstanceKey) -> str:
        """Return the digest under which the outputs of a task or item are cached.

        Raises:
            ExpressionError: the key has no value.
        """
        try:
            # What follows from a key cannot wait.
            with unlimited():
                text = cache.key.render(self.instance_values(task, key))
        except ExpressionError as error:
            raise in_field("cache.key", error) from error
        return cache_digest(flow=self.identity.flow or "", task=task.plan.name, signature=cache.signature, key=text)

    def _release_cache_lock(
        self,
        task: TaskRun,
        cache: CachePlan,
        key: TaskInstanceKey,
        instance: TaskInstance,
        outputs: dict[str, Any] | None,
    ) -> None:
        try:
            digest = instance.cache_digest or self.cache_digest(task, cache, key)
        except ExpressionError:
            # Without a key no lock was taken.
            return
        self.outbox.cache.append(ReleaseCacheLock(key, digest, cache.ttl_s, outputs))

    # Tasks

    def finish_task(
        self,
        task: TaskRun,
        state: TaskState,
        reason: str | None,
        message: str | None,
        now: float,
        *,
        is_concluded: bool = False,
    ) -> None:
        """Move a task to a final state, and make the tasks ready that waited for it alone."""
        task.finish(state, reason, message, now)
        self.open_fan_outs.pop(task.plan.position, None)
        self.status.finish_task(task)
        self.record_history(task)
        if not is_concluded:
            self.outbox.conclusions.append(Conclusion(TaskInstanceKey(task.plan.name), state, 0.0))
        self.note_failure(task)
        self.ready.extend(self.count_finished(task))

    def count_finished(self, task: TaskRun) -> list[int]:
        """Count down the tasks that wait for a finished one; returns the positions of those that are now ready."""
        waiting = list(task.plan.downstream)
        if not task.plan.is_finally:
            self._main_left -= 1
            if not self._main_left:
                waiting += range(self.plan.first_finally, len(self.tasks))
        freed: list[int] = []
        for position in waiting:
            self.remaining[position] -= 1
            if not self.remaining[position]:
                freed.append(position)
        return freed

    def note_failure(self, task: TaskRun) -> None:
        """Let nothing new start if a task, or its items so far, failed in a way that stops the run."""
        if self.failed_task is None and stops_run(self.plan, task):
            self.failed_task = task.plan.name

    def close_fan_out(self, task: TaskRun, now: float) -> None:
        """Finish a fan-out when its last item has finished, or when no further one will start."""
        items = task.items
        assert items is not None
        if task.state in FINAL_TASK_STATES or items.live:
            return
        block = self.start_block(is_finally=task.plan.is_finally)
        if items.has_unstarted and block is None and not closes_fan_out(self.plan, task):
            return
        verdict = judge_fan_out(items, allowed=task.plan.allow_failed.of(items.total), start_block=block)
        self.finish_task(task, verdict.state, verdict.reason, verdict.message, now)
