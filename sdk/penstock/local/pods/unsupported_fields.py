"""The fields of a spec that have no effect on this machine, one line each, for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from penstock.api.flow import InlineFlowSpec
from penstock.api.names import MAIN_CONTAINER
from penstock.engine.workloads.workspace import WORKSPACE_VOLUME
from penstock.local.pods.volumes import KINDS

SHOWN_TASKS: Final = 5
_POD: Final = frozenset({"containers", "volumes", "terminationGracePeriodSeconds"})
_CONTAINER: Final = frozenset(
    {"name", "command", "args", "env", "envFrom", "workingDir", "volumeMounts", "terminationMessagePath"}
)
_OF_CONTAINERS: Final = frozenset({"image", "resources"})
"""Supported with Docker, not for processes."""


def unsupported_fields(specs: Iterable[InlineFlowSpec], *, is_container: bool) -> list[str]:
    """Return which fields of some specs have no effect here.

    Args:
        specs: those of the run's Flow and of the Flows that it calls.
        is_container: whether tasks run in real containers.

    Returns:
        Lines of text, each with the tasks that it is about; the most general first.
    """
    found: dict[str, dict[str, None]] = {}
    for spec in specs:
        for task, text in _of_spec(spec.model_dump(by_alias=True, exclude_unset=True), is_container=is_container):
            found.setdefault(text, {})[task] = None
    lines = []
    for text, tasks in found.items():
        names = [name for name in tasks if name]
        shown = ", ".join(names[:SHOWN_TASKS]) + (", ..." if len(names) > SHOWN_TASKS else "")
        lines.append(f"{text} ({shown})" if shown else text)
    return lines


def _of_spec(spec: Mapping[str, Any], *, is_container: bool) -> Iterator[tuple[str, str]]:
    tasks = [*spec["tasks"], *(spec.get("finally") or ())]
    has_containers = any(task.get("flow") is None and task.get("approval") is None for task in tasks)
    if has_containers and not is_container:
        yield (
            "",
            "images are ignored: tasks are processes with the programs of this machine; use --docker to run images",
        )
    if spec.get("workspace") is not None:
        yield "", "workspace: a temporary directory of this machine is used; size and storage class have no effect"
    for name, part in [("", spec.get("defaults") or {}), *((task["name"], task) for task in tasks)]:
        yield from ((name, text) for text in _of_part(part, is_container=is_container))


def _of_part(part: Mapping[str, Any], *, is_container: bool) -> Iterator[str]:
    resources = part.get("resources") or {}
    if resources and not is_container:
        yield "resources: not reserved and not limited"
    elif resources.get("requests"):
        yield "resources.requests: not reserved"
    if part.get("serviceAccountName") is not None:
        yield "serviceAccountName: has no effect without a cluster"
    if part.get("workload") == "Job":
        yield f"workload: each attempt runs as a {'container' if is_container else 'process'}, not as a Job"
    template = part.get("podTemplate") or {}
    spec = template.get("spec") or {}
    for field in spec:
        if field not in _POD:
            yield f"podTemplate: spec.{field} has no effect"
    for container in spec.get("containers") or ():
        yield from _of_container(container, is_container=is_container)
    for volume in spec.get("volumes") or ():
        kinds = [kind for kind in volume if kind != "name"]
        if not any(kind in KINDS for kind in kinds) and volume.get("name") != WORKSPACE_VOLUME:
            yield f"podTemplate: the volume {volume.get('name')} ({', '.join(kinds)}) is replaced by an empty directory"


def _of_container(container: Mapping[str, Any], *, is_container: bool) -> Iterator[str]:
    if container.get("name") != MAIN_CONTAINER:
        yield f"podTemplate: the container {container.get('name')} is not started; only {MAIN_CONTAINER} runs"
        return
    known = _CONTAINER | _OF_CONTAINERS if is_container else _CONTAINER
    for field in container:
        if field not in known:
            yield f"podTemplate: {field} of the container has no effect"
