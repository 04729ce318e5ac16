"""One thread that calls functions later, so that tasks that wait for their next attempt do not use a slot."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Final


class Timer:
    """Calls short functions, which must not raise, when they are due."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._is_started = False

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call a function in `delay_s` seconds."""
        with self._condition:
            heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._order), function))
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._work, name="penstock-timer", daemon=True).start()
            self._condition.notify()

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._condition.wait(self._due[0][0] - time.monotonic() if self._due else None)
                function = heapq.heappop(self._due)[2]
            function()


TIMER: Final = Timer()
