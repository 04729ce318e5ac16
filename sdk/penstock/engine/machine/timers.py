"""When a run has to be looked at again though nothing happened."""

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
    """A timer whose time has come: which attempt it was set for."""

    position: int
    item: int | None
    attempt: int


class Timers:
    """A heap of times. What a timer was set for may be over when it rings: whoever hears it looks."""

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
        """Set the one timer of the run as a whole, in place of an earlier one; None: there is none."""
        self._run_due = due

    def pop_due(self, now: float) -> list[DueTimer]:
        """Take out the attempts' timers whose time has come."""
        passed_deadline: list[DueTimer] = []
        while self._heap and self._heap[0].due <= now:
            timer = heapq.heappop(self._heap)
            passed_deadline.append(
                DueTimer(timer.position, None if timer.item == _PLAIN else timer.item, timer.attempt)
            )
        return passed_deadline

    def next_due_at(self, now: float) -> float | None:
        """Return the next time of all.

        Args:
            now: the run's own timer is of no more interest once it has rung.
        """
        times = [self._heap[0].due] if self._heap else []
        if self._run_due is not None and self._run_due > now:
            times.append(self._run_due)
        return min(times, default=None)
