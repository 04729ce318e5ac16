"""Calls of generator flows and tasks: the caller gets the elements one by one, as the function yields them.

A retry starts the function again, so elements that were yielded before are yielded again, as in Prefect.
"""

from __future__ import annotations

import contextvars
import functools
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Final, NamedTuple

from penstock.authoring.backend import Call
from penstock.authoring.limits import held, held_async, limits_of
from penstock.authoring.runs.runs import FLOW_RUN, TASK_RUN, FlowRun, TaskRun
from penstock.authoring.runs.states import Cancelled, State
from penstock.local.calls.flow_call import AsyncFlowCall, FlowCall
from penstock.local.console.log_prints import begin_logging_prints
from penstock.local.interruption.deadline import OverdueError, call_within, check_in_time
from penstock.local.interruption.interrupt import Interrupt
from penstock.local.interruption.signals import ended_by_signals
from penstock.local.lifecycle import task_lifecycle
from penstock.local.lifecycle.lifecycle_step import Attempt, Ending, Outcome, Steps, perform_step, perform_step_async
from penstock.local.session import SESSION, Session

_END: Final = object()


class Elements:
    """The elements of one attempt.

    Args:
        context: the context that the function runs in.
        fn: the function.
        args: its positional arguments.
        kwargs: its keyword arguments.
        limit_s: its timeout.
    """

    def __init__(
        self,
        context: contextvars.Context,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        limit_s: float | None,
    ) -> None:
        self._context = context
        self._iterator = context.run(fn, *args, **kwargs)
        self._limit_s = limit_s
        self._spent_s = 0.0
        self.returned: Any = None
        """What the generator function returned at its end, for `yield from`."""

    def next(self) -> Any:
        """Return the next element, or _END. Only time spent in the function counts against its timeout."""
        began = time.monotonic()
        try:
            with ended_by_signals():
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
        try:
            return self._context.run(next, self._iterator)
        except StopIteration as stop:
            self.returned = stop.value
            return _END

    async def _take_async(self) -> Any:
        return await anext(self._iterator, _END)


class Iterated(NamedTuple):
    """A run whose elements are read one by one."""

    begin: Callable[[], Elements]
    """Starts an attempt."""
    abandon: Callable[[], None]
    """Finishes the run of a caller that reads no further elements."""
    limits: list[str]
    """The limits that each attempt holds."""
    flow_call: FlowCall | AsyncFlowCall | None
    """Ends the tasks of a flow."""


def iterated_task(run: TaskRun, call: Call, session: Session | None) -> Iterated:
    """Return a task run whose elements are read one by one."""

    def begin() -> Elements:
        context = contextvars.copy_context()
        context.run(TASK_RUN.set, run)
        _log_prints(context, run, run.task.options.log_prints, session)
        return Elements(context, run.task.fn, call.args, call.kwargs, run.task.options.timeout_s)

    def abandon() -> None:
        run.enter_state(_abandoned())
        task_lifecycle.report_end(run, session)

    return Iterated(begin, abandon, limits_of(run.tags), None)


def iterated_flow(session: Session) -> Iterated:
    """Return a flow run whose elements are read one by one."""
    run = session.run

    def begin() -> Elements:
        context = contextvars.copy_context()
        context.run(SESSION.set, session)
        context.run(FLOW_RUN.set, run)
        context.run(TASK_RUN.set, None)
        _log_prints(context, run, None, session)
        args, kwargs = run.flow.call_arguments(run.parameters)
        return Elements(context, run.flow.fn, args, kwargs, run.flow.options.timeout_s)

    def abandon() -> None:
        run.enter_state(_abandoned())
        session.close()

    return Iterated(begin, abandon, [], (AsyncFlowCall if run.flow.is_async else FlowCall)(session))


def iterate(iterated: Iterated, steps: Steps) -> Generator[Any, None, Any]:
    """Run a generator flow or task while its elements are read, and return what its function returned."""
    outcome: Outcome | None = None
    returned: Any = None
    is_iterated = False
    flow_call = iterated.flow_call
    assert not isinstance(flow_call, AsyncFlowCall)
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            yield from _rest(stop.value, is_iterated=is_iterated)
            return returned
        if not isinstance(step, Attempt):
            outcome = perform_step(step, flow_call)
            continue
        is_iterated = True
        with held(iterated.limits) if iterated.limits else nullcontext():
            outcome, returned = yield from _attempt(iterated, step, flow_call)


def _attempt(
    iterated: Iterated, step: Attempt, flow_call: FlowCall | None
) -> Generator[Any, None, tuple[Outcome, Any]]:
    kept: list[Any] = []
    elements = iterated.begin()
    try:
        while (element := elements.next()) is not _END:
            if step.is_kept:
                kept.append(element)
            yield element
    except GeneratorExit:
        elements.close()
        if flow_call is not None:
            flow_call.end_tasks(Ending.STOP)
        iterated.abandon()
        raise
    except BaseException as error:  # noqa: BLE001 - the life cycle decides what it means
        return Outcome(error=error), None
    return Outcome(kept), elements.returned


async def iterate_async(iterated: Iterated, steps: Steps) -> AsyncIterator[Any]:  # noqa: C901 - yields in one place
    """Run an asynchronous generator flow or task while its elements are read."""
    outcome: Outcome | None = None
    is_iterated = False
    flow_call = iterated.flow_call
    assert not isinstance(flow_call, FlowCall)
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            for element in _rest(stop.value, is_iterated=is_iterated):
                yield element
            return
        if not isinstance(step, Attempt):
            outcome = await perform_step_async(step, flow_call)
            continue
        is_iterated = True
        kept: list[Any] = []
        async with held_async(iterated.limits) if iterated.limits else nullcontext():
            elements = iterated.begin()
            try:
                while (element := await elements.anext()) is not _END:
                    if step.is_kept:
                        kept.append(element)
                    yield element
            except GeneratorExit:
                await elements.aclose()
                if flow_call is not None:
                    await flow_call.end_tasks(Ending.STOP)
                iterated.abandon()
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


def _abandoned() -> State[Any]:
    return Cancelled(message="the caller stopped before the last element")


def _log_prints(
    context: contextvars.Context,
    run: FlowRun | TaskRun,
    own: bool | None,  # noqa: FBT001 - an option, handed on
    session: Session | None,
) -> None:
    """Let the function of an attempt log what it prints, if the options of the run or of its flow say so."""
    of_flow = None if session is None else session.log_prints
    if own or of_flow is not None:
        is_logged = bool(of_flow if own is None else own)
        # The context ends with the attempt, and with it what is set in it.
        context.run(functools.partial(begin_logging_prints, run, is_logged=is_logged))
