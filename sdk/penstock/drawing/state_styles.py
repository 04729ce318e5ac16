"""How each state looks: its sign and its style."""

from __future__ import annotations

from typing import Final, NamedTuple


class Look(NamedTuple):
    """Sign and style of a state."""

    sign: str
    style: str
    """As rich has it."""


UNKNOWN: Final = Look("?", "")
LOOKS: Final = {
    "Scheduled": Look("◷", "dim"),
    "Pending": Look("·", "dim"),
    "Queued": Look("◌", "yellow"),
    "Running": Look("●", "cyan"),
    "Retrying": Look("↻", "yellow"),
    "Paused": Look("‖", "bold yellow"),
    "Completed": Look("✓", "green"),
    "Cached": Look("✓", "green"),
    "Skipped": Look("-", "dim"),
    "Failed": Look("✗", "bold red"),
    "TimedOut": Look("✗", "bold red"),
    "Cancelled": Look("✗", "magenta"),
    "Crashed": Look("✗", "bold red"),
}
"""By state."""


def look(state: str) -> Look:
    """Return how a state looks; one of a newer operator's looks like a question."""
    return LOOKS.get(state, UNKNOWN)
