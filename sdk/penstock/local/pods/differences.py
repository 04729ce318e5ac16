"""What of a spec has no effect on this machine, said in one line each, so that nobody looks for it in vain."""

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
"""What Docker has a word for, and a process has not."""


def differences(specs: Iterable[InlineFlowSpec], *, is_container: bool) -> list[str]:
    """Say what of some specs has no effect here.

    Args:
        specs: of the run's Flow and of those that it calls.
        is_container: whether real containers carry the tasks.

    Returns:
        Lines for a person, each with the tasks that it is about; the most general first.
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
        yield "", "images are ignored: each task is a process of this machine, with its programs; --docker uses images"
    if spec.get("workspace") is not None:
        yield "", "the workspace is a temporary directory of this machine, whatever size and storage class it asks for"
    for name, part in [("", spec.get("defaults") or {}), *((task["name"], task) for task in tasks)]:
        yield from ((name, text) for text in _of_part(part, is_container=is_container))


def _of_part(part: Mapping[str, Any], *, is_container: bool) -> Iterator[str]:
    resources = part.get("resources") or {}
    if resources and not is_container:
        yield "resources: nothing is reserved or limited"
    elif resources.get("requests"):
        yield "resources.requests: nothing is reserved"
    if part.get("serviceAccountName") is not None:
        yield "serviceAccountName: there is no cluster to have an account in"
    if part.get("workload") == "Job":
        yield f"workload: a {'container' if is_container else 'process'} carries each attempt, not a Job"
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
            yield f"podTemplate: an empty directory stands in for the volume {volume.get('name')} ({', '.join(kinds)})"


def _of_container(container: Mapping[str, Any], *, is_container: bool) -> Iterator[str]:
    if container.get("name") != MAIN_CONTAINER:
        yield f"podTemplate: the container {container.get('name')} is not started: only {MAIN_CONTAINER} is"
        return
    known = _CONTAINER | _OF_CONTAINERS if is_container else _CONTAINER
    for field in container:
        if field not in known:
            yield f"podTemplate: {field} of the container has no effect"
