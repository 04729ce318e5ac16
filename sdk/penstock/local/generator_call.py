"""Calls of generator tasks: the caller gets the elements one by one, as the function yields them.

A retry starts the function again, so elements that were yielded before are yielded again, as in Prefect.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from penstock.authoring.backend import Call
from penstock.authoring.runs import TASK_RUN, TaskRun
from penstock.authoring.states import Cancelled, State
from penstock.local import task_lifecycle
from penstock.local.deadline import OverdueError, call_within, check_in_time
from penstock.local.interrupt import Interrupt
from penstock.local.lifecycle_step import Attempt, Outcome, Steps, perform_step, perform_step_async
from penstock.local.session import Session

_END: Final = object()


class _Elements:
    """The elements of one attempt."""

    def __init__(self, run: TaskRun, call: Call) -> None:
        self._context = contextvars.copy_context()
        self._context.run(TASK_RUN.set, run)
        self._iterator = self._context.run(run.task.fn, *call.args, **call.kwargs)
        self._limit_s = run.task.options.timeout_s
        self._spent_s = 0.0

    def next(self) -> Any:
        """Return the next element, or _END. Only time spent in the function counts against its timeout."""
        began = time.monotonic()
        try:
            if self._limit_s is None:
                return self._take()
            return call_within(max(self._limit_s - self._spent_s, 1e-6), self._take, Interrupt())
        except OverdueError as error:
            raise OverdueError(self._limit_s or 0.0, error.gone) from error
        finally:
            self._spent_s += time.monotonic() - began

    async def anext(self) -> Any:
        """Return the next element of an asynchronous generator, or _END."""
        import asyncio  # noqa: PLC0415 - needed for coroutines only

        began = time.monotonic()
        left_s = None if self._limit_s is None else max(self._limit_s - self._spent_s, 0.0)
        try:
            async with asyncio.timeout(left_s) as limit:
                element = await asyncio.get_running_loop().create_task(self._take_async(), context=self._context)
                check_in_time(limit, self._limit_s)
                return element
        except TimeoutError as error:
            if limit.expired():
                raise OverdueError(self._limit_s or 0.0) from error
            raise
        finally:
            self._spent_s += time.monotonic() - began

    def close(self) -> None:
        """Close the generator: the caller reads no further elements."""
        self._context.run(self._iterator.close)

    async def aclose(self) -> None:
        """Close the asynchronous generator: the caller reads no further elements."""
        await self._iterator.aclose()

    def _take(self) -> Any:
        return self._context.run(next, self._iterator, _END)

    async def _take_async(self) -> Any:
        return await anext(self._iterator, _END)


def iterate(run: TaskRun, call: Call, steps: Steps, session: Session | None) -> Iterator[Any]:
    """Run a generator task while its elements are read."""
    outcome: Outcome | None = None
    is_iterated = False
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            yield from _rest(stop.value, is_iterated=is_iterated)
            return
        if not isinstance(step, Attempt):
            outcome = perform_step(step, None)
            continue
        is_iterated = True
        kept: list[Any] = []
        elements = _Elements(run, call)
        try:
            while (element := elements.next()) is not _END:
                if step.is_kept:
                    kept.append(element)
                yield element
        except GeneratorExit:
            elements.close()
            _abandon(run, session)
            raise
        except BaseException as error:  # noqa: BLE001 - the life cycle decides what it means
            outcome = Outcome(error=error)
        else:
            outcome = Outcome(kept)


async def iterate_async(run: TaskRun, call: Call, steps: Steps, session: Session | None) -> AsyncIterator[Any]:
    """Run an asynchronous generator task while its elements are read."""
    outcome: Outcome | None = None
    is_iterated = False
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            for element in _rest(stop.value, is_iterated=is_iterated):
                yield element
            return
        if not isinstance(step, Attempt):
            outcome = await perform_step_async(step, None)
            continue
        is_iterated = True
        kept: list[Any] = []
        elements = _Elements(run, call)
        try:
            while (element := await elements.anext()) is not _END:
                if step.is_kept:
                    kept.append(element)
                yield element
        except GeneratorExit:
            await elements.aclose()
            _abandon(run, session)
            raise
        except BaseException as error:  # noqa: BLE001 - the life cycle decides what it means
            outcome = Outcome(error=error)
        else:
            outcome = Outcome(kept)


def _rest(state: State[Any], *, is_iterated: bool) -> Iterator[Any]:
    """Yield the elements of a stored result, or raise the exception of a run without one."""
    if not state.is_completed():
        state.result()
    elif not is_iterated:
        yield from state.data


def _abandon(run: TaskRun, session: Session | None) -> None:
    run.enter_state(Cancelled(message="the caller stopped before the last element"))
    task_lifecycle.report_end(run, session)
