"""Calls of a task's function, in its context and with its timeout."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from penstock.authoring.backend import Call
from penstock.authoring.limits import held, held_async, limits_of
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.runs import TASK_RUN, TaskRun
from penstock.local.console.log_prints import logged_prints
from penstock.local.interruption.deadline import OverdueError, call_within, check_in_time
from penstock.local.interruption.interrupt import INTERRUPT_AGAIN_S, Interrupt, StoppedError
from penstock.local.lifecycle.lifecycle_step import Ending

if TYPE_CHECKING:
    from penstock.local.session import Session


class _TaskCall:
    """The common part of calls of functions and of coroutine functions."""

    def __init__(
        self, run: TaskRun, call: Call, session: Session | None, interrupt: Interrupt | None, *, is_collected: bool
    ) -> None:
        self._run = run
        self._args = call.args
        self._kwargs = call.kwargs
        self._interrupt = interrupt
        self._is_collected = is_collected and run.task.is_generator
        """Whether the elements of a generator are collected in a list."""
        self._own_interrupt = Interrupt()
        self._leftover: threading.Event | None = None
        self.parameters: Mapping[str, Any] = run.task.bind(call.args, call.kwargs)
        log_prints = run.task.options.log_prints
        if log_prints is None:
            log_prints = session is not None and session.log_prints
        self._logs_prints = log_prints
        self._is_print_decided = bool(log_prints) or bool(session and session.log_prints)

    def inside(self) -> AbstractContextManager[object]:
        """Return the context that the task's function runs in."""
        return inside_run(self._run, logs_prints=bool(self._logs_prints), is_print_decided=self._is_print_decided)


class TaskCall(_TaskCall):
    """Calls a function.

    Args:
        run: the run.
        call: the arguments, resolved.
        session: the session of the flow run, if there is one.
        interrupt: stops the function of a submitted task.
        is_collected: collect the elements of a generator in a list.

    Raises:
        ParameterError: the arguments do not match the function.
    """

    def run_attempt(self) -> Any:
        """Call the function.

        Raises:
            OverdueError: it exceeded its timeout.
        """
        limits = limits_of(self._run.tags) if self._run.tags else ()
        if not limits:
            return self._run_attempt()
        with held(limits):
            return self._run_attempt()

    def _run_attempt(self) -> Any:
        limit_s = self._run.task.options.timeout_s
        if limit_s is None:
            if self._interrupt is None:
                return self._call()
            with self._interrupt:
                return self._call()
        interrupt = self._interrupt or self._own_interrupt
        if self._leftover is not None and not self._leftover.is_set():
            logger_of(self._run).warning(
                "The attempt that timed out is still in a call that cannot be interrupted."
                " The next attempt starts when it has ended"
            )
            while not self._leftover.wait(INTERRUPT_AGAIN_S):
                interrupt.raise_in_thread()
        try:
            return call_within(limit_s, self._call, interrupt)
        except OverdueError as error:
            self._leftover = error.gone
            raise

    def end_tasks(self, ending: Ending) -> None:
        """Do nothing: tasks that a task submits belong to its flow run."""

    def _call(self) -> Any:
        fn = self._run.task.fn
        with self.inside():
            return list(fn(*self._args, **self._kwargs)) if self._is_collected else fn(*self._args, **self._kwargs)


class AsyncTaskCall(_TaskCall):
    """Calls a coroutine function, or collects an asynchronous generator. Arguments are those of TaskCall."""

    async def run_attempt(self) -> Any:
        """Call the function.

        Raises:
            OverdueError: it exceeded its timeout.
        """
        limits = limits_of(self._run.tags) if self._run.tags else ()
        if not limits:
            return await self._run_attempt()
        async with held_async(limits):
            return await self._run_attempt()

    async def _run_attempt(self) -> Any:
        import asyncio  # noqa: PLC0415 - needed for coroutines only

        limit_s = self._run.task.options.timeout_s
        try:
            async with asyncio.timeout(limit_s) as limit:
                value = await self._call()
                check_in_time(limit, limit_s)
                return value
        except TimeoutError as error:
            if limit_s is not None and limit.expired():
                raise OverdueError(limit_s) from error
            raise
        except asyncio.CancelledError as error:
            if self._interrupt is not None and self._interrupt.is_requested:
                raise StoppedError from error
            raise

    async def end_tasks(self, ending: Ending) -> None:
        """Do nothing: tasks that a task submits belong to its flow run."""

    async def _call(self) -> Any:
        fn = self._run.task.fn
        with self.inside():
            if self._is_collected:
                return [element async for element in fn(*self._args, **self._kwargs)]
            return await fn(*self._args, **self._kwargs)


@contextlib.contextmanager
def inside_run(run: TaskRun, *, logs_prints: bool, is_print_decided: bool) -> Iterator[None]:
    """Set the current task run."""
    token = TASK_RUN.set(run)
    try:
        if is_print_decided:
            with logged_prints(run, is_logged=logs_prints):
                yield
        else:
            yield
    finally:
        TASK_RUN.reset(token)
