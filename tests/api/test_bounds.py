"""What one tenant's objects may cost: a run of another namespace ends on time while they are handled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kubernetes import client as kubernetes_client

from penstock.engine.state import FINAL_RUN_STATES
from penstock.kube.connection import Connection
from tests.api.impersonation import bind
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

ON_TIME_S = 15.0
"""A run of one task takes about 1 s; the machine may be busy."""
BIG = "a" * 250_000
SEARCH = 'params.big.indexOf(params.big.substring(0,125000)+"b") < 0'
MOST_GROWTH_MIB = 150.0
UNDONE_S = 240.0
"""Pods of 250 KB each are deleted."""


@pytest.fixture
def scene(scene: Scene, api: kubernetes_client.ApiClient, operator: Replica) -> Scene:
    """The attacker's namespace, where the attacker has the role `edit`, with the operator at work."""
    scene.act_as(bind(api, f"{scene.namespace}:attacker", "edit", namespace=scene.namespace))
    return scene


@pytest.fixture
def bystander(
    api: kubernetes_client.ApiClient, connection: Connection, core: kubernetes_client.CoreV1Api, crds: None
) -> Iterator[Scene]:
    """Another tenant's namespace."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    core.create_namespace(kubernetes_client.V1Namespace(metadata=kubernetes_client.V1ObjectMeta(name=name)))
    with Scene(api, connection, name) as observed:
        yield observed
    core.delete_namespace(name)


def finishes_on_time(bystander: Scene) -> None:
    bystander.start(task())
    assert bystander.finish(within_s=ON_TIME_S)["state"] == "Completed"


def start_with_big(scene: Scene, *tasks: dict, **flow: object) -> None:
    spec = {"params": [{"name": "big", "type": "string"}], "tasks": list(tasks), **flow}
    scene.create("FlowRun", "run", {"flowSpec": spec, "params": {"big": BIG}})


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        pytest.param("when", {"when": f"[1, 2, 3, 4, 5, 6, 7, 8].all(x, {SEARCH})"}, id="in when"),
        pytest.param("args[0]", {"args": [f"$([1, 2, 3, 4, 5, 6, 7, 8].all(x, {SEARCH}))"]}, id="in args"),
    ],
)
def test_an_expression_that_would_take_seconds_fails_its_task_and_delays_nobody(scene, bystander, field, fields):
    start_with_big(scene, task(**fields))

    finishes_on_time(bystander)

    assert scene.finish()["state"] == "Failed"
    entry = scene.entry()
    assert (entry["state"], entry["reason"]) == ("Failed", "ExpressionError")
    assert entry["message"].startswith(f"{field}: ")
    assert "it is too expensive" in entry["message"]


def test_thousands_of_expressions_that_are_cheap_one_by_one_delay_nobody(scene, bystander):
    # Each of 10,000 searches takes several milliseconds.
    search = 'params.big.indexOf(params.big.substring(0,16500)+"b") < 0'
    spec = {
        "params": [{"name": "big", "type": "string"}],
        "tasks": [
            task("many", forEach={"count": 2000}, args=[f"$({search})"] * 5),
            task("large", args=[f"$({search})"] * 1024),
        ],
    }
    scene.create("FlowRun", "run", {"flowSpec": spec, "params": {"big": "a" * 33_000}})
    scene.until(scene.pods, "the first Pod of the fan-out")

    # Finalizers are removed when the operator has less to do.
    bystander.start(task())
    bystander.reach("Completed", within_s=ON_TIME_S)

    assert scene.status().get("state") not in FINAL_RUN_STATES
    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Terminate"}})
    assert scene.finish(within_s=UNDONE_S)["state"] == "Cancelled"


def test_expressions_that_take_long_are_evaluated_beside_the_operator(scene, bystander):
    # Each search takes a third of a second.
    start_with_big(
        scene,
        task("first", when=SEARCH, args=[f"$({SEARCH})"]),
        task("second", forEach={"count": 3}, args=[f"$({SEARCH})"], dependsOn=["first"]),
        task("third", forEach={"items": f"$([{SEARCH}])"}, args=["$(item)"], dependsOn=["second"]),
        outputs={"found": f"$({SEARCH})"},
    )

    finishes_on_time(bystander)

    status = scene.finish()
    assert (status["state"], status["outputs"]) == ("Completed", {"found": True})
    assert scene.pod("first").spec["containers"][0]["args"] == ["true"]
    assert scene.pod("third").spec["containers"][0]["args"] == ["true"]


def test_a_fan_out_with_large_arguments_takes_little_memory(scene, bystander, operator):
    finishes_on_time(bystander)
    before = operator.memory_mib("VmRSS")

    start_with_big(scene, task(forEach={"count": 400}, args=["$(params.big)$(index)"], pod_run_for="600s"))
    scene.until(lambda: len(scene.pods(ever=True)) >= 100, "a hundred Pods")

    assert operator.memory_mib("VmHWM") - before < MOST_GROWTH_MIB
    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Terminate"}})
    assert scene.finish(within_s=UNDONE_S)["state"] == "Cancelled"
