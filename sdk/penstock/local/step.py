"""Steps of a run: what its life cycle asks for, and who carries it out.

A life cycle is a generator: it decides, and yields what is to be done. So it is written once, though runs are carried
out in four ways: by the caller, on the caller's event loop, in a thread of the pool, and on the background loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from enum import Enum
from time import sleep
from typing import Any, NamedTuple, Protocol

from penstock.authoring.states import State


class Attempt(NamedTuple):
    """Call the run's function."""

    is_kept: bool = False
    """Whether the result will be stored, so that a generator's elements have to be gathered."""


class Sleep(NamedTuple):
    """Wait before the next attempt."""

    delay_s: float


class Invoke(NamedTuple):
    """Call a hook or a condition: a function, or a coroutine function."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


class Ending(Enum):
    """How the tasks that a flow has submitted are brought to their end."""

    WAIT = "wait"
    """They all run."""
    DRAIN = "drain"
    """Those that run go on, those that have not started don't start."""
    STOP = "stop"
    """All are stopped."""


class Settle(NamedTuple):
    """Bring the tasks that a flow has submitted to their end."""

    ending: Ending


class Outcome(NamedTuple):
    """What came of a step."""

    value: Any = None
    error: BaseException | None = None


Step = Attempt | Sleep | Invoke | Settle
Steps = Generator[Step, Outcome | None, State[Any]]


class Performer(Protocol):
    """What a run is, for who carries it out in a thread."""

    def attempt(self) -> Any:
        """Call the run's function."""

    def settle(self, ending: Ending) -> None:
        """Bring the tasks that the run has submitted to their end."""


class AsyncPerformer(Protocol):
    """What a run is, for who carries it out on an event loop."""

    async def attempt(self) -> Any:
        """Call the run's function."""

    async def settle(self, ending: Ending) -> None:
        """Bring the tasks that the run has submitted to their end."""


def drive(steps: Steps, performer: Performer | None) -> State[Any]:
    """Carry a run out in this thread, and return its final state."""
    outcome: Outcome | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # the generator's return type is State
        outcome = perform(step, performer)


def perform(step: Step, performer: Performer | None) -> Outcome:
    """Carry out a step in this thread. Whatever it raises is its outcome."""
    try:
        if isinstance(step, Attempt):
            assert performer is not None
            return Outcome(performer.attempt())
        if isinstance(step, Sleep):
            sleep(step.delay_s)
        elif isinstance(step, Settle):
            assert performer is not None
            performer.settle(step.ending)
        else:
            value = step.function(*step.args)
            return Outcome(_run(value) if inspect.isawaitable(value) else value)
    except BaseException as error:  # noqa: BLE001 - the life cycle decides what it means
        return Outcome(error=error)
    return Outcome()


async def drive_async(steps: Steps, performer: AsyncPerformer | None) -> State[Any]:
    """Carry a run out on this event loop, and return its final state."""
    outcome: Outcome | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # the generator's return type is State
        outcome = await perform_async(step, performer)


async def perform_async(step: Step, performer: AsyncPerformer | None) -> Outcome:
    """Carry out a step on this event loop. Whatever it raises is its outcome."""
    import asyncio  # noqa: PLC0415 - runs without coroutines don't pay for it

    try:
        if isinstance(step, Attempt):
            assert performer is not None
            return Outcome(await performer.attempt())
        if isinstance(step, Sleep):
            await asyncio.sleep(step.delay_s)
        elif isinstance(step, Settle):
            assert performer is not None
            await performer.settle(step.ending)
        else:
            value = step.function(*step.args)
            return Outcome(await value if inspect.isawaitable(value) else value)
    except BaseException as error:  # noqa: BLE001 - the life cycle decides what it means
        return Outcome(error=error)
    return Outcome()


def _run(awaitable: Awaitable[Any]) -> Any:
    from penstock.local.loop import LOOP  # noqa: PLC0415 - runs without coroutines don't pay for asyncio

    async def body() -> Any:
        return await awaitable

    return LOOP.run(body())
