"""Tasks whose attempts are Jobs, on the real Job controller: its Pods are our Pods, and there is never a second one."""

from __future__ import annotations

import pytest

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from tests.api.jobs import hold_pods, job_task, suspend, the_job
from tests.api.scene import AttemptKey, Scene, fake

pytestmark = pytest.mark.api


def attempts(*numbers: int, name: str = "main") -> list[AttemptKey]:
    return [AttemptKey("run", name, "", str(number)) for number in numbers]


def failed_jobs(scene: Scene) -> list[str]:
    return [
        name
        for name, job in scene.now["jobs"].items()
        if any(one["type"] == "Failed" and one["status"] == "True" for one in job.status.get("conditions", ()))
    ]


# What tasks do


def test_a_task_that_is_a_job_completes_with_its_outputs(at_work):
    scene = at_work
    run = scene.start(
        job_task("first", pod_outputs='{"rows": 3}'),
        job_task("second", args=["$(tasks.first.outputs.rows)"]),
        outputs={"rows": "$(tasks.first.outputs.rows)"},
    )

    assert scene.finish()["outputs"] == {"rows": 3}
    job, pod = the_job(scene, task_name="first"), scene.pod("first")
    uid = run["metadata"]["uid"]
    assert job.metadata.name == pod_name("run", uid, TaskInstanceKey("first"), 1)
    assert [owner.uid for owner in job.metadata.owner_references] == [uid]
    assert [owner.uid for owner in pod.metadata.owner_references] == [job.metadata.uid]
    assert scene.entry("first")["pod"] == pod.metadata.name
    assert (job.spec["backoffLimit"], job.spec["podReplacementPolicy"]) == (0, "Failed")
    assert "ttlSecondsAfterFinished" not in job.spec
    assert scene.pod("second").spec["containers"][0]["args"] == ["3"]
    assert scene.ever_attempts() == [*attempts(1, name="first"), *attempts(1, name="second")]


def test_a_job_that_fails_is_tried_again_by_us_and_not_by_its_controller(at_work):
    scene = at_work
    scene.start(job_task(retry={"limit": 2}, pod_exit_code="1,1,3"))

    assert scene.finish()["state"] == "Failed"
    entry = scene.entry()
    assert (entry["reason"], entry["exitCode"], entry["attempt"], entry["failures"]) == ("ExitCode", 3, 3, 3)
    assert scene.ever_attempts() == attempts(1, 2, 3)
    assert len(scene.ever["jobs"]) == 3


def test_an_evicted_pod_of_a_job_costs_nothing_of_the_limit(at_work):
    scene = at_work
    scene.start(job_task(retry={"limit": 0}, pod_pod_reason="Evicted", pod_exit_code="137,0"))

    assert scene.finish()["state"] == "Completed"
    entry = scene.entry()
    assert (entry["attempt"], entry["disruptions"], entry.get("failures", 0)) == (2, 1, 0)
    assert entry["attempts"][0]["reason"] == "Evicted"


def test_a_fan_out_of_jobs_has_one_job_and_one_pod_for_each_item(at_work):
    scene = at_work
    scene.start(job_task(forEach={"count": 20}, maxParallel=7, retry={"limit": 1}, pod_exit_code="1,0"))

    assert scene.finish()["state"] == "Completed"
    assert scene.entry()["items"]["counts"] == {"Completed": 20}
    assert len(scene.pods(ever=True)) == len(scene.ever["jobs"]) == 40


def test_labels_of_the_pod_template_are_on_the_job_for_its_queue(at_work):
    scene = at_work
    labels = {"kueue.x-k8s.io/queue-name": "team-a", "kueue.x-k8s.io/priority-class": "high"}
    scene.start(job_task(podTemplate={"metadata": {"labels": labels}}))

    scene.finish()

    assert labels.items() <= the_job(scene).metadata.labels.items()
    assert labels.items() <= scene.pod().metadata.labels.items()


# Queues


def test_a_suspended_job_is_queued_and_runs_when_it_is_let(at_work, batch):
    # Nothing of it is charged to the task.
    scene = at_work
    hold_pods(scene, pods="0")
    scene.start(job_task())
    job = the_job(scene)
    suspend(batch, job, is_suspended=True)

    scene.until(lambda: scene.entry().get("reason") == "AdmissionQueue", "the task to wait for its queue")
    assert scene.entry()["state"] == "Queued"
    assert job.metadata.name in scene.entry()["message"]
    scene.core.delete_namespaced_resource_quota("q", scene.namespace)
    suspend(batch, job, is_suspended=False)

    assert scene.finish()["state"] == "Completed"
    assert (scene.entry()["attempt"], scene.entry().get("disruptions", 0)) == (1, 0)


def test_a_job_that_its_queue_suspends_while_it_runs_is_preempted_and_never_runs_twice_at_once(at_work, batch):
    # Resumed, the Job would make a second Pod of the same attempt beside our next one.
    scene = at_work
    scene.start(job_task(pod_outcome="run"))
    scene.running_pod()
    first = the_job(scene)

    suspend(batch, first, is_suspended=True)

    scene.running_pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.entry()["attempts"][0]["reason"] == "Preempted"
    assert first.metadata.name not in scene.now["jobs"]
    assert scene.ever_attempts() == attempts(1, 2)


def test_a_job_that_is_suspended_and_resumed_in_a_moment_has_never_two_pods_that_run(at_work, operator, batch):
    # Its controller is quicker than we are; what it makes behind our back ends before the next attempt begins.
    scene = at_work
    scene.start(job_task(pod_outcome="run", pod_stop_after="500ms"))
    pod = scene.running_pod()
    first = the_job(scene)

    operator.pause()
    try:
        suspend(batch, first, is_suspended=True)
        scene.until(
            lambda: scene.ever["pods"][pod.metadata.uid].metadata.deletion_timestamp, "its controller to stop the Pod"
        )
        suspend(batch, first, is_suspended=False)
    finally:
        operator.resume()

    scene.running_pod(attempt=2)
    pods = sorted(scene.pods(ever=True), key=lambda pod: str(pod.metadata.creation_timestamp))
    ends = [pod.status["containerStatuses"][0]["state"]["terminated"]["finishedAt"] for pod in pods[:-1]]
    begins = [pod.metadata.creation_timestamp for pod in pods[1:]]
    assert all(end <= begin for end, begin in zip(ends, begins, strict=True)), (ends, begins)
    scene.until(lambda: len(scene.held_pods()) == 1, "the finalizer of the ended Pod to be removed")
    assert len(scene.now["jobs"]) == 1


def test_a_queue_timeout_ends_a_job_that_stays_suspended(at_work, batch):
    scene = at_work
    hold_pods(scene, pods="0")
    scene.start(job_task(queueTimeout="3s"))
    suspend(batch, the_job(scene), is_suspended=True)

    assert scene.finish()["state"] == "Failed"
    assert (scene.entry()["state"], scene.entry()["reason"]) == ("TimedOut", "AdmissionQueue")
    scene.until(lambda: not scene.now["jobs"], "the Job to be gone")
    assert scene.ever_attempts() == []


# What is done to them


@pytest.mark.parametrize("is_unschedulable", [False, True])
def test_a_deleted_pod_of_a_job_is_a_disruption_like_any_other(at_work, is_unschedulable):
    scene = at_work
    template = fake(outcome="run", stop_after="300ms")
    if is_unschedulable:
        template["spec"] = {"nodeSelector": {"disk": "nowhere"}}
    scene.start(job_task(podTemplate=template))
    first = scene.pod() if is_unschedulable else scene.running_pod()
    if is_unschedulable:
        scene.until(lambda: scene.entry().get("reason") == "Unschedulable", "the Pod to be seen waiting")

    scene.delete_pod(first)

    second = scene.pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.entry()["attempts"][0]["reason"] == "PodDeleted"
    assert second.metadata.uid != first.metadata.uid
    assert scene.ever_attempts() == attempts(1, 2)


def test_a_deleted_job_is_a_disruption_too(at_work, batch):
    scene = at_work
    scene.start(job_task(pod_outcome="run"))
    scene.running_pod()

    batch.delete_namespaced_job(the_job(scene).metadata.name, scene.namespace, propagation_policy="Background")

    scene.running_pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.ever_attempts() == attempts(1, 2)


def test_a_deleted_suspended_job_is_replaced(at_work, batch):
    scene = at_work
    hold_pods(scene, pods="0")
    scene.start(job_task())
    first = the_job(scene)
    suspend(batch, first, is_suspended=True)
    scene.until(lambda: scene.entry().get("reason") == "AdmissionQueue", "the task to wait for its queue")

    batch.delete_namespaced_job(first.metadata.name, scene.namespace, propagation_policy="Background")
    scene.core.delete_namespaced_resource_quota("q", scene.namespace)

    assert scene.finish()["state"] == "Completed"
    assert len(scene.ever["jobs"]) == 2
    assert scene.entry().get("failures", 0) == 0


def test_a_pod_that_is_torn_out_of_its_job_with_all_finalizers_is_not_replaced_by_the_job(at_work):
    scene = at_work
    scene.start(job_task(pod_outcome="run"))
    first = scene.running_pod()

    scene.core.delete_namespaced_pod(first.metadata.name, scene.namespace, grace_period_seconds=0)
    patch = {"metadata": {"finalizers": None}}
    scene.core.patch_namespaced_pod(
        first.metadata.name, scene.namespace, patch, _content_type="application/merge-patch+json"
    )

    scene.running_pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    scene.until(
        lambda: {pod.metadata.labels[names.LABEL_ATTEMPT] for pod in scene.pods()} == {"2"}, "the first to be gone"
    )
    assert len(scene.now["jobs"]) == 1


def test_an_attempt_that_takes_too_long_is_stopped_and_its_job_fails_and_stays(at_work):
    scene = at_work
    scene.start(job_task(timeout="1s", queueTimeout="1m", retry={"limit": 1}, pod_outcome="run"))
    job = the_job(scene)
    assert job.spec["activeDeadlineSeconds"] == job.spec["template"]["spec"]["activeDeadlineSeconds"] == 361

    assert scene.finish()["state"] == "Failed"
    assert (scene.entry()["state"], scene.entry()["reason"]) == ("TimedOut", "DeadlineExceeded")
    assert scene.ever_attempts() == attempts(1, 2)
    scene.until(lambda: len(failed_jobs(scene)) == 2, "both Jobs to have failed")
    # Their Pods stay, with the logs; the deadlines of the Jobs are as they were.
    assert [pod.spec["activeDeadlineSeconds"] for pod in scene.pods()] == [1, 1]
    assert {job.spec["activeDeadlineSeconds"] for job in scene.now["jobs"].values()} == {361}


def test_terminating_a_run_deletes_its_jobs(at_work):
    scene = at_work
    scene.start(job_task(pod_outcome="run"))
    scene.running_pod()

    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Terminate"}})

    assert scene.finish()["reason"] == "RunTerminated"
    scene.until(lambda: not scene.now["jobs"] and not scene.pods(), "the Job and its Pod to be gone")


def test_deleting_a_run_takes_its_jobs_and_pods_with_it(at_work):
    scene = at_work
    scene.start(job_task(forEach={"count": 5}, pod_outcome="run"))
    scene.until(lambda: sum(pod.status.get("phase") == "Running" for pod in scene.pods()) == 5, "five Pods to run")

    scene.delete("FlowRun", "run")

    scene.until(lambda: not scene.pods() and not scene.now["jobs"] and not scene.now["flowruns"], "all to be gone")


# Refusals


def test_a_job_whose_pod_does_not_fit_a_quota_is_queued_with_that_reason(at_work):
    scene = at_work
    hold_pods(scene, pods="0")
    scene.start(job_task())

    scene.until(lambda: scene.entry().get("reason") == "QuotaExceeded", "the quota to be named")
    assert scene.entry()["state"] == "Queued"
    assert "exceeded quota: q" in scene.entry()["message"]
    scene.core.delete_namespaced_resource_quota("q", scene.namespace)

    assert scene.finish(within_s=120)["state"] == "Completed"
    assert (scene.entry()["attempt"], scene.entry().get("failures", 0)) == (1, 0)


def test_a_run_times_out_while_a_quota_holds_the_pod_of_its_job(at_work):
    scene = at_work
    hold_pods(scene, pods="0")
    scene.start(job_task(), timeout="2s")

    assert scene.reach("TimedOut")["reason"] == "RunTimedOut"
    scene.until(lambda: not scene.now["jobs"], "the Job to be gone")
    assert scene.ever_attempts() == []


def test_a_job_whose_pod_a_policy_refuses_fails_the_task_with_the_policys_words(at_work):
    scene = at_work
    scene.core.patch_namespace(
        scene.namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    )
    template = {"spec": {"hostNetwork": True}}
    scene.start(job_task(podTemplate=template, retry={"limit": 1}))

    assert scene.finish()["state"] == "Failed"
    entry = scene.entry()
    assert (entry["reason"], entry["failures"]) == ("CreateRefused", 2)
    assert "hostNetwork" in entry["message"]
    scene.until(lambda: not scene.now["jobs"], "the Jobs to be gone")


def test_a_job_that_the_api_server_refuses_fails_the_task_with_its_words(at_work):
    scene = at_work
    scene.start(job_task(podTemplate={"spec": {"hostname": "No_Name"}}))

    assert scene.finish()["state"] == "Failed"
    assert scene.entry()["reason"] == "CreateRefused"
    assert "hostname" in scene.entry()["message"]
