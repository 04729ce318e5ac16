"""Which of a Schedule's runs that are over are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.api.schedule import History
from penstock.engine.ticks.firing import Ledger
from penstock_operator.scheduledruns import ScheduledRun

DEFAULT_COMPLETED: Final = 3
DEFAULT_FAILED: Final = 3


def surplus(finished: Sequence[ScheduledRun], history: History | None, ledger: Ledger) -> list[ScheduledRun]:
    """Return the runs to delete: the oldest, beyond what is kept of those that completed and of the others.

    Args:
        finished: the runs that are over, in the order of their ticks.
        history: how many to keep.
        ledger: what is stored of the decisions. While a run's tick is not part of it, the run itself is what keeps
            another from being made for the tick.
    """
    history = history or History()
    completed = DEFAULT_COMPLETED if history.completed is None else history.completed
    failed = DEFAULT_FAILED if history.failed is None else history.failed
    ours = [run for run in finished if run.tick is not None]
    well = [run for run in ours if run.is_successful]
    badly = [run for run in ours if not run.is_successful]
    doomed = [*well[: max(0, len(well) - completed)], *badly[: max(0, len(badly) - failed)]]
    return [
        run for run in doomed if run.tick is not None and run.tick <= ledger.decided and run.tick not in ledger.queued
    ]
