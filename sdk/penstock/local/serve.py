"""`serve`: this process runs flows whenever they are due, until it is told to end."""

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

from penstock.authoring.deployment import Deployment
from penstock.errors import OptionError
from penstock.local import log
from penstock.local.child import Child, Reference, refer_to
from penstock.local.ledger import LedgerFile
from penstock.local.server import LOGGER, Launch, Served, Server, utc_now
from penstock.memory_limit import limit_expression_memory

MAIN_PROCESS: Final = "MainProcess"
"""The name of every process that multiprocessing has not started."""


def serve(deployments: Sequence[Deployment], *, limit: int | None, is_forgetful: bool, is_quiet: bool) -> None:
    """Run flows whenever they are due.

    Args:
        deployments: the flows, with their schedules.
        limit: how many runs go on at once at most.
        is_forgetful: forget what is missed while this does not run.
        is_quiet: say nothing at the start.

    Raises:
        OptionError: a deployment can't be served.
        InvalidSpecError: a schedule can't work.
    """
    limit_expression_memory()
    _check(deployments)
    log.set_up()
    with ExitStack() as stack:
        clock = stack.enter_context(_told_by_signals())
        served: list[Served] = []
        for deployment in deployments:
            reference = refer_to(deployment.flow)
            for body in deployment.schedules():
                key = f"{body['metadata']['name']}|{deployment.flow.key}"
                file = LedgerFile(key, body["spec"], is_kept=not is_forgetful)
                stack.callback(file.close)
                launch: Launch = partial(_launch, reference, deployment.tags)
                served.append(Served(body, launch, limit=deployment.limit, file=file, now=clock.now()))
        if not is_quiet:
            for each in served:
                _announce(each, clock.now())
        Server(served, clock, limit=limit).serve()


def _check(deployments: Sequence[Deployment]) -> None:
    # What a new process is called is known before it imports the module, whose parent only after that.
    if multiprocessing.current_process().name != MAIN_PROCESS:
        raise OptionError('serve() was called by a run of what it serves: put it below `if __name__ == "__main__":`')
    if threading.current_thread() is not threading.main_thread():
        raise OptionError("serve() handles signals: call it in the main thread")
    names = [deployment.name for deployment in deployments]
    if not deployments:
        raise OptionError("serve() needs at least one deployment: flow.to_deployment(...)")
    if taken := {name for name in names if names.count(name) > 1}:
        raise OptionError(f"two deployments are called {min(taken)!r}: give each a name")
    for deployment in deployments:
        if deployment.paused or not any(timing.active for timing in deployment.timings):
            raise OptionError(
                f"deployment {deployment.name!r} is never due: give cron, interval or rrule. There is no server"
                " that could start its runs: call the flow, or deploy it to a cluster"
            )
        required = {
            name
            for name, parameter in deployment.flow.signature.parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        }
        for timing in deployment.timings:
            if missing := required - {*deployment.parameters, *timing.parameters}:
                raise OptionError(
                    f"deployment {deployment.name!r}: parameter {min(missing)!r} has no value: give it by parameters="
                )


def _launch(reference: Reference, tags: frozenset[str], name: str, parameters: Mapping[str, Any]) -> Child:
    return Child(reference, name, parameters, tags)


def _announce(served: Served, now: datetime) -> None:
    tick = served.timetable.next(now)
    if tick is not None:
        LOGGER.info("Serves %s, next due %s", served.name, served.show(tick))


class _SystemClock:
    """The system's clock, and signals."""

    def __init__(self, pipe: int) -> None:
        self.signals = 0
        self._pipe = pipe

    def now(self) -> datetime:
        """Return the present, aware."""
        return utc_now()

    def wait(self, sentinels: Sequence[int], until: datetime) -> None:
        """Return at that time, or sooner: when one of these is ready, or a signal has come."""
        ready = wait([*sentinels, self._pipe], max(0.0, (until - self.now()).total_seconds()))
        if self._pipe in ready:
            os.read(self._pipe, 1)


@contextmanager
def _told_by_signals() -> Iterator[_SystemClock]:
    """Count SIGINT and SIGTERM instead of being ended by them."""
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
