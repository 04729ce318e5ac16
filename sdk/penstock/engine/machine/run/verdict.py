"""How a fan-out and a run ended, judged by their items and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from penstock.engine.compiler.plan import Plan
from penstock.engine.failure_message import first_line, headline
from penstock.engine.machine.run.shutdown import SHUTDOWN_REASONS, Shutdown
from penstock.engine.machine.tasks.items import GATHERED_OUTPUTS_BYTES, Items
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.machine.tasks.task_instance import STOP_MESSAGES, WAS_WAITING
from penstock.engine.reasons import Reason
from penstock.engine.state import UNSUCCESSFUL_TASK_STATES, RunState, TaskState
from penstock.errors import ExpressionError, SlowExpressionError

STATE_WORDS: Final = {
    TaskState.FAILED: "failed",
    TaskState.TIMED_OUT: "timed out",
    TaskState.CANCELLED: "cancelled",
    TaskState.CRASHED: "crashed",
    TaskState.SKIPPED: "skipped",
}


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
    """Judge a fan-out when no item runs and no further item will start.

    Args:
        items: the items.
        allowed: how many of them may fail.
        start_block: why nothing new starts in the run; None if tasks may start.
    """
    failed = {state: count for state, count in items.counts.items() if state in UNSUCCESSFUL_TASK_STATES}
    blocked = start_block[0] if start_block is not None and start_block[0] != Reason.RUN_STOPPING else None
    is_cut_short = items.has_unstarted or TaskState.CANCELLED in failed
    summary = _summarize(items)
    if items.failures > allowed:
        state = next(iter(failed)) if len(failed) == 1 else TaskState.FAILED
        reason = blocked if blocked is not None and is_cut_short else Reason.ITEMS_FAILED
        return TaskVerdict(state, reason, f"{_latest_failure(items)}{summary}")
    if is_cut_short:
        message = f"{_latest_failure(items)}{summary}" if blocked == Reason.RUN_TIMED_OUT else summary
        return TaskVerdict(TaskState.CANCELLED, blocked or Reason.RUN_STOPPING, message)
    if items.failures + items.skipped > allowed:
        # What has not run is not done, but nothing has failed.
        return TaskVerdict(TaskState.SKIPPED, Reason.CHILD_SKIPPED, summary)
    if failed or items.skipped:
        message = f"{_latest_failure(items)}{summary} ({allowed} allowed)"
        return TaskVerdict(TaskState.COMPLETED, Reason.ITEMS_FAILED, message)
    if items.are_outputs_dropped:
        problem = f"the items' outputs exceed {GATHERED_OUTPUTS_BYTES} bytes in total"
        message = f"{problem}, so the task's outputs are not available"
        return TaskVerdict(TaskState.COMPLETED, Reason.OUTPUTS_DROPPED, message)
    return TaskVerdict(TaskState.COMPLETED)


def _summarize(items: Items) -> str:
    """Return how many items did not complete: `2 of 5 items failed, 1 timed out, 1 not started`."""
    parts = [(count, STATE_WORDS[state]) for state, count in sorted(items.counts.items()) if state in STATE_WORDS]
    if items.has_unstarted:
        parts.append((items.unstarted, "not started"))
    (first, word), *others = parts or [(0, "failed")]
    return ", ".join([f"{first} of {items.total} items {word}", *(f"{count} {word}" for count, word in others)])


def _latest_failure(items: Items) -> str:
    """Return why an item failed, to stand before how many did: where there is room for little, it is what matters."""
    latest = items.latest_failure()
    if latest is None:
        return ""
    why = headline(latest.get("reason"), latest.get("message"))
    return f"item {latest['index']}{f': {why}' if why else ''}; "


def judge_run(tasks: Sequence[TaskRun], *, shutdown: Shutdown | None) -> RunVerdict:
    """Judge a run when all its tasks have finished.

    A shutdown or timeout that came when nothing was left to stop does not count.

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
        return RunVerdict(RunState.TIMED_OUT, Reason.RUN_TIMED_OUT, _time_out_message(tasks))
    if not failed:
        return _judge_without_failures(tasks)
    # The first failure is the cause; it may have stopped the others. Ties are decided by the order of the spec.
    first = min(failed, key=lambda task: (task.state is TaskState.CANCELLED, task.completion_time or 0.0))
    is_crash = all(task.state is TaskState.CRASHED for task in failed)
    why = headline(first.reason, first.message)
    state = RunState.CRASHED if is_crash else RunState.FAILED
    message = f"task {first.plan.name} {STATE_WORDS[first.state]}{f': {why}' if why else ''}"
    return RunVerdict(state, Reason.TASK_FAILED, message)


def _judge_without_failures(tasks: Sequence[TaskRun]) -> RunVerdict:
    """Judge a run in which nothing failed: it is Skipped if nothing was done because child runs were skipped.

    Where conditions alone decided that nothing is to be done, the run is Completed. Finally tasks do not count: they do
    not do the work of the run.
    """
    main = [task for task in tasks if not task.plan.is_finally]
    child_skips = [task for task in main if task.reason == Reason.CHILD_SKIPPED]
    if not child_skips or any(task.state is not TaskState.SKIPPED for task in main):
        return RunVerdict(RunState.COMPLETED)
    first = child_skips[0]
    why = first_line(first.message or "")
    message = f"task {first.plan.name} {STATE_WORDS[first.state]}{f': {why}' if why else ''}"
    return RunVerdict(RunState.SKIPPED, Reason.CHILD_SKIPPED, message)


def _time_out_message(tasks: Sequence[TaskRun]) -> str:
    """Return the message of a run that timed out, with what a task of it was waiting for, if one was."""
    message = STOP_MESSAGES[Reason.RUN_TIMED_OUT]
    for task in tasks:
        if task.reason == Reason.RUN_TIMED_OUT:
            _, waited, cause = (task.message or "").partition(WAS_WAITING)
            if waited:
                if task.items is not None:
                    cause = cause.removesuffix(f"; {_summarize(task.items)}")
                return f"{message}; task {task.plan.name} was waiting: {cause}"
    return message


def flow_outputs(plan: Plan, values: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Evaluate the Flow's outputs.

    Args:
        plan: the compiled Flow.
        values: the values of the expressions.

    Returns:
        The outputs that could be evaluated, and the problem of the first one that could not.

    Raises:
        SlowExpressionError: one takes too long to be evaluated here.
    """
    outputs: dict[str, Any] = {}
    problem: str | None = None
    for name, template in plan.outputs.items():
        try:
            outputs[name] = template.evaluate(values)
        except SlowExpressionError:
            raise
        except ExpressionError as error:
            problem = problem or f"outputs.{name}: {error}"
    return outputs, problem
