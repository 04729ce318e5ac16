"""Why a Pod does not start, or its node does not report: from the words of Kubernetes to a reason of ours. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.api import names
from penstock.engine.reasons import Reason
from penstock_operator.workloads.metadata import QUEUE_PREFIX
from penstock_operator.workloads.pod import (
    ContainerState,
    ContainerStatus,
    Pod,
    PodCondition,
    find_condition,
    main_state,
    read_time,
)

_IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ErrImageInspect",
        "ImageInspectError",
        "SignatureValidationFailed",
    }
)
_CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_SANDBOX_REASONS: Final = frozenset({"CreatePodSandboxError", "ConfigPodSandboxError"})
_SCHEDULING_REASONS: Final = frozenset({"Unschedulable", "SchedulerError"})
"""Of the condition PodScheduled: no node fits, or what the scheduler had to do for one that fits failed, such as the
binding of a volume."""
_CLAIM_WORDS: Final = ("persistentvolumeclaim", "persistent volume", "storageclass")
"""In the scheduler's message about a Pod whose claim has no volume, in lower case."""
_EVENT_REASONS: Final = {
    "FailedMount": Reason.MOUNT_FAILED,
    "FailedMapVolume": Reason.MOUNT_FAILED,
    "FailedAttachVolume": Reason.MOUNT_FAILED,
    "FailedCreatePodSandBox": Reason.SANDBOX_FAILED,
    "NetworkNotReady": Reason.SANDBOX_FAILED,
}
"""What only Events of a Pod say:
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/events/event.go."""
_NODE_GONE: Final = frozenset({"DeletionByTaintManager", "DeletionByPodGC"})
"""Reasons of the condition DisruptionTarget of a Pod whose node does not respond, or does not exist any more."""


class Obstacle(NamedTuple):
    """Why a Pod does not start."""

    reason: Reason
    message: str | None
    since: float | None = None
    """From when its wait counts, seconds since the epoch, if the Pod says so."""


def find_obstacle(pod: Pod) -> Obstacle | None:
    """Return why a Pod does not start, or its node does not report, by its status; None if that is not known."""
    main = main_state(pod)
    for status in pod.status.init_container_statuses:
        found = _of_container(status.state) or _of_sidecar(status, main)
        if found is not None:
            return found._replace(since=_on_node_since(pod))
    if (found := _of_container(main)) is not None:
        return found._replace(since=_on_node_since(pod))
    scheduled = find_condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return _of_scheduling(pod, scheduled)
    return _of_node(pod)


def find_obstacle_in_event(pod: Pod, reason: str, note: str) -> Obstacle | None:
    """Return why a Pod does not start by an Event about it; None if the Event says nothing of that."""
    found = _EVENT_REASONS.get(reason)
    return None if found is None else Obstacle(found, note or reason, _on_node_since(pod))


def is_waiting_silently(pod: Pod) -> bool:
    """Whether a Pod is on a node that has not prepared it, and its status does not say why: its Events may."""
    if pod.status.phase not in ("Pending", "") or pod.spec.node_name is None or pod.metadata.deletion_timestamp:
        return False
    ready = find_condition(pod, "PodReadyToStartContainers")
    return not (ready is not None and ready.status == "True") and find_obstacle(pod) is None


def _of_container(state: ContainerState | None) -> Obstacle | None:
    waiting = None if state is None else state.waiting
    if waiting is None:
        return None
    message = waiting.message or waiting.reason
    if waiting.reason in _IMAGE_REASONS:
        return Obstacle(Reason.IMAGE_PULL_FAILED, message)
    if waiting.reason in _CONFIG_REASONS:
        return Obstacle(Reason.CONTAINER_CONFIG_ERROR, message)
    return Obstacle(Reason.SANDBOX_FAILED, message) if waiting.reason in _SANDBOX_REASONS else None


def _of_sidecar(status: ContainerStatus, main: ContainerState | None) -> Obstacle | None:
    """Return what is wrong with a sidecar that has to run before the main container starts.

    Of our Pods, the kubelet restarts sidecars alone:
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/.
    """
    ended = status.last_state.terminated
    has_main_started = main is not None and (main.running is not None or main.terminated is not None)
    if ended is None or has_main_started or (status.state.running is not None and status.started):
        return None
    # Not the kubelet's words for its pause: they change with each restart, and the status would with them.
    message = f": {ended.message.strip()}" if ended.message else ""
    return Obstacle(
        Reason.SIDECAR_FAILED, f"sidecar {status.name}: exit code {ended.exit_code}; it is restarted again{message}"
    )


def _of_scheduling(pod: Pod, scheduled: PodCondition) -> Obstacle | None:
    message = scheduled.message or None
    if scheduled.reason == "SchedulingGated":
        # A queue of Pods, such as Kueue's, holds it: https://kueue.sigs.k8s.io/docs/tasks/run/plain_pods/.
        return Obstacle(Reason.ADMISSION_QUEUE, message)
    if scheduled.reason not in _SCHEDULING_REASONS:
        return None
    since = scheduled.transition_time
    if any(label.startswith(QUEUE_PREFIX) for label in pod.metadata.labels):
        # The condition was false while the queue held the Pod as well.
        since = None
    if any(word in scheduled.message.lower() for word in _CLAIM_WORDS):
        is_workspace = names.ANNOTATION_WORKSPACE in pod.metadata.annotations
        return Obstacle(Reason.WORKSPACE_UNBOUND if is_workspace else Reason.CLAIM_UNBOUND, message, since)
    return Obstacle(Reason.UNSCHEDULABLE, message, since)


def _of_node(pod: Pod) -> Obstacle | None:
    node = pod.spec.node_name
    if node is None or pod.status.phase in ("Succeeded", "Failed"):
        return None
    target = find_condition(pod, "DisruptionTarget")
    if target is not None and target.status == "True" and target.reason in _NODE_GONE:
        return Obstacle(Reason.NODE_LOST, f"node {node} does not respond: {target.message or target.reason}")
    ready, containers = find_condition(pod, "Ready"), find_condition(pod, "ContainersReady")
    if ready is None or containers is None:
        return None
    # The kubelet never reports this of a Pod without readiness gates. The node controller sets `Ready` to False when
    # the kubelet is silent, and leaves the other condition:
    # https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller.
    if ready.status == "False" and not ready.reason and containers.status == "True":
        return Obstacle(Reason.NODE_LOST, f"node {node} does not respond: it is not Ready")
    return None


def _on_node_since(pod: Pod) -> float | None:
    """Return from when a Pod waits on its node. Time in which its init containers run does not count."""
    scheduled = find_condition(pod, "PodScheduled")
    if scheduled is None or scheduled.status != "True":
        return None
    ended = (status.state.terminated for status in pod.status.init_container_statuses)
    times = (scheduled.transition_time, *(read_time(each.finished_at) for each in ended if each is not None))
    return max((time for time in times if time is not None), default=None)
