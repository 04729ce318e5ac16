"""The Pods and Jobs of a Flow as its runs will create them, built before any run for a dry run. Pure.

Placeholders stand for values that are unknown before a run. A refusal that a placeholder causes says nothing about the
Flow, so each sample is built twice, with different placeholders: where the two differ, no refusal counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.flow import Param
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.task_plan import TaskKind, TaskPlan
from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ContainerInputs, attempt_inputs
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.engine.workloads.workspace import mount_of
from penstock.errors import ExpressionError
from penstock.kube.errors import ApiError, is_namespace_terminating, is_quota
from penstock.kube.resources import JOBS, PODS, Resource
from penstock_operator.workloads.job import build_job, job_deadline_s

MAX_SHAPES: Final = 20
"""Most samples of one Flow: further shapes are checked when their Pods are created."""

_PLACEHOLDERS: Final[Mapping[str, tuple[Any, Any]]] = {
    # Digits are valid as a name, a label, a quantity, and a number in a text.
    "string": ("1", "2"),
    "integer": (1, 2),
    "number": (1, 2),
    "boolean": (True, False),
    "array": ([], ["1"]),
    "object": ({}, {"a": "1"}),
}
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY})
_UNRELATED_TO_FLOW: Final = (
    # A webhook with side effects; the operator's own permissions.
    "does not support dry run",
    "cannot create resource",
)
_UNKNOWN_FIELD: Final = "unknown field"
_FREE_TEXT_FIELDS: Final = frozenset({"args", "value"})
"""Fields that the API server does not check: arguments of containers, and values of variables."""


class SamplePod(NamedTuple):
    """A Pod or Job as a run of the Flow would create it."""

    tasks: tuple[str, ...]
    """The tasks whose Pods have this shape."""
    resource: Resource
    body: dict[str, Any]
    unknown: frozenset[str]
    """Paths of the fields whose values only a run knows."""


class _UnknownObject(dict[str, Any]):
    """An object of which nothing is known: it has every key."""

    def __init__(self, leaf: str) -> None:
        super().__init__()
        self._leaf = leaf

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return self._leaf


def make_sample_pods(plan: Plan, flow: RunIdentity, *, revision: str, settings: PodSettings) -> list[SamplePod]:
    """Build one sample for each shape of Pod of a Flow, at most MAX_SHAPES.

    Args:
        plan: the compiled Flow.
        flow: the Flow, in place of a run.
        revision: ConfigMap with its scripts.
        settings: of the installation, about Pods.

    Returns:
        The samples in order of their first tasks, without those of which too little is known.
    """
    shapes: dict[bytes, SamplePod] = {}
    for task in plan.tasks:
        if task.kind is not TaskKind.CONTAINER:
            continue
        bodies = [_build(plan, task, flow, revision, settings, choice=choice) for choice in (0, 1)]
        one, other = bodies
        if one is None or other is None:
            continue
        shape = _shape(one)
        known = shapes.get(shape)
        if known is not None:
            shapes[shape] = known._replace(tasks=(*known.tasks, task.name))
        elif len(shapes) < MAX_SHAPES:
            resource = JOBS if task.is_job else PODS
            shapes[shape] = SamplePod((task.name,), resource, one, frozenset(_differences(one, other, "")))
    return list(shapes.values())


def _build(
    plan: Plan, task: TaskPlan, flow: RunIdentity, revision: str, settings: PodSettings, *, choice: int
) -> dict[str, Any] | None:
    inputs = _inputs(plan, task, flow, choice)
    if inputs is None:
        return None
    key = TaskInstanceKey(task.name, None if task.fan_out is None else 0)
    pod = build_pod(
        CreateAttempt(key, 1, 0, 0, inputs),
        task,
        flow,
        flow=flow.name,
        revision=revision,
        settings=settings,
        workspace=None if plan.workspace is None else mount_of(plan.workspace, flow),
    )
    return build_job(pod, deadline_s=job_deadline_s(task)) if task.is_job else pod


def _inputs(plan: Plan, task: TaskPlan, flow: RunIdentity, choice: int) -> ContainerInputs | None:
    """Render a task's inputs from known values or placeholders; None if these don't fit its expressions."""
    text = _PLACEHOLDERS["string"][choice]
    values: dict[str, Any] = {
        "params": {param.name: _param(param, choice) for param in plan.params},
        "run": {"namespace": flow.namespace, "name": text, "uid": text, "scheduledTime": text, "state": text},
        "tasks": {
            name: {"outputs": _UnknownObject(text), "state": "Completed", "reason": text, "exitCode": 0}
            for name in task.render_tasks
        },
    }
    for item in _items(task, values, text):
        try:
            inputs = attempt_inputs(task, values | {"item": item, "index": choice})
        except ExpressionError:
            continue
        return inputs if isinstance(inputs, ContainerInputs) else None
    return None


def _items(task: TaskPlan, values: Mapping[str, Any], text: str) -> Iterator[Any]:
    if task.fan_out is not None and not task.fan_out.tasks:
        with contextlib.suppress(ExpressionError):
            yield from task.fan_out.expand(values)[:1]
    yield text
    yield _UnknownObject(text)


def _param(param: Param, choice: int) -> Any:
    if param.default is not None:
        return param.default
    if param.enum:
        return param.enum[min(choice, len(param.enum) - 1)]
    return _PLACEHOLDERS[param.type][choice]


def _shape(body: Mapping[str, Any]) -> bytes:
    """Return the part of an object that the API server checks: without the names of the task and without arguments."""

    def strip(value: Any, field: str) -> Any:
        if isinstance(value, Mapping):
            return {
                key: strip(one, key)
                for key, one in value.items()
                if key not in (names.LABEL_TASK, "name" if field == "metadata" else "", "command", *_FREE_TEXT_FIELDS)
                # The key of the script in its revision.
                and not (key == "key" and isinstance(one, str) and one.startswith("script."))
            }
        return [strip(one, "") for one in value] if isinstance(value, list) else value

    return msgspec.json.encode(strip(body, ""), order="deterministic")


def _differences(one: Any, other: Any, path: str) -> Iterator[str]:
    """Return the field paths, as the API server writes them, at which two objects differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {*one, *other}:
            if key not in _FREE_TEXT_FIELDS:
                yield from _differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differences(mine, theirs, f"{path}[{at}]")
    elif one != other:
        yield path


def explain_refusal(sample: SamplePod, error: ApiError) -> str | None:
    """Return why the API server refuses a Flow's Pod or Job.

    Args:
        sample: the Pod or Job.
        error: the API server's reply.

    Returns:
        Its message, with the tasks that it concerns; None if the refusal has, or may have, another cause than the Flow:
        a quota, a broken webhook, a value that only a run knows.
    """
    message = error.message
    if (
        error.status not in _REFUSALS
        or is_quota(error)
        or is_namespace_terminating(error)
        or any(text in message for text in _UNRELATED_TO_FLOW)
    ):
        return None
    causes = [(cause.field, cause.message) for cause in error.details.causes if cause.field]
    if causes and error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        known = [f"{field}: {text}" for field, text in causes if not _is_unknown(field, sample.unknown)]
        if not known:
            return None
        message = "; ".join(known)
    elif sample.unknown and _UNKNOWN_FIELD not in message:
        return None
    kind = sample.body["kind"]
    first, *more = sample.tasks
    others = f" and {len(more)} similar" if more else ""
    return f"task {first}{others}: the API server refuses the {kind}: {message}"


def _is_unknown(field: str, unknown: frozenset[str]) -> bool:
    return any(field.startswith(path) or path.startswith(field) for path in unknown)
