"""Sign and style of each state."""

from __future__ import annotations

from typing import Final, NamedTuple


class StateStyle(NamedTuple):
    """Sign and style of a state."""

    sign: str
    style: str
    """A style of rich."""


UNKNOWN_STATE_STYLE: Final = StateStyle("?", "")
STATE_STYLES: Final = {
    "Scheduled": StateStyle("◷", "dim"),
    "Pending": StateStyle("·", "dim"),
    "Queued": StateStyle("◌", "yellow"),
    "Running": StateStyle("●", "cyan"),
    "Retrying": StateStyle("↻", "yellow"),
    "Paused": StateStyle("‖", "bold yellow"),
    "Completed": StateStyle("✓", "green"),
    "Cached": StateStyle("✓", "green"),
    "Skipped": StateStyle("-", "dim"),
    "Failed": StateStyle("✗", "bold red"),
    "TimedOut": StateStyle("✗", "bold red"),
    "Cancelled": StateStyle("✗", "magenta"),
    "Crashed": StateStyle("✗", "bold red"),
}
"""By state."""


def state_style(state: str) -> StateStyle:
    """Return the style of a state; states of newer operators may be unknown."""
    return STATE_STYLES.get(state, UNKNOWN_STATE_STYLE)
