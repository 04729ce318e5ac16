"""The meaning of every state, for the reference and `penstock explain`."""

from __future__ import annotations

from typing import Final, NamedTuple


class StateText(NamedTuple):
    """What a state means, for runs, for tasks, or for both."""

    meaning: str
    is_final: bool = False


STATES: Final[dict[str, StateText]] = {
    "Scheduled": StateText("Starts at a later time: `spec.scheduledTime`."),
    "Pending": StateText("Waits: a task for its dependencies or for its Pod to start, a run for its first task."),
    "Queued": StateText("Is ready, but waits for a concurrency limit, a quota or an admission queue."),
    "Running": StateText("Its container is running; of a run, at least one task has started."),
    "Retrying": StateText("Failed, and waits for its next attempt at `wakeTime`."),
    "Paused": StateText("Waits for a person to approve a task, or to set `suspend: false`."),
    "Completed": StateText("Finished successfully.", is_final=True),
    "Cached": StateText("Finished successfully: outputs of an earlier run were reused, nothing ran.", is_final=True),
    "Skipped": StateText("Finished without running; the reason says why.", is_final=True),
    "Failed": StateText("Finished with a failure of the task itself.", is_final=True),
    "TimedOut": StateText("Finished unsuccessfully: it exceeded its timeout.", is_final=True),
    "Cancelled": StateText("Was stopped, or never started, because the run was stopped.", is_final=True),
    "Crashed": StateText(
        "Finished with a failure of the infrastructure, after all retries that `retry.infrastructure` allows.",
        is_final=True,
    ),
}
"""Every state, in the order in which a task passes through them."""
