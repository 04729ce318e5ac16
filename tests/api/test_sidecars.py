"""Containers beside `main`: a task has finished when `main` has, whatever they do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.scene import fake, task

pytestmark = pytest.mark.api


def with_sidecar(**behaviour: str) -> dict[str, Any]:
    """Return a podTemplate with a container that never ends by itself."""
    return fake(others="run", **behaviour) | {"spec": {"containers": [{"name": "side", "image": "proxy"}]}}


@pytest.mark.parametrize("workload", ["Pod", "Job"])
def test_a_task_finishes_with_main_though_a_sidecar_never_ends(at_work, workload):
    scene = at_work
    scene.start(
        task("a", workload=workload, podTemplate=with_sidecar(outputs='{"x": 1}')),
        task("b", args=["$(tasks.a.outputs.x)"]),
    )

    assert scene.finish()["state"] == "Completed"

    # The sidecar is ended, and the Pod stays, with the log of what has completed.
    scene.until(lambda: scene.pod("a").status["phase"] == "Failed", "the sidecar to be ended")
    pod = scene.pod("a")
    assert pod.spec["activeDeadlineSeconds"] == 1
    assert pod.metadata.deletion_timestamp is None
    (main,) = [one for one in pod.status["containerStatuses"] if one["name"] == "main"]
    assert main["state"]["terminated"]["exitCode"] == 0
    assert (scene.entry("a")["state"], scene.entry("a")["attempt"]) == ("Completed", 1)


def test_a_failed_task_with_a_sidecar_is_tried_again_and_each_pod_stays(at_work):
    scene = at_work
    scene.start(task(retry={"limit": 1}, timeout="1h", podTemplate=with_sidecar(exit_code="3,0")))

    assert scene.finish()["state"] == "Completed"
    entry = scene.entry()
    assert (entry["attempt"], entry["failures"], entry["attempts"][0]["exitCode"]) == (2, 1, 3)
    scene.until(lambda: {pod.status["phase"] for pod in scene.pods()} == {"Failed"}, "both sidecars to be ended")
    assert len(scene.pods()) == 2


def test_a_task_with_a_sidecar_that_takes_too_long_is_stopped(at_work):
    scene = at_work
    scene.start(task(timeout="1s", podTemplate=with_sidecar(outcome="run")))

    assert scene.finish()["state"] == "Failed"
    assert scene.entry()["reason"] == "DeadlineExceeded"


def test_a_native_sidecar_is_left_to_its_kubelet(at_work):
    scene = at_work
    sidecar = {"name": "side", "image": "proxy", "restartPolicy": "Always"}
    scene.start(task(podTemplate={"spec": {"initContainers": [sidecar]}}))

    assert scene.finish()["state"] == "Completed"
    assert scene.pod().status["phase"] == "Succeeded"
    assert "activeDeadlineSeconds" not in scene.pod().spec


def test_a_flow_decides_for_itself_whether_its_pods_are_tracked(at_work):
    scene = at_work
    scene.start(task(pod_run_for="300ms"), trackPods=False)

    pod = scene.pod()
    assert not pod.metadata.finalizers
    assert scene.finish()["state"] == "Completed"


def test_a_deadline_outlives_the_pods_of_its_attempts(at_work):
    scene = at_work
    scene.start(task(deadline="1h", logTail=False, retry={"limit": 1}, pod_exit_code="1,0"))

    assert scene.finish()["state"] == "Completed"
    began = {pod.metadata.annotations["penstock.dev/begin-time"] for pod in scene.pods()}
    assert len(began) == 1
    (main,) = scene.pod().spec["containers"]
    assert main["terminationMessagePolicy"] == "File"
