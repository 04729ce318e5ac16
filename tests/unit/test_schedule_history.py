"""Which finished runs of a Schedule's ticks are kept."""

from __future__ import annotations

from datetime import UTC, datetime

from penstock.api.schedule import History
from penstock.engine.ticks.due_and_missed import Ledger
from penstock_operator.schedules.history import surplus_of_ticks
from penstock_operator.schedules.runs import ScheduledRun

LEDGER = Ledger(datetime(2026, 11, 25, tzinfo=UTC), ())


def run(hour: int, state: str, *, has_started: bool = True) -> ScheduledRun:
    tick = datetime(2026, 11, 24, hour, tzinfo=UTC)
    return ScheduledRun(f"{state}-{hour}", f"u{hour}", tick, state, tick.isoformat(), has_started=has_started)


def test_runs_that_were_skipped_push_out_neither_completed_nor_failed_ones():
    runs = [run(0, "Completed"), run(1, "Failed"), run(2, "Completed"), run(3, "Failed")]
    runs += [run(hour, "Skipped", has_started=False) for hour in range(4, 8)]
    runs += [run(8, "Cancelled", has_started=False), run(9, "Cancelled")]

    doomed = surplus_of_ticks(runs, History(completed=2, failed=3), LEDGER)

    assert [one.name for one in doomed] == ["Skipped-4", "Skipped-5"]
