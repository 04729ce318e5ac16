"""What is counted of each Schedule: its series exist from its creation and vanish with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from penstock.engine.keys import ObjectKey
from penstock.engine.ticks.due_and_missed import MissedReason
from penstock_operator.metrics import Metrics

MAX_SCHEDULES: Final = 500
"""Schedules with series of their own."""
OTHER: Final = ObjectKey("", "(other)")
"""What the Schedules beyond the cap count as."""


class ScheduleMetrics:
    """The series of all Schedules.

    Args:
        metrics: where they are exposed.
        most: Schedules with series of their own; the missed ticks of others count together.
    """

    def __init__(self, metrics: Metrics, *, most: int = MAX_SCHEDULES) -> None:
        self._missed = metrics.schedule_missed
        self._most = most
        self._next_ticks: dict[ObjectKey, float | None] = {}
        """Of the Schedules with series of their own."""
        metrics.schedule_next_tick.add_source(self._read_next_ticks)

    def add_schedule(self, key: ObjectKey) -> None:
        """Expose a Schedule that exists."""
        if key in self._next_ticks or len(self._next_ticks) >= self._most:
            return
        self._next_ticks[key] = None
        for reason in MissedReason:
            self._missed.labels(*key, reason)

    def set_next_tick(self, key: ObjectKey, due_at: float | None) -> None:
        """Expose when the next run of a Schedule is due, in seconds since the epoch; None: none is."""
        if key in self._next_ticks:
            self._next_ticks[key] = due_at

    def count_missed(self, key: ObjectKey, reason: str, count: int) -> None:
        """Count ticks for which no run was created."""
        self._missed.labels(*(key if key in self._next_ticks else OTHER), reason).inc(count)

    def remove_schedule(self, key: ObjectKey) -> None:
        """Expose a deleted Schedule no more."""
        if key not in self._next_ticks:
            return
        del self._next_ticks[key]
        for reason in MissedReason:
            self._missed.remove(*key, reason)

    def _read_next_ticks(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for key, due_at in self._next_ticks.items():
            if due_at is not None:
                yield key, due_at
