"""Container runtimes: a task runs as a process (here) or as a real container (`docker`)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from penstock.errors import PenstockError
from penstock.local.pods import mount_namespace
from penstock.local.pods.container import Container, local_command
from penstock.local.pods.process import Output, Process
from penstock.local.pods.volumes import Mount

ROOT_VARIABLE: Final = "PENSTOCK_ROOT"
"""Variable for tasks where nothing can be mounted: the directory that holds the volumes under their paths."""
ROOT: Final = "root"
RUNNER: Final = ["python", "-m", "penstock.runner"]
"""How the command of a Python task begins."""


class StartError(PenstockError):
    """A container could not be started."""


class Ended(NamedTuple):
    """How a container ended."""

    exit_code: int
    is_out_of_memory: bool = False
    start_problem: str | None = None
    """Why its program could not be started; None if it was."""


class Running(Protocol):
    """A container that is running."""

    async def wait(self) -> Ended:
        """Wait until it has ended."""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""


class ContainerRuntime(Protocol):
    """Starts containers."""

    name: str
    """`process` or `container`."""
    outputs_path: str | None
    """Path of the file for outputs inside of a container; None for its path on this machine."""

    async def start(self, container: Container, output: Output) -> Running:
        """Start a container.

        Raises:
            StartError: it could not be started.
        """


def _with_own_python(words: list[str], path: str) -> list[str]:
    """Return the command of a Python task with this interpreter, if the first `python` of PATH lacks Penstock."""
    if words[:3] != RUNNER:
        return words
    python = shutil.which(words[0], path=path)
    has_penstock = python is not None and shutil.which("penstock", path=str(Path(python).parent)) is not None
    return words if has_penstock else [sys.executable, *words[1:]]


class Processes:
    """Starts containers as processes of this machine, with its programs and its environment in place of the image's.

    Args:
        environment: this machine's.
    """

    name = "process"
    outputs_path: str | None = None

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.can_mount = can_mount()

    async def start(self, container: Container, output: Output) -> Running:
        """Start a process; see `ContainerRuntime`."""
        words = _with_own_python(local_command(container), self._environment.get("PATH", os.defpath))
        environment = {**self._environment, **container.environment}
        working_dir = container.working_dir
        mounts = [mount for mount in container.mounts if str(mount.source) != mount.path]
        if not words:
            raise StartError(
                "the task has neither command nor script, and the command of its image is not known on this machine"
            )
        if mounts and not self.can_mount:
            environment[ROOT_VARIABLE] = str(link_mounts(mounts, container.outputs.parent / ROOT))
            mounts = []
        if mounts:
            pairs = json.dumps([(str(mount.source), mount.path) for mount in mounts])
            words = [sys.executable, "-I", "-S", mount_namespace.__file__, str(container.outputs.parent), pairs, *words]
            if working_dir is not None:
                # It may be in a volume, which is mounted later.
                words[6:] = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', working_dir, *words[6:]]
                working_dir = None
        elif shutil.which(words[0], path=environment.get("PATH", os.defpath)) is None:
            raise StartError(f'program "{words[0]}" not found on the PATH of this machine')
        try:
            process = Process.start(words, environment=environment, working_dir=working_dir, output=output)
        except ValueError as error:
            raise StartError(f"cannot start the container: {error} in its arguments or environment") from error
        except OSError as error:
            raise StartError(f"cannot start {words[0]}: {error.strerror}: {error.filename}") from error
        return _RunningProcess(process, container.outputs.parent / mount_namespace.PROBLEM)


class _RunningProcess:
    def __init__(self, process: Process, problem: Path) -> None:
        self._process = process
        self._problem = problem

    async def wait(self) -> Ended:
        code = await self._process.wait()
        return Ended(code, start_problem=self._problem.read_text() if self._problem.exists() else None)

    def signal(self, number: signal.Signals) -> None:
        self._process.signal(number)


def link_mounts(mounts: list[Mount], root: Path) -> Path:
    """Make a directory that holds a link to each volume under the volume's path.

    Args:
        mounts: the volumes.
        root: the directory to make.
    """
    for mount in mounts:
        place = root / mount.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(mount.source)
    return root


def can_mount() -> bool:
    """Whether a process on this machine can mount volumes at their paths."""
    if not sys.platform.startswith("linux"):
        return False
    # The program reports problems in this folder; here its exit code is enough.
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-I", "-S", mount_namespace.__file__, folder, "[]"]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0  # noqa: S603 - our own program
