"""What a task's container is started with: arguments and environment, with the values of a run in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.engine.task_plan import TaskPlan


class ContainerInputs(NamedTuple):
    """Ready for a Pod."""

    args: list[str]
    env: list[dict[str, Any]]


def container_inputs(task: TaskPlan, values: Mapping[str, Any]) -> ContainerInputs:
    """Render a task's arguments and environment.

    Args:
        task: the compiled task.
        values: what its expressions see.

    Raises:
        ExpressionError: a value can't be had.
    """
    env: list[dict[str, Any]] = []
    for entry in task.env:
        if entry.value is None:
            env.append({"name": entry.name, "valueFrom": dict(entry.value_from or {})})
        else:
            env.append({"name": entry.name, "value": entry.value.render(values)})
    return ContainerInputs([template.render(values) for template in task.args], env)
