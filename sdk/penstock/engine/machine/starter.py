"""What starts next: tasks whose upstream tasks have finished, items of fan-outs, and attempts that are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.expressions.budget import is_spent, limited, spent
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.approvals import Approvals
from penstock.engine.machine.attempts import Attempts
from penstock.engine.machine.effects.effects import CreateAttempt, VerifyAttempt
from penstock.engine.machine.effects.inputs import ChildInputs, ContainerInputs, attempt_inputs, inputs_bytes
from penstock.engine.machine.run.failure_policy import closes_fan_out
from penstock.engine.machine.run.run import Run
from penstock.engine.machine.skips import skip_task
from penstock.engine.machine.task_cache import TaskCache
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_TASK_STATES, TaskState
from penstock.errors import ExpressionError, SlowExpressionError

KEPT_INPUTS_BYTES: Final = 1024
"""Larger inputs of an attempt are not kept until it is sent."""
RENDERED_BYTES: Final = 1 << 20
"""After so much, a step renders no more: what cannot be rendered is found out when it is sent."""
RENDERED_COST: Final = 10_000_000
"""The same for what its expressions cost, also on a thread without a limit."""
ATTEMPT_COST: Final = 2_000_000
"""Of the expressions of one attempt; beyond it, they are rendered where nothing else waits. Each of the writer's places
may render an attempt in the same turn of the event loop."""


class Starter:
    """Starts the tasks, items and attempts that can start, and skips tasks that must not.

    Args:
        run: the state of the run.
        attempts: handles Pods that were observed before their task was ready, and fails what could not be started.
        approvals: asks for the decisions of approvals.
        cache: is asked before the first attempt of a task with a cache.
    """

    def __init__(self, run: Run, attempts: Attempts, approvals: Approvals, cache: TaskCache) -> None:
        self._run = run
        self._attempts = attempts
        self._approvals = approvals
        self._cache = cache
        self._rendered_bytes = 0
        self._began_with = 0
        self._slow_tasks: set[int] = set()
        """Positions of the tasks of which an attempt was too expensive to be rendered where others wait."""

    # Tasks

    def decide_ready(self, now: float) -> None:
        """Skip or finish the ready tasks that need no Pod. A skip makes further tasks ready, so this cascades."""
        run = self._run
        held: list[int] = []
        while run.ready:
            position = run.ready.popleft()
            task = run.tasks[position]
            for fact in run.early_facts.pop(position, ()):
                self._attempts.observe(fact, now)
            if task.is_begun or task.state in FINAL_TASK_STATES:
                continue
            if not self._skip_task(task, now):
                held.append(position)
        run.ready.extend(held)

    def _skip_task(self, task: TaskRun, now: float) -> bool:
        try:
            return skip_task(self._run, task, now)
        except SlowExpressionError:
            self._run.outbox.is_slow = True
            return False

    # Creation

    def create(self, now: float) -> list[CreateAttempt]:
        """Start everything that can start now; returns the attempts to create."""
        run = self._run
        self._rendered_bytes, self._began_with = 0, spent()
        creates: list[CreateAttempt] = []
        held_back: list[TaskInstanceKey] = []
        while run.due_attempts:
            key = run.due_attempts.popleft()
            task = run.tasks[run.plan.positions[key.task]]
            if self._must_wait(task):
                held_back.append(key)
                continue
            instance = task.live_task_instance(key.item)
            if (
                instance is not None
                and instance.state in (TaskState.PENDING, TaskState.QUEUED)
                and not instance.is_seen
            ):
                self._create_attempt(task, key, instance, creates, now)
        run.due_attempts.extend(held_back)
        for position in list(run.open_fan_outs):
            self._fill(run.tasks[position], creates, now)
        slow: list[int] = []
        while run.ready:
            position = run.ready.popleft()
            task = run.tasks[position]
            try:
                # An attempt that was created or failed just now may have stopped the run.
                if skip_task(run, task, now):
                    self.decide_ready(now)
                elif self._must_wait(task):
                    slow.append(position)
                else:
                    self._start_task(task, creates, now)
            except SlowExpressionError:
                run.outbox.is_slow = True
                slow.append(position)
        run.ready.extend(slow)
        return creates

    def _start_task(self, task: TaskRun, creates: list[CreateAttempt], now: float) -> None:
        run = self._run
        if run.clock.started_at is None:
            run.set_start_time(now)
        if task.plan.fan_out is None:
            instance = run.begin_instance(task, None)
            self._create_attempt(task, TaskInstanceKey(task.plan.name), instance, creates, now)
            return
        try:
            run.expand(task)
        except SlowExpressionError:
            raise
        except ExpressionError as error:
            run.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, str(error), now)
            return
        assert task.items is not None
        if not task.items.total:
            run.finish_task(task, TaskState.SKIPPED, Reason.NO_ITEMS, "forEach has no items", now)
            return
        run.open_fan_outs[task.plan.position] = None
        run.status.mark_changed(task)
        self._fill(task, creates, now)

    def _fill(self, task: TaskRun, creates: list[CreateAttempt], now: float) -> None:
        run, items = self._run, task.items
        assert items is not None
        while (
            items.has_unstarted
            and not self._must_wait(task)
            and len(items.live) < task.plan.max_parallel
            and not closes_fan_out(run.plan, task)
            and run.start_block(is_finally=task.plan.is_finally) is None
        ):
            index = items.start_next_item()
            key = task.key(index)
            run.record_state(task, key, items.live[index])
            self._create_attempt(task, key, items.live[index], creates, now)
        if not items.has_unstarted:
            run.open_fan_outs.pop(task.plan.position, None)
        if not items.live:
            run.close_fan_out(task, now)

    def _must_wait(self, task: TaskRun) -> bool:
        """Whether a task starts in a later step: its first expression cannot wait, and this step has had enough."""
        if (task.plan.cache is None and task.plan.approval is None) or not is_spent():
            return False
        self._run.outbox.is_slow = True
        return True

    def _create_attempt(
        self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, creates: list[CreateAttempt], now: float
    ) -> None:
        run = self._run
        instance.mark_requested(now)
        try:
            if task.plan.approval is not None:
                self._approvals.request_approval(task, key, instance, now)
                return
            if self._cache.ask_cache(task, key, instance):
                return
            source, is_slow = self._inputs(task, key)
        except ExpressionError as error:
            self._attempts.fail_permanently(task, key, instance, Reason.EXPRESSION_ERROR, str(error), now)
            return
        began_at = instance.began_at if task.plan.deadline_s is not None else None
        instance.is_sent = True
        creates.append(
            CreateAttempt(
                key,
                instance.attempt,
                instance.failures,
                instance.disruptions,
                source,
                began_at,
                is_slow=is_slow,
            )
        )
        run.set_timer(task, key, instance)

    def _inputs(
        self, task: TaskRun, key: TaskInstanceKey
    ) -> tuple[ContainerInputs | ChildInputs | Callable[[], ContainerInputs | ChildInputs], bool]:
        """Render what an attempt is started with; what is large or expensive is rendered when it is sent.

        Thousands of attempts may wait to be sent. Together they could take more memory than the process has.

        Returns:
            The inputs or what renders them, and whether that is expensive.
        """
        run, position = self._run, task.plan.position

        def render() -> ContainerInputs | ChildInputs:
            with limited(ATTEMPT_COST):
                return attempt_inputs(task.plan, run.instance_values(task, key))

        is_slow = position in self._slow_tasks
        if is_slow or self._rendered_bytes > RENDERED_BYTES or self._has_rendered_enough():
            return render, is_slow
        try:
            inputs = render()
        except SlowExpressionError:
            if not self._has_rendered_enough():
                self._slow_tasks.add(position)
            return render, position in self._slow_tasks
        size_bytes = inputs_bytes(inputs)
        self._rendered_bytes += size_bytes
        return (inputs if size_bytes <= KEPT_INPUTS_BYTES else render), False

    def _has_rendered_enough(self) -> bool:
        return is_spent() or spent() - self._began_with > RENDERED_COST

    def resume_unseen(self, now: float) -> None:
        """Decide on stored attempts of which no Pod was observed: not created yet, or deleted."""
        run = self._run
        for task in run.tasks:
            for index, instance in task.live_instances():
                key = TaskInstanceKey(task.plan.name, index)
                if instance.is_seen:
                    continue
                if task.plan.kind is TaskKind.APPROVAL:
                    self._resume_approval(task, key, instance, now)
                elif instance.state is TaskState.RETRYING:
                    run.set_timer(task, key, instance)
                elif instance.state in (TaskState.RUNNING, TaskState.PAUSED) or instance.stopping:
                    run.outbox.verifies.append(VerifyAttempt(key, instance.attempt))
                else:
                    instance.state = TaskState.PENDING
                    run.record_state(task, key, instance)
                    run.due_attempts.append(key)

    def _resume_approval(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, now: float) -> None:
        try:
            self._approvals.request_approval(task, key, instance, now)
        except ExpressionError as error:
            self._attempts.fail_permanently(task, key, instance, Reason.EXPRESSION_ERROR, str(error), now)
