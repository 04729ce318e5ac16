"""How a fan-out and a run ended, judged from how their parts did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock.engine.items import GATHERED_OUTPUTS_BYTES, Items
from penstock.engine.plan import Plan
from penstock.engine.reasons import Reason
from penstock.engine.state import UNSUCCESSFUL_TASK_STATES, RunState, TaskState
from penstock.engine.taskrun import TaskRun
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


def judge_fan_out(items: Items, *, is_timed_out: bool) -> TaskVerdict:
    """Judge a fan-out none of whose items runs and of which no further item will start."""
    left = f"{items.unstarted} not started" if items.has_unstarted else ""
    failed = {state: count for state, count in items.counts.items() if state in UNSUCCESSFUL_TASK_STATES}
    if failed:
        state = next(iter(failed)) if len(failed) == 1 else TaskState.FAILED
        words = ", ".join([f"{count} {state}" for state, count in sorted(failed.items())] + ([left] if left else []))
        reason = Reason.RUN_TIMED_OUT if is_timed_out else Reason.ITEMS_FAILED
        return TaskVerdict(state, reason, f"of {items.total} items {words}{_last_failure(items)}")
    if items.has_unstarted:
        reason = Reason.RUN_TIMED_OUT if is_timed_out else Reason.RUN_STOPPING
        return TaskVerdict(TaskState.CANCELLED, reason, f"of {items.total} items {left}")
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


def judge_run(tasks: Sequence[TaskRun], *, is_timed_out: bool) -> RunVerdict:
    """Judge a run all of whose tasks are over."""
    if is_timed_out:
        return RunVerdict(RunState.TIMED_OUT, Reason.RUN_TIMED_OUT, "the run took longer than its timeout")
    failed = [task for task in tasks if task.state in UNSUCCESSFUL_TASK_STATES]
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
