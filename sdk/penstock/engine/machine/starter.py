"""What starts next: tasks whose upstream is over, items of fan-outs, and attempts that are due."""

from __future__ import annotations

import json
from typing import Final

from penstock.engine.compiler.plan import DependencyKind
from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.attempts import Attempts
from penstock.engine.machine.effects import AskCache, CreateAttempt, VerifyAttempt
from penstock.engine.machine.failure_policy import closes_fan_out
from penstock.engine.machine.inputs import attempt_inputs
from penstock.engine.machine.run import Run
from penstock.engine.machine.task import TaskRun
from penstock.engine.machine.task_instance import TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_TASK_STATES, TaskState
from penstock.errors import ExpressionError

SHOWN_VALUES: Final = 256


class Starter:
    """Starts what can start, and skips what can't.

    Args:
        board: the state of the run.
        attempts: takes over what was seen before it made sense, and what can't be started.
    """

    def __init__(self, run: Run, attempts: Attempts) -> None:
        self._run = run
        self._attempts = attempts

    # Tasks

    def decide_ready(self, now: float) -> None:
        """Decide on tasks whose upstream is over, as far as that needs no Pod: skips cascade here."""
        run = self._run
        held: list[int] = []
        while run.ready:
            position = run.ready.popleft()
            task = run.tasks[position]
            for fact in run.early_facts.pop(position, ()):
                self._attempts.observe(fact, now)
            if task.is_begun or task.state in FINAL_TASK_STATES:
                continue
            if not self._skip(task, now):
                held.append(position)
        run.ready.extend(held)

    def _skip(self, task: TaskRun, now: float) -> bool:
        run = self._run
        for dependency in task.plan.upstream:
            upstream = run.tasks[dependency.task]
            if upstream.state in dependency.states:
                continue
            name, state = upstream.plan.name, upstream.state
            if dependency.kind is DependencyKind.STATES:
                asked = " or ".join(sorted(dependency.states))
                reason, message = Reason.STATES_NOT_MET, f"task {name} is {state}, not {asked}"
            else:
                is_skip = state is TaskState.SKIPPED
                reason = Reason.UPSTREAM_SKIPPED if is_skip else Reason.UPSTREAM_FAILED
                message = f"depends on {name}, which is {state}"
            run.finish_task(task, TaskState.SKIPPED, reason, message, now)
            return True
        start_block = run.start_block(is_finally=task.plan.is_finally)
        if start_block is not None:
            run.finish_task(task, TaskState.SKIPPED, start_block.reason, start_block.message, now)
            return True
        return self._skip_by_condition(task, now)

    def _skip_by_condition(self, task: TaskRun, now: float) -> bool:
        run = self._run
        when = task.plan.when
        if when is None or task.is_admitted:
            return False
        values = run.expression_context(task)
        try:
            verdict = when.evaluate(values)
        except ExpressionError as error:
            run.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, f"when: {error}", now)
            return True
        if not isinstance(verdict, bool):
            message = f"when: {when.source} is {json.dumps(verdict)[:SHOWN_VALUES]}, not true or false"
            run.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, message, now)
            return True
        if not verdict:
            seen = {name: values["params"].get(name) for name in sorted(when.params)}
            seen |= {f"tasks.{name}": values["tasks"][name] for name in sorted({use.task for use in when.tasks})}
            shown = json.dumps(seen, separators=(",", ":"))[:SHOWN_VALUES]
            message = f"{when.source} is false: {shown}"
            run.finish_task(task, TaskState.SKIPPED, Reason.CONDITION_FALSE, message, now)
            return True
        task.is_admitted = True
        return False

    # Creation

    def create(self, now: float) -> list[CreateAttempt]:
        """Start everything that can start now, and return what is to be created for it."""
        run = self._run
        creates: list[CreateAttempt] = []
        while run.due_attempts:
            key = run.due_attempts.popleft()
            task = run.tasks[run.plan.positions[key.task]]
            instance = task.live_task_instance(key.item)
            if (
                instance is not None
                and instance.state in (TaskState.PENDING, TaskState.QUEUED)
                and not instance.is_seen
            ):
                self._create_attempt(task, key, instance, creates, now)
        for position in list(run.open_fan_outs):
            self._fill(run.tasks[position], creates, now)
        while run.ready:
            task = run.tasks[run.ready.popleft()]
            # What was created or failed just now may have stopped the run.
            if self._skip(task, now):
                self.decide_ready(now)
                continue
            self._start_task(task, creates, now)
        return creates

    def _start_task(self, task: TaskRun, creates: list[CreateAttempt], now: float) -> None:
        run = self._run
        if run.clock.started_at is None:
            self._attempts.start_run(now)
        if task.plan.fan_out is None:
            instance = run.begin_instance(task, None)
            self._create_attempt(task, TaskInstanceKey(task.plan.name), instance, creates, now)
            return
        try:
            run.expand(task)
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
            and len(items.live) < task.plan.max_parallel
            and not closes_fan_out(run.plan, task)
            and run.start_block(is_finally=task.plan.is_finally) is None
        ):
            index = items.start_next_item()
            run.record_state(task, items.live[index])
            self._create_attempt(task, TaskInstanceKey(task.plan.name, index), items.live[index], creates, now)
        if not items.has_unstarted:
            run.open_fan_outs.pop(task.plan.position, None)
        if not items.live:
            run.close_fan_out(task, now)

    def _create_attempt(
        self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, creates: list[CreateAttempt], now: float
    ) -> None:
        run = self._run
        instance.mark_requested(now)
        try:
            if task.plan.approval is not None:
                self._attempts.ask_approval(task, key, instance, now)
                return
            if self._ask_cache(task, key, instance):
                return
            inputs = attempt_inputs(task.plan, run.instance_values(task, key))
        except ExpressionError as error:
            self._attempts.fail_permanently(task, key, instance, str(error), now)
            return
        began_at = instance.began_at if task.plan.deadline_s is not None else None
        creates.append(CreateAttempt(key, instance.attempt, instance.failures, instance.disruptions, inputs, began_at))
        run.set_timer(task, key, instance)

    def _ask_cache(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance) -> bool:
        """Ask the cache before the first attempt; a further one has the lock already."""
        cache = task.plan.cache
        if cache is None or instance.is_granted or instance.attempt > 1:
            return False
        run = self._run
        run.outbox.cache.append(AskCache(key, run.cache_digest(task, cache, key), cache.ttl_s))
        run.set_timer(task, key, instance)
        return True

    def resume_unseen(self, now: float) -> None:
        """Decide on stored attempts of which no Pod was seen: not created yet, or gone."""
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
                    run.record_state(task, instance)
                    run.due_attempts.append(key)

    def _resume_approval(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance, now: float) -> None:
        try:
            self._attempts.ask_approval(task, key, instance, now)
        except ExpressionError as error:
            self._attempts.fail_permanently(task, key, instance, str(error), now)
