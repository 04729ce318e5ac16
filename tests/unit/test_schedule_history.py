"""The finished runs of a Schedule: which are kept, and what the Event about an end says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penstock.api.schedule import History
from penstock.engine.ticks.due_and_missed import Ledger
from penstock_operator.schedules.history import surplus_of_ticks
from penstock_operator.schedules.notices import ended_notice
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


@pytest.mark.parametrize(
    ("state", "has_started", "is_done"),
    [
        pytest.param("Skipped", False, False, id="skipped by a limit"),
        pytest.param("Cancelled", False, False, id="cancelled while it waited"),
        pytest.param("Cancelled", True, True, id="cancelled while it ran"),
        pytest.param("Failed", True, True, id="failed"),
        pytest.param("Completed", True, True, id="completed"),
    ],
)
def test_the_event_about_an_end_warns_of_each_tick_that_was_not_run(state, has_started, is_done):
    notice = ended_notice(run(0, state, has_started=has_started))

    assert notice.reason == "SawCompletedRun"
    assert notice.note.startswith(f"Saw completed run: {state}-0, state: {state}")
    assert notice.is_warning is not is_done
    assert ("its tick was not run; a Backfill with reprocess: Failed runs it" in notice.note) is not is_done


def test_the_event_about_a_run_of_an_event_that_was_not_run_names_no_tick():
    notice = ended_notice(replace(run(0, "Cancelled", has_started=False), is_of_event=True))

    assert notice.is_warning
    assert "tick" not in notice.note
    assert "penstock retry Cancelled-0" in notice.note
