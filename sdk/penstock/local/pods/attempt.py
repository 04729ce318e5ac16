"""One attempt of a container task on this machine. Its end is reported as that of a Pod would be."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from penstock.engine.failure_message import describe_exit
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.facts import AttemptKind, AttemptSeen, Cause, Outcome
from penstock.engine.reasons import Reason
from penstock.engine.workloads.outputs import OUTPUTS_LIMIT_BYTES, read_outputs
from penstock.local.pods.container import AttemptFiles, Container, prepare_container
from penstock.local.pods.container_runtime import ContainerRuntime, Ended, Running, StartError
from penstock.local.pods.manifest_objects import MissingObjectError, Objects
from penstock.local.pods.process import Output

START_ERROR_CODE: Final = 128
"""The code that container runtimes use."""
KILLED_CODES: Final = frozenset({128 + 9, 128 + 15})


class Attempt:
    """Runs one attempt, and reports its progress as facts.

    Args:
        create: which attempt.
        pod: its Pod.
        report: called with each fact.
        write: called with each line that the container writes.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        create: CreateAttempt,
        pod: Mapping[str, Any],
        *,
        kind: AttemptKind,
        report: Callable[[AttemptSeen], None],
        write: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._pod = pod
        self._report = report
        self._write = write
        self._clock = clock
        self._running: Running | None = None
        self._grace_s = 0.0
        self._is_stopped = asyncio.Event()
        self._end: asyncio.Task[None] | None = None
        self.uid = str(uuid.uuid4())
        self.name: str = pod["metadata"]["name"]
        self._seen = AttemptSeen(
            create.key,
            create.attempt,
            create.failures,
            create.disruptions,
            self.name,
            self.uid,
            self._clock(),
            is_tracked=False,
            kind=kind,
            began_at=create.began_at,
            version=1,
        )

    async def run(
        self,
        container_runtime: ContainerRuntime,
        objects: Objects,
        container_slots: asyncio.Semaphore,
        attempt_files: AttemptFiles,
        *,
        has_log_tail: bool,
    ) -> None:
        """Wait for a container slot, run the container, and report how it ended.

        Args:
            container_runtime: starts the container.
            objects: the objects that its Pod may refer to.
            container_slots: limits how many containers run at once.
            attempt_files: its files on this machine; their directory is removed at the end.
            has_log_tail: whether the end of a failed container's log becomes the message.
        """
        self._change()
        try:
            if not await self._acquire_slot(container_slots):
                self._finish(Outcome(Cause.FAILURE, self._clock(), Reason.EXIT_CODE, "stopped before it started"))
                return
            try:
                container = prepare_container(
                    self._pod, objects, attempt_files, outputs_path=container_runtime.outputs_path
                )
                self._finish(await self._run(container_runtime, container, has_log_tail=has_log_tail))
            except (MissingObjectError, StartError) as error:
                self._finish(Outcome(Cause.FAILURE, self._clock(), Reason.START_ERROR, str(error), START_ERROR_CODE))
            finally:
                container_slots.release()
        finally:
            shutil.rmtree(attempt_files.folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop it by SIGTERM, and by SIGKILL after its grace period."""
        if self._is_stopped.is_set():
            return
        self._is_stopped.set()
        self._change(is_deleting=True)
        if self._running is not None:
            self._running.signal(signal.SIGTERM)
            self._end = asyncio.create_task(self._kill_later())

    def kill(self) -> None:
        """Kill it immediately."""
        self._is_stopped.set()
        if self._running is not None:
            self._running.signal(signal.SIGKILL)

    async def _acquire_slot(self, container_slots: asyncio.Semaphore) -> bool:
        """Wait for a container slot; return false if the attempt was stopped before it got one."""
        stopped = asyncio.create_task(self._is_stopped.wait())
        acquired = asyncio.create_task(container_slots.acquire())
        await asyncio.wait({stopped, acquired}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._is_stopped.is_set():
            acquired.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await acquired
                container_slots.release()
            return False
        return True

    async def _run(self, container_runtime: ContainerRuntime, container: Container, *, has_log_tail: bool) -> Outcome:
        output = Output(self._write)
        self._grace_s = container.grace_s
        running = await container_runtime.start(container, output)
        self._running = running
        self._change(started_at=self._clock())
        if self._is_stopped.is_set():
            # It was stopped while it started.
            running.signal(signal.SIGTERM)
            self._end = asyncio.create_task(self._kill_later())
        ended = await running.wait()
        if self._end is not None:
            self._end.cancel()
        message = _read_end(container.outputs)
        log_tail = output.tail if has_log_tail else ""
        return outcome_of_container(
            ended,
            message,
            log_tail,
            containers=container.containers,
            now=self._clock(),
            has_text_outputs=container.has_text_outputs,
        )

    async def _kill_later(self) -> None:
        await asyncio.sleep(self._grace_s)
        self.kill()

    def _finish(self, outcome: Outcome) -> None:
        self._change(outcome=outcome, is_finished=True)

    def _change(self, **fields: Any) -> None:
        self._seen = self._seen._replace(version=self._seen.version + 1, **fields)
        self._report(self._seen)


def outcome_of_container(
    ended: Ended, message: str, log_tail: str, *, containers: int, now: float, has_text_outputs: bool = False
) -> Outcome:
    """Return how an attempt ended, with the reasons that the cluster has.

    Args:
        ended: the end of its container.
        message: what it wrote as its outputs.
        log_tail: the end of its log, which becomes the message of a failure without one.
        containers: number of containers of the Pod, which share the limit of outputs.
        now: seconds since the epoch.
        has_text_outputs: whether its outputs are a text, not a JSON object.
    """
    if ended.start_problem is not None:
        text = f"{ended.start_problem}: {log_tail.strip()}".rstrip(": ")
        return Outcome(Cause.FAILURE, now, Reason.START_ERROR, text, START_ERROR_CODE)
    if ended.exit_code or ended.is_out_of_memory:
        reason = Reason.OOM_KILLED if ended.is_out_of_memory else Reason.EXIT_CODE
        tail = (message or log_tail).strip()
        text, raw = describe_exit(ended.exit_code, tail), tail or f"exit code {ended.exit_code}"
        return Outcome(Cause.FAILURE, now, reason, text, ended.exit_code, raw_message=raw)
    outputs, problem = read_outputs(message, containers=containers, is_text=has_text_outputs)
    if problem is not None:
        return Outcome(Cause.FAILURE, now, Reason.INVALID_OUTPUTS, problem, 0)
    return Outcome(Cause.SUCCESS, now, exit_code=0, outputs=outputs)


def _read_end(file: Path) -> str:
    """Return the end of a file, as much of it as the kubelet reads of a termination message."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - OUTPUTS_LIMIT_BYTES))
            return stream.read(OUTPUTS_LIMIT_BYTES).decode(errors="replace")
    except OSError:
        # The task removed or replaced it.
        return ""
