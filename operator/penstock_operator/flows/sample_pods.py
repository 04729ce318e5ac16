"""The Pods and Jobs of a Flow as they will be, made before any run of it, for the API server to judge. Pure.

Values that nobody knows before a run have placeholders in their place. What is refused because of a placeholder says
nothing about the Flow, so each specimen is made twice, with different ones: where the two differ, no refusal counts.
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
from penstock.engine.machine.effects import CreateAttempt
from penstock.engine.machine.inputs import ContainerInputs, attempt_inputs
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.engine.workloads.workspace import mount_of
from penstock.errors import ExpressionError
from penstock.kube.errors import ApiError, is_namespace_terminating, is_quota
from penstock.kube.resources import JOBS, PODS, Resource
from penstock_operator.workloads.job import build_job, job_deadline_s

MAX_SHAPES: Final = 20
"""Most specimens of one Flow: further shapes are judged when their Pods are created."""

_PLACEHOLDERS: Final[Mapping[str, tuple[Any, Any]]] = {
    # Digits do as a name, a label, a quantity, a number in a text.
    "string": ("1", "2"),
    "integer": (1, 2),
    "number": (1, 2),
    "boolean": (True, False),
    "array": ([], ["1"]),
    "object": ({}, {"a": "1"}),
}
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY})
_NOT_THE_FLOW: Final = (
    # A webhook with side effects; the operator's own rights.
    "does not support dry run",
    "cannot create resource",
)
_UNKNOWN_FIELD: Final = "unknown field"
_ARGUMENTS: Final = frozenset({"args", "value"})
"""Texts that the API server takes as they are: of containers, and of their variables."""


class SamplePod(NamedTuple):
    """A Pod or Job as a run of the Flow would create it."""

    tasks: tuple[str, ...]
    """The tasks whose Pods look like it."""
    resource: Resource
    body: dict[str, Any]
    unknown: frozenset[str]
    """Field paths of what follows from values that only a run has."""


class _Anything(dict[str, Any]):
    """An object of which nothing is known: it has every key."""

    def __init__(self, leaf: str) -> None:
        super().__init__()
        self._leaf = leaf

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return self._leaf


def make_sample_pods(plan: Plan, flow: RunIdentity, *, revision: str, settings: PodSettings) -> list[SamplePod]:
    """Make one specimen for each shape of Pod of a Flow, at most MAX_SHAPES.

    Args:
        plan: the compiled Flow.
        flow: the Flow, in the place of a run.
        revision: ConfigMap with its scripts.
        settings: what the installer decided about Pods.

    Returns:
        The specimens in order of their first tasks, without those of which too little is known.
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
    """Render a task's inputs from what is known, or from placeholders; None if these don't fit its expressions."""
    word = _PLACEHOLDERS["string"][choice]
    values: dict[str, Any] = {
        "params": {param.name: _param(param, choice) for param in plan.params},
        "run": {"namespace": flow.namespace, "name": word, "uid": word, "scheduledTime": word, "state": word},
        "tasks": {
            name: {"outputs": _Anything(word), "state": "Completed", "reason": word, "exitCode": 0}
            for name in task.render_tasks
        },
    }
    for item in _items(task, values, word):
        try:
            inputs = attempt_inputs(task, values | {"item": item, "index": choice})
        except ExpressionError:
            continue
        return inputs if isinstance(inputs, ContainerInputs) else None
    return None


def _items(task: TaskPlan, values: Mapping[str, Any], word: str) -> Iterator[Any]:
    if task.fan_out is not None and not task.fan_out.tasks:
        with contextlib.suppress(ExpressionError):
            yield from task.fan_out.expand(values)[:1]
    yield word
    yield _Anything(word)


def _param(param: Param, choice: int) -> Any:
    if param.default is not None:
        return param.default
    if param.enum:
        return param.enum[min(choice, len(param.enum) - 1)]
    return _PLACEHOLDERS[param.type][choice]


def _shape(body: Mapping[str, Any]) -> bytes:
    """Return what of an object the API server judges: without what names the task, and without mere arguments."""

    def strip(value: Any, field: str) -> Any:
        if isinstance(value, Mapping):
            return {
                key: strip(one, key)
                for key, one in value.items()
                if key not in (names.LABEL_TASK, "name" if field == "metadata" else "", "command", *_ARGUMENTS)
                # The key of the script in its revision.
                and not (key == "key" and isinstance(one, str) and one.startswith("script."))
            }
        return [strip(one, "") for one in value] if isinstance(value, list) else value

    return msgspec.json.encode(strip(body, ""), order="deterministic")


def _differences(one: Any, other: Any, path: str) -> Iterator[str]:
    """Return the field paths, as the API server writes them, at which two objects differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {*one, *other}:
            if key not in _ARGUMENTS:
                yield from _differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differences(mine, theirs, f"{path}[{at}]")
    elif one != other:
        yield path


def explain_refusal(specimen: SamplePod, error: ApiError) -> str | None:
    """Tell what the API server has against a Flow.

    Args:
        specimen: what it was asked about.
        error: its answer.

    Returns:
        Its words, with the tasks that they are about; None if something else than the Flow is the reason, or may be: a
        quota, a webhook that is out of order, a value that only a run has.
    """
    message = error.message
    if (
        error.status not in _REFUSALS
        or is_quota(error)
        or is_namespace_terminating(error)
        or any(words in message for words in _NOT_THE_FLOW)
    ):
        return None
    causes = [(cause.field, cause.message) for cause in error.details.causes if cause.field]
    if causes and error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        known = [f"{field}: {text}" for field, text in causes if not _is_unknown(field, specimen.unknown)]
        if not known:
            return None
        message = "; ".join(known)
    elif specimen.unknown and _UNKNOWN_FIELD not in message:
        return None
    kind = specimen.body["kind"]
    first, *more = specimen.tasks
    others = f" and {len(more)} like it" if more else ""
    return f"task {first}{others}: the API server refuses its {kind}: {message}"


def _is_unknown(field: str, unknown: frozenset[str]) -> bool:
    return any(field.startswith(path) or path.startswith(field) for path in unknown)
