"""The prefix of log lines of several tasks."""

from __future__ import annotations

from typing import Final, NamedTuple

SEPARATOR: Final = " | "


class Source(NamedTuple):
    """The task, item and attempt that wrote a log; sorts in this order."""

    task: str
    item: int
    """Index of the item; -1 for a task without items."""
    attempt: int

    def __str__(self) -> str:
        """Return the prefix of each line: `load`, `load[3]`, `load[3]#2` for a second attempt."""
        item = f"[{self.item}]" if self.item >= 0 else ""
        return f"{self.task}{item}" + (f"#{self.attempt}" if self.attempt > 1 else "")
