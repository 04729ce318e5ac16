"""Which finished runs of a Schedule are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.api.schedule import History
from penstock.engine.ticks.due_and_missed import Ledger
from penstock.engine.timestamp import epoch
from penstock.engine.triggers.webhook_signature import TOLERANCE_S
from penstock_operator.schedules.runs import ScheduledRun

DEFAULT_COMPLETED: Final = 3
DEFAULT_FAILED: Final = 3
EVENTS_KEPT_S: Final = 2.0 * TOLERANCE_S
"""How long a delivery could be replayed: its timestamp may be as far ahead of our clock as behind it."""


def surplus_of_ticks(finished: Sequence[ScheduledRun], history: History | None, ledger: Ledger) -> list[ScheduledRun]:
    """Return the runs to delete: the oldest, beyond what is kept of those that completed and of the others.

    Args:
        finished: the finished runs, in the order of their ticks.
        history: how many to keep.
        ledger: the stored decisions. While the tick of a run is not among them, only the run itself prevents another
            run for the tick.
    """
    surplus = _beyond([run for run in finished if run.tick is not None], history)
    return [
        run for run in surplus if run.tick is not None and run.tick <= ledger.decided and run.tick not in ledger.queued
    ]


def surplus_of_events(finished: Sequence[ScheduledRun], history: History | None, now: float) -> list[ScheduledRun]:
    """Return the runs of events to delete, likewise; they are counted apart from those of ticks.

    Args:
        finished: the finished runs.
        history: how many to keep.
        now: seconds since the epoch. A run that ended recently is kept: it prevents another run when its delivery is
            repeated.
    """
    ended = [(epoch(run.completion_time), run) for run in finished if run.is_of_event and run.completion_time]
    ended.sort(key=lambda one: one[0])
    surplus = {run.uid for run in _beyond([run for _, run in ended], history)}
    return [run for time, run in ended if run.uid in surplus and now - time > EVENTS_KEPT_S]


def _beyond(runs: Sequence[ScheduledRun], history: History | None) -> list[ScheduledRun]:
    history = history or History()
    completed = DEFAULT_COMPLETED if history.completed is None else history.completed
    failed = DEFAULT_FAILED if history.failed is None else history.failed
    successful = [run for run in runs if run.is_successful]
    unsuccessful = [run for run in runs if not (run.is_successful or run.has_not_run)]
    # Counted apart: where every second tick is skipped, there would soon be nothing else.
    not_run = [run for run in runs if run.has_not_run]
    kept = ((successful, completed), (unsuccessful, failed), (not_run, failed))
    return [run for group, most in kept for run in group[: max(0, len(group) - most)]]
