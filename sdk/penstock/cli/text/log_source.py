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


class Choice(NamedTuple):
    """Which logs of a run are meant."""

    task: str | None = None
    """Only this task; None for all."""
    item: int | None = None
    """Only this item of fan-outs; None for all."""

    def includes(self, source: Source) -> bool:
        """Whether a log is meant."""
        return self.task in {None, source.task} and self.item in {None, source.item}

    def __str__(self) -> str:
        """Return the name of the only task or item: `load[3]`, `task load`, `item 3`."""
        if self.task is None:
            return f"item {self.item}"
        return f"task {self.task}" if self.item is None else f"{self.task}[{self.item}]"
