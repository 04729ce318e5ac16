"""Schedules on the real operator, by the real clock."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.engine.timestamp import rfc3339
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

MINUTE_S = 60
EVERY_MINUTE = "* * * * *"
YEARLY = "0 0 1 1 *"
TEMPLATE = {"spec": {"flowSpec": {"tasks": [task()]}}}


def schedule(scene: Scene, cron: str, name: str = "tick", **spec: Any) -> dict[str, Any]:
    return scene.create("Schedule", name, {"cron": [cron], "runTemplate": TEMPLATE, **spec})


def status(scene: Scene, name: str = "tick") -> dict[str, Any]:
    found = scene.now["schedules"].get(name)
    return {} if found is None else found.status


def ready(scene: Scene, name: str = "tick") -> dict[str, Any]:
    return next(iter(status(scene, name).get("conditions", ())), {})


@pytest.fixture
def operator(kubeconfig, crds, namespace, tmp_path) -> Iterator[Replica]:
    lease = f"schedules-{uuid.uuid4().hex[:8]}"
    with Replica(kubeconfig, tmp_path, namespace=namespace, lease=lease, identity="one") as replica:
        yield replica
    assert "Traceback" not in replica.log


def test_missed_ticks_get_runs_which_are_executed_and_kept_as_history_says(scene, kubeconfig, tmp_path):
    def replica(number: int) -> Replica:
        return Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace, identity=f"r{number}")

    schedule(scene, EVERY_MINUTE, suspend=True, history={"completed": 1}, onOverlap="Skip")
    with replica(1):
        scene.until(lambda: status(scene).get("timing"), "the Schedule to be reconciled")
        assert ready(scene)["reason"] == "Suspended"
    # As if no operator had run for hours.
    then = rfc3339(time.time() - 500 * MINUTE_S)
    scene.patch("Schedule", "tick", {"status": {"timingSince": then, "decidedTickTime": then}}, is_status=True)
    scene.patch("Schedule", "tick", {"spec": {"suspend": None}})
    before = int(time.time()) // MINUTE_S
    with replica(2) as second:
        scene.until(lambda: status(scene).get("lastSuccessTime"), "a run to complete")
        second.kill()
    with replica(3):
        # By the real clock another tick comes within a minute, and then one run is one too many.
        scene.until(lambda: status(scene)["lastTickTime"] > rfc3339((before + 1) * MINUTE_S), "the next tick", 150)
        scene.until(lambda: len(scene.now["flowruns"]) == 1, "history to be kept")
    after = int(time.time()) // MINUTE_S
    made = [run.metadata.name for run in scene.ever["flowruns"].values()]
    assert set(made) <= {f"tick-{minute}" for minute in range(before, after + 1)}
    assert len(set(made)) == len(made) >= 2
    assert status(scene)["missedTicks"] >= 498


def test_an_edit_of_the_cron_counts_from_now_and_no_past_tick_gets_a_run(scene, operator):
    schedule(scene, YEARLY)
    scene.until(lambda: ready(scene).get("status") == "True", "the Schedule to be armed")
    first = status(scene)["nextTickTimes"]

    scene.patch("Schedule", "tick", {"spec": {"cron": ["0 0 1 * *"]}})

    scene.until(lambda: status(scene)["observedGeneration"] == 2, "the edit to be seen")
    assert status(scene)["nextTickTimes"][0] <= first[0]
    assert status(scene)["nextTickTimes"] != first
    assert "lastRun" not in status(scene)
    assert not scene.now["flowruns"]
    assert operator.is_healthy()


def test_a_run_that_a_later_tick_replaces_is_cancelled_runs_its_finally_tasks_and_stays(scene, operator):
    spec = {"flowSpec": {"tasks": [task(pod_outcome="run")], "finally": [task("cleanup")]}}
    schedule(scene, EVERY_MINUTE, onOverlap="Replace", runTemplate={"spec": spec})
    first = scene.until(lambda: next(iter(scene.now["flowruns"]), None), "the first run", 2 * MINUTE_S)
    scene.reach("Running", first)

    found = scene.reach("Cancelled", first, 2 * MINUTE_S)

    assert found["reason"] == "RunReplaced"
    assert "Schedule tick" in found["message"]
    assert scene.entry("cleanup", first)["state"] == "Completed"
    second = scene.until(lambda: next((name for name in scene.now["flowruns"] if name != first), None), "the next run")
    assert scene.reach("Running", second)
    assert first in scene.now["flowruns"]
