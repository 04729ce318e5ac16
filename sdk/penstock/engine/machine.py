"""The state machine of one run: from what was stored and what is seen to what is done next.

The invariant that everything rests on: from the stored status, the Pods that exist and the time, the same
decision follows, whatever was held in memory before. So nothing here is remembered that could not be found
again, and a decision that can't be taken back (stopping a Pod, letting one go) waits until its reason is stored.

A step costs what has changed: a task that ends touches the tasks that depend on it, an item its fan-out.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.engine.container import attempt_inputs
from penstock.engine.effects import (
    Conclusion,
    CreateAttempt,
    Notice,
    ReleaseAttempt,
    Step,
    StopAttempt,
    VerifyAttempt,
)
from penstock.engine.facts import (
    AttemptSeen,
    CacheBusy,
    CacheHit,
    CacheMiss,
    Cause,
    CreateHeld,
    CreateRefused,
    Fact,
    Outcome,
    UnitKey,
)
from penstock.engine.items import Items, json_size
from penstock.engine.outbox import Outbox
from penstock.engine.plan import DependencyKind, Plan
from penstock.engine.reasons import Reason
from penstock.engine.report import Changes, Head, Report
from penstock.engine.state import FINAL_TASK_STATES, UNSUCCESSFUL_TASK_STATES, RunState, TaskState
from penstock.engine.taskrun import TaskRun
from penstock.engine.timers import Timers
from penstock.engine.unit import Unit
from penstock.engine.verdict import RunVerdict, flow_outputs, judge_fan_out, judge_run
from penstock.errors import ExpressionError

MAX_UNSTORED_OUTCOMES: Final = 1000
"""With this many outcomes not yet stored a run creates nothing: they exist in Pods alone."""
OUTPUTS_BYTES: Final = 384 * 1024
"""Most bytes of outputs of all tasks together, as compact JSON: the status must stay below an object's limit."""
_SHOWN_VALUES = 256


class RunIdentity(NamedTuple):
    """Which run it is."""

    namespace: str
    name: str
    uid: str


class Machine:
    """Decides what one run does next.

    Args:
        plan: the compiled Flow.
        run: which run it is.
        params: the resolved params.
        now: seconds since the epoch.
        stored: the stored status, if the run has one of ours.
        timeout_s: longest time of the run in seconds, in place of the plan's.

    Raises:
        StoredStatusError: the stored status can't be read, or is not of this plan.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, named at every call
        self,
        plan: Plan,
        run: RunIdentity,
        params: Mapping[str, Any],
        *,
        now: float,
        stored: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.plan = plan
        self.run = run
        self._params = params
        self._timeout_s = plan.timeout_s if timeout_s is None else timeout_s
        self._tasks = [TaskRun(task) for task in plan.tasks]
        self._remaining = [len(task.upstream) for task in plan.tasks]
        self._ready: deque[int] = deque()
        self._due: deque[UnitKey] = deque()
        self._open_fan_outs: dict[int, None] = {}
        self._timers = Timers()
        self._early: dict[int, list[AttemptSeen]] = {}
        self._outbox = Outbox()
        self._disposed: set[str] = set()
        self._outputs_bytes = 0
        self._failed_task: str | None = None
        self._is_timed_out = False
        self._is_started = False
        self.state = RunState.PENDING
        self._start_time: float | None = None
        self._report = Report(self._tasks, Head.new(now=now, total=len(self._tasks), params=params))
        if stored is not None and stored.get("tasks"):
            self._restore(stored)
        for position, remaining in enumerate(self._remaining):
            if (
                not remaining
                and self._tasks[position].state is TaskState.PENDING
                and not self._tasks[position].is_begun
            ):
                self._ready.append(position)

    # What the machine is told

    def observe(self, fact: Fact, now: float) -> None:
        """Take over a fact. Facts may come twice, late, or out of order.

        Args:
            fact: what was seen.
            now: seconds since the epoch.
        """
        position = self.plan.positions.get(fact.key.task)
        if position is None:
            return
        task = self._tasks[position]
        if fact.key.item is not None and not self._is_item(task, fact.key.item):
            if isinstance(fact, AttemptSeen) and task.state is TaskState.PENDING and self._remaining[position]:
                # Which items there are is known once the upstream's own Pods have been looked at.
                self._early.setdefault(position, []).append(fact)
            return
        if isinstance(fact, AttemptSeen):
            self._see(task, fact, now)
            return
        if isinstance(fact, CacheHit | CacheMiss | CacheBusy):
            return
        unit = task.live_unit(fact.key.item)
        if unit is None or unit.attempt != fact.attempt or unit.state is TaskState.RETRYING:
            return
        if isinstance(fact, CreateHeld):
            unit.hold(fact.message)
            self._report.touch(task)
        elif isinstance(fact, CreateRefused):
            self._settle(task, fact.key, unit, Outcome(Cause.FAILURE, now, Reason.CREATE_REFUSED, fact.message), now)
        elif unit.is_seen or unit.state is TaskState.RUNNING or unit.stopping:
            outcome = Outcome(Cause.DISRUPTION, now, Reason.POD_DELETED, "the Pod was deleted and left no outcome")
            self._settle(task, fact.key, unit, outcome, now)
        else:
            self._due.append(fact.key)

    def advance(self, now: float, *, may_create: bool = True) -> Step:
        """Decide what follows from all that was observed.

        Args:
            now: seconds since the epoch.
            may_create: false while nothing may be created; it is made up for by a later step.

        Returns:
            The writes to make and when to come back.
        """
        if not self._is_started:
            self._is_started = True
            self._resume_unseen()
        self._settle_ready(now)
        if self.state not in (RunState.PENDING, RunState.RUNNING):
            creates: list[CreateAttempt] = []
        else:
            self._run_timers(now)
            self._settle_ready(now)
            creates = self._create(now) if may_create else []
            self._settle_ready(now)
        self._finish_run(now)
        return self._take_step(creates, now)

    def stored(self, version: int) -> None:
        """Learn that all changes up to this version are stored: what waited for it may now be done."""
        self._report.stored_version = max(self._report.stored_version, version)
        self._outbox.stored(self._report.stored_version)

    def changes(self) -> Changes:
        """Return what the stored status lacks; see `Report.changes`."""
        return self._report.changes()

    def unstored(self, changes: Changes) -> None:
        """Learn that these changes were not stored after all."""
        self._report.take_back(changes)

    @property
    def is_over(self) -> bool:
        """Whether the run has reached a final state."""
        return self.state not in (RunState.PENDING, RunState.RUNNING)

    @property
    def is_settled(self) -> bool:
        """Whether the run is over and nothing waits for the status to be stored."""
        return self.is_over and not self._outbox.waiting and not self._report.is_dirty

    @property
    def running_units(self) -> int:
        """Number of tasks and items whose container runs."""
        return sum(unit.state is TaskState.RUNNING for task in self._tasks for _, unit in task.live())

    def set_timeout(self, timeout_s: float | None) -> None:
        """Change the longest time of the run.

        Args:
            timeout_s: in seconds; None for the plan's.
        """
        self._timeout_s = self.plan.timeout_s if timeout_s is None else timeout_s
        self._push_run_timer()

    # Attempts

    def _see(self, task: TaskRun, seen: AttemptSeen, now: float) -> None:
        unit = task.live_unit(seen.key.item)
        is_past = unit is not None and (
            seen.attempt < unit.attempt or (seen.attempt == unit.attempt and unit.state is TaskState.RETRYING)
        )
        if is_past or (unit is None and task.is_unit_over(seen.key.item)):
            self._let_go(task, seen)
            return
        if unit is None:
            unit = self._begin(task, seen.key.item)
        if self._start_time is None or seen.created_at < self._start_time:
            self._set_start_time(seen.created_at)
        if unit.see(seen, now):
            self._report.touch(task)
        if task.items is not None and unit.started_at is not None:
            task.items.started_at = min(task.items.started_at or unit.started_at, unit.started_at)
        if unit.state is TaskState.RUNNING and self.state is RunState.PENDING:
            self._set_state(RunState.RUNNING)
        if seen.outcome is not None:
            self._settle(task, seen.key, unit, seen.outcome, now)
            self._let_go(task, seen)
            return
        if unit.stopping and not seen.is_deleting:
            self._after(task, StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid))
        self._arm(task, seen.key, unit)

    def _arm(self, task: TaskRun, key: UnitKey, unit: Unit) -> None:
        lost_at = self._lost_at(task, unit)
        due = [] if lost_at is None else [lost_at]
        if unit.started_at is not None and task.plan.timeout_s is not None and not unit.stopping:
            due.append(unit.started_at + task.plan.timeout_s)
        if due:
            self._push_timer(task, key, unit, min(due))

    def _lost_at(self, task: TaskRun, unit: Unit) -> float | None:
        after_s = task.plan.retry.node_lost_after_s
        return None if unit.gone_due_at is None or after_s is None else unit.gone_due_at + after_s

    def _push_timer(self, task: TaskRun, key: UnitKey, unit: Unit, due: float) -> None:
        self._timers.set(due, position=task.plan.position, item=key.item, attempt=unit.attempt)

    def _let_go(self, task: TaskRun, seen: AttemptSeen) -> None:
        # An attempt whose end is decided: whatever of its Pod still runs is in the way, and its finalizer too.
        if not seen.is_finished and not seen.is_deleting:
            self._after(task, StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid))
        if seen.is_tracked:
            if seen.uid not in self._disposed:
                self._disposed.add(seen.uid)
                self._after(task, ReleaseAttempt(seen.pod, seen.uid))
        else:
            self._disposed.discard(seen.uid)

    def _after(self, task: TaskRun, effect: ReleaseAttempt | StopAttempt) -> None:
        """Have an effect done once what the task's entry says now is stored."""
        version = self._report.version_of(task)
        self._outbox.put(effect, version=version, stored_version=self._report.stored_version)

    def _settle(self, task: TaskRun, key: UnitKey, unit: Unit, outcome: Outcome, now: float) -> None:
        outcome = self._within_budget(outcome)
        unit.settle(outcome, policy=task.plan.retry, run_uid=self.run.uid, key=key)
        self._report.touch(task)
        if unit.state is not TaskState.COMPLETED:
            task.record_failure(key.item, unit)
            self._outbox.notices.append(Notice.of_attempt(key, unit))
        if unit.state is TaskState.RETRYING:
            assert unit.wake_at is not None
            self._push_timer(task, key, unit, unit.wake_at)
            return
        self._conclude(task, key, unit, outcome.outputs if unit.state is TaskState.COMPLETED else None, now)

    def _within_budget(self, outcome: Outcome) -> Outcome:
        if outcome.outputs is None:
            return outcome
        size = json_size(outcome.outputs)
        if self._outputs_bytes + size > OUTPUTS_BYTES:
            message = (
                f"with these {size} bytes the run's outputs would exceed {OUTPUTS_BYTES} bytes: "
                "pass large data by reference"
            )
            return Outcome(Cause.FAILURE, outcome.finished_at, Reason.INVALID_OUTPUTS, message, outcome.exit_code)
        return outcome

    def _fail(self, task: TaskRun, key: UnitKey, unit: Unit, message: str, now: float) -> None:
        unit.fail(Reason.EXPRESSION_ERROR, message, now)
        self._report.touch(task)
        task.record_failure(key.item, unit)
        self._outbox.notices.append(Notice.of_attempt(key, unit))
        self._conclude(task, key, unit, None, now)

    def _conclude(self, task: TaskRun, key: UnitKey, unit: Unit, outputs: dict[str, Any] | None, now: float) -> None:
        """Take a unit that has reached a final state out of the live ones."""
        finished_at = now if unit.finished_at is None else unit.finished_at
        started_at = unit.started_at
        self._outbox.conclusions.append(
            Conclusion(key, unit.state, 0.0 if started_at is None else max(finished_at - started_at, 0.0))
        )
        if key.item is None:
            task.outputs = outputs
            self._outputs_bytes += json_size(outputs)
            self._finish_task(task, unit.state, unit.reason, unit.message, finished_at)
            return
        assert task.items is not None
        self._outputs_bytes -= task.items.outputs_bytes
        task.items.finish(key.item, outputs)
        self._outputs_bytes += task.items.outputs_bytes
        if unit.state in UNSUCCESSFUL_TASK_STATES and self._failed_task is None:
            self._failed_task = task.plan.name
        self._close_fan_out(task, finished_at)

    # Tasks

    def _settle_ready(self, now: float) -> None:
        """Decide on tasks whose upstream is over, as far as that needs no Pod: skips cascade here."""
        held: list[int] = []
        while self._ready:
            position = self._ready.popleft()
            task = self._tasks[position]
            for fact in self._early.pop(position, ()):
                self.observe(fact, now)
            if task.is_begun or task.state in FINAL_TASK_STATES:
                continue
            if not self._skip(task, now):
                held.append(position)
        self._ready.extend(held)

    def _skip(self, task: TaskRun, now: float) -> bool:
        for dependency in task.plan.upstream:
            upstream = self._tasks[dependency.task]
            if dependency.kind is not DependencyKind.NEEDS or upstream.state is TaskState.COMPLETED:
                continue
            is_skip = upstream.state is TaskState.SKIPPED
            reason = Reason.UPSTREAM_SKIPPED if is_skip else Reason.UPSTREAM_FAILED
            message = f"depends on {upstream.plan.name}, which is {upstream.state}"
            self._finish_task(task, TaskState.SKIPPED, reason, message, now)
            return True
        if self._is_timed_out:
            self._finish_task(
                task, TaskState.SKIPPED, Reason.RUN_TIMED_OUT, "not started: the run took longer than its timeout", now
            )
            return True
        if self._failed_task is not None:
            message = f"not started: the run stops because task {self._failed_task} failed"
            self._finish_task(task, TaskState.SKIPPED, Reason.RUN_STOPPING, message, now)
            return True
        return self._skip_by_condition(task, now)

    def _skip_by_condition(self, task: TaskRun, now: float) -> bool:
        when = task.plan.when
        if when is None or task.is_admitted:
            return False
        values = self._values(task.plan.render_tasks)
        try:
            verdict = when.evaluate(values)
        except ExpressionError as error:
            self._finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, f"when: {error}", now)
            return True
        if not isinstance(verdict, bool):
            message = f"when: {when.source} is {json.dumps(verdict)[:_SHOWN_VALUES]}, not true or false"
            self._finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, message, now)
            return True
        if not verdict:
            seen = {name: values["params"].get(name) for name in sorted(when.params)}
            seen |= {f"tasks.{name}": values["tasks"][name] for name in sorted({use.task for use in when.tasks})}
            shown = json.dumps(seen, separators=(",", ":"))[:_SHOWN_VALUES]
            self._finish_task(task, TaskState.SKIPPED, Reason.CONDITION_FALSE, f"{when.source} is false: {shown}", now)
            return True
        task.is_admitted = True
        return False

    def _begin(self, task: TaskRun, index: int | None) -> Unit:
        """Make a unit live that was not."""
        if task.plan.fan_out is not None and task.items is None:
            # A Pod of an item whose fan-out was never stored: its items follow from stored outputs again.
            self._expand(task)
        unit = task.begin(index)
        if task.items is not None and task.items.has_unstarted:
            self._open_fan_outs[task.plan.position] = None
        self._report.touch(task)
        return unit

    def _expand(self, task: TaskRun) -> None:
        assert task.plan.fan_out is not None
        task.values = task.plan.fan_out.expand(self._values(task.plan.render_tasks))
        if task.items is None:
            task.items = Items(len(task.values))

    def _finish_task(
        self, task: TaskRun, state: TaskState, reason: str | None, message: str | None, now: float
    ) -> None:
        task.finish(state, reason, message, now)
        self._open_fan_outs.pop(task.plan.position, None)
        self._report.finish_task(task)
        if task.unit is None:
            self._outbox.conclusions.append(Conclusion(UnitKey(task.plan.name), state, 0.0))
        if state in UNSUCCESSFUL_TASK_STATES and self._failed_task is None:
            self._failed_task = task.plan.name
        for position in task.plan.downstream:
            self._remaining[position] -= 1
            if not self._remaining[position]:
                self._ready.append(position)

    def _close_fan_out(self, task: TaskRun, now: float) -> None:
        """End a fan-out when its last item is over, or no further one will start."""
        items = task.items
        assert items is not None
        if task.state in FINAL_TASK_STATES or items.live:
            return
        is_halted = items.has_failed or self._failed_task is not None or self._is_timed_out
        if items.has_unstarted and not is_halted:
            return
        verdict = judge_fan_out(items, is_timed_out=self._is_timed_out)
        self._finish_task(task, verdict.state, verdict.reason, verdict.message, now)

    # Clocks

    def _run_timers(self, now: float) -> None:
        if self._timers.is_run_due(now) and not self._is_timed_out:
            self._time_out(now)
        for rung in self._timers.ring(now):
            task = self._tasks[rung.position]
            unit = task.live_unit(rung.item)
            if unit is not None and unit.attempt == rung.attempt:
                self._ring(task, UnitKey(task.plan.name, rung.item), unit, now)

    def _ring(self, task: TaskRun, key: UnitKey, unit: Unit, now: float) -> None:
        if unit.state is TaskState.RETRYING:
            if unit.wake_at is not None and unit.wake_at <= now:
                unit.begin_next_attempt()
                self._due.append(key)
                self._report.touch(task)
        elif (lost_at := self._lost_at(task, unit)) is not None and lost_at <= now:
            message = f"the Pod {unit.pod} should be gone, but its node {unit.node} does not say so"
            self._settle(task, key, unit, Outcome(Cause.DISRUPTION, now, Reason.NODE_LOST, message), now)
        elif (
            unit.started_at is not None
            and task.plan.timeout_s is not None
            and unit.started_at + task.plan.timeout_s <= now
            and not unit.stopping
        ):
            self._stop_unit(task, key, unit, Reason.DEADLINE_EXCEEDED)

    def _stop_unit(self, task: TaskRun, key: UnitKey, unit: Unit, reason: Reason) -> None:
        unit.stopping = reason
        self._report.touch(task)
        if unit.pod is not None and unit.uid is not None:
            self._after(task, StopAttempt(key, unit.attempt, unit.pod, unit.uid))
        if (lost_at := self._lost_at(task, unit)) is not None:
            self._push_timer(task, key, unit, lost_at)

    def _time_out(self, now: float) -> None:
        self._is_timed_out = True
        for task in self._tasks:
            for index, unit in task.live():
                key = UnitKey(task.plan.name, index)
                if unit.state is TaskState.RETRYING or not unit.is_seen:
                    # No Pod is there to be stopped, or none that was seen: one that appears is let go at sight.
                    unit.stopping = Reason.RUN_TIMED_OUT
                    self._settle(task, key, unit, Outcome(Cause.FAILURE, now), now)
                else:
                    self._stop_unit(task, key, unit, Reason.RUN_TIMED_OUT)
            if task.items is not None:
                self._close_fan_out(task, now)

    # Creation

    def _create(self, now: float) -> list[CreateAttempt]:
        creates: list[CreateAttempt] = []
        if self._outbox.waiting >= MAX_UNSTORED_OUTCOMES:
            return creates
        while self._due:
            key = self._due.popleft()
            task = self._tasks[self.plan.positions[key.task]]
            unit = task.live_unit(key.item)
            if unit is not None and unit.state is TaskState.PENDING and not unit.is_seen:
                self._create_attempt(task, key, unit, creates, now)
        for position in list(self._open_fan_outs):
            self._fill(self._tasks[position], creates, now)
        while self._ready:
            position = self._ready.popleft()
            task = self._tasks[position]
            # What was created or failed just now may have stopped the run.
            if self._skip(task, now):
                self._settle_ready(now)
                continue
            self._start_task(task, creates, now)
        return creates

    def _start_task(self, task: TaskRun, creates: list[CreateAttempt], now: float) -> None:
        if self._start_time is None:
            self._set_start_time(now)
        if task.plan.fan_out is None:
            unit = self._begin(task, None)
            self._create_attempt(task, UnitKey(task.plan.name), unit, creates, now)
            return
        try:
            self._expand(task)
        except ExpressionError as error:
            self._finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, str(error), now)
            return
        assert task.items is not None
        if not task.items.total:
            self._finish_task(task, TaskState.SKIPPED, Reason.NO_ITEMS, "forEach has no items", now)
            return
        self._open_fan_outs[task.plan.position] = None
        self._report.touch(task)
        self._fill(task, creates, now)

    def _fill(self, task: TaskRun, creates: list[CreateAttempt], now: float) -> None:
        items = task.items
        assert items is not None
        while (
            items.has_unstarted
            and len(items.live) < task.plan.max_parallel
            and not items.has_failed
            and self._failed_task is None
            and not self._is_timed_out
        ):
            index = items.start_next()
            self._report.touch(task)
            self._create_attempt(task, UnitKey(task.plan.name, index), items.live[index], creates, now)
        if not items.has_unstarted:
            self._open_fan_outs.pop(task.plan.position, None)
        elif not items.live:
            self._close_fan_out(task, now)

    def _create_attempt(
        self, task: TaskRun, key: UnitKey, unit: Unit, creates: list[CreateAttempt], now: float
    ) -> None:
        values = task.context
        if values is None:
            values = task.context = self._values(task.plan.render_tasks)
        try:
            if key.item is not None:
                if task.values is None:
                    self._expand(task)
                assert task.values is not None
                values = values | {"item": task.values[key.item], "index": key.item}
            inputs = attempt_inputs(task.plan, values)
        except ExpressionError as error:
            self._fail(task, key, unit, str(error), now)
            return
        creates.append(CreateAttempt(key, unit.attempt, unit.failures, unit.disruptions, inputs))

    def _values(self, names: frozenset[str]) -> dict[str, Any]:
        """Return what expressions see that refer to these tasks."""
        return {
            "params": self._params,
            "run": {"namespace": self.run.namespace, "name": self.run.name, "uid": self.run.uid},
            "tasks": {name: self._tasks[self.plan.positions[name]].as_value() for name in names},
        }

    # The run

    def _set_start_time(self, start_time: float) -> None:
        self._start_time = start_time
        self._report.set_start_time(start_time)
        self._push_run_timer()

    def _push_run_timer(self) -> None:
        if self._timeout_s is None or self._start_time is None:
            self._timers.set_run(None)
        else:
            self._timers.set_run(self._start_time + self._timeout_s)

    def _set_state(self, state: RunState) -> None:
        self.state = state
        self._report.set_state(state)

    def _finish_run(self, now: float) -> None:
        if self.is_over or self._report.finished_tasks < len(self._tasks):
            return
        completed_at = max((task.completion_time or now for task in self._tasks), default=now)
        verdict = judge_run(self._tasks, is_timed_out=self._is_timed_out)
        outputs, problem = flow_outputs(self.plan, self._values(self.plan.output_tasks))
        if problem is not None and verdict.state is RunState.COMPLETED:
            verdict = RunVerdict(RunState.FAILED, Reason.EXPRESSION_ERROR, problem)
        self.state = verdict.state
        self._report.finish_run(verdict.state, verdict.reason, verdict.message, outputs, completed_at)
        self._outbox.notices.append(Notice.of_run(verdict.state, verdict.message or self._report.summary()))

    # Where the stored status left off

    def _restore(self, stored: Mapping[str, Any]) -> None:
        self._report.restore(stored)
        head = self._report.head
        self.state = head.state
        self._start_time = head.start_time
        self._push_run_timer()
        for task in self._tasks:
            self._outputs_bytes += json_size(task.outputs)
            if task.items is not None:
                self._outputs_bytes += task.items.outputs_bytes
            if task.state in FINAL_TASK_STATES:
                if task.state in UNSUCCESSFUL_TASK_STATES and self._failed_task is None:
                    self._failed_task = task.plan.name
                for position in task.plan.downstream:
                    self._remaining[position] -= 1
                continue
            if task.items is not None:
                if task.items.has_failed and self._failed_task is None:
                    self._failed_task = task.plan.name
                if task.items.has_unstarted or not task.items.live:
                    self._open_fan_outs[task.plan.position] = None

    def _resume_unseen(self) -> None:
        """Decide on stored attempts of which no Pod was seen: not created yet, or gone."""
        for task in self._tasks:
            for index, unit in task.live():
                key = UnitKey(task.plan.name, index)
                if unit.is_seen:
                    continue
                if unit.state is TaskState.RETRYING:
                    assert unit.wake_at is not None
                    self._push_timer(task, key, unit, unit.wake_at)
                elif unit.state is TaskState.RUNNING or unit.stopping:
                    self._outbox.verifies.append(VerifyAttempt(key, unit.attempt))
                else:
                    unit.state = TaskState.PENDING
                    self._due.append(key)

    def _is_item(self, task: TaskRun, index: int) -> bool:
        if task.plan.fan_out is None:
            return False
        if task.items is None:
            if task.state in FINAL_TASK_STATES or self._remaining[task.plan.position]:
                return False
            try:
                self._expand(task)
            except ExpressionError:
                return False
        assert task.items is not None
        return 0 <= index < task.items.total

    def _take_step(self, creates: list[CreateAttempt], now: float) -> Step:
        wake_at = None if self.is_over else self._timers.next_due(now)
        return self._outbox.take(
            creates, wake_at=wake_at, is_changed=self._report.is_dirty, is_urgent=self._report.is_urgent
        )
