"""Objects that look like ours and are not: another tenant's, or the same tenant's that the operator did not make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import dynamic, watch

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from tests.api.scene import Scene, fake, task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("operator")]

RUNS = {"pod_outcome": "run"}
FORGED_OUTPUTS = '{"amount": 1000000}'


def pod_of(scene: Scene, task_name: str, *, name: str | None = None, owner: dict[str, Any] | None = None) -> Any:
    """Return a Pod that claims to be the first attempt of a task of the run, with outputs of the attacker."""
    run = scene.run()
    metadata: dict[str, Any] = {
        "name": name or "innocent",
        "labels": {
            names.LABEL_RUN: "run",
            names.LABEL_RUN_UID: run.metadata.uid,
            names.LABEL_TASK: task_name,
            names.LABEL_ATTEMPT: "1",
        },
        **fake(outputs=FORGED_OUTPUTS)["metadata"],
    }
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    spec = {"containers": [{"name": "main", "image": "busybox"}], "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def owner_of(scene: Scene) -> dict[str, Any]:
    uid = scene.run().metadata.uid
    return {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": "run", "uid": uid, "controller": True}


@pytest.fixture
def other(api: kubernetes_client.ApiClient, namespace: str) -> Iterator[str]:
    """A namespace of the attacker's."""
    core, name = kubernetes_client.CoreV1Api(api), f"{namespace}-attacker"
    core.create_namespace(kubernetes_client.V1Namespace(metadata=kubernetes_client.V1ObjectMeta(name=name)))
    yield name
    core.delete_namespace(name)


def finish_pod(scene: Scene, namespace: str, name: str) -> None:
    """Wait until a forged Pod has ended, and so could have been taken for the task's."""
    stream = watch.Watch().stream(
        scene.core.list_namespaced_pod, namespace, field_selector=f"metadata.name={name}", timeout_seconds=60
    )
    assert any(event["object"].status.phase == "Succeeded" for event in stream), f"Pod {name} has not ended"


def settle(scene: Scene) -> None:
    """Have the operator handle a later object: it has handled all earlier ones then."""
    scene.start(task("later"), name="later")
    scene.reach("Completed", "later")


def test_a_pod_of_another_namespace_is_no_attempt_of_a_run(scene, other):
    scene.start(task("pay", **RUNS))
    scene.reach_task("Running", "pay")
    scene.core.create_namespaced_pod(other, pod_of(scene, "pay"))
    finish_pod(scene, other, "innocent")
    settle(scene)
    assert scene.entry("pay")["state"] == "Running"


@pytest.mark.parametrize("has_owner", [False, True], ids=["with labels alone", "with labels and owner"])
def test_a_pod_of_another_name_is_no_attempt_of_a_run(scene, has_owner):
    scene.start(task("pay", **RUNS))
    real = scene.running_pod("pay")
    scene.reach_task("Running", "pay")
    scene.core.create_namespaced_pod(
        scene.namespace, pod_of(scene, "pay", owner=owner_of(scene) if has_owner else None)
    )
    finish_pod(scene, scene.namespace, "innocent")
    settle(scene)
    entry = scene.entry("pay")
    assert (entry["state"], entry["pod"]) == ("Running", real.metadata.name)


def test_a_pod_approves_nothing_even_under_the_name_of_an_attempt(scene):
    scene.start({"name": "sign-off", "approval": {"message": "?"}})
    scene.reach_task("Paused", "sign-off")
    name = pod_name("run", scene.run().metadata.uid, TaskInstanceKey("sign-off"), 1)
    scene.core.create_namespaced_pod(scene.namespace, pod_of(scene, "sign-off", name=name, owner=owner_of(scene)))
    finish_pod(scene, scene.namespace, name)
    settle(scene)
    assert scene.entry("sign-off")["state"] == "Paused"


def test_a_pod_ends_no_child_run(scene):
    scene.create("Flow", "inner", {"tasks": [task("work", **RUNS)]})
    scene.start({"name": "call", "flow": {"name": "inner"}})
    scene.reach_task("Running", "call")
    name = pod_name("run", scene.run().metadata.uid, TaskInstanceKey("call"), 1)
    scene.core.create_namespaced_pod(scene.namespace, pod_of(scene, "call", name=name, owner=owner_of(scene)))
    finish_pod(scene, scene.namespace, name)
    settle(scene)
    assert scene.entry("call")["state"] == "Running"


def test_a_job_that_is_not_ours_is_no_attempt_of_a_run(scene):
    scene.start(task("pay", workload="Job", **RUNS))
    real = scene.running_pod("pay")
    scene.reach_task("Running", "pay")
    pod = pod_of(scene, "pay")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "innocent", "labels": pod["metadata"]["labels"]},
        "spec": {
            "template": {"metadata": {k: v for k, v in pod["metadata"].items() if k != "name"}, "spec": pod["spec"]}
        },
    }
    jobs = dynamic.DynamicClient(scene.core.api_client).resources.get(api_version="batch/v1", kind="Job")
    jobs.create(body=job, namespace=scene.namespace)
    scene.until(lambda: jobs.get(name="innocent", namespace=scene.namespace).status.succeeded, "the forged Job")
    settle(scene)
    entry = scene.entry("pay")
    assert (entry["state"], entry["pod"]) == ("Running", real.metadata.name)


def test_a_run_of_another_namespace_does_not_hold_up_a_schedule(scene, other):
    scene.create("Flow", "flow", {"tasks": [task()]})
    scene.create("Flow", "slow", {"tasks": [task(**RUNS)]})
    schedule = scene.create(
        "Schedule",
        "every-minute",
        {
            "cron": ["* * * * *"],
            "onOverlap": "Skip",
            "suspend": True,
            "runTemplate": {"spec": {"flow": {"name": "flow"}}},
        },
    )
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "Schedule",
        "name": "every-minute",
        "uid": schedule["metadata"]["uid"],
        "controller": True,
    }
    # The garbage collector deletes it, because its owner is not in its namespace; the finalizer keeps it.
    scene.custom.create_namespaced_custom_object(
        names.GROUP,
        names.VERSION,
        other,
        "flowruns",
        {
            "apiVersion": names.API_VERSION,
            "kind": "FlowRun",
            "metadata": {
                "name": "every-minute-29932606",
                "labels": {names.LABEL_SCHEDULE: "every-minute"},
                "ownerReferences": [owner],
                "finalizers": ["example.com/keep"],
            },
            "spec": {"flow": {"name": "missing"}},
        },
    )
    try:
        settle(scene)
        scene.patch("Schedule", "every-minute", {"spec": {"suspend": False}})
        scene.until(
            lambda: [run for run in scene.now["flowruns"] if run.startswith("every-minute-")],
            "a run of the Schedule",
            within_s=100.0,
        )
    finally:
        scene.custom.patch_namespaced_custom_object(
            names.GROUP, names.VERSION, other, "flowruns", "every-minute-29932606", {"metadata": {"finalizers": None}}
        )
