"""An event loop that rests for a moment between two wake-ups while much work is in progress.

With hundreds of Pods in progress something arrives from the API server every millisecond or two. Waking up for each
was measured to cost a third more CPU time than handling several together (docs/decisions/cost-of-runs.md). A chain of
tasks, of which one is in progress at a time, is not kept waiting. Network cards moderate their interrupts alike.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Final

REST_PER_TASK_S: Final = 0.0001
"""Per task instance in progress. The API server needs some milliseconds for each Pod, so a rest adds a few percent."""
MOST_TASKS: Final = 200
"""More of them make the rest no longer: 20 ms are hardly noticed by a person who waits for a single task."""
COUNT_EVERY_S: Final = 0.1


class RestingSelector(selectors.DefaultSelector):
    """Waits for events as its base class does, but returns none until a rest after the last ones has passed.

    Args:
        clock: monotonic seconds.
        sleep: blocks for a number of seconds.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__()
        self.count: Callable[[int], int] = lambda _most: 0
        """Counts the task instances in progress, up to the number that it is given: more make no difference."""
        self._clock = clock
        self._sleep = sleep
        self._rest_s = 0.0
        self._count_at = float("-inf")
        self._woken_at = float("-inf")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, after a rest if one is due; immediately if the timeout is 0."""
        if timeout is None or timeout > 0:
            now = self._clock()
            if now >= self._count_at:
                self._rest_s = self.count(MOST_TASKS) * REST_PER_TASK_S
                self._count_at = now + COUNT_EVERY_S
            rest_s = self._woken_at + self._rest_s - now
            if timeout is not None:
                rest_s = min(rest_s, timeout)
                timeout -= max(rest_s, 0.0)
            if rest_s > 0:
                self._sleep(rest_s)
        ready = super().select(timeout)
        if ready:
            self._woken_at = self._clock()
        return ready


def new_event_loop(selector: RestingSelector) -> asyncio.AbstractEventLoop:
    """Return an event loop that waits by that selector."""
    return asyncio.SelectorEventLoop(selector)
