"""One event loop, in a thread of its own, for coroutines that are submitted or come from code that has no loop.

It is not the caller's loop, so that a caller may block (`future.result()`) until they are done, as is common in code
that was written for Prefect.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final


class BackgroundLoop:
    """An event loop that starts when it is first needed, and ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id: int | None = None
        self._handed: deque[Callable[[], object]] = deque()
        self._is_woken = False
        self._tasks: set[asyncio.Task[None]] = set()

    def is_current(self) -> bool:
        """Whether the calling thread is the one that runs the loop."""
        return threading.get_ident() == self._thread_id

    def start(self, coroutine: Coroutine[Any, Any, None], context: Context) -> None:
        """Run a coroutine, which must not raise, as a task of the loop."""
        self.call(lambda: self._create_task(coroutine, context))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine and wait for its result. Not to be called by the loop's own thread."""
        assert not self.is_current()
        return asyncio.run_coroutine_threadsafe(coroutine, self._started()).result()

    def call(self, function: Callable[[], object]) -> None:
        """Call a short function, which must not raise, in the loop's thread."""
        loop = self._started()
        self._handed.append(function)
        with self._lock:
            # Waking the loop is a system call: functions that come together share one.
            if not self._is_woken:
                # In this order, so that a signal in between costs a second call, and not the only one.
                loop.call_soon_threadsafe(self._take)
                self._is_woken = True

    def _take(self) -> None:
        with self._lock:
            self._is_woken = False
        while self._handed:
            self._handed.popleft()()

    def _create_task(self, coroutine: Coroutine[Any, Any, None], context: Context) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._work, args=(loop,), name="penstock-loop", daemon=True)
                thread.start()
            return self._loop

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        self._thread_id = threading.get_ident()
        asyncio.set_event_loop(loop)
        loop.run_forever()


LOOP: Final = BackgroundLoop()
