"""Schedules on the real operator, by the real clock."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.engine.timestamp import rfc3339
from tests.api.replica import Replica
from tests.api.scene import Scene, Seen, task

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


def rewind(scene: Scene, *names: str) -> None:
    """Let suspended Schedules continue as if no operator had run for hours: they have missed ticks."""
    then = rfc3339(time.time() - 500 * MINUTE_S)
    for name in names:
        scene.patch("Schedule", name, {"status": {"timingSince": then, "decidedTickTime": then}}, is_status=True)
        scene.patch("Schedule", name, {"spec": {"suspend": None}})


def runs_ever(scene: Scene, schedule: str) -> list[Seen]:
    return [run for run in scene.ever["flowruns"].values() if run.metadata.name.startswith(f"{schedule}-")]


def started(scene: Scene, schedule: str) -> list[Seen]:
    return [run for run in runs_ever(scene, schedule) if run.status.get("startTime")]


def runs_of(scene: Scene, schedule: str) -> list[str]:
    return [name for name in scene.now["flowruns"] if name.startswith(f"{schedule}-")]


def test_missed_ticks_get_runs_and_the_next_tick_applies_history_and_replaces_a_run(scene, kubeconfig, tmp_path):
    def replica(number: int) -> Replica:
        return Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace, identity=f"r{number}")

    endless = {"flowSpec": {"tasks": [task(pod_outcome="run")], "finally": [task("cleanup")]}}
    schedule(scene, EVERY_MINUTE, suspend=True, history={"completed": 1}, onOverlap="Skip")
    schedule(scene, EVERY_MINUTE, "busy", suspend=True, onOverlap="Replace", runTemplate={"spec": endless})
    with replica(1):
        for name in ("tick", "busy"):
            scene.until(lambda name=name: status(scene, name).get("timing"), "the Schedule to be reconciled")
            assert ready(scene, name)["reason"] == "Suspended"
    rewind(scene, "tick", "busy")
    before = int(time.time()) // MINUTE_S
    with replica(2) as second:
        scene.until(lambda: status(scene).get("lastSuccessTime"), "a run to complete")
        replaced = scene.until(lambda: next(iter(runs_of(scene, "busy")), None), "the run that will be replaced")
        scene.reach("Running", replaced)
        second.kill()
    with replica(3):
        # By the real clock another tick comes within a minute, and then one run is one too many.
        scene.until(lambda: status(scene)["lastTickTime"] > rfc3339((before + 1) * MINUTE_S), "the next tick", 150)
        scene.until(lambda: len(runs_of(scene, "tick")) == 1, "history to be kept")
        found = scene.reach("Cancelled", replaced, 2 * MINUTE_S)
        assert scene.entry("cleanup", replaced)["state"] == "Completed"
        # Itself it may have been replaced since.
        scene.until(
            lambda: [run for run in runs_ever(scene, "busy") if run.status.get("startTime")][1:], "the next run"
        )
    after = int(time.time()) // MINUTE_S
    made = [run.metadata.name for run in runs_ever(scene, "tick")]
    assert set(made) <= {f"tick-{minute}" for minute in range(before, after + 1)}
    assert len(set(made)) == len(made) >= 2
    assert status(scene)["missedTicks"] >= 498
    assert found["reason"] == "RunReplaced"
    assert "Schedule busy" in found["message"]
    assert replaced in scene.now["flowruns"]


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
