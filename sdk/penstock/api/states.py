"""What the words for states mean: the text of the reference, in one place."""

from __future__ import annotations

from typing import Final, NamedTuple


class StateText(NamedTuple):
    """What a state means, for runs, for tasks, or for both."""

    meaning: str
    is_final: bool = False


STATES: Final[dict[str, StateText]] = {
    "Scheduled": StateText("Is due at a later time: `spec.scheduledTime`."),
    "Pending": StateText("Waits: a task for its dependencies or for its Pod to start, a run for its first task."),
    "Queued": StateText("Is ready, and held back: by a concurrency limit, a quota or an admission queue."),
    "Running": StateText("Its container runs; of a run, at least one task has started."),
    "Retrying": StateText("Failed, and waits for its next attempt, whose time is `wakeTime`."),
    "Paused": StateText("Waits for a person: to approve, or to take `suspend` back."),
    "Completed": StateText("Over, and well.", is_final=True),
    "Cached": StateText("Over, and well: outputs of an earlier run were reused, and nothing ran.", is_final=True),
    "Skipped": StateText("Did not have to run; the reason says why.", is_final=True),
    "Failed": StateText("Over, and not well: the task did it.", is_final=True),
    "TimedOut": StateText("Over, and not well: it took longer than its timeout.", is_final=True),
    "Cancelled": StateText("Over: it was stopped, or never started, because the run stopped.", is_final=True),
    "Crashed": StateText(
        "Over, and not well: the infrastructure failed it, more often than `retry.infrastructure` allows.",
        is_final=True,
    ),
}
"""Every state, in the order in which a task passes through them."""
