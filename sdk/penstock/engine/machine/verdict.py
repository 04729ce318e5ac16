"""How a fan-out and a run ended, judged from how their parts did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock.engine.compiler.plan import Plan
from penstock.engine.machine.items import GATHERED_OUTPUTS_BYTES, Items
from penstock.engine.machine.shutdown import SHUTDOWN_REASONS, Shutdown
from penstock.engine.machine.task import TaskRun
from penstock.engine.reasons import Reason
from penstock.engine.state import UNSUCCESSFUL_TASK_STATES, RunState, TaskState
from penstock.errors import ExpressionError


class TaskVerdict(NamedTuple):
    """How a task ended."""

    state: TaskState
    reason: Reason | None = None
    message: str | None = None


class RunVerdict(NamedTuple):
    """How a run ended."""

    state: RunState
    reason: Reason | None = None
    message: str | None = None


def judge_fan_out(items: Items, *, allowed: int, start_block: tuple[Reason, str] | None) -> TaskVerdict:
    """Judge a fan-out none of whose items runs and of which no further item will start.

    Args:
        items: the items.
        allowed: how many of them may fail.
        start_block: why nothing new starts in the run, if that is so.
    """
    left = f"{items.unstarted} not started" if items.has_unstarted else ""
    failed = {state: count for state, count in items.counts.items() if state in UNSUCCESSFUL_TASK_STATES}
    halted = start_block[0] if start_block is not None and start_block[0] != Reason.RUN_STOPPING else None
    is_cut_short = items.has_unstarted or TaskState.CANCELLED in failed
    words = ", ".join([f"{count} {state}" for state, count in sorted(failed.items())] + ([left] if left else []))
    if items.failures > allowed:
        state = next(iter(failed)) if len(failed) == 1 else TaskState.FAILED
        reason = halted if halted is not None and is_cut_short else Reason.ITEMS_FAILED
        return TaskVerdict(state, reason, f"of {items.total} items {words}{_last_failure(items)}")
    if is_cut_short:
        return TaskVerdict(TaskState.CANCELLED, halted or Reason.RUN_STOPPING, f"of {items.total} items {words}")
    if failed:
        message = f"of {items.total} items {words}, {allowed} may fail{_last_failure(items)}"
        return TaskVerdict(TaskState.COMPLETED, Reason.ITEMS_FAILED, message)
    if items.are_outputs_dropped:
        message = f"the items' outputs exceed {GATHERED_OUTPUTS_BYTES} bytes and are not gathered"
        return TaskVerdict(TaskState.COMPLETED, Reason.OUTPUTS_DROPPED, message)
    return TaskVerdict(TaskState.COMPLETED)


def _last_failure(items: Items) -> str:
    if not items.failed:
        return ""
    last = items.failed[-1]
    words = [f"item {last['index']}", *filter(None, (last.get("reason"), last.get("message")))]
    return f"; the last of them: {': '.join(words)}"


def judge_run(tasks: Sequence[TaskRun], *, shutdown: Shutdown | None) -> RunVerdict:
    """Judge a run all of whose tasks are over.

    A shutdown or a timeout that found nothing left to end changes nothing.

    Args:
        tasks: the tasks.
        shutdown: how the run was ended early, if it was.
    """
    failed: list[TaskRun] = []
    is_timed_out = is_shut_down = False
    for task in tasks:
        if task.reason in SHUTDOWN_REASONS:
            is_shut_down = True
        elif task.reason == Reason.RUN_TIMED_OUT:
            is_timed_out = True
        if task.state in UNSUCCESSFUL_TASK_STATES and not task.is_tolerated:
            failed.append(task)
    if shutdown is not None and is_shut_down:
        return RunVerdict(RunState.CANCELLED, shutdown.reason, shutdown.message or None)
    if is_timed_out:
        return RunVerdict(RunState.TIMED_OUT, Reason.RUN_TIMED_OUT, "the run took longer than its timeout")
    if not failed:
        return RunVerdict(RunState.COMPLETED)
    # The first to fail is the cause; others may have been cut short by it. Ties go to the order of the spec.
    first = min(failed, key=lambda task: (task.state is TaskState.CANCELLED, task.completion_time or 0.0))
    is_crash = all(task.state is TaskState.CRASHED for task in failed)
    words = [f"task {first.plan.name} is {first.state}", *filter(None, (first.reason, first.message))]
    state = RunState.CRASHED if is_crash else RunState.FAILED
    return RunVerdict(state, Reason.TASK_FAILED, ": ".join(words))


def flow_outputs(plan: Plan, values: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Evaluate the Flow's outputs.

    Args:
        plan: the compiled Flow.
        values: what the expressions see.

    Returns:
        The outputs that can be had, and what is wrong with the first of the others.
    """
    outputs: dict[str, Any] = {}
    problem: str | None = None
    for name, template in plan.outputs.items():
        try:
            outputs[name] = template.evaluate(values)
        except ExpressionError as error:
            problem = problem or f"outputs.{name}: {error}"
    return outputs, problem
