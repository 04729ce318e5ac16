"""Statuses of runs without a machine: they wait to start, or ended before they started. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.engine.machine.run.run_status import conditions
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.engine.names import ENGINE_VERSION
from penstock.engine.reasons import Reason
from penstock.engine.state import RunState
from penstock.engine.timestamp import rfc3339

_COMPARED: Final = ("state", "reason", "message", "queuePosition")


class Waiting(NamedTuple):
    """A run that waits to start."""

    state: RunState
    reason: Reason
    message: str
    position: int | None = None
    """Place in the queue of the Flow's concurrency limit."""
    due_at: float | None = None
    """When to reconcile it again even if nothing happens, seconds since the epoch."""

    def status(self, created_at: float) -> dict[str, Any]:
        """Return the status of a run.

        Args:
            created_at: when the run was created, seconds since the epoch.
        """
        status = _status(self.state, self.reason, self.message, created_at)
        return status if self.position is None else status | {"queuePosition": self.position}

    def is_stored_in(self, head: Mapping[str, Any]) -> bool:
        """Whether a stored status has this already."""
        status = self.status(0.0)
        # The runs ahead in a queue change all the time, so only the place counts.
        fields = [name for name in _COMPARED if name != "message" or self.position is None]
        return all(head.get(name) == status.get(name) for name in fields)


class Ended(NamedTuple):
    """A run that ended before it started."""

    state: RunState
    reason: Reason
    message: str

    def status(self, now: float, *, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return the status of a run.

        Args:
            now: seconds since the epoch.
            before: the stored status, which may be of a run that did start.
        """
        kept = {name: before[name] for name in ("params", "startTime") if name in before}
        return kept | _status(self.state, self.reason, self.message, now) | {"completionTime": rfc3339(now)}

    @classmethod
    def by(cls, shutdown: Shutdown) -> Ended:
        """Return the end of a run that was shut down before it started."""
        return cls(RunState.CANCELLED, shutdown.reason, f"cancelled before it started: {shutdown.message}")


def _status(state: RunState, reason: Reason, message: str, since: float) -> dict[str, Any]:
    return {
        "state": str(state),
        "reason": str(reason),
        "message": message,
        "engine": ENGINE_VERSION,
        "conditions": conditions(state, message=message, since=since),
    }
