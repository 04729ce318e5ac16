"""Containers of this machine's Docker or Podman in place of Pods."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from typing import Final

from penstock.engine.compiler.quantity import read_quantity
from penstock.engine.compiler.task_plan import OUTPUTS_PATH
from penstock.engine.workloads.pod import SCRIPT_PATH
from penstock.errors import CommandError
from penstock.local.pods.container import Container
from penstock.local.pods.container_runtime import Ended, Running, StartError
from penstock.local.pods.process import Output, Process

PROGRAMS: Final = ("docker", "podman")
ENGINE_FAILED: Final = 125
"""Exit code of `docker run` when there is no container whose exit code it could be:
https://docs.docker.com/reference/cli/docker/container/run/#exit-status."""
CANNOT_START: Final = frozenset({126, 127})
ANSWER_S: Final = 15


def find_program() -> str:
    """Return the path of the command line of Docker, or else of Podman, whose engine answers.

    Raises:
        CommandError: no engine answers.
    """
    problems = []
    for name in PROGRAMS:
        path = shutil.which(name)
        if path is None:
            continue
        try:
            answer = subprocess.run(  # noqa: S603 - the person's own program
                [path, "ps", "--quiet"], check=False, capture_output=True, text=True, timeout=ANSWER_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            problems.append(f"{name}: {error}")
            continue
        if not answer.returncode:
            return path
        problems.append(f"{name}: {answer.stderr.strip() or f'exit code {answer.returncode}'}")
    if not problems:
        raise CommandError("--docker: neither docker nor podman is on PATH: install one, or omit --docker")
    raise CommandError(f"--docker: no engine answers ({'; '.join(problems)}): start it, or omit --docker")


class Containers:
    """Starts containers by the command line of Docker or Podman.

    Args:
        program: path of the command line.
    """

    name = "container"
    outputs_path: str | None = OUTPUTS_PATH

    def __init__(self, program: str) -> None:
        self._program = program

    async def start(self, container: Container, output: Output) -> Running:
        """Start a container; see `ContainerRuntime`."""
        words = [self._program, *run_words(container)]
        # Only names are on the command line, so that values do not show in lists of processes.
        environment = {**os.environ, **container.environment}
        try:
            process = Process.start(words, environment=environment, working_dir=None, output=output)
        except ValueError as error:
            raise StartError(f"cannot start the container: {error} in its arguments or environment") from error
        except OSError as error:
            raise StartError(f"cannot start {self._program}: {error.strerror}") from error
        return _RunningContainer(self._program, container.name, process)


class _RunningContainer:
    def __init__(self, program: str, name: str, process: Process) -> None:
        self._program = program
        self._name = name
        self._process = process
        self._kills: set[asyncio.Task[str]] = set()

    async def wait(self) -> Ended:
        code = await self._process.wait()
        is_out_of_memory = await self._ask("inspect", "--format", "{{.State.OOMKilled}}", self._name) == "true"
        await self._ask("rm", "--force", "--volumes", self._name)
        if code == ENGINE_FAILED:
            return Ended(code, start_problem="cannot create the container; see its log")
        if code in CANNOT_START:
            return Ended(128, start_problem="the image does not have the program, or it is not executable; see the log")
        return Ended(code, is_out_of_memory)

    def signal(self, number: signal.Signals) -> None:
        kill = asyncio.create_task(self._ask("kill", "--signal", number.name, self._name))
        self._kills.add(kill)
        kill.add_done_callback(self._kills.discard)

    async def _ask(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            self._program, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        answer, _ = await process.communicate()
        return answer.decode(errors="replace").strip()


def run_words(container: Container) -> list[str]:
    """Return the arguments of `docker` that start a container as the kubelet would.

    Args:
        container: the container.
    """
    words = ["run", "--name", container.name, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    if container.user is not None:
        words += ["--user", str(container.user)]
    words += ["--volume", f"{container.outputs}:{OUTPUTS_PATH}"]
    if container.script is not None:
        words += ["--volume", f"{container.script}:{SCRIPT_PATH}:ro"]
    for mount in container.mounts:
        words += ["--volume", f"{mount.source}:{mount.path}"]
    for name in container.environment:
        words += ["--env", name]
    words += _limit_words(container.limits)
    if container.working_dir is not None:
        words += ["--workdir", container.working_dir]
    arguments = [*container.command[1:], *container.args]
    if container.command:
        words += ["--entrypoint", container.command[0]]
    return [*words, container.image, *arguments]


def _limit_words(limits: Mapping[str, object]) -> list[str]:
    words = []
    if "memory" in limits:
        # Without swap, as on a node.
        size = str(int(read_quantity(str(limits["memory"]))))
        words += ["--memory", size, "--memory-swap", size]
    if "cpu" in limits:
        words += ["--cpus", f"{read_quantity(str(limits['cpu'])):f}"]
    return words
