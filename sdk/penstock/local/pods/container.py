"""The container `main` of a Pod, as something that this machine can start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.api.names import MAIN_CONTAINER, OUTPUTS_VARIABLE
from penstock.engine.workloads.pod import EXECUTABLE, SCRIPT_PATH, executable_script
from penstock.local.pods.environment import container_environment
from penstock.local.pods.expansion import expand
from penstock.local.pods.objects import Objects
from penstock.local.pods.volumes import Mount, mounts_of

GRACE_S: Final = 30.0
"""Between SIGTERM and SIGKILL, if the Pod says nothing else."""


class Container(NamedTuple):
    """What is to be started."""

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


class AttemptFiles(NamedTuple):
    """What an attempt has on this machine besides its Pod."""

    folder: Path
    """A directory of its own."""
    script: str | None
    """The task's script, if it has one."""
    workspace: Path | None
    """The run's, if it has one."""


def prepare_container(
    pod: Mapping[str, Any], objects: Objects, belongings: AttemptFiles, *, outputs_path: str | None
) -> Container:
    """Make what a Pod's container needs.

    Args:
        pod: the Pod.
        objects: what it may refer to.
        belongings: what it has on this machine; its directory is empty.
        outputs_path: where the container sees the file for its outputs; None: where it is.

    Raises:
        MissingObjectError: what the Pod refers to is not there.
    """
    folder, script, workspace = belongings
    spec = pod["spec"]
    main = next(one for one in spec["containers"] if one["name"] == MAIN_CONTAINER)
    outputs = folder / "outputs"
    outputs.touch()
    # Whoever the container runs as writes to it.
    outputs.chmod(0o666)
    file = None
    if script is not None:
        file = folder / "script"
        file.write_text(executable_script(script), encoding="utf-8")
        file.chmod(EXECUTABLE)
    # Known before all others, so that they may refer to it.
    entries = [
        {**entry, "value": outputs_path or str(outputs)} if entry["name"] == OUTPUTS_VARIABLE else entry
        for entry in main.get("env") or ()
    ]
    environment = container_environment(pod, {**main, "env": entries}, objects)
    security = {**(spec.get("securityContext") or {}), **(main.get("securityContext") or {})}
    return Container(
        name=pod["metadata"]["name"],
        image=str(main.get("image", "")),
        command=[expand(word, environment) for word in main.get("command") or ()],
        args=[expand(word, environment) for word in main.get("args") or ()],
        environment=environment,
        working_dir=main.get("workingDir"),
        mounts=mounts_of(pod, main, objects, folder=folder, workspace=workspace),
        outputs=outputs,
        script=file,
        grace_s=float(spec.get("terminationGracePeriodSeconds", GRACE_S)),
        containers=len(spec["containers"]),
        limits=(main.get("resources") or {}).get("limits") or {},
        user=security.get("runAsUser"),
    )


def local_command(container: Container) -> list[str]:
    """Return the words that start a container as a process: its script is a file of this machine."""
    words = [*container.command, *container.args]
    if container.script is not None and words and words[0] == SCRIPT_PATH:
        words[0] = str(container.script)
    return words
