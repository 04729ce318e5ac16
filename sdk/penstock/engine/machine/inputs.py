"""What an attempt is started with: the task's fields with the run's values filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.engine.compiler.task_plan import TaskPlan


class ContainerInputs(NamedTuple):
    """Ready for a Pod."""

    image: str
    args: list[str]
    env: list[dict[str, Any]]
    pod_templates: tuple[dict[str, Any], ...] = ()
    """Patches over the Pod: the defaults', then the task's."""


class ChildInputs(NamedTuple):
    """Ready for a child run."""

    flow: str
    params: dict[str, Any]


def attempt_inputs(task: TaskPlan, values: Mapping[str, Any]) -> ContainerInputs | ChildInputs:
    """Render what an attempt of a task is started with.

    Args:
        task: the compiled task.
        values: the values of its expressions.

    Raises:
        ExpressionError: a value could not be evaluated.
    """
    if task.child is not None:
        return ChildInputs(task.child.flow, dict(task.child.params.evaluate(values)))
    env: list[dict[str, Any]] = []
    for entry in task.env:
        if entry.value is not None:
            env.append({"name": entry.name, "value": entry.value.render(values)})
        else:
            assert entry.value_from is not None
            env.append({"name": entry.name, "valueFrom": entry.value_from.evaluate(values)})
    return ContainerInputs(
        image=task.image.render(values),
        args=[template.render(values) for template in task.args],
        env=env,
        pod_templates=tuple(template.evaluate(values) for template in task.pod_templates),
    )
