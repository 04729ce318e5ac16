"""How a Pod is stopped without being deleted: it stays, with exit code, message and log. Pure.

The kubelet ends a Pod whose activeDeadlineSeconds have passed with SIGTERM and the Pod's grace period, as it does when
the Pod is deleted. The field may be lowered at any time, and never be raised.
"""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.api import names
from penstock.engine.timestamp import rfc3339
from penstock_operator.workloads.pod import Pod, find_condition, read_noted_time

SHORTEST_DEADLINE_S: Final = 1
"""The shortest activeDeadlineSeconds that a Pod may have."""
DEFAULT_GRACE_S: Final = 30
"""The terminationGracePeriodSeconds of a Pod that does not say."""


def can_end_in_place(pod: Pod) -> bool:
    """Whether a deadline ends the Pod: its kubelet has accepted it, and prepared its network and volumes.

    One that waits for a node ignores the deadline, and starts when it gets one. One that waits for a volume ends only
    when the kubelet gives the volume up, after two minutes. Neither has a log.
    """
    if pod.spec.node_name is None or pod.status.phase not in ("Pending", "Running"):
        return False
    ready = find_condition(pod, "PodReadyToStartContainers")
    if ready is None:
        # Kubelets need not report this condition.
        return pod.status.start_time is not None
    return ready.status == "True"


def end_due_at(pod: Pod, *, now: float) -> float | None:
    """Return when a Pod that was asked to end in place should have ended, seconds since the epoch; None if it was not.

    Args:
        pod: the Pod.
        now: seconds since the epoch: a later time in the Pod is not believed.
    """
    if pod.spec.active_deadline_seconds != SHORTEST_DEADLINE_S:
        return None
    asked_at = read_noted_time(pod.metadata.annotations, names.ANNOTATION_STOP_TIME)
    grace_s = pod.spec.termination_grace_period_seconds
    return None if asked_at is None else min(asked_at, now) + (DEFAULT_GRACE_S if grace_s is None else grace_s)


def end_patch(uid: str, *, asked_at: float | None = None) -> bytes:
    """Build the patch that ends a Pod in place.

    Args:
        uid: of the Pod.
        asked_at: when an attempt that runs in it was stopped, seconds since the epoch; None if `main` has ended.
    """
    metadata: dict[str, object] = {"uid": uid}
    if asked_at is not None:
        metadata["annotations"] = {names.ANNOTATION_STOP_TIME: rfc3339(asked_at)}
    return msgspec.json.encode({"metadata": metadata, "spec": {"activeDeadlineSeconds": SHORTEST_DEADLINE_S}})
