"""`serve`: this process runs flows on their schedules until it is terminated."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from multiprocessing.connection import wait
from types import FrameType
from typing import Any, Final

from penstock.authoring.deployments.deployment import Deployment, object_name
from penstock.errors import OptionError
from penstock.local.console import log
from penstock.local.serving.requested import Requested, RunRequest
from penstock.local.serving.run_process import FlowReference, RunProcess, flow_reference
from penstock.local.serving.run_requests import RunRequests
from penstock.local.serving.served_state import ServedStateFile
from penstock.local.serving.server import LOGGER, Launch, Served, Server, utc_now
from penstock.memory_limit import limit_expression_memory

MAIN_PROCESS: Final = "MainProcess"
"""The name of processes that were not started by multiprocessing."""


def serve(deployments: Sequence[Deployment], *, limit: int | None, is_forgetful: bool, is_announced: bool) -> None:
    """Run flows on their schedules.

    Args:
        deployments: the flows with their schedules.
        limit: maximum number of concurrent runs; None for no limit.
        is_forgetful: ignore ticks that are missed while this process is not running.
        is_announced: log which deployments are served.

    Raises:
        OptionError: a deployment cannot be served.
        InvalidSpecError: a schedule is invalid.
    """
    limit_expression_memory()
    _check(deployments)
    log.set_up()
    with ExitStack() as stack:
        clock = stack.enter_context(_counted_signals())
        served: list[Served] = []
        requested: list[Requested] = []
        for deployment in deployments:
            reference = flow_reference(deployment.flow)
            requests = RunRequests(deployment.name)
            stack.callback(requests.close)
            requested.append(
                Requested(
                    deployment.name,
                    requests,
                    partial(_launch_requested, reference, deployment),
                    limit=deployment.limit,
                )
            )
            for body in () if deployment.paused else deployment.schedules():
                key = f"{body['metadata']['name']}|{deployment.flow.key}"
                # The name of a Schedule is that of an object in a cluster; here it may be any text.
                body["metadata"]["name"] = object_name(body["metadata"]["name"])
                file = ServedStateFile(key, body["spec"], is_kept=not is_forgetful)
                stack.callback(file.close)
                launch: Launch = partial(_launch, reference, deployment.tags)
                served.append(Served(body, launch, limit=deployment.limit, file=file, now=clock.now()))
        if is_announced:
            for each in served:
                _announce(each, clock.now())
            LOGGER.info(
                "Waiting for runs that are requested: run_deployment(%r)", min(each.name for each in deployments)
            )
        Server(served, clock, limit=limit, requested=requested).serve()


def _check(deployments: Sequence[Deployment]) -> None:
    # The name of a new process is set before it imports the module; its parent process only after that.
    if multiprocessing.current_process().name != MAIN_PROCESS:
        raise OptionError('serve() was called when its script was imported: call it below `if __name__ == "__main__":`')
    if threading.current_thread() is not threading.main_thread():
        raise OptionError("serve() handles signals: call it in the main thread")
    names = [deployment.name for deployment in deployments]
    if not deployments:
        raise OptionError("serve() needs at least one deployment: flow.to_deployment(...)")
    if taken := {name for name in names if names.count(name) > 1}:
        raise OptionError(f"two deployments have the name {min(taken)!r}: rename one of them")
    for deployment in deployments:
        required = {
            name
            for name, parameter in deployment.flow.signature.parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        }
        for timing in deployment.timings:
            if missing := required - {*deployment.parameters, *timing.parameters}:
                raise OptionError(
                    f"deployment {deployment.name!r}: parameter {min(missing)!r} has no value: set parameters={{...}}"
                )


def _launch(reference: FlowReference, tags: frozenset[str], name: str, parameters: Mapping[str, Any]) -> RunProcess:
    return RunProcess(reference, name, parameters, tags)


def _launch_requested(reference: FlowReference, deployment: Deployment, name: str, request: RunRequest) -> RunProcess:
    deployment.flow.bind((), given := {**deployment.parameters, **request.parameters})
    tags = deployment.tags | request.tags
    return RunProcess(reference, name, given, tags, run_name=request.name, is_state_kept=True)


def _announce(served: Served, now: datetime) -> None:
    tick = served.timetable.next(now)
    if tick is not None:
        LOGGER.info("Serving %s, next run %s", served.name, served.show_tick(tick))


class _SystemClock:
    """The system clock, and signals."""

    def __init__(self, pipe: int) -> None:
        self.signals = 0
        self._pipe = pipe

    def now(self) -> datetime:
        """Return the current time, with its zone."""
        return utc_now()

    def wait(self, sentinels: Sequence[int], until: datetime) -> None:
        """Wait until that time, or until one of the sentinels is ready or a signal arrives."""
        ready = wait([*sentinels, self._pipe], max(0.0, (until - self.now()).total_seconds()))
        if self._pipe in ready:
            os.read(self._pipe, 1)


@contextmanager
def _counted_signals() -> Iterator[_SystemClock]:
    """Count SIGINT and SIGTERM instead of terminating."""
    read_end, write_end = os.pipe()
    clock = _SystemClock(read_end)

    def count(_number: int, _frame: FrameType | None) -> None:
        clock.signals += 1
        os.write(write_end, b".")

    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield clock
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_end)
        os.close(write_end)
