"""What the statuses of real Pods say about their attempts, by the words of Kubernetes 1.35."""
# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from penstock.engine.machine.facts import AttemptSeen, Cause
from penstock_operator.workloads.job_status import Job, classify_trouble, had_no_pod, makes_no_pod, observe_job
from penstock_operator.workloads.obstacle import find_obstacle_in_event, is_waiting_silently
from penstock_operator.workloads.pod import Pod
from penstock_operator.workloads.pod_status import is_main_finished, observe_pod

LABELS = {"penstock.dev/task": "load", "penstock.dev/attempt": "2", "penstock.dev/index": "7"}
RUNNING = {"running": {"startedAt": "2026-11-22T12:00:00Z"}}


def ended(exit_code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": "2026-11-22T12:00:00Z",
            "finishedAt": "2026-11-22T12:00:09Z",
            **more,
        }
    }


def waiting(reason: str, message: str = "words") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def condition(kind: str, reason: str, message: str = "words", *, status: str = "False") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def pod(
    phase: str = "Failed",
    *,
    main: Any = None,
    side: Any = None,
    init: Any = None,
    sidecar: Any = None,
    annotations: Any = None,
    deleted: bool = False,
    **status: Any,
) -> Pod:
    containers = [
        {"name": name, "state": state} for name, state in (("main", main), ("side", side)) if state is not None
    ]
    body: dict[str, Any] = {
        "metadata": {
            "name": "p",
            "uid": "u",
            "labels": LABELS,
            "annotations": annotations or {},
            "creationTimestamp": "2026-11-22T11:59:00Z",
        },
        "spec": {"nodeName": "n"},
        "status": {"phase": phase, "containerStatuses": containers, **status},
    }
    if init is not None:
        body["status"]["initContainerStatuses"] = [{"name": "init", "state": init}]
    if sidecar is not None:
        body["status"]["initContainerStatuses"] = [{"name": "sidecar", **sidecar}]
    if deleted:
        body["metadata"] |= {"deletionTimestamp": "2026-11-22T12:00:05Z", "deletionGracePeriodSeconds": 30}
    return msgspec.convert(body, Pod)


def seen(observed: Pod) -> AttemptSeen:
    found = observe_pod(observed, now=1e9)
    assert found is not None
    return found


FAILURE, DISRUPTION = Cause.FAILURE, Cause.DISRUPTION


@pytest.mark.parametrize(
    ("observed", "cause", "reason"),
    [
        pytest.param(pod(main=ended(3)), FAILURE, "ExitCode", id="a non-zero exit code"),
        pytest.param(pod(main=ended(137, "OOMKilled")), FAILURE, "OOMKilled", id="out of memory"),
        pytest.param(pod("Succeeded", main=ended(0, "OOMKilled")), FAILURE, "OOMKilled", id="a child of it was, and it ended well"),
        pytest.param(pod(main=ended(1), side=ended(137, "OOMKilled")), FAILURE, "OOMKilled", id="a container beside it was, and it failed"),
        pytest.param(pod(main=None, init=ended(137, "OOMKilled")), FAILURE, "OOMKilled", id="an init container was"),
        pytest.param(pod(main=None, init=ended(2)), FAILURE, "ExitCode", id="an init container failed"),
        pytest.param(pod(main=ended(128, "StartError")), FAILURE, "StartError", id="no such command"),
        pytest.param(pod(main=ended(137), reason="Evicted", message="The node was low on resource: memory."), DISRUPTION, "Evicted", id="evicted by its kubelet"),
        pytest.param(pod(main=ended(143), conditions=[condition("DisruptionTarget", "EvictionByEvictionAPI", status="True")]), DISRUPTION, "Evicted", id="drained"),
        pytest.param(pod(main=ended(143), conditions=[condition("DisruptionTarget", "PreemptionByScheduler", status="True")]), DISRUPTION, "Preempted", id="preempted by the scheduler"),
        pytest.param(pod(main=ended(137), reason="Preempting", message="Preempted in order to admit critical pod", conditions=[condition("DisruptionTarget", "TerminationByKubelet", status="True")]), DISRUPTION, "Preempted", id="preempted by its kubelet"),
        pytest.param(pod(main=ended(143), conditions=[condition("DisruptionTarget", "DeletionByTaintManager", status="True")]), DISRUPTION, "NodeLost", id="its node does not answer"),
        pytest.param(pod(main=RUNNING, conditions=[condition("DisruptionTarget", "DeletionByPodGC", status="True")]), DISRUPTION, "NodeLost", id="its node is gone"),
        pytest.param(pod(main=ended(137, "ContainerStatusUnknown")), DISRUPTION, "NodeLost", id="its kubelet lost sight of it"),
        pytest.param(pod(main=ended(143), deleted=True), DISRUPTION, "PodDeleted", id="deleted"),
        pytest.param(pod("Succeeded", main=ended(0, "Completed"), deleted=True), DISRUPTION, "PodDeleted", id="deleted, and it exited with 0"),
        pytest.param(pod(main=None, reason="OutOfcpu", message="Node didn't have enough resource"), DISRUPTION, "NodeRefused", id="refused by its node"),
        pytest.param(pod(main=ended(137), reason="DeadlineExceeded", message="longer"), FAILURE, "DeadlineExceeded", id="the backstop of a Pod that ran"),
        pytest.param(pod(main=waiting("ImagePullBackOff"), reason="DeadlineExceeded"), FAILURE, "ImagePullFailed", id="of one that waited for its image"),
        pytest.param(pod(main=None, reason="DeadlineExceeded"), FAILURE, "QueueTimeout", id="of one of which nothing is known"),
        pytest.param(pod("Running", main=ended(3), side=RUNNING), FAILURE, "ExitCode", id="a sidecar still runs"),
        pytest.param(pod(main=ended(3), side=ended(137), reason="DeadlineExceeded"), FAILURE, "ExitCode", id="a sidecar was ended by us"),
    ],
)  # fmt: skip
def test_an_end_has_its_cause_and_reason(observed, cause, reason):
    outcome = seen(observed).outcome
    assert outcome is not None
    assert (outcome.cause, outcome.reason) == (cause, reason)


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(pod("Succeeded", main=ended(0, "Completed")), id="all ended well"),
        pytest.param(pod("Running", main=ended(0, "Completed"), side=RUNNING), id="a sidecar still runs"),
        pytest.param(pod("Failed", main=ended(0, "Completed"), side=ended(137), reason="DeadlineExceeded"), id="and was ended by us"),
        pytest.param(pod("Failed", main=ended(0, "Completed"), side=ended(137, "OOMKilled")), id="or by its hunger for memory"),
    ],
)  # fmt: skip
def test_a_main_container_that_succeeded_has_completed(observed):
    outcome = seen(observed).outcome
    assert outcome is not None
    assert (outcome.cause, outcome.outputs) == (Cause.SUCCESS, {})


@pytest.mark.parametrize(
    ("observed", "reason", "is_held"),
    [
        pytest.param(pod("Pending", main=waiting("ErrImagePull")), "ImagePullFailed", False, id="no image"),
        pytest.param(pod("Pending", main=waiting("InvalidImageName")), "ImagePullFailed", False, id="no name of an image"),
        pytest.param(pod("Pending", main=waiting("PodInitializing"), init=waiting("ImagePullBackOff")), "ImagePullFailed", False, id="no image of an init container"),
        pytest.param(pod("Pending", main=waiting("CreateContainerConfigError")), "ContainerConfigError", False, id="a Secret is missing"),
        pytest.param(pod("Pending", main=waiting("ContainerCreating")), None, False, id="just starting"),
        pytest.param(pod("Pending", conditions=[condition("PodScheduled", "Unschedulable")]), "Unschedulable", False, id="no node"),
        pytest.param(pod("Pending", conditions=[condition("PodScheduled", "SchedulerError")]), "Unschedulable", False, id="the scheduler failed"),
        pytest.param(pod("Pending", main=waiting("PodInitializing"), sidecar={"state": waiting("CrashLoopBackOff"), "lastState": ended(7)}), "SidecarFailed", False, id="a sidecar waits to be restarted"),
        pytest.param(pod("Pending", main=waiting("PodInitializing"), sidecar={"state": RUNNING, "started": False, "lastState": ended(7)}), "SidecarFailed", False, id="a sidecar was restarted, and is not up"),
        pytest.param(pod("Pending", main=waiting("PodInitializing"), sidecar={"state": RUNNING, "started": True, "lastState": ended(7)}), None, False, id="a sidecar was restarted, and is up"),
        pytest.param(pod("Pending", main=waiting("PodInitializing"), sidecar={"state": RUNNING, "started": False}), None, False, id="a sidecar is just starting"),
        pytest.param(pod("Running", main=RUNNING, sidecar={"state": waiting("CrashLoopBackOff"), "lastState": ended(7)}), None, False, id="a sidecar beside a task that runs"),
        pytest.param(pod("Pending", conditions=[condition("PodScheduled", "SchedulingGated")]), "AdmissionQueue", True, id="a queue of Pods holds it"),
        pytest.param(pod("Pending", annotations={"penstock.dev/workspace": "c"}, conditions=[condition("PodScheduled", "Unschedulable", "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.")]), "WorkspaceUnbound", False, id="its workspace is not bound"),
        pytest.param(pod("Pending", annotations={"penstock.dev/workspace": "c"}, conditions=[condition("PodScheduled", "Unschedulable", "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.")]), "WorkspaceUnbound", False, id="no volume fits its workspace"),
        pytest.param(pod("Pending", annotations={"penstock.dev/workspace": "c"}, conditions=[condition("PodScheduled", "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.")]), "Unschedulable", False, id="a workspace is not to blame for all"),
        pytest.param(pod("Pending", conditions=[condition("PodScheduled", "Unschedulable", "pod has unbound immediate PersistentVolumeClaims.")]), "ClaimUnbound", False, id="a claim of the user's own"),
        pytest.param(pod("Pending", main=waiting("CreatePodSandboxError")), "SandboxFailed", False, id="no sandbox"),
        pytest.param(pod("Running", main=RUNNING, conditions=[condition("Ready", ""), condition("ContainersReady", "", status="True")]), "NodeLost", False, id="its node does not report"),
        pytest.param(pod("Running", main=RUNNING, deleted=True, conditions=[condition("DisruptionTarget", "DeletionByTaintManager", status="True")]), "NodeLost", False, id="it is deleted because of its node"),
        pytest.param(pod("Running", main=RUNNING, conditions=[condition("Ready", "ContainersNotReady"), condition("ContainersReady", "ContainersNotReady")]), None, False, id="a container is not ready"),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_start_says_why(observed, reason, is_held):
    found = seen(observed)
    assert (found.outcome, found.waiting_reason, found.is_held) == (None, reason, is_held)


SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-22T11:59:30Z"}


@pytest.mark.parametrize(
    ("reason", "want"),
    [
        pytest.param("FailedMount", "MountFailed", id="a Secret of a volume is missing"),
        pytest.param("FailedAttachVolume", "MountFailed", id="a volume is attached elsewhere"),
        pytest.param("FailedCreatePodSandBox", "SandboxFailed", id="no network"),
        pytest.param("MissingClusterDNS", None, id="what keeps no Pod from starting"),
    ],
)
def test_an_event_says_why_a_pod_does_not_start(reason, want):
    observed = pod("Pending", main=waiting("ContainerCreating"), conditions=[SCHEDULED])
    found = find_obstacle_in_event(observed, reason, 'secret "db" not found')

    known = observe_pod(observed, now=1e9, known=found)

    assert known is not None
    assert (known.waiting_reason, known.waiting_message) == (want, want and 'secret "db" not found')
    assert known.waiting_since == (want and datetime(2026, 11, 22, 11, 59, 30, tzinfo=UTC).timestamp())


def test_the_time_of_an_init_container_does_not_count_as_a_wait_for_the_image_of_main():
    observed = pod("Pending", init=ended(0, "Completed"), main=waiting("ErrImagePull"), conditions=[SCHEDULED])
    assert seen(observed).waiting_since == datetime(2026, 11, 22, 12, 0, 9, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("observed", "want"),
    [
        pytest.param(pod("Pending", main=waiting("ContainerCreating"), conditions=[SCHEDULED]), True, id="no sandbox yet"),
        pytest.param(pod("Pending", main=waiting("ContainerCreating"), conditions=[condition("PodReadyToStartContainers", "", status="True")]), False, id="its image is pulled"),
        pytest.param(pod("Pending", main=waiting("ImagePullBackOff")), False, id="its status says why"),
        pytest.param(pod("Pending", main=waiting("ContainerCreating"), deleted=True), False, id="it is deleted"),
        pytest.param(pod("Running", main=RUNNING), False, id="it runs"),
    ],
)  # fmt: skip
def test_events_are_needed_for_pods_that_wait_silently_alone(observed, want):
    assert is_waiting_silently(observed) == want


def test_counters_and_the_time_of_the_first_attempt_come_from_the_pod():
    annotations = {"penstock.dev/failures": "1", "penstock.dev/disruptions": "3", "penstock.dev/begin-time": "1970-01-01T00:00:05Z"}  # fmt: skip
    found = seen(pod("Running", main=RUNNING, annotations=annotations))
    assert (found.key.task, found.key.item, found.attempt) == ("load", 7, 2)
    assert (found.failures, found.disruptions, found.began_at) == (1, 3, 5.0)


@pytest.mark.parametrize("text", ["x", "", "0001-01-01T00:00:00+14:00", "99999-01-01T00:00:00Z", "9" * 300])
def test_an_annotation_that_cannot_be_read_hides_no_attempt(text):
    names = ("begin-time", "failures", "disruptions", "stop-time", "outputs-format")
    annotations = {f"penstock.dev/{name}": text for name in names}
    found = seen(pod("Succeeded", main=ended(0, "Completed"), annotations=annotations))
    assert found.outcome is not None
    assert (found.outcome.cause, found.began_at, found.failures, found.disruptions) == (Cause.SUCCESS, None, 0, 0)
    job = msgspec.convert({"metadata": {"name": "j", "labels": LABELS, "annotations": annotations}}, Job)
    assert observe_job(job, now=0.0) is not None


def test_a_pod_whose_labels_a_person_spoiled_is_not_ours():
    body = {"metadata": {"name": "p", "labels": {**LABELS, "penstock.dev/attempt": "second"}}}
    assert observe_pod(msgspec.convert(body, Pod), now=0.0) is None


@pytest.mark.parametrize(
    ("observed", "want"),
    [
        pytest.param(pod("Running", main=ended(0), side=RUNNING), True, id="a sidecar still runs"),
        pytest.param(pod("Running", main=ended(0), side=RUNNING, deleted=True), False, id="but its end was asked for"),
        pytest.param(pod("Running", main=ended(0), side=ended(0)), False, id="all have ended"),
        pytest.param(pod("Running", main=RUNNING, side=ended(0)), False, id="main still runs"),
    ],
)
def test_only_a_sidecar_that_outlives_main_has_to_be_stopped(observed, want):
    assert is_main_finished(observed) is want


# Jobs


def job(*conditions: dict[str, Any], suspend: bool | None = None, **metadata: Any) -> Job:
    status = {"conditions": list(conditions)} | ({"startTime": "2026-11-22T12:00:00Z"} if not suspend else {})
    body = {"metadata": {"name": "j", "uid": "u", "labels": LABELS, **metadata}, "spec": {"suspend": suspend}, "status": status}  # fmt: skip
    return msgspec.convert(body, Job)


def test_a_suspended_job_is_held_by_its_queue():
    found = observe_job(job(suspend=True), now=1.0)
    assert found is not None
    assert (found.is_held, found.waiting_reason, found.outcome, found.is_tracked) == (True, "AdmissionQueue", None, False)  # fmt: skip
    assert had_no_pod(job(suspend=True))


@pytest.mark.parametrize(
    ("end", "cause", "reason"),
    [
        pytest.param(condition("Failed", "BackoffLimitExceeded", status="True"), DISRUPTION, "PodDeleted", id="failed"),
        pytest.param(condition("Complete", "CompletionsReached", status="True"), DISRUPTION, "PodDeleted", id="complete, but what it gave out is lost"),
        pytest.param(condition("FailureTarget", "DeadlineExceeded", status="True"), FAILURE, "QueueTimeout", id="its backstop"),
    ],
)  # fmt: skip
def test_a_job_that_finished_without_a_pod_has_an_outcome(end, cause, reason):
    finished = job(end)
    found = observe_job(finished, now=1.0)
    assert found is not None
    assert found.outcome is not None
    assert (found.outcome.cause, found.outcome.reason, found.is_finished) == (cause, reason, True)
    assert makes_no_pod(finished)
    assert not had_no_pod(finished)


@pytest.mark.parametrize(
    ("words", "reason", "is_final"),
    [
        pytest.param('Error creating: pods "a" is forbidden: exceeded quota: q, requested: pods=1', "QuotaExceeded", False, id="a quota"),
        pytest.param('Error creating: pods "a" is forbidden: violates PodSecurity "restricted:latest": hostNetwork', "CreateRefused", True, id="pod security"),
        pytest.param('Error creating: admission webhook "x" denied the request: no', "CreateRefused", True, id="a webhook"),
        pytest.param('Error creating: Internal error occurred: failed calling webhook "x"', "AdmissionQueue", False, id="a webhook out of order"),
    ],
)  # fmt: skip
def test_messages_of_the_job_controller_are_classified(words, reason, is_final):
    trouble, final = classify_trouble(words)
    assert (trouble.reason, final) == (reason, is_final)
    assert trouble.message == words.removeprefix("Error creating: ")
