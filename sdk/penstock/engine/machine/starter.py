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

    def __init__(self, board: Run, attempts: Attempts) -> None:
        self._board = board
        self._attempts = attempts

    # Tasks

    def settle_ready(self, now: float) -> None:
        """Decide on tasks whose upstream is over, as far as that needs no Pod: skips cascade here."""
        board = self._board
        held: list[int] = []
        while board.ready:
            position = board.ready.popleft()
            task = board.tasks[position]
            for fact in board.early.pop(position, ()):
                self._attempts.observe(fact, now)
            if task.is_begun or task.state in FINAL_TASK_STATES:
                continue
            if not self._skip(task, now):
                held.append(position)
        board.ready.extend(held)

    def _skip(self, task: TaskRun, now: float) -> bool:
        board = self._board
        for dependency in task.plan.upstream:
            upstream = board.tasks[dependency.task]
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
            board.finish_task(task, TaskState.SKIPPED, reason, message, now)
            return True
        halt = board.halt(is_finally=task.plan.is_finally)
        if halt is not None:
            board.finish_task(task, TaskState.SKIPPED, halt.reason, halt.message, now)
            return True
        return self._skip_by_condition(task, now)

    def _skip_by_condition(self, task: TaskRun, now: float) -> bool:
        board = self._board
        when = task.plan.when
        if when is None or task.is_admitted:
            return False
        values = board.context(task)
        try:
            verdict = when.evaluate(values)
        except ExpressionError as error:
            board.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, f"when: {error}", now)
            return True
        if not isinstance(verdict, bool):
            message = f"when: {when.source} is {json.dumps(verdict)[:SHOWN_VALUES]}, not true or false"
            board.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, message, now)
            return True
        if not verdict:
            seen = {name: values["params"].get(name) for name in sorted(when.params)}
            seen |= {f"tasks.{name}": values["tasks"][name] for name in sorted({use.task for use in when.tasks})}
            shown = json.dumps(seen, separators=(",", ":"))[:SHOWN_VALUES]
            message = f"{when.source} is false: {shown}"
            board.finish_task(task, TaskState.SKIPPED, Reason.CONDITION_FALSE, message, now)
            return True
        task.is_admitted = True
        return False

    # Creation

    def create(self, now: float) -> list[CreateAttempt]:
        """Start everything that can start now, and return what is to be created for it."""
        board = self._board
        creates: list[CreateAttempt] = []
        while board.due:
            key = board.due.popleft()
            task = board.tasks[board.plan.positions[key.task]]
            unit = task.live_task_instance(key.item)
            if unit is not None and unit.state in (TaskState.PENDING, TaskState.QUEUED) and not unit.is_seen:
                self._create_attempt(task, key, unit, creates, now)
        for position in list(board.open_fan_outs):
            self._fill(board.tasks[position], creates, now)
        while board.ready:
            task = board.tasks[board.ready.popleft()]
            # What was created or failed just now may have stopped the run.
            if self._skip(task, now):
                self.settle_ready(now)
                continue
            self._start_task(task, creates, now)
        return creates

    def _start_task(self, task: TaskRun, creates: list[CreateAttempt], now: float) -> None:
        board = self._board
        if board.clock.started_at is None:
            self._attempts.start_run(now)
        if task.plan.fan_out is None:
            unit = board.begin(task, None)
            self._create_attempt(task, TaskInstanceKey(task.plan.name), unit, creates, now)
            return
        try:
            board.expand(task)
        except ExpressionError as error:
            board.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, str(error), now)
            return
        assert task.items is not None
        if not task.items.total:
            board.finish_task(task, TaskState.SKIPPED, Reason.NO_ITEMS, "forEach has no items", now)
            return
        board.open_fan_outs[task.plan.position] = None
        board.report.touch(task)
        self._fill(task, creates, now)

    def _fill(self, task: TaskRun, creates: list[CreateAttempt], now: float) -> None:
        board, items = self._board, task.items
        assert items is not None
        while (
            items.has_unstarted
            and len(items.live) < task.plan.max_parallel
            and not closes_fan_out(board.plan, task)
            and board.halt(is_finally=task.plan.is_finally) is None
        ):
            index = items.start_next()
            board.note(task, items.live[index])
            self._create_attempt(task, TaskInstanceKey(task.plan.name, index), items.live[index], creates, now)
        if not items.has_unstarted:
            board.open_fan_outs.pop(task.plan.position, None)
        if not items.live:
            board.close_fan_out(task, now)

    def _create_attempt(
        self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, creates: list[CreateAttempt], now: float
    ) -> None:
        board = self._board
        unit.ask(now)
        try:
            if task.plan.approval is not None:
                self._attempts.ask_approval(task, key, unit, now)
                return
            if self._ask_cache(task, key, unit):
                return
            inputs = attempt_inputs(task.plan, board.task_instance_context(task, key))
        except ExpressionError as error:
            self._attempts.fail(task, key, unit, str(error), now)
            return
        began_at = unit.began_at if task.plan.deadline_s is not None else None
        creates.append(CreateAttempt(key, unit.attempt, unit.failures, unit.disruptions, inputs, began_at))
        board.arm(task, key, unit)

    def _ask_cache(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance) -> bool:
        """Ask the cache before the first attempt; a further one has the lock already."""
        cache = task.plan.cache
        if cache is None or unit.is_granted or unit.attempt > 1:
            return False
        board = self._board
        board.outbox.cache.append(AskCache(key, board.cache_digest(task, cache, key), cache.ttl_s))
        board.arm(task, key, unit)
        return True

    def resume_unseen(self, now: float) -> None:
        """Decide on stored attempts of which no Pod was seen: not created yet, or gone."""
        board = self._board
        for task in board.tasks:
            for index, unit in task.live():
                key = TaskInstanceKey(task.plan.name, index)
                if unit.is_seen:
                    continue
                if task.plan.kind is TaskKind.APPROVAL:
                    self._resume_approval(task, key, unit, now)
                elif unit.state is TaskState.RETRYING:
                    board.arm(task, key, unit)
                elif unit.state in (TaskState.RUNNING, TaskState.PAUSED) or unit.stopping:
                    board.outbox.verifies.append(VerifyAttempt(key, unit.attempt))
                else:
                    unit.state = TaskState.PENDING
                    board.note(task, unit)
                    board.due.append(key)

    def _resume_approval(self, task: TaskRun, key: TaskInstanceKey, unit: TaskInstance, now: float) -> None:
        try:
            self._attempts.ask_approval(task, key, unit, now)
        except ExpressionError as error:
            self._attempts.fail(task, key, unit, str(error), now)
