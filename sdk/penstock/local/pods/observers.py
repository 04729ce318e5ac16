"""Observers of local runs: they get the lines that containers write, and each changed FlowRun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Line(NamedTuple):
    """A line that a container wrote."""

    run: str
    task: str
    item: int | None
    attempt: int
    text: str


class Observers(Protocol):
    """Gets the progress of runs."""

    def on_line(self, line: Line) -> None:
        """Handle a line of a log."""

    def on_run(self, run: Mapping[str, Any]) -> None:
        """Handle a FlowRun whose status has changed."""
