"""An event loop in a background thread, for coroutines that are submitted or come from synchronous code.

It is not the loop of the caller, so a caller may block (`future.result()`) until they are done, as code for Prefect
often does.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final


class BackgroundLoop:
    """An event loop that starts when first needed, and ends with the process."""

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

    def start_coroutine(self, coroutine: Coroutine[Any, Any, None], context: Context) -> None:
        """Run a coroutine, which must not raise, as a task of the loop."""
        self.call_in_loop(lambda: self._create_task(coroutine, context))

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine and wait for its result. Must not be called in the thread of the loop."""
        assert not self.is_current()
        return asyncio.run_coroutine_threadsafe(coroutine, self._started()).result()

    def call_in_loop(self, function: Callable[[], object]) -> None:
        """Call a short function, which must not raise, in the thread of the loop."""
        loop = self._started()
        self._handed.append(function)
        with self._lock:
            # Waking the loop is a system call: concurrent calls share one.
            if not self._is_woken:
                # In this order, a signal in between causes a second wake-up rather than a lost one.
                loop.call_soon_threadsafe(self._call_handed)
                self._is_woken = True

    def _call_handed(self) -> None:
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
