"""What whoever may write the statuses of a namespace's runs can do to the operator: nothing beyond these runs."""

from __future__ import annotations

import pytest

from tests.api.scene import task

pytestmark = pytest.mark.api

FORGED_EPOCH = 9_000_000_000_000


def test_a_forged_epoch_sets_its_run_aside_and_ends_no_leader(scene, replica):
    with replica():
        scene.start(task(pod_outcome="run"))
        scene.running_pod()
        scene.reach_task("Running")
        epoch = scene.status()["epoch"]

        scene.patch("FlowRun", "run", {"status": {"epoch": FORGED_EPOCH}}, is_status=True)
        scene.delete_pod(scene.pod())

        status = scene.until(
            lambda: scene.status().get("reason") == "InternalError" and scene.status(), "the run to be set aside"
        )
        assert f"status.epoch is {FORGED_EPOCH}" in status["message"]
        assert status["epoch"] == epoch
        scene.start(task(), name="bystander")
        scene.reach("Completed", "bystander")

        scene.running_pod(attempt=2)
        status = scene.reach("Running")
        assert (status.get("reason"), status["epoch"]) == (None, epoch)


def test_a_forged_end_with_a_forged_epoch_is_believed_like_any_status_and_ends_no_leader(scene, replica):
    # Who may write the status says what a run has come to; nothing writes over it, and its Pods are stopped.
    forged = {"status": {"epoch": FORGED_EPOCH, "state": "Cancelled", "reason": "RunCancelled"}}
    with replica():
        scene.start(task(pod_outcome="run"))
        scene.running_pod()
        scene.reach_task("Running")
        scene.patch("FlowRun", "run", forged, is_status=True)
        scene.delete_pod(scene.pod())

        scene.until(lambda: not scene.held_pods(), "the finalizers of its Pods to be removed")
        scene.start(task(), name="bystander")
        scene.reach("Completed", "bystander")
        assert scene.status()["state"] == "Cancelled"
