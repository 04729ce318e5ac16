"""What an attempt is started with: the task's fields with the run's values filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.expressions.template import Template
from penstock.engine.machine.tasks.items import json_size
from penstock.errors import ExpressionError, in_field


class ContainerInputs(NamedTuple):
    """Ready for a Pod."""

    image: str
    args: list[str]
    env: list[dict[str, Any]]
    pod_templates: tuple[dict[str, Any], ...] = ()
    """Patches over the Pod: the defaults', then the task's."""
    own_pod_templates: tuple[dict[str, Any], ...] = ()
    """Those of them that have expressions, and so are not the plan's."""


class ChildInputs(NamedTuple):
    """Ready for a child run."""

    flow: str
    params: dict[str, Any]


def inputs_bytes(inputs: ContainerInputs | ChildInputs) -> int:
    """Return about how much memory inputs take that an attempt has for itself."""
    if isinstance(inputs, ChildInputs):
        return json_size(inputs.params)
    size_bytes = len(inputs.image) + sum(map(len, inputs.args))
    for entry in inputs.env:
        size_bytes += len(entry["value"]) if "value" in entry else json_size(entry)
    return size_bytes + sum(map(json_size, inputs.own_pod_templates))


def attempt_inputs(task: TaskPlan, values: Mapping[str, Any]) -> ContainerInputs | ChildInputs:
    """Render what an attempt of a task is started with.

    Args:
        task: the compiled task.
        values: the values of its expressions.

    Raises:
        ExpressionError: a value could not be evaluated.
    """
    if task.child is not None:
        try:
            return ChildInputs(task.child.flow, dict(task.child.params.evaluate(values)))
        except ExpressionError as error:
            raise in_field("flow.params", error) from error
    env: list[dict[str, Any]] = []
    for entry in task.env:
        if entry.value is not None:
            env.append({"name": entry.name, "value": _render(entry.value, values, f"env {entry.name}")})
        else:
            assert entry.value_from is not None
            env.append({"name": entry.name, "valueFrom": entry.value_from.evaluate(values)})
    pod_templates = [template.evaluate(values) for template in task.pod_templates]
    return ContainerInputs(
        image=_render(task.image, values, "image"),
        args=[_render(template, values, f"args[{position}]") for position, template in enumerate(task.args)],
        env=env,
        pod_templates=tuple(pod_templates),
        own_pod_templates=tuple(
            patch for template, patch in zip(task.pod_templates, pod_templates, strict=True) if not template.is_constant
        ),
    )


def _render(template: Template, values: Mapping[str, Any], field: str) -> str:
    try:
        return template.render(values)
    except ExpressionError as error:
        raise in_field(field, error) from error
