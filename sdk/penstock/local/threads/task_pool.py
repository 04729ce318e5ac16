"""Task pools: run the submitted tasks of a flow run, a limited number at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from penstock.local.threads.loop_thread import is_loop_thread
from penstock.local.threads.worker_threads import THREADS

MAX_THREADS: Final = 32
"""How many tasks of a flow run at once in threads, unless the flow sets max_workers."""
MAX_COROUTINES: Final = 1000
"""How many coroutines of a flow run at once, unless the flow sets max_workers."""


class Job(Protocol):
    """A job of a pool."""

    def run_job(self, done: Callable[[], None]) -> None:
        """Run without raising, and call `done` when the slot is free again."""


class TaskPool:
    """Runs jobs, at most `limit` at once. A job that waits for another one releases its slot meanwhile.

    Args:
        limit: how many jobs run at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._ready: deque[Job] = deque()
        self._active = 0

    def enqueue(self, job: Job) -> None:
        """Run a job as soon as a slot is free."""
        with self._lock:
            self._ready.append(job)
            if self._active >= self._limit:
                return
            self._active += 1
        self._start()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Release the slot of the job in this thread for the `with` block."""
        with self._lock:
            if starts := bool(self._ready) and self._active <= self._limit:
                pass
            else:
                self._active -= 1
        if starts:
            self._start()
        try:
            yield
        finally:
            with self._lock:
                # One job more than the limit may run for a moment: waiting for a slot here could deadlock.
                self._active += 1

    def check_wait(self, *, is_async: bool) -> None:
        """Refuse to block the event loop by waiting for a task that runs on it.

        Raises:
            RuntimeError: this thread runs that event loop.
        """
        if is_async and is_loop_thread():
            raise RuntimeError(
                "a submitted coroutine cannot block until another one on the same event loop is done:"
                " use `await future` instead of future.result() or future.wait()"
            )

    def _start(self) -> None:
        raise NotImplementedError

    def _next(self) -> Job | None:
        """Return the next job for the slot of a finished job; free the slot if there is none."""
        with self._lock:
            if self._ready and self._active <= self._limit:
                return self._ready.popleft()
            self._active -= 1
            return None


class ThreadPool(TaskPool):
    """A pool of functions, each in a thread."""

    def _start(self) -> None:
        THREADS.start_function(self._work)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.run_job(_nothing)


class CoroutinePool(TaskPool):
    """A pool of coroutines on the background loop."""

    def _start(self) -> None:
        from penstock.local.threads.background_loop import LOOP  # noqa: PLC0415 - asyncio is needed for coroutines only

        # Not in this thread: a signal could interrupt it between taking a job and starting it.
        LOOP.call_in_loop(self._take)

    def _take(self) -> None:
        job = self._next()
        if job is not None:
            job.run_job(self._take)


def _nothing() -> None:
    """Do nothing: the thread itself takes its next job."""
