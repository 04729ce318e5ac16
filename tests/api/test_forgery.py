"""What an attacker with `edit` in a run's own namespace can forge while the chart's admission policy is off: nothing of
what the operator has seen itself, and nothing that outlives its run or deletes what is not ours."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from tests.api.impersonation import bind
from tests.api.scene import Scene, Seen, fake, task

pytestmark = pytest.mark.api

FORGED_OUTPUTS = '{"amount": 1000000}'
MERGE = "application/merge-patch+json"


class Attacker:
    """A ServiceAccount with the ClusterRole `edit` in the run's namespace, and nothing else."""

    def __init__(self, api: kubernetes_client.ApiClient, scene: Scene) -> None:
        self.scene = scene
        self.namespace = scene.namespace
        client = bind(api, f"{scene.namespace}:attacker", "edit", namespace=scene.namespace)
        self.core: Any = kubernetes_client.CoreV1Api(client)
        self.batch: Any = kubernetes_client.BatchV1Api(client)

    def pod_of(
        self,
        task_name: str,
        *,
        attempt: int = 1,
        name: str | None = None,
        owner: dict[str, Any] | None = None,
        uid: str | None = None,
        finalizers: list[str] | None = None,
        **behaviour: str,
    ) -> dict[str, Any]:
        """Return a Pod that claims to be an attempt of a task of the run.

        Args:
            task_name: which task.
            attempt: which attempt.
            name: its name; that of the attempt by default.
            owner: its owner; the run by default.
            uid: of the run; its own by default.
            finalizers: of the Pod.
            behaviour: as `fake` takes it.
        """
        run_uid = self.scene.run().metadata.uid if uid is None else uid
        if owner is None:
            owner = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": "run", "uid": run_uid}
        annotations = fake(**behaviour)["metadata"]["annotations"]
        metadata = {
            "name": name or pod_name("run", run_uid, TaskInstanceKey(task_name), attempt),
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_RUN: "run",
                names.LABEL_RUN_UID: run_uid,
                names.LABEL_TASK: task_name,
                names.LABEL_ATTEMPT: str(attempt),
            },
            "annotations": {**annotations, names.ANNOTATION_KEEP_COMPLETED: "0s", names.ANNOTATION_KEEP_FAILED: "0s"},
            "ownerReferences": [{**owner, "controller": True}],
            "finalizers": finalizers or [],
        }
        spec = {"containers": [{"name": "main", "image": "busybox"}], "restartPolicy": "Never"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def create(self, pod: dict[str, Any], *, phase: str = "Succeeded") -> str:
        """Create a Pod, wait until it is in a phase, and return its uid."""
        uid: str = self.core.create_namespaced_pod(self.namespace, pod).metadata.uid
        pods = self.scene.ever["pods"]
        self.scene.until(lambda: uid in pods and pods[uid].status.get("phase") == phase, f"the forged Pod: {phase}")
        return uid

    def remove(self, pod: Seen) -> None:
        """Delete a Pod for good, whatever holds it."""
        self.core.delete_namespaced_pod(pod.metadata.name, self.namespace, grace_period_seconds=0)
        try:
            self.core.patch_namespaced_pod(
                pod.metadata.name, self.namespace, {"metadata": {"finalizers": None}}, _content_type=MERGE
            )
        except kubernetes_client.ApiException as error:
            if error.status != 404:
                raise
        self.scene.until(lambda: pod.metadata.name not in self.scene.now["pods"], "the Pod to be gone")


@pytest.fixture
def attacker(api: kubernetes_client.ApiClient, scene: Scene) -> Attacker:
    return Attacker(api, scene)


def settle(scene: Scene) -> None:
    """Have the operator handle a later object: it has handled all earlier ones then."""
    scene.start(task("later"), name="later", podRetention={"completed": "0s"})
    scene.reach("Completed", "later")
    scene.until(
        lambda: not [pod for pod in scene.pods() if pod.metadata.labels.get(names.LABEL_RUN) == "later"],
        "the Pod of the later run to be removed",
    )


# Who carries an attempt


def test_a_pod_in_the_place_of_one_that_was_removed_does_not_continue_its_attempt(scene, replica, attacker):
    with replica():
        scene.start(task("pay", pod_outcome="run"))
        real = scene.running_pod("pay")
        scene.reach_task("Running", "pay")
        attacker.remove(real)
        uid = attacker.create(attacker.pod_of("pay", outputs=FORGED_OUTPUTS))

        again = scene.running_pod("pay", attempt=2)
        scene.until(lambda: scene.entry("pay").get("attempt") == 2, "attempt 2 to be stored")
        entry = scene.reach_task("Running", "pay")
        assert uid != again.metadata.uid
        assert (entry["attempt"], entry.get("outputs")) == (2, None)


def test_a_live_pod_in_the_place_of_one_that_was_removed_is_stopped(scene, replica, attacker):
    with replica():
        scene.start(task("pay", pod_outcome="run"))
        real = scene.running_pod("pay")
        scene.reach_task("Running", "pay")
        attacker.remove(real)
        uid = attacker.create(attacker.pod_of("pay", outcome="run"), phase="Running")

        scene.running_pod("pay", attempt=2)
        scene.until(lambda: uid not in {pod.metadata.uid for pod in scene.pods()}, "the forged Pod to be stopped")


def test_a_pod_of_an_attempt_that_was_never_made_does_not_replace_the_live_one(scene, replica, attacker):
    with replica():
        scene.start(task("pay", pod_outcome="run"))
        real = scene.running_pod("pay")
        scene.reach_task("Running", "pay")
        attacker.create(attacker.pod_of("pay", attempt=50, outputs=FORGED_OUTPUTS))
        settle(scene)

        entry = scene.entry("pay")
        assert (entry["state"], entry["attempt"], entry["pod"]) == ("Running", 1, real.metadata.name)


def test_a_pod_of_a_task_that_waits_does_not_begin_it(scene, replica, attacker):
    with replica():
        scene.start(
            {"name": "sign-off", "approval": {"message": "?"}}, task("pay", pod_outcome="run", dependsOn=["sign-off"])
        )
        scene.reach_task("Paused", "sign-off")
        attacker.create(attacker.pod_of("pay", outputs=FORGED_OUTPUTS))
        settle(scene)

        assert scene.entry("pay")["state"] == "Pending"


@pytest.mark.parametrize("workload", ["Pod", "Job"])
def test_a_pod_that_says_it_belongs_to_the_attempts_job_is_not_believed(scene, replica, attacker, workload):
    with replica():
        scene.start(task("pay", workload=workload, pod_outcome="run"))
        real = scene.running_pod("pay")
        scene.reach_task("Running", "pay")
        name = pod_name("run", scene.run().metadata.uid, TaskInstanceKey("pay"), 1)
        # Of another group: the garbage collector would delete the Pod of a Job that does not exist.
        job = {
            "apiVersion": "example.com/v1",
            "kind": "Job",
            "name": name,
            "uid": "11111111-2222-3333-4444-555555555555",
        }
        attacker.create(attacker.pod_of("pay", name="innocent", owner=job, outputs=FORGED_OUTPUTS))
        settle(scene)

        entry = scene.entry("pay")
        assert (entry["state"], entry["pod"]) == ("Running", real.metadata.name)


def test_a_pod_does_not_carry_a_task_that_runs_as_a_job(scene, replica, attacker):
    with replica():
        scene.start(task("pay", workload="Job", pod_outcome="run"))
        real = scene.running_pod("pay")
        scene.reach_task("Running", "pay")
        attacker.create(attacker.pod_of("pay", outputs=FORGED_OUTPUTS))
        settle(scene)

        entry = scene.entry("pay")
        assert (entry["state"], entry["pod"]) == ("Running", real.metadata.name)


# What is deleted


def forge_pods_of_job(scene: Scene, attacker: Attacker, name: str) -> None:
    """Create a Job, and Pods of no run that name it as their owner: one that has ended and a live one."""
    spec = {"metadata": {"name": name}, "spec": attacker_job("run")}
    made = attacker.batch.create_namespaced_job(scene.namespace, spec)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made.metadata.uid}
    forged: dict[str, Any] = {"owner": owner, "uid": "no-such-run", "finalizers": [names.FINALIZER]}
    attacker.create(attacker.pod_of("x", name="innocent", **forged))
    attacker.create(attacker.pod_of("x", name="live", outcome="run", **forged), phase="Running")
    scene.until(lambda: not scene.held_pods(), "the finalizers of the forged Pods to be removed")
    settle(scene)


def test_a_job_that_a_pod_with_our_labels_names_is_not_deleted(scene, replica, attacker, batch):
    with replica():
        forge_pods_of_job(scene, attacker, "backup")

    assert batch.read_namespaced_job("backup", scene.namespace).metadata.deletion_timestamp is None


def test_a_job_under_our_name_that_is_not_ours_is_not_deleted(scene, replica, attacker, batch):
    # The name follows from labels that anybody may write; the Job's own labels and owner have to agree.
    name = pod_name("run", "no-such-run", TaskInstanceKey("x"), 1)
    with replica():
        forge_pods_of_job(scene, attacker, name)

    assert batch.read_namespaced_job(name, scene.namespace).metadata.deletion_timestamp is None


def attacker_job(outcome: str) -> dict[str, Any]:
    """Return the spec of a Job that no controller looks after: the usual one takes foreign Pods their owner away."""
    spec = {"containers": [{"name": "main", "image": "busybox"}], "restartPolicy": "Never"}
    template = {"metadata": fake(outcome=outcome)["metadata"], "spec": spec}
    return {"template": template, "managedBy": "example.com/nobody"}


# What outlives its run


def end_run(scene: Scene, name: str = "run") -> None:
    """Store the end of a run, as an operator does that is killed before it stops what still runs."""
    scene.patch("FlowRun", name, {"status": {"state": "Cancelled", "reason": "RunCancelled"}}, is_status=True)


@pytest.mark.parametrize("workload", ["Pod", "Job"])
@pytest.mark.parametrize("tracked", [True, False], ids=["with our finalizer", "without our finalizer"])
def test_a_pod_that_outlives_its_run_is_stopped(scene, replica, batch, workload, tracked):
    with replica() as operator:
        scene.start(task(workload=workload, pod_outcome="run"), trackPods=tracked)
        scene.running_pod()
        scene.reach_task("Running")
        operator.kill()
    end_run(scene)
    with replica():
        scene.until(lambda: not scene.pods(), "the Pod to be stopped")
        scene.until(lambda: not batch.list_namespaced_job(scene.namespace).items, "its Job to be deleted")


def test_a_finished_pod_that_outlives_its_run_only_loses_its_finalizer(scene, replica):
    with replica() as operator:
        scene.start(task(pod_outcome="run"))
        pod = scene.running_pod()
        scene.reach_task("Running")
        operator.kill()
    end_run(scene)
    scene.core.patch_namespaced_pod(
        pod.metadata.name, scene.namespace, {"spec": {"activeDeadlineSeconds": 1}}, _content_type=MERGE
    )
    scene.until(lambda: scene.now["pods"][pod.metadata.name].status.get("phase") == "Failed", "its end")
    with replica():
        scene.until(lambda: not scene.held_pods(), "its finalizer to be removed")
        settle(scene)
    assert scene.now["pods"][pod.metadata.name].metadata.deletion_timestamp is None


def test_a_live_pod_that_only_says_that_it_is_of_a_finished_run_is_not_stopped(scene, replica, attacker):
    with replica():
        scene.start(task())
        scene.finish()
        pod = attacker.pod_of("main", attempt=7, name="innocent", finalizers=[names.FINALIZER], outcome="run")
        uid = attacker.create(pod, phase="Running")
        scene.until(lambda: not scene.held_pods(), "the finalizer of the forged Pod to be removed")
        settle(scene)
    assert uid in {found.metadata.uid for found in scene.pods()}


@pytest.mark.parametrize("run", [None, "", "missing", "run"], ids=["no name", "an empty name", "no run", "a live run"])
def test_a_pod_with_our_finalizer_that_is_of_no_run_can_be_deleted(scene, replica, attacker, core, run):
    with replica():
        scene.start(task("pay", pod_outcome="run"))
        scene.reach_task("Running", "pay")
        pod = attacker.pod_of("x", name="forged", uid="no-such-run", finalizers=[names.FINALIZER], outcome="run")
        del pod["metadata"]["ownerReferences"], pod["metadata"]["labels"][names.LABEL_RUN]
        if run is not None:
            pod["metadata"]["labels"][names.LABEL_RUN] = run
        attacker.create(pod, phase="Running")
        core.delete_namespaced_pod("forged", scene.namespace)
        scene.until(lambda: "forged" not in scene.now["pods"], "the forged Pod to be gone")

        assert scene.entry("pay")["state"] == "Running"


def test_a_child_run_that_outlives_its_parent_is_ended(scene, replica):
    scene.create("Flow", "inner", {"tasks": [task("work", pod_outcome="run")]})
    with replica() as operator:
        scene.start({"name": "call", "flow": {"name": "inner"}})
        scene.reach_task("Running", "call")
        operator.kill()
    child = next(name for name in scene.now["flowruns"] if name != "run")
    end_run(scene)
    with replica():
        assert scene.reach("Cancelled", child)["reason"] == "ParentEnded"
        scene.until(
            lambda: "Running" not in {pod.status.get("phase") for pod in scene.pods()}, "the child's Pod to be stopped"
        )
