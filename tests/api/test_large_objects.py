"""Objects of a mebibyte: an operator that starts among many of them stays below its memory limit."""

from __future__ import annotations

import pytest

from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

MEBIBYTE = ["x" * 32_000] * 31
"""As arguments, which have 32 KiB each at most."""
COUNT = 60
"""As many as one page held, and more: decoded, they take 480 MiB."""
MOST_MIB = 400.0
"""The chart's limit is 512."""


def test_an_operator_that_starts_among_flows_of_a_mebibyte_takes_little_memory(scene: Scene, replica):
    for number in range(COUNT):
        scene.create("Flow", f"large-{number}", {"tasks": [task(args=MEBIBYTE)]})

    with replica() as operator:

        def are_valid() -> bool:
            flows = scene.now["flows"].values()
            reasons = [condition["reason"] for flow in flows for condition in flow.status.get("conditions", ())]
            return reasons == ["Valid"] * COUNT

        scene.until(are_valid, "all Flows to be ready", within_s=120.0)
        assert operator.memory_mib("VmHWM") < MOST_MIB


LARGE_RUN = {"params": {"big": "x" * 100_000}}
FLOW = {
    "params": [{"name": "big", "type": "string"}],
    "tasks": [task()],
    "outputs": {"size": "$(size(params.big))"},
}


def test_large_runs_that_wait_start_as_they_were_created(scene: Scene, replica):
    scene.create("FlowRun", "suspended", LARGE_RUN | {"flowSpec": FLOW, "suspend": True})
    scene.create("FlowRun", "early", LARGE_RUN | {"flow": {"name": "later"}})
    with replica():
        scene.until(lambda: scene.status("early").get("reason") == "FlowNotFound", "the run to wait for its Flow")
        scene.reach("Paused", "suspended")

        scene.create("Flow", "later", FLOW)
        scene.patch("FlowRun", "suspended", {"spec": {"suspend": False}})

        assert scene.finish("early")["outputs"] == {"size": 100_000}
        assert scene.finish("suspended")["outputs"] == {"size": 100_000}
