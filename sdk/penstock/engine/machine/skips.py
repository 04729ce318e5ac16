"""Which tasks are skipped: for an upstream task, because the run is being stopped, or because `when` is false."""

from __future__ import annotations

import json
from typing import Final

from penstock.engine.compiler.task_plan import DependencyKind
from penstock.engine.machine.run.run import Run
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.reasons import Reason
from penstock.engine.state import TaskState
from penstock.errors import ExpressionError, SlowExpressionError

SHOWN_VALUES: Final = 256
"""Characters of the values that a message shows."""


def skip_task(run: Run, task: TaskRun, now: float) -> bool:
    """Finish a task that must not start; returns whether it is one.

    Args:
        run: the state of the run.
        task: a task whose upstream tasks have all finished.
        now: seconds since the epoch.

    Raises:
        SlowExpressionError: its condition takes too long to be evaluated here.
    """
    for dependency in task.plan.upstream:
        upstream = run.tasks[dependency.task]
        if upstream.state in dependency.states:
            continue
        name, state = upstream.plan.name, upstream.state
        if dependency.kind is DependencyKind.STATES:
            wanted = " or ".join(sorted(dependency.states))
            reason, message = Reason.STATES_NOT_MET, f"task {name} is {state}, not {wanted}"
        else:
            is_skip = state is TaskState.SKIPPED
            reason = Reason.UPSTREAM_SKIPPED if is_skip else Reason.UPSTREAM_FAILED
            message = f"depends on {name}, which is {state}"
        run.finish_task(task, TaskState.SKIPPED, reason, message, now)
        return True
    block = run.start_block(is_finally=task.plan.is_finally)
    if block is not None:
        run.finish_task(task, TaskState.SKIPPED, block.reason, block.message, now)
        return True
    return _skip_by_condition(run, task, now)


def _skip_by_condition(run: Run, task: TaskRun, now: float) -> bool:
    when = task.plan.when
    if when is None or task.is_admitted:
        return False
    values = run.expression_context(task)
    try:
        verdict = when.evaluate(values)
    except SlowExpressionError:
        raise
    except ExpressionError as error:
        run.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, f"when: {error}", now)
        return True
    if not isinstance(verdict, bool):
        message = f"when: {when.source} must be true or false; got {json.dumps(verdict)[:SHOWN_VALUES]}"
        run.finish_task(task, TaskState.FAILED, Reason.EXPRESSION_ERROR, message, now)
        return True
    if not verdict:
        seen = {name: values["params"].get(name) for name in sorted(when.params)}
        seen |= {f"tasks.{name}": values["tasks"][name] for name in sorted({use.task for use in when.tasks})}
        seen |= {f"run.{name}": values["run"].get(name) for name in sorted(when.run_fields)}
        shown = json.dumps(seen, separators=(",", ":"))[:SHOWN_VALUES]
        run.finish_task(task, TaskState.SKIPPED, Reason.CONDITION_FALSE, f"{when.source} is false: {shown}", now)
        return True
    task.is_admitted = True
    return False
