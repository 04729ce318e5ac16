"""Calls of a flow's function, in its context and with its timeout, and the end of the tasks that it submitted."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.runs import FLOW_RUN, TASK_RUN
from penstock.local.console.log_prints import logged_prints
from penstock.local.interruption.deadline import OverdueError, call_within, check_in_time
from penstock.local.interruption.interrupt import INTERRUPT_AGAIN_S, Interrupt
from penstock.local.lifecycle.lifecycle_step import Ending
from penstock.local.session import SESSION, Session, SubmittedTask

STOP_GRACE_S: Final = 5.0
"""How long a flow that is stopped waits for its tasks. Tasks that are still running are abandoned with a warning."""
_CALLBACKS_S: Final = 0.001
"""The interval at which the callbacks of a finished future are awaited."""


class FlowCall:
    """Calls the function of a flow.

    Args:
        session: the session of the flow run.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._interrupt = Interrupt()
        self._leftover: threading.Event | None = None

    def run_attempt(self) -> Any:
        """Call the function.

        Raises:
            OverdueError: it exceeded its timeout.
        """
        limit_s = self._session.run.flow.options.timeout_s
        if limit_s is None:
            return self._call()
        while self._leftover is not None and not self._leftover.wait(INTERRUPT_AGAIN_S):
            self._interrupt.raise_in_thread()
        try:
            return call_within(limit_s, self._call, self._interrupt)
        except OverdueError as error:
            self._leftover = error.gone
            raise

    def end_tasks(self, ending: Ending) -> None:
        """Wait for, cancel or stop the tasks that the run has submitted."""
        began = time.monotonic()
        while (submission := _end_tasks_once(self._session, ending, began)) is not None:
            if submission.future.done():
                time.sleep(_CALLBACKS_S)
            submission.future.wait(None if ending is Ending.WAIT else INTERRUPT_AGAIN_S)

    def _call(self) -> Any:
        run = self._session.run
        args, kwargs = run.flow.call_arguments(run.parameters)
        with inside_run(self._session):
            returned = run.flow.fn(*args, **kwargs)
            # What a generator calls belongs to the run, so it is not left to be read after its end.
            return list(returned) if isinstance(returned, GeneratorType) else returned


class AsyncFlowCall:
    """Calls the coroutine function of a flow.

    Args:
        session: the session of the flow run.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def run_attempt(self) -> Any:
        """Call the function.

        Raises:
            OverdueError: it exceeded its timeout.
        """
        import asyncio  # noqa: PLC0415 - flows without coroutines do not need it

        run = self._session.run
        args, kwargs = run.flow.call_arguments(run.parameters)
        limit_s = run.flow.options.timeout_s
        try:
            async with asyncio.timeout(limit_s) as limit:
                with inside_run(self._session):
                    returned = run.flow.fn(*args, **kwargs)
                    if not run.flow.is_generator:
                        returned = await returned
                    if isinstance(returned, AsyncGeneratorType):
                        returned = [each async for each in returned]
                    elif isinstance(returned, GeneratorType):
                        returned = list(returned)
                check_in_time(limit, limit_s)
                return returned
        except TimeoutError as error:
            if limit_s is not None and limit.expired():
                raise OverdueError(limit_s) from error
            raise

    async def end_tasks(self, ending: Ending) -> None:
        """Wait for, cancel or stop the tasks that the run has submitted."""
        import asyncio  # noqa: PLC0415 - flows without coroutines do not need it

        began = time.monotonic()
        while (submission := _end_tasks_once(self._session, ending, began)) is not None:
            if submission.future.done():
                await asyncio.sleep(_CALLBACKS_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if ending is Ending.WAIT else INTERRUPT_AGAIN_S):
                    await submission.future.wait_async()


@contextmanager
def inside_run(session: Session) -> Iterator[None]:
    """Set the current flow run."""
    tokens = SESSION.set(session), FLOW_RUN.set(session.run), TASK_RUN.set(None)
    try:
        if session.log_prints is None:
            yield
        else:
            with logged_prints(session.run, is_logged=session.log_prints):
                yield
    finally:
        SESSION.reset(tokens[0])
        FLOW_RUN.reset(tokens[1])
        TASK_RUN.reset(tokens[2])


def _end_tasks_once(session: Session, ending: Ending, began: float) -> SubmittedTask | None:
    """Cancel or stop the tasks that have not finished. Called repeatedly: running tasks may submit others.

    Args:
        session: the session of the flow run that ends.
        ending: how its tasks end.
        began: when the flow run began to end, on the monotonic clock.

    Returns:
        One of the tasks that have not finished; None if there is none to wait for.
    """
    left = list(session.outstanding)
    if left and ending is Ending.STOP and time.monotonic() - began >= STOP_GRACE_S:
        _abandon_tasks(session)
        return None
    reason = f"flow run {session.run.name!r} is ending"
    for submission in left:
        if ending is Ending.STOP:
            submission.stop(reason)
        elif ending is Ending.DRAIN:
            submission.cancel(reason)
    return next(iter(left), None)


def _abandon_tasks(session: Session) -> None:
    left = [submission.future.name for submission in list(session.outstanding)]
    logger_of(session.run).warning(
        "%d task run(s) did not stop within %g s and are abandoned in a call that cannot be interrupted: %s",
        len(left),
        STOP_GRACE_S,
        ", ".join(sorted(left)[:5]),
    )
    session.outstanding.clear()
