"""Futures: the future results of submitted task runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

from penstock.authoring.loggers import FLOW_LOGGER
from penstock.authoring.runs.runs import TaskRun
from penstock.authoring.runs.states import State
from penstock.errors import CancelledRunError, CrashedRunError

R = TypeVar("R")


SLICE_S: Final = 0.5
"""How long a thread blocks at once."""


class Slot(Protocol):
    """A slot of the task pool: the right of a submitted task to run."""

    def released(self) -> AbstractContextManager[None]:
        """Release the slot while this task waits for another one: otherwise waiting tasks would deadlock."""

    def check_wait(self, *, is_async: bool) -> None:
        """Refuse to wait where waiting would deadlock.

        Raises:
            RuntimeError: this thread runs the event loop of the task that is waited for.
        """


SLOT: Final[ContextVar[Slot | None]] = ContextVar("penstock_slot", default=None)
"""The slot of the running code; None outside of submitted tasks."""


class Future(Generic[R]):
    """The future of a submitted task run. Threads wait with `result()`, coroutines with `await future`.

    Args:
        task_run: the task run.
    """

    __slots__ = ("__weakref__", "_callbacks", "_lock", "task_run")

    def __init__(self, task_run: TaskRun) -> None:
        self.task_run = task_run
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Future[R]], object]] | None = []

    @property
    def task_run_id(self) -> Any:
        """The id of the task run."""
        return self.task_run.id

    @property
    def name(self) -> str:
        """The name of the task run."""
        return self.task_run.name

    @property
    def state(self) -> State[R]:
        """The current state of the task run."""
        state: State[R] = self.task_run.state
        if state.is_final():
            self.task_run.mark_observed()
        return state

    def done(self) -> bool:
        """Whether the task run has finished."""
        return self._callbacks is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the task run has finished.

        Args:
            timeout: maximum wait in seconds; None for no limit.
        """
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
        """Wait until the task run has finished, and return its result.

        Args:
            timeout: maximum wait in seconds; None for no limit.
            raise_on_failure: raise the exception of a failed run; false returns it.

        Raises:
            TimeoutError: the task run did not finish in time.
            Exception: the exception of the task; a RunError if the run did not complete for another reason.
        """
        self.wait(timeout)
        if self._callbacks is not None:
            raise TimeoutError(f"task run {self.name!r} did not finish within {timeout} s")
        self.task_run.mark_observed()
        state: State[R] = self.task_run.state
        return _result(state, raise_on_failure=raise_on_failure)

    def add_done_callback(self, callback: Callable[[Future[R]], object]) -> None:
        """Call `callback(future)` when the task run has finished: immediately if it already has.

        It is called in the thread that finished the run, so it should be short.
        """
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        callback(self)

    def finish(self) -> None:
        """Wake waiters and call callbacks: the run has finished. For backends."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:  # noqa: BLE001 - the other callbacks are called all the same
                FLOW_LOGGER.exception("A callback of %r raised", self)

    async def wait_async(self) -> None:
        """Wait until the task run has finished, without blocking the event loop."""
        if self._callbacks is None:
            return
        import asyncio  # noqa: PLC0415 - code that awaits has loaded it

        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake(_: Future[R]) -> None:
            # The loop may be closed already.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if waiter.done() else waiter.set_result(None))

        self.add_done_callback(wake)
        slot = SLOT.get()
        with nullcontext() if slot is None else slot.released():
            await waiter

    def __await__(self) -> Generator[Any, None, R]:
        """Wait for the task run without blocking the event loop, and return its result."""
        yield from self.wait_async().__await__()
        self.task_run.mark_observed()
        state: State[R] = self.task_run.state
        return _result(state, raise_on_failure=True)

    def __repr__(self) -> str:
        """Return the name and state of the task run."""
        return f"Future({self.name!r}, {self.task_run.state.name})"


def _block(wait_for: Callable[[float], bool], timeout: float | None) -> bool:
    """Wait in slices: a signal that arrives just before a thread blocks is handled at the end of a slice, not before.

    Returns:
        Whether the event happened in time.
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
        # SystemExit in a task must not end the caller that reads its result.
        kind = CancelledRunError if state.is_cancelled() else CrashedRunError
        raise kind(state.message or state.name) from error
    return state.result(raise_on_failure=raise_on_failure)


class FutureList(list[Future[R]]):
    """The futures of `map()`, in the order of the items."""

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all task runs have finished.

        Args:
            timeout: maximum wait in seconds; None for no limit.
        """
        wait(self, timeout=timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:  # noqa: FBT001, FBT002
        """Wait until all task runs have finished, and return their results in order.

        Args:
            timeout: maximum wait for all of them in seconds; None for no limit.
            raise_on_failure: raise the exception of a failed run; false returns it in place of its result.

        Raises:
            TimeoutError: not all task runs finished in time.
            Exception: the exception of the first run that did not complete.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return [
            future.result(None if deadline is None else max(0.0, deadline - time.monotonic()), raise_on_failure)
            for future in self
        ]


class DoneAndNotDone(NamedTuple):
    """The result of `wait`."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all futures are done.

    Args:
        futures: the futures.
        timeout: maximum wait in seconds; None for no limit.

    Returns:
        The futures that are done, and those that are not.
    """
    if isinstance(futures, FutureList) and type(futures) is not FutureList:
        # While a flow is compiled, the number of futures is not known.
        futures.wait(timeout)
        return DoneAndNotDone(cast("set[Future[Any]]", futures), set())
    waited = list(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    for future in waited:
        future.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    done = {future for future in waited if future.done()}
    return DoneAndNotDone(done, set(waited) - done)


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """Yield futures as they are done.

    Args:
        futures: the futures.
        timeout: maximum wait for all of them in seconds; None for no limit.

    Raises:
        TimeoutError: not all were done in time.
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
