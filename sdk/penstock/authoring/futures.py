"""Futures: task runs that were submitted, and their results to come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

from penstock.authoring.context import FLOW_LOGGER
from penstock.authoring.runs import TaskRun
from penstock.authoring.states import State
from penstock.errors import CancelledRunError, CrashedRunError

R = TypeVar("R")


SLICE_S: Final = 0.5
"""How long a thread blocks at a time."""


class Slot(Protocol):
    """A place among the tasks that may run at a time."""

    def released(self) -> AbstractContextManager[None]:
        """Give the place to another task while this one waits for one: or tasks that wait for tasks block all."""

    def check_wait(self, *, is_async: bool) -> None:
        """Refuse to block where blocking would stop what is waited for.

        Raises:
            RuntimeError: the thread is the one that runs the event loop of submitted tasks.
        """


SLOT: Final[ContextVar[Slot | None]] = ContextVar("penstock_slot", default=None)
"""The place that the running code takes; None outside of submitted tasks."""


class Future(Generic[R]):
    """A task run that was submitted. Threads wait by `result()`, coroutines by `await future`.

    Args:
        task_run: the run.
    """

    __slots__ = ("__weakref__", "_callbacks", "_lock", "task_run")

    def __init__(self, task_run: TaskRun) -> None:
        self.task_run = task_run
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Future[R]], object]] | None = []

    @property
    def task_run_id(self) -> Any:
        """The run's id."""
        return self.task_run.id

    @property
    def name(self) -> str:
        """The run's name."""
        return self.task_run.name

    @property
    def state(self) -> State[R]:
        """How the run is doing now."""
        state: State[R] = self.task_run.state
        if state.is_final():
            self.task_run.observe()
        return state

    def done(self) -> bool:
        """Whether the run is over."""
        return self._callbacks is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run is over, or for `timeout` seconds, whichever is sooner."""
        if self._callbacks is None:
            return
        slot = SLOT.get()
        if slot is not None:
            slot.check_wait(is_async=self.task_run.task.is_async)
        event = threading.Event()
        self.add_done_callback(lambda _: event.set())
        with nullcontext() if slot is None else slot.released():
            _block(event.wait, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:  # noqa: FBT001, FBT002
        """Wait for the run and return what the task returned.

        Args:
            timeout: how long to wait, in seconds; forever if None.
            raise_on_failure: false returns the exception of a failed run instead of raising it.

        Raises:
            TimeoutError: the run was not over in time.
            Exception: the task's own; a RunError if the run did not complete without one.
        """
        self.wait(timeout)
        if self._callbacks is not None:
            raise TimeoutError(f"task run {self.name!r} was not over after {timeout} s")
        self.task_run.observe()
        state: State[R] = self.task_run.state
        return _result(state, raise_on_failure=raise_on_failure)

    def add_done_callback(self, callback: Callable[[Future[R]], object]) -> None:
        """Have `callback(future)` called when the run is over: at once if it is.

        It runs in the thread that ended the run, so it should be short.
        """
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        callback(self)

    def finish(self) -> None:
        """Tell those who wait that the run is over. For backends."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:  # noqa: BLE001 - the others wait too
                FLOW_LOGGER.exception("A callback of %r raised", self)

    async def wait_async(self) -> None:
        """Wait until the run is over, without blocking the event loop."""
        if self._callbacks is None:
            return
        import asyncio  # noqa: PLC0415 - who awaits has it; others don't pay for it

        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake(_: Future[R]) -> None:
            # Who waited may be gone, and the loop with it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if waiter.done() else waiter.set_result(None))

        self.add_done_callback(wake)
        slot = SLOT.get()
        with nullcontext() if slot is None else slot.released():
            await waiter

    def __await__(self) -> Generator[Any, None, R]:
        """Wait for the run without blocking the event loop, and return what the task returned."""
        yield from self.wait_async().__await__()
        self.task_run.observe()
        state: State[R] = self.task_run.state
        return _result(state, raise_on_failure=True)

    def __repr__(self) -> str:
        """Return the run's name and state."""
        return f"Future({self.name!r}, {self.task_run.state.name})"


def _block(wait_for: Callable[[float], bool], timeout: float | None) -> bool:
    """Wait in slices: a signal that arrives just before a thread blocks is noticed at the end of one, else never.

    Returns:
        Whether what was waited for happened in time.
    """
    if timeout is not None and timeout <= SLICE_S:
        return wait_for(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while deadline is None or time.monotonic() < deadline:
        left_s = SLICE_S if deadline is None else min(SLICE_S, max(0.0, deadline - time.monotonic()))
        if wait_for(left_s):
            return True
    return False


def _result(state: State[R], *, raise_on_failure: bool) -> R:
    error = None if state.is_completed() else state.exception()
    if error is not None and not isinstance(error, Exception) and raise_on_failure:
        # SystemExit in a worker is the worker's affair: who asks for its result is told, not ended.
        kind = CancelledRunError if state.is_cancelled() else CrashedRunError
        raise kind(state.message or state.name) from error
    return state.result(raise_on_failure=raise_on_failure)


class FutureList(list[Future[R]]):
    """Futures in the order of the items that they were made for."""

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all are over, or for `timeout` seconds, whichever is sooner."""
        wait(self, timeout=timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:  # noqa: FBT001, FBT002
        """Wait for all and return their results, in order.

        Args:
            timeout: how long to wait in all, in seconds; forever if None.
            raise_on_failure: false puts the exception of a failed run in its place.

        Raises:
            TimeoutError: not all were over in time.
            Exception: that of the first that did not complete.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return [
            future.result(None if deadline is None else max(0.0, deadline - time.monotonic()), raise_on_failure)
            for future in self
        ]


class DoneAndNotDone(NamedTuple):
    """What `wait` returns."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all futures are done, or for `timeout` seconds, whichever is sooner."""
    if isinstance(futures, FutureList) and type(futures) is not FutureList:
        # While a flow is compiled: how many there are is not known, and so which are done.
        futures.wait(timeout)
        return DoneAndNotDone(cast("set[Future[Any]]", futures), set())
    waited = list(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    for future in waited:
        future.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    done = {future for future in waited if future.done()}
    return DoneAndNotDone(done, set(waited) - done)


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """Yield futures as they become done.

    Raises:
        TimeoutError: not all were done after `timeout` seconds.
    """
    waited = list(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    finished: list[Future[R]] = []
    ready = threading.Semaphore(0)

    def note(future: Future[R]) -> None:
        finished.append(future)
        ready.release()

    for future in waited:
        future.add_done_callback(note)
    slot = SLOT.get()
    for count in range(len(waited)):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not ready.acquire(blocking=False):
            if slot is not None:
                slot.check_wait(is_async=any(future.task_run.task.is_async for future in waited))
            with nullcontext() if slot is None else slot.released():
                got = _block(lambda slice_s: ready.acquire(timeout=slice_s), left)
            if not got:
                raise TimeoutError(f"{len(waited) - count} of {len(waited)} futures were not done after {timeout} s")
        yield finished[count]
