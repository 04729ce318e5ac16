"""The plan of a Flow: what a run needs to decide, compiled once per revision of the Flow's spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.api.flow import Param, PodRetention, Workspace
from penstock.engine.compiler.expression_costs import ExpressionCosts
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.expressions.template import ValueTemplate


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plan:
    """A compiled Flow spec. Made by `compile_plan`."""

    tasks: tuple[TaskPlan, ...]
    positions: Mapping[str, int]
    """Position of each task by its name."""
    params: tuple[Param, ...]
    outputs: Mapping[str, ValueTemplate]
    output_tasks: frozenset[str]
    """Names of the tasks whose values the outputs need."""
    timeout_s: float | None
    first_finally: int
    """Position of the first finally task: the number of all others."""
    finally_timeout_s: float | None
    stops_on_failure: bool
    """Whether nothing new starts after a failure."""
    workspace: Workspace | None
    pod_retention: PodRetention | None
    costs: ExpressionCosts
    track_pods: bool | None
    """Whether Pods carry the tracking finalizer; None: the operator's setting applies."""

    inherited_paths: tuple[str, ...] = ()
    """Where the last tasks are that come from FlowDefaults."""

    def path_of(self, task: TaskPlan) -> str:
        """Return the field path of a task in the Flow's spec, or in FlowDefaults."""
        if task.position < self.first_finally:
            return f"spec.tasks[{task.position}]"
        position = task.position - len(self.tasks) + len(self.inherited_paths)
        if position >= 0:
            return self.inherited_paths[position]
        return f"spec.finally[{task.position - self.first_finally}]"
