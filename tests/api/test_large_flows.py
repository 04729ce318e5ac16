"""Many large Flows of one tenant: an operator that starts among them stays far below its memory limit."""

from __future__ import annotations

import pytest
from kubernetes import client as kubernetes_client

from tests.api.impersonation import bind
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

FLOWS = 8
TASKS = 4000
"""Of each Flow: some 280 KB as text, and 20 MiB as a plan."""
MOST_MIB = 450.0
"""The chart's limit is 512."""
MOST_AT_NEXT_START_MIB = 250.0
"""Nothing is compiled there: 160 were measured, and 310 with plans."""


@pytest.fixture
def scene(scene: Scene, api: kubernetes_client.ApiClient) -> Scene:
    """The tenant's namespace, as the tenant acts in it."""
    scene.act_as(bind(api, f"{scene.namespace}:tenant", "edit", namespace=scene.namespace))
    return scene


def are_ready(scene: Scene) -> bool:
    conditions = [flow.status.get("conditions") or [{}] for flow in scene.now["flows"].values()]
    return [one.get("reason") for each in conditions for one in each] == ["Valid"] * FLOWS


def test_an_operator_that_starts_among_many_large_flows_takes_little_memory(scene, replica):
    tasks = [task(f"t{number}", args=["hello", f"$({number} + 1)"]) for number in range(TASKS)]
    for number in range(FLOWS):
        scene.create("Flow", f"large-{number}", {"tasks": tasks})
    with replica() as first:
        scene.until(lambda: are_ready(scene), "all Flows to be ready", within_s=300.0)
        assert first.memory_mib("VmHWM") < MOST_MIB
    with replica() as second:
        scene.start(task())
        assert scene.finish()["state"] == "Completed"
        # It has compared each Flow with its revision then.
        second.until_metric(FLOWS, "penstock_api_requests_total", verb="get", resource="configmaps")
        assert second.memory_mib("VmHWM") < MOST_AT_NEXT_START_MIB
