"""Tasks that can't start say why, in the task, in the run and in an Event of the run, soon after Kubernetes does."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Any

import pytest

from tests.api.scene import Scene, Seen, task

pytestmark = pytest.mark.api

SHOWN_WITHIN_S = 15.0


def shows(scene: Scene, reason: str, words: str, *, task_name: str = "main") -> None:
    """Wait for what is in the way of a task to be shown wherever a person looks."""
    scene.until(lambda: scene.entry(task_name), "the run to be seen")
    scene.until(
        lambda: scene.entry(task_name).get("reason") == reason and scene.status().get("reason") == reason,
        f"{reason} to be shown",
        within_s=SHOWN_WITHIN_S,
    )
    assert words in scene.entry(task_name)["message"]
    assert f"task {task_name}" in scene.status()["message"]
    assert words in scene.status()["message"]
    event = scene.event("TaskWaiting", "run")
    assert words in event.message
    assert reason in event.message


def report(scene: Scene, pod: Seen, reason: str, message: str) -> None:
    """Record an Event about a Pod, as its kubelet does."""
    now = dt.datetime.now(dt.UTC)
    body: Any = {
        "metadata": {"name": f"{pod.metadata.name}.{uuid.uuid4().hex[:8]}"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": scene.namespace,
            "name": pod.metadata.name,
            "uid": pod.metadata.uid,
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet", "host": "node"},
        "firstTimestamp": now.isoformat(),
        "lastTimestamp": now.isoformat(),
        "count": 1,
    }
    scene.core.create_namespaced_event(scene.namespace, body)


def set_conditions(scene: Scene, pod: Seen, **conditions: str) -> None:
    """Set conditions of a Pod, as a kubelet or a controller does."""
    body = {"status": {"conditions": [{"type": kind, "status": status} for kind, status in conditions.items()]}}
    scene.core.patch_namespaced_pod_status(pod.metadata.name, scene.namespace, body)


@pytest.mark.parametrize(
    ("event", "message", "reason"),
    [
        pytest.param(
            "FailedMount",
            'MountVolume.SetUp failed for volume "v" : secret "db-prod" not found',
            "MountFailed",
            id="a Secret of a volume is missing",
        ),
        pytest.param(
            "FailedAttachVolume", "Multi-Attach error for volume pvc-1", "MountFailed", id="a volume is elsewhere"
        ),
        pytest.param(
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: no runtime for nosuch",
            "SandboxFailed",
            id="sandbox",
        ),
    ],
)
def test_what_only_an_event_of_the_pod_says_is_shown(scene, operator, event, message, reason):
    scene.start(task(pod_outcome="pend"))
    pod = scene.pod()
    report(scene, pod, "MissingClusterDNS", "not in the way")
    report(scene, pod, event, message)

    shows(scene, reason, message)
    assert scene.entry()["state"] == "Pending"


def test_an_obstacle_that_is_gone_is_not_shown_any_more(scene, operator):
    scene.start(task(pod_outcome="pend"))
    pod = scene.pod()
    report(scene, pod, "FailedMount", 'secret "db" not found')
    shows(scene, "MountFailed", 'secret "db" not found')

    set_conditions(scene, pod, PodReadyToStartContainers="True")

    scene.until(lambda: "reason" not in scene.entry() and "reason" not in scene.status(), "the reason to be gone")


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        ("ImagePullBackOff", "ImagePullFailed"),
        ("CreateContainerConfigError", "ContainerConfigError"),
        ("CreatePodSandboxError", "SandboxFailed"),
    ],
)
def test_what_the_status_of_the_pod_says_is_shown(scene, operator, waiting, reason):
    scene.start(task(pod_outcome="pend", pod_waiting_reason=waiting))

    shows(scene, reason, waiting)


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param({"nodeSelector": {"disk": "nowhere"}}, "Unschedulable", "nodes are available", id="no node"),
        pytest.param(
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "nope"}}]},
            "ClaimUnbound",
            'persistentvolumeclaim "nope" not found',
            id="no claim",
        ),
        pytest.param({"schedulingGates": [{"name": "queue"}]}, "AdmissionQueue", "gate", id="a queue of Pods"),
    ],
)
def test_what_the_scheduler_says_is_shown(scene, operator, spec, reason, words):
    scene.start(task(podTemplate={"spec": spec}))

    shows(scene, reason, words)


def test_a_quota_is_shown(scene, operator):
    quota: Any = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    scene.core.create_namespaced_resource_quota(scene.namespace, quota)
    scene.start(task())

    shows(scene, "QuotaExceeded", "exceeded quota")
    assert scene.event("TaskWaiting", "run").type == "Normal"


def test_a_job_whose_pod_a_quota_refuses_is_shown(scene, operator):
    quota: Any = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    scene.core.create_namespaced_resource_quota(scene.namespace, quota)
    scene.start(task(workload="Job"))

    shows(scene, "QuotaExceeded", "exceeded quota")


def test_a_node_that_does_not_respond_is_shown(scene, operator):
    scene.start(task(pod_outcome="run"))
    pod = scene.running_pod()

    set_conditions(scene, pod, Ready="False", ContainersReady="True")

    shows(scene, "NodeLost", "does not respond")
    assert scene.entry()["state"] == "Running"
    assert scene.status()["state"] == "Running"


def test_another_run_that_fills_the_cache_is_shown(scene, operator):
    same: dict[str, Any] = {"cache": {"key": "same"}}
    scene.create("Flow", "cached", {"tasks": [task(pod_outcome="run", **same)]})
    scene.start_of("cached", "first")
    scene.until(lambda: scene.status("first").get("state") == "Running", "the first run to run")
    scene.start_of("cached")

    shows(scene, "CacheBusy", "first")


def test_a_child_run_that_can_not_start_is_shown_in_its_parent(scene, operator):
    scene.create("Flow", "child", {"tasks": [task(pod_outcome="pend", pod_waiting_reason="ImagePullBackOff")]})
    scene.start({"name": "main", "flow": {"name": "child"}})

    shows(scene, "ImagePullFailed", "ImagePullBackOff")


def test_a_fan_out_shows_how_many_items_wait_and_one_example(scene, operator):
    scene.start(task(forEach={"count": 6}, pod_outcome="pend", pod_waiting_reason="ErrImagePull"))

    scene.until(scene.entry, "the run to be seen")
    scene.until(
        lambda: "6 waiting: 6 ImagePullFailed" in scene.status().get("message", ""),
        "all items to be counted",
        within_s=SHOWN_WITHIN_S,
    )
    assert scene.entry()["message"].startswith("6 waiting: 6 ImagePullFailed; item 0: ")
    assert re.search(r"; task main\[[0-5]\]: ", scene.status()["message"])
    scene.event("TaskWaiting", "run")
    events = scene.core.list_namespaced_event(scene.namespace, field_selector="reason=TaskWaiting").items
    assert len(events) == 1


def test_a_run_that_times_out_says_what_its_task_was_waiting_for(scene, operator):
    scene.start(task(pod_outcome="pend", pod_waiting_reason="ImagePullBackOff"), timeout="8s")

    found = scene.finish()

    assert (found["state"], found["reason"]) == ("TimedOut", "RunTimedOut")
    assert found["message"].startswith("the run took longer than its timeout; task main was waiting: ImagePullFailed: ")
    assert "ImagePullBackOff" in scene.entry()["message"]
