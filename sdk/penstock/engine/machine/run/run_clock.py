"""The clock of a run: it starts with the first task, and is paused while the run is Paused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.engine.timestamp import epoch, rfc3339


class RunClock:
    """Computes when a run's timeout passes.

    Args:
        timeout_s: longest time of the run in seconds; None for no limit.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self.started_at: float | None = None
        self._paused_since: float | None = None
        self._paused_s = 0.0

    @property
    def is_paused(self) -> bool:
        """Whether it is paused."""
        return self._paused_since is not None

    @property
    def due_at(self) -> float | None:
        """When the run's timeout passes, in seconds since the epoch; None while that is unknown."""
        if self.timeout_s is None or self.started_at is None or self.is_paused:
            return None
        return self.started_at + self._paused_s + self.timeout_s

    def pause(self, now: float) -> None:
        """Pause the clock."""
        if self._paused_since is None:
            self._paused_since = now

    def resume(self, now: float) -> None:
        """Continue after a pause."""
        if self._paused_since is not None:
            self._paused_s += max(now - self._paused_since, 0.0)
            self._paused_since = None

    def fields(self) -> dict[str, Any]:
        """Return what the status keeps; None for what is not known."""
        return {
            "startTime": None if self.started_at is None else rfc3339(self.started_at),
            "pausedSince": None if self._paused_since is None else rfc3339(self._paused_since),
            "pausedMilliseconds": round(self._paused_s * 1000) or None,
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Restore the clock from a stored status."""
        self.started_at = epoch(stored["startTime"]) if "startTime" in stored else None
        self._paused_since = epoch(stored["pausedSince"]) if "pausedSince" in stored else None
        self._paused_s = stored.get("pausedMilliseconds", 0) / 1000
