"""Lanes: the submitted tasks of one flow run, so many at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from penstock.local.loop_thread import is_loop_thread
from penstock.local.threads import THREADS

MAX_THREADS: Final = 32
"""How many threads run tasks of a flow run at a time, unless the flow says otherwise."""
MAX_COROUTINES: Final = 1000
"""The same for coroutines."""


class Job(Protocol):
    """What a lane runs."""

    def work(self, done: Callable[[], None]) -> None:
        """Run for a while, without raising, and call `done` when the place is free again."""


class TaskPool:
    """Runs jobs, at most `limit` at a time. A job that waits for another gives its place away while it does.

    Args:
        limit: how many at a time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._ready: deque[Job] = deque()
        self._active = 0

    def enqueue(self, job: Job) -> None:
        """Run a job as soon as there is a place."""
        with self._lock:
            self._ready.append(job)
            if self._active >= self._limit:
                return
            self._active += 1
        self._start()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Give the place of the job that runs in this thread to another one."""
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
                # For a moment one more than the limit may run: waiting for a place could be for ever.
                self._active += 1

    def check_wait(self, *, is_async: bool) -> None:
        """Refuse to block the event loop by waiting for a task that runs on it.

        Raises:
            RuntimeError: it would be so.
        """
        if is_async and is_loop_thread():
            raise RuntimeError(
                "a coroutine that was submitted can't block until another one is done, on the same event loop:"
                " use `await future` in the place of future.result() or future.wait()"
            )

    def _start(self) -> None:
        raise NotImplementedError

    def _next(self) -> Job | None:
        """Return the job that the place of a job that is done goes to; the place is free if there is none."""
        with self._lock:
            if self._ready and self._active <= self._limit:
                return self._ready.popleft()
            self._active -= 1
            return None


class ThreadLane(TaskPool):
    """A lane of functions, each in a thread."""

    def _start(self) -> None:
        THREADS.start(self._work)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.work(_nothing)


class LoopLane(TaskPool):
    """A lane of coroutines, all on the background loop."""

    def _start(self) -> None:
        from penstock.local.loop import LOOP  # noqa: PLC0415 - runs without coroutines don't pay for asyncio

        # Not here: a signal could interrupt the main thread between taking a job and starting it.
        LOOP.call(self._take)

    def _take(self) -> None:
        job = self._next()
        if job is not None:
            job.work(self._take)


def _nothing() -> None:
    """The thread itself looks for its next job."""
