"""Workspaces: one claim per run, which its Pods mount, and what happens where no volume comes."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.engine.keys import RunIdentity
from penstock.engine.workloads.workspace import WORKSPACE_VOLUME, claim_name
from tests.api.scene import Scene, Seen, task

pytestmark = pytest.mark.api


def claims(scene: Scene) -> list[Any]:
    return list(scene.core.list_namespaced_persistent_volume_claim(scene.namespace).items)


def mounts(pod: Seen) -> dict[str, str]:
    """Return where the workspace is in each container."""
    containers = [*pod.spec["containers"], *pod.spec.get("initContainers", [])]
    return {
        container["name"]: mount["mountPath"]
        for container in containers
        for mount in container.get("volumeMounts", [])
        if mount["name"] == WORKSPACE_VOLUME
    }


@pytest.mark.parametrize("workload", ["Pod", "Job"])
def test_the_tasks_of_a_run_share_one_claim_that_the_run_owns(at_work, volume, workload):
    scene = at_work
    run = scene.start(
        task("first", workload=workload),
        task("second", workload=workload, dependsOn=["first"]),
        workspace={"size": "1Mi", "storageClassName": volume},
    )

    assert scene.finish()["state"] == "Completed"

    (claim,) = claims(scene)
    assert claim.status.phase == "Bound"
    assert [owner.uid for owner in claim.metadata.owner_references] == [run["metadata"]["uid"]]
    assert claim.metadata.name == claim_name(RunIdentity(scene.namespace, "run", run["metadata"]["uid"]))
    for pod in scene.pods():
        (found,) = [one for one in pod.spec["volumes"] if one["name"] == WORKSPACE_VOLUME]
        assert found["persistentVolumeClaim"]["claimName"] == claim.metadata.name
        assert mounts(pod) == {"main": "/workspace"}
        assert pod.spec["securityContext"]["fsGroup"] == pod.spec["securityContext"]["runAsUser"]


def test_a_fan_out_makes_one_claim_and_its_pods_share_a_node(at_work, volume):
    scene = at_work
    scene.start(
        task(forEach={"count": 12}, pod_run_for="300ms"),
        workspace={"size": "1Mi", "storageClassName": volume, "mountPath": "/data/"},
    )

    assert scene.finish()["state"] == "Completed"
    assert len(claims(scene)) == 1
    assert {pod.spec["nodeName"] for pod in scene.pods()} != set()
    assert all(mounts(pod) == {"main": "/data"} for pod in scene.pods())
    assert len({pod.spec["nodeName"] for pod in scene.pods()}) == 1


def test_a_task_waits_with_the_schedulers_words_where_no_volume_comes(at_work):
    scene = at_work
    scene.start(task(queueTimeout="4s"), workspace={"size": "1Mi", "storageClassName": "nobody-provisions-this"})

    scene.until(lambda: scene.entry().get("reason") == "WorkspaceUnbound", "the reason to be shown")
    assert "PersistentVolumeClaim" in scene.entry()["message"]
    assert scene.finish()["state"] == "Failed"
    assert (scene.entry()["state"], scene.entry()["reason"]) == ("TimedOut", "WorkspaceUnbound")


def test_a_task_continues_when_its_volume_is_bound(at_work, core):
    scene = at_work
    scene.start(task(), workspace={"size": "1Mi", "storageClassName": scene.namespace})
    scene.until(lambda: scene.entry().get("reason") == "WorkspaceUnbound", "the reason to be shown")

    spec: Any = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": scene.namespace,
        "hostPath": {"path": "/nowhere"},
    }
    core.create_persistent_volume({"metadata": {"name": scene.namespace}, "spec": spec})
    try:
        assert scene.finish()["state"] == "Completed"
    finally:
        core.delete_persistent_volume(scene.namespace)


def test_a_claim_waits_for_the_quota_of_storage(at_work, volume):
    scene = at_work
    quota: Any = {"metadata": {"name": "q"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}}
    scene.core.create_namespaced_resource_quota(scene.namespace, quota)
    scene.start(task(), workspace={"size": "1Mi", "storageClassName": volume})
    scene.until(lambda: scene.entry().get("reason") == "QuotaExceeded", "the quota to be named")
    assert scene.entry()["state"] == "Queued"

    scene.core.delete_namespaced_resource_quota("q", scene.namespace)

    assert scene.finish()["state"] == "Completed"


def test_a_claim_that_the_api_server_refuses_fails_the_task_with_its_words(at_work):
    scene = at_work
    scene.start(task(), workspace={"size": "1Mi", "storageClassName": "No Class"})

    assert scene.finish()["state"] == "Failed"
    assert scene.entry()["reason"] == "CreateRefused"
    assert "No Class" in scene.entry()["message"]


def test_a_size_that_is_none_is_refused_with_its_path(at_work):
    scene = at_work
    scene.create("Flow", "flow", {"tasks": [task()], "workspace": {"size": "1 gigabyte", "mountPath": "data"}})

    def message() -> str:
        flow = scene.now["flows"].get("flow")
        conditions = flow.status.get("conditions", ()) if flow is not None else ()
        return next((one["message"] for one in conditions if one["status"] == "False"), "")

    scene.until(message, "the Flow to be reconciled")
    assert "spec.workspace.size: must be a quantity" in message()
    assert "spec.workspace.mountPath" in message()


def test_deleting_a_run_takes_its_claim_with_it(at_work, volume):
    scene = at_work
    scene.start(task(), workspace={"size": "1Mi", "storageClassName": volume})
    scene.finish()

    scene.delete("FlowRun", "run")

    scene.until(lambda: not scene.pods() and not scene.now["flowruns"], "the run and its Pods to be gone")
    assert all(claim.metadata.deletion_timestamp is not None for claim in claims(scene)) or not claims(scene)
