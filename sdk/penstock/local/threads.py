"""Threads that are kept for a while after their work, so that a short flow does not pay for new ones."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

IDLE_S: Final = 10.0
"""How long a thread without work is kept."""


class Threads:
    """Daemon threads: each function gets one at once. How many there are at a time is the affair of who starts them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = 0
        self._handed: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def start(self, function: Callable[[], None]) -> None:
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
                # Somebody counted on this thread while it gave up waiting.
                function = self._handed.get()


THREADS: Final = Threads()
