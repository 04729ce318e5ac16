"""The fields of a task: which go together, and which kind of task has which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic.alias_generators import to_camel

from penstock.api.flow import EnvVar, Task, Workspace
from penstock.api.names import OUTPUTS_VARIABLE
from penstock.engine.compiler.quantity import read_quantity
from penstock.engine.compiler.task_plan import OUTPUTS_PATH, WORKSPACE_PATH, TaskKind
from penstock.errors import Problem

CONTAINER_FIELDS: Final = (
    "image",
    "command",
    "args",
    "script",
    "env",
    "resources",
    "service_account_name",
    "workload",
    "cache",
    "outputs",
    "log_tail",
    "pod_template",
)
"""Fields that only a container has."""
RESERVED_DIRECTORIES: Final = ("/dev", "/proc", "/sys", "/penstock", "/var/run/secrets/kubernetes.io")
"""Where no file can be mounted, or Kubernetes and Penstock mount files of their own."""
ATTEMPT_FIELDS: Final = ("for_each", "retry", "timeout", "queue_timeout", "deadline")
"""Fields about attempts, which an approval does not make."""


def check_shape(
    task: Task, kind: TaskKind, path: str, *, has_default_image: bool, is_inherited: bool = False
) -> Iterator[Problem]:
    """Find what is wrong with the fields of a task.

    Args:
        task: the task.
        kind: what it is.
        path: its field path.
        has_default_image: whether the Flow gives an image for tasks without one.
        is_inherited: whether the task is of FlowDefaults.
    """
    if is_inherited and kind is not TaskKind.CONTAINER:
        # A child flow would have the task as well, and call itself forever.
        field = "flow" if kind is TaskKind.FLOW else "approval"
        yield Problem(f"{path}.{field}", "tasks of FlowDefaults are containers: give an image and a command or script")
    elif kind is TaskKind.CONTAINER and not task.image and not has_default_image:
        hint = "set an image here" if is_inherited else "set an image here or in spec.defaults.image"
        yield Problem(f"{path}.image", f"is required: {hint}")
    if kind is not TaskKind.CONTAINER:
        yield from _check_foreign_fields(task, kind, path)
    if task.command is not None and task.script is not None:
        yield Problem(f"{path}.script", "a script runs in place of a command: set only one of the two")
    if task.max_parallel is not None and task.for_each is None:
        yield Problem(f"{path}.maxParallel", "has no effect without forEach: remove it")
    yield from check_env(task.env or (), f"{path}.env")
    if task.outputs is not None:
        yield from _check_outputs_file(task.outputs.file, f"{path}.outputs.file")


def _check_foreign_fields(task: Task, kind: TaskKind, path: str) -> Iterator[Problem]:
    if task.flow is not None and task.approval is not None:
        yield Problem(f"{path}.approval", "a task is either a child flow or an approval: set only one of the two")
    what = "a child flow" if kind is TaskKind.FLOW else "an approval"
    fields = CONTAINER_FIELDS if kind is TaskKind.FLOW else CONTAINER_FIELDS + ATTEMPT_FIELDS
    for field in fields:
        if getattr(task, field) is not None:
            hint = ": its own timeout is approval.timeout" if field == "timeout" else ""
            yield Problem(f"{path}.{to_camel(field)}", f"{what} does not have this field{hint}: remove it")


def _check_outputs_file(file: str, path: str) -> Iterator[Problem]:
    parts = file.split("/")
    if "$(" in file:
        yield Problem(path, "expressions are not evaluated here: give the path itself")
    elif not file.startswith("/") or not parts[-1] or ":" in file or not {"", ".", ".."}.isdisjoint(parts[1:]):
        message = f"must be an absolute path of a file, without a colon and without . and .. in it; got {file!r}"
        yield Problem(path, message)
    elif file in ("/dev/stdout", "/dev/stderr"):
        yield Problem(path, "outputs are not read from the log, whose end can get lost: name a file")
    elif file != OUTPUTS_PATH:
        for directory in RESERVED_DIRECTORIES:
            if file == directory or file.startswith(f"{directory}/"):
                yield Problem(path, f"must not be in {directory}, which is not the image's own; got {file!r}")


def check_env(env: Sequence[EnvVar], path: str) -> Iterator[Problem]:
    """Find what is wrong with variables.

    Args:
        env: the variables.
        path: their field path.
    """
    seen: dict[str, int] = {}
    for index, variable in enumerate(env):
        where = f"{path}[{index}]"
        first = seen.setdefault(variable.name, index)
        if first != index:
            yield Problem(f"{where}.name", f'"{variable.name}" is already the name of {path}[{first}]')
        if "=" in variable.name:
            yield Problem(f"{where}.name", "must not contain =")
        if variable.name == OUTPUTS_VARIABLE:
            yield Problem(f"{where}.name", f"{OUTPUTS_VARIABLE} is set by Penstock: choose another name")
        if variable.value is not None and variable.value_from is not None:
            yield Problem(where, "must have only one of value and valueFrom")
        if variable.value_from is not None and len(variable.value_from) != 1:
            message = "must have exactly one source, as in a Pod: secretKeyRef, configMapKeyRef, ..."
            yield Problem(f"{where}.valueFrom", message)


def check_workspace(workspace: Workspace) -> Iterator[Problem]:
    """Find what is wrong with a Flow's workspace."""
    path = "spec.workspace"
    try:
        if read_quantity(workspace.size) <= 0:
            yield Problem(f"{path}.size", f"must be greater than zero; got {workspace.size}")
    except ValueError as error:
        yield Problem(f"{path}.size", str(error))
    mount_path = workspace.mount_path or WORKSPACE_PATH
    if not mount_path.startswith("/") or not mount_path.strip("/") or ":" in mount_path:
        message = f"must be an absolute path below /, without a colon; got {mount_path!r}"
        yield Problem(f"{path}.mountPath", message)
