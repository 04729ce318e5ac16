"""Objects of a mebibyte: an operator that starts among many of them stays below its memory limit."""

from __future__ import annotations

import pytest

from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

MEBIBYTE = "x" * 1_000_000
COUNT = 60
"""As many as one page held, and more: decoded, they take 480 MiB."""
MOST_MIB = 400.0
"""The chart's limit is 512."""


def test_an_operator_that_starts_among_flows_of_a_mebibyte_takes_little_memory(scene: Scene, replica):
    for number in range(COUNT):
        scene.create("Flow", f"large-{number}", {"tasks": [task(args=[MEBIBYTE])]})

    with replica() as operator:

        def are_valid() -> bool:
            flows = scene.now["flows"].values()
            reasons = [condition["reason"] for flow in flows for condition in flow.status.get("conditions", ())]
            return reasons == ["Valid"] * COUNT

        scene.until(are_valid, "all Flows to be ready", within_s=120.0)
        assert operator.memory_mib("VmHWM") < MOST_MIB


def test_large_runs_that_wait_take_little_memory_and_start_as_they_were_created(scene: Scene, replica):
    spec = {
        "flowSpec": {
            "params": [{"name": "big", "type": "string"}],
            "tasks": [task()],
            "outputs": {"size": "$(size(params.big))"},
        },
        "params": {"big": MEBIBYTE},
        "suspend": True,
    }
    for number in range(4 * COUNT):
        scene.create("FlowRun", f"waiting-{number}", spec)

    with replica() as operator:
        scene.until(
            lambda: all(run.status.get("state") == "Paused" for run in scene.now["flowruns"].values()),
            "all runs to wait",
            within_s=120.0,
        )
        assert operator.memory_mib("VmHWM") < MOST_MIB

        scene.patch("FlowRun", "waiting-7", {"spec": {"suspend": False}})
        assert scene.finish("waiting-7")["outputs"] == {"size": len(MEBIBYTE)}


def test_a_large_run_starts_when_its_flow_appears(scene: Scene, replica):
    spec = {
        "flow": {"name": "later"},
        "params": {"big": MEBIBYTE},
    }
    scene.create("FlowRun", "run", spec)
    with replica():
        scene.until(lambda: scene.status().get("reason") == "FlowNotFound", "the run to wait for its Flow")

        scene.create(
            "Flow",
            "later",
            {
                "params": [{"name": "big", "type": "string"}],
                "tasks": [task()],
                "outputs": {"size": "$(size(params.big))"},
            },
        )

        assert scene.finish()["outputs"] == {"size": len(MEBIBYTE)}
