"""The container `main` of a Pod, prepared to be started on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.api.names import ANNOTATION_OUTPUTS_FORMAT, MAIN_CONTAINER, OUTPUTS_VARIABLE
from penstock.engine.compiler.task_plan import OUTPUTS_PATH
from penstock.engine.workloads.outputs import TEXT_OUTPUTS
from penstock.engine.workloads.pod import EXECUTABLE, SCRIPT_PATH, executable_script
from penstock.local.pods.environment import container_environment
from penstock.local.pods.manifest_objects import Objects
from penstock.local.pods.variable_expansion import expand
from penstock.local.pods.volumes import Mount, mounts_of

GRACE_S: Final = 30.0
"""Between SIGTERM and SIGKILL, unless the Pod sets it."""


class Container(NamedTuple):
    """A container to be started."""

    name: str
    """Name of the Pod."""
    image: str
    command: list[str]
    args: list[str]
    environment: dict[str, str]
    """Its own variables, without those of the image or of this machine."""
    working_dir: str | None
    mounts: list[Mount]
    outputs: Path
    """The file for its outputs."""
    script: Path | None
    """The file that `command` names as SCRIPT_PATH."""
    grace_s: float
    containers: int
    """Number of containers of the Pod, which share the limit of outputs."""
    limits: Mapping[str, Any]
    user: int | None
    has_text_outputs: bool = False
    """Whether its outputs are a text, not a JSON object."""


class AttemptFiles(NamedTuple):
    """The files of an attempt on this machine."""

    folder: Path
    """A directory of its own."""
    script: str | None
    """The task's script, if it has one."""
    workspace: Path | None
    """The workspace of the run, if it has one."""


def prepare_container(
    pod: Mapping[str, Any], objects: Objects, attempt_files: AttemptFiles, *, outputs_path: str | None
) -> Container:
    """Prepare the container of a Pod: its environment, files and mounts.

    Args:
        pod: the Pod.
        objects: the objects that it may refer to.
        attempt_files: its files on this machine; their directory is empty.
        outputs_path: path of the file for outputs inside of the container; None for its path on this machine.

    Raises:
        MissingObjectError: the Pod refers to an object that does not exist.
    """
    folder, script, workspace = attempt_files
    spec = pod["spec"]
    main = next(one for one in spec["containers"] if one["name"] == MAIN_CONTAINER)
    outputs = folder / "outputs"
    outputs.touch()
    # The container may run as any user.
    outputs.chmod(0o666)
    file = None
    if script is not None:
        file = folder / "script"
        file.write_text(executable_script(script), encoding="utf-8")
        file.chmod(EXECUTABLE)
    # First, so that the other variables may refer to it.
    entries = [
        {**entry, "value": outputs_path or str(outputs)} if entry["name"] == OUTPUTS_VARIABLE else entry
        for entry in main.get("env") or ()
    ]
    mounts = mounts_of(pod, main, objects, folder=folder, workspace=workspace)
    if main["terminationMessagePath"] != OUTPUTS_PATH:
        mounts.append(Mount(outputs, main["terminationMessagePath"]))
    environment = container_environment(pod, {**main, "env": entries}, objects)
    security = {**(spec.get("securityContext") or {}), **(main.get("securityContext") or {})}
    return Container(
        name=pod["metadata"]["name"],
        image=str(main.get("image", "")),
        command=[expand(word, environment) for word in main.get("command") or ()],
        args=[expand(word, environment) for word in main.get("args") or ()],
        environment=environment,
        working_dir=main.get("workingDir"),
        mounts=mounts,
        outputs=outputs,
        script=file,
        grace_s=float(spec.get("terminationGracePeriodSeconds", GRACE_S)),
        containers=len(spec["containers"]),
        limits=(main.get("resources") or {}).get("limits") or {},
        user=security.get("runAsUser"),
        has_text_outputs=pod["metadata"]["annotations"].get(ANNOTATION_OUTPUTS_FORMAT) == TEXT_OUTPUTS,
    )


def local_command(container: Container) -> list[str]:
    """Return the command line that starts a container as a process; its script is a file of this machine."""
    words = [*container.command, *container.args]
    if container.script is not None and words and words[0] == SCRIPT_PATH:
        words[0] = str(container.script)
    return words
