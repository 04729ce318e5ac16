"""Worker threads, which are reused: starting new threads would slow short tasks down."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

IDLE_S: Final = 10.0
"""How long an idle thread is kept."""


class WorkerThreads:
    """Daemon threads: each function gets one immediately. Callers limit their number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = 0
        self._handed: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def start_function(self, function: Callable[[], None]) -> None:
        """Run a function, which must not raise, in a thread."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._handed.put(function)
                return
        threading.Thread(target=self._work, args=(function,), name="penstock-worker", daemon=True).start()

    def _work(self, function: Callable[[], None]) -> None:
        while True:
            function()
            del function
            with self._lock:
                self._idle += 1
            try:
                function = self._handed.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._idle:
                        self._idle -= 1
                        return
                # A function was assigned to this thread just as its wait timed out.
                function = self._handed.get()


THREADS: Final = WorkerThreads()
