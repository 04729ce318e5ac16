"""How a run is ended early, and by which decision."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

from penstock.engine.audit import Record
from penstock.engine.machine.entry import known
from penstock.engine.reasons import Reason


class ShutdownMode(IntEnum):
    """How strong a shutdown is. It can only get stronger."""

    DRAIN = 1
    """Running tasks continue to their end; nothing new starts."""
    CANCEL = 2
    """Running tasks are stopped; finally tasks run."""
    TERMINATE = 3
    """Everything is stopped, including finally tasks."""

    @property
    def word(self) -> str:
        """The mode as the API spells it."""
        return self.name.capitalize()

    @classmethod
    def of(cls, word: str) -> ShutdownMode:
        """Return the mode by the API's spelling."""
        return cls[word.upper()]


REASONS: Final = {
    ShutdownMode.DRAIN: Reason.RUN_DRAINED,
    ShutdownMode.CANCEL: Reason.RUN_CANCELLED,
    ShutdownMode.TERMINATE: Reason.RUN_TERMINATED,
}
"""The reasons of tasks that a shutdown in the spec ended."""
SHUTDOWN_REASONS: Final = frozenset({*REASONS.values(), Reason.RUN_REPLACED, Reason.PARENT_ENDED})


class Shutdown(NamedTuple):
    """One decision to end a run early."""

    mode: ShutdownMode
    reason: Reason
    message: str

    @classmethod
    def by_spec(cls, word: str, by: Record | None = None) -> Shutdown:
        """Return the decision that a person made in `spec.shutdown`.

        Args:
            word: Drain, Cancel or Terminate.
            by: who set it, if that is recorded.
        """
        mode = ShutdownMode.of(word)
        return cls(mode, REASONS[mode], f"spec.shutdown is {word}{f', set by {by.user}' if by else ''}")

    def entry(self) -> dict[str, Any]:
        """Return what the status keeps."""
        return known({"mode": self.mode.word, "reason": str(self.reason), "message": self.message or None})

    @classmethod
    def restore(cls, entry: Mapping[str, Any]) -> Shutdown:
        """Read what the status kept."""
        return cls(ShutdownMode.of(entry["mode"]), Reason(entry["reason"]), entry.get("message", ""))
