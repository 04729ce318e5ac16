"""One call of a flow's function: with its arguments, in its context, within its time; and the end of its tasks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from penstock.authoring.context import logger_of
from penstock.authoring.runs import FLOW_RUN, TASK_RUN
from penstock.local.deadline import OverdueError, call_within
from penstock.local.interrupt import STRIKE_AGAIN_S, Interrupt
from penstock.local.prints import logged_prints
from penstock.local.session import SESSION, Session, SubmittedTask
from penstock.local.step import Ending

STOP_GRACE_S: Final = 5.0
"""How long a flow that is stopped waits for its tasks. What does not end by then is left behind, with a warning."""
_CALLBACKS_S: Final = 0.001
"""How soon to look again whether the callbacks of a future have ended."""


class FlowCall:
    """Calls a function.

    Args:
        session: of the flow run.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._interrupt = Interrupt()
        self._leftover: threading.Event | None = None

    def attempt(self) -> Any:
        """Call the function.

        Raises:
            OverdueError: it took too long.
        """
        limit_s = self._session.run.flow.options.timeout_s
        if limit_s is None:
            return self._call()
        while self._leftover is not None and not self._leftover.wait(STRIKE_AGAIN_S):
            self._interrupt.strike()
        try:
            return call_within(limit_s, self._call, self._interrupt)
        except OverdueError as error:
            self._leftover = error.gone
            raise

    def settle(self, ending: Ending) -> None:
        """Bring the tasks that the run has submitted to their end."""
        began = time.monotonic()
        while (submission := _press(self._session, ending, began)) is not None:
            if submission.future.done():
                time.sleep(_CALLBACKS_S)
            submission.future.wait(None if ending is Ending.WAIT else STRIKE_AGAIN_S)

    def _call(self) -> Any:
        run = self._session.run
        args, kwargs = run.flow.arguments(run.parameters)
        with inside_run(self._session):
            return run.flow.fn(*args, **kwargs)


class AsyncFlowCall:
    """Calls a coroutine function.

    Args:
        session: of the flow run.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def attempt(self) -> Any:
        """Call the function.

        Raises:
            OverdueError: it took too long.
        """
        import asyncio  # noqa: PLC0415 - flows without coroutines don't pay for it

        run = self._session.run
        args, kwargs = run.flow.arguments(run.parameters)
        limit_s = run.flow.options.timeout_s
        try:
            async with asyncio.timeout(limit_s) as limit:
                with inside_run(self._session):
                    return await run.flow.fn(*args, **kwargs)
        except TimeoutError as error:
            if limit_s is not None and limit.expired():
                raise OverdueError(limit_s) from error
            raise

    async def settle(self, ending: Ending) -> None:
        """Bring the tasks that the run has submitted to their end."""
        import asyncio  # noqa: PLC0415 - flows without coroutines don't pay for it

        began = time.monotonic()
        while (submission := _press(self._session, ending, began)) is not None:
            if submission.future.done():
                await asyncio.sleep(_CALLBACKS_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if ending is Ending.WAIT else STRIKE_AGAIN_S):
                    await submission.future.wait_async()


@contextmanager
def inside_run(session: Session) -> Iterator[None]:
    """Let code know in which flow run it is."""
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


def _press(session: Session, ending: Ending, began: float) -> SubmittedTask | None:
    """Cancel or stop what has to be, again and again: tasks that run may submit others, and a stop may not arrive.

    Args:
        session: of the flow run that ends.
        ending: how.
        began: since when, as the monotonic clock has it.

    Returns:
        One of those that are not over; None if there is none left to wait for.
    """
    left = list(session.outstanding)
    if left and ending is Ending.STOP and time.monotonic() - began >= STOP_GRACE_S:
        _leave_behind(session)
        return None
    reason = f"flow run {session.run.name!r} is ending"
    for submission in left:
        if ending is Ending.STOP:
            submission.stop(reason)
        elif ending is Ending.DRAIN:
            submission.cancel(reason)
    return next(iter(left), None)


def _leave_behind(session: Session) -> None:
    left = [submission.future.name for submission in list(session.outstanding)]
    logger_of(session.run).warning(
        "%d task run(s) did not stop within %g s and are left behind, in a call that can't be stopped: %s",
        len(left),
        STOP_GRACE_S,
        ", ".join(sorted(left)[:5]),
    )
    session.outstanding.clear()
