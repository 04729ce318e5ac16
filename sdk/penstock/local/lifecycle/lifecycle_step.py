"""Steps of a life cycle, and how they are run.

A life cycle is a generator that yields the steps of a run. So it is written once, though runs are executed in four
ways: by the caller, on the event loop of the caller, in a thread of the pool, and on the background loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from enum import Enum
from time import sleep
from typing import Any, NamedTuple, Protocol

from penstock.authoring.runs.states import State


class Attempt(NamedTuple):
    """Call the function of the run."""

    is_kept: bool = False
    """Whether the result will be stored, so that the elements of a generator must be collected."""


class Sleep(NamedTuple):
    """Wait before the next attempt."""

    delay_s: float


class Invoke(NamedTuple):
    """Call a hook or a condition: a function, or a coroutine function."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


class Ending(Enum):
    """How the submitted tasks of a flow end."""

    WAIT = "wait"
    """Wait for all of them."""
    DRAIN = "drain"
    """Wait for those that are running, and cancel those that have not started."""
    STOP = "stop"
    """Stop all of them."""


class EndTasks(NamedTuple):
    """Wait for, cancel or stop the tasks that a flow has submitted."""

    ending: Ending


class Outcome(NamedTuple):
    """The outcome of a step."""

    value: Any = None
    error: BaseException | None = None


Step = Attempt | Sleep | Invoke | EndTasks
Steps = Generator[Step, Outcome | None, State[Any]]


class Performer(Protocol):
    """Calls the function of a run in a thread."""

    def run_attempt(self) -> Any:
        """Call the function of the run."""

    def end_tasks(self, ending: Ending) -> None:
        """Wait for, cancel or stop the tasks that the run has submitted."""


class AsyncPerformer(Protocol):
    """Calls the function of a run on an event loop."""

    async def run_attempt(self) -> Any:
        """Call the function of the run."""

    async def end_tasks(self, ending: Ending) -> None:
        """Wait for, cancel or stop the tasks that the run has submitted."""


def run_lifecycle(steps: Steps, performer: Performer | None) -> State[Any]:
    """Run a life cycle in this thread, and return the final state."""
    outcome: Outcome | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # the generator's return type is State
        outcome = perform_step(step, performer)


def perform_step(step: Step, performer: Performer | None) -> Outcome:
    """Run a step in this thread. An exception becomes its outcome."""
    try:
        if isinstance(step, Attempt):
            assert performer is not None
            return Outcome(performer.run_attempt())
        if isinstance(step, Sleep):
            sleep(step.delay_s)
        elif isinstance(step, EndTasks):
            assert performer is not None
            performer.end_tasks(step.ending)
        else:
            value = step.function(*step.args)
            return Outcome(_run(value) if inspect.isawaitable(value) else value)
    except BaseException as error:  # noqa: BLE001 - the life cycle decides what it means
        return Outcome(error=error)
    return Outcome()


async def run_lifecycle_async(steps: Steps, performer: AsyncPerformer | None) -> State[Any]:
    """Run a life cycle on this event loop, and return the final state."""
    outcome: Outcome | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # the generator's return type is State
        outcome = await perform_step_async(step, performer)


async def perform_step_async(step: Step, performer: AsyncPerformer | None) -> Outcome:
    """Run a step on this event loop. An exception becomes its outcome."""
    import asyncio  # noqa: PLC0415 - runs without coroutines do not need it

    try:
        if isinstance(step, Attempt):
            assert performer is not None
            return Outcome(await performer.run_attempt())
        if isinstance(step, Sleep):
            await asyncio.sleep(step.delay_s)
        elif isinstance(step, EndTasks):
            assert performer is not None
            await performer.end_tasks(step.ending)
        else:
            value = step.function(*step.args)
            return Outcome(await value if inspect.isawaitable(value) else value)
    except BaseException as error:  # noqa: BLE001 - the life cycle decides what it means
        return Outcome(error=error)
    return Outcome()


def _run(awaitable: Awaitable[Any]) -> Any:
    from penstock.local.threads.background_loop import LOOP  # noqa: PLC0415 - asyncio is needed for coroutines only

    async def body() -> Any:
        return await awaitable

    return LOOP.run_coroutine(body())
