"""`penstock describe` of Flows, Schedules and Backfills."""

from __future__ import annotations

import datetime as dt
from typing import Any

from penstock.cli.text.backfill_description import describe_backfill
from penstock.cli.text.flow_description import describe_flow
from penstock.cli.text.run_table import RunCells
from penstock.cli.text.schedule_description import describe_schedule

NOW = dt.datetime(2026, 11, 22, 12, 5, tzinfo=dt.UTC)
RUNS = [RunCells({"State": "Failed", "Flow": "orders", "Age": "5m"}, {"name": "nightly-1", "labels": {}})]
HINT = "penstock {}".format


def schedule(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"flow": {"name": "orders"}, "params": {"day": "$(tick.date)"}}}
    status = {
        "conditions": [{"type": "Ready", "status": "True", "reason": "Valid", "message": "creates runs"}],
        "nextTickTimes": ["2026-11-23T02:30:00Z", "2026-11-24T02:30:00Z"],
        "lastRun": "nightly-1",
        "lastTickTime": "2026-11-22T02:30:00Z",
        "lastMissed": {"tickTime": "2026-11-20T02:30:00Z", "reason": "Overlap", "message": "was active"},
        "missedTicks": 2,
        "notRunTicks": 3,
        "lastNotRunTime": "2026-11-21T02:31:00Z",
    }
    return {
        "kind": "Schedule",
        "metadata": {"name": "nightly"},
        "spec": {"cron": ["30 2 * * *"], "runTemplate": template, "onOverlap": "Skip", **spec},
        "status": status,
    }


def test_a_schedule_is_described_with_its_ticks_its_runs_and_the_next_commands():
    lines = [line.plain for line in describe_schedule(schedule(), RUNS, [], NOW, HINT)]
    assert lines[:7] == [
        "Schedule nightly  ✓ Ready, Valid: creates runs",
        "  when       cron 30 2 * * *",
        "  time zone  UTC",
        "  flow       orders",
        '  params     day: "$(tick.date)"',
        "  onOverlap  Skip",
        "  next ticks 2026-11-23 02:30:00 UTC (in 14h25m)",
    ]
    assert "  missed     2; last 2026-11-20T02:30:00Z: was active" in lines
    assert "  not run    3; last at 2026-11-21T02:31:00Z: see `penstock get --state Skipped`" in lines
    assert any(line.startswith("  nightly-1   orders   Failed") for line in lines)
    assert lines[-1] == "  penstock schedule suspend nightly"


def test_a_suspended_schedule_has_no_ticks_and_can_be_resumed():
    lines = [line.plain for line in describe_schedule(schedule(suspend=True), [], [], NOW, HINT)]
    assert "  suspended: no runs are created" in lines
    assert not [line for line in lines if "next ticks" in line]
    assert lines[-1] == "  penstock schedule resume nightly"


def test_a_flow_is_described_with_its_params_its_tasks_and_who_runs_it():
    flow = {
        "kind": "Flow",
        "metadata": {"name": "orders"},
        "spec": {
            "description": "Load a day.",
            "params": [{"name": "day", "description": "ISO date"}, {"name": "n", "type": "integer", "default": 2}],
            "tasks": [{"name": "list"}, {"name": "load", "dependsOn": ["list"]}],
        },
        "status": {
            "revision": "orders-x",
            "conditions": [{"type": "Ready", "status": "False", "reason": "PodRefused"}],
        },
    }
    lines = [line.plain for line in describe_flow(flow, RUNS, [schedule()], [], NOW, HINT)]
    assert lines[0] == "Flow orders  ✗ not Ready, PodRefused"
    assert "  day: string  ISO date" in lines
    assert "  n: integer = 2" in lines
    assert "  load  after list" in lines
    assert "  nightly: cron 30 2 * * *, Active" in lines
    assert lines[-2:] == ["  penstock run orders -p day=VALUE", "  penstock graph flow/orders"]


def test_a_backfill_is_described_with_its_period_and_counts():
    spec = {"schedule": {"name": "nightly"}, "from": "2026-11-01T00:00:00Z", "to": "2026-11-04T00:00:00Z"}
    status = {
        "state": "Failed",
        "reason": "TicksFailed",
        "message": "3 ticks: 2 completed, 1 failed",
        "progress": "3/3",
        "counts": {"Completed": 2, "Failed": 1, "Running": 0},
        "completionTime": "2026-11-22T12:00:00Z",
    }
    backfill = {"kind": "Backfill", "metadata": {"name": "november"}, "spec": spec, "status": status}
    lines = [line.plain for line in describe_backfill(backfill, RUNS, [], NOW, HINT)]
    assert lines[0] == "Backfill november  ✗ Failed, 3/3 ticks finished"
    assert "  ticks      2 Completed, 1 Failed" in lines
    assert lines[-1].endswith(
        "backfill nightly --from 2026-11-01T00:00:00Z --to 2026-11-04T00:00:00Z --reprocess Failed"
    )
