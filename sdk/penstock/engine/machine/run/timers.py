"""The timers of a run: when to advance it again even if nothing happens."""

from __future__ import annotations

import heapq
from typing import NamedTuple

_PLAIN = -1


class _Timer(NamedTuple):
    due: float
    position: int
    item: int
    attempt: int


class DueTimer(NamedTuple):
    """A due timer: the attempt for which it was set."""

    position: int
    item: int | None
    attempt: int


class Timers:
    """A heap of times. The attempt of a timer may have ended when it is due: the caller checks that."""

    def __init__(self) -> None:
        self._heap: list[_Timer] = []
        self._run_due: float | None = None

    def set_attempt_timer(self, due: float, *, position: int, item: int | None, attempt: int) -> None:
        """Set a timer for an attempt.

        Args:
            due: seconds since the epoch.
            position: of the task.
            item: index of the item; None for a plain task.
            attempt: number of the attempt.
        """
        heapq.heappush(self._heap, _Timer(due, position, _PLAIN if item is None else item, attempt))

    def set_run_timer(self, due: float | None) -> None:
        """Set the one timer of the run as a whole, in place of an earlier one; None for no timer."""
        self._run_due = due

    def pop_due(self, now: float) -> list[DueTimer]:
        """Remove and return the due timers of attempts."""
        due: list[DueTimer] = []
        while self._heap and self._heap[0].due <= now:
            timer = heapq.heappop(self._heap)
            due.append(DueTimer(timer.position, None if timer.item == _PLAIN else timer.item, timer.attempt))
        return due

    def next_due_at(self, now: float) -> float | None:
        """Return the time of the next timer.

        Args:
            now: seconds since the epoch; the run's own timer counts only before it is due.
        """
        times = [self._heap[0].due] if self._heap else []
        if self._run_due is not None and self._run_due > now:
            times.append(self._run_due)
        return min(times, default=None)
