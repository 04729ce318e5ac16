"""Backfills whose operators are killed."""

from __future__ import annotations

import pytest

from tests.api.test_operator_backfills import backfill, name_of, reach, runs, schedule

pytestmark = pytest.mark.api


def test_operators_killed_half_way_make_the_same_runs(scene, replica):
    schedule(scene, run_for="300ms")
    backfill(scene, days=12, maxActive=3)

    for done in (2, 5, 9):
        with replica() as operator:
            scene.until(
                lambda done=done: sum(run.status.get("state") == "Completed" for run in runs(scene)) >= done,
                f"{done} runs to be completed",
            )
            operator.kill()
    with replica() as operator:
        found = reach(scene, "Completed")

    assert found["progress"] == "12/12"
    made = [run.metadata.name for run in runs(scene, ever=True)]
    assert made == [name_of(day) for day in range(1, 13)], "no tick had two runs"
    assert "Traceback" not in operator.log
