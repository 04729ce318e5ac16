"""Reads a Pod as the attempt that it carries: from the API server's terms to the engine's. Pure."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from penstock.api import names
from penstock.engine.failure_message import add_to_first_line, describe_exit
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.facts import AttemptKind, AttemptSeen, Cause, Outcome
from penstock.engine.reasons import Reason
from penstock.engine.workloads.counters import read_counters
from penstock.engine.workloads.outputs import TEXT_OUTPUTS, read_outputs
from penstock.kube.metadata import ObjectMeta
from penstock_operator.workloads.obstacle import Obstacle, find_obstacle
from penstock_operator.workloads.pod import (
    Pod,
    PodCondition,
    Terminated,
    find_condition,
    is_tracked,
    job_owner,
    main_state,
    read_noted_time,
    read_time,
)
from penstock_operator.workloads.pod_stop import can_end_in_place, end_due_at

_START_REASONS: Final = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
_STOP_EXIT_CODES: Final = frozenset({128 + 9, 128 + 15})
"""Of a container that got SIGKILL or SIGTERM."""
_DISRUPTIONS: Final = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "DeletionByPodGC": Reason.NODE_LOST,
    "TerminationByKubelet": Reason.EVICTED,
}
"""Reasons of the Pod condition DisruptionTarget:
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions."""
_POD_REASONS: Final = {
    "Evicted": Reason.EVICTED,
    "NodeLost": Reason.NODE_LOST,
    # The kubelet made room for a critical Pod; the DisruptionTarget condition names only the kubelet.
    "Preempting": Reason.PREEMPTED,
}
"""`status.reason` of a Pod that something other than its task ended."""
_UNKNOWN_STATUS: Final = "ContainerStatusUnknown"
"""The kubelet lost track of the container: its end is invented, exit code 137 included."""
_OOM_KILLED: Final = "OOMKilled"


ENDED_BEFORE: Final = math.inf
"""In place of the time of a stop request: `main` was seen to have ended when there was none."""


class AttemptIdentity(NamedTuple):
    """The attempt that an object carries, and what had happened before it."""

    key: TaskInstanceKey
    attempt: int
    failures: int
    disruptions: int
    began_at: float | None


def read_identity(metadata: ObjectMeta) -> AttemptIdentity | None:
    """Read the attempt of a Pod or Job; None if its labels don't name one.

    Anybody who may edit it may annotate it: an annotation that cannot be read counts as absent.
    """
    labels, annotations = metadata.labels, metadata.annotations
    try:
        index = labels.get(names.LABEL_INDEX)
        return AttemptIdentity(
            TaskInstanceKey(labels[names.LABEL_TASK], None if index is None else int(index)),
            int(labels[names.LABEL_ATTEMPT]),
            *read_counters(annotations),
            read_noted_time(annotations, names.ANNOTATION_BEGIN_TIME),
        )
    except (KeyError, ValueError):
        return None


def observe_pod(
    pod: Pod, *, now: float, known: Obstacle | None = None, stop_asked_at: float | None = None
) -> AttemptSeen | None:
    """Read an attempt from its Pod.

    Args:
        pod: the Pod as it is now.
        now: seconds since the epoch.
        known: why it does not start by what else than its status says so.
        stop_asked_at: what `read_stop_request` returned for the Pod when it was seen earlier, or ENDED_BEFORE.

    Returns:
        The facts for the engine; None if the Pod's labels don't name an attempt.
    """
    metadata = pod.metadata
    identity = read_identity(metadata)
    if identity is None:
        return None
    main = main_state(pod)
    terminated = None if main is None else main.terminated
    started_at = None
    if terminated is not None:
        started_at = terminated.started_at
    elif main is not None and main.running is not None:
        started_at = main.running.started_at
    obstacle = find_obstacle(pod) or known if terminated is None else None
    deletion = read_time(metadata.deletion_timestamp)
    return AttemptSeen(
        key=identity.key,
        attempt=identity.attempt,
        failures=identity.failures,
        disruptions=identity.disruptions,
        pod=metadata.name,
        uid=metadata.uid,
        created_at=read_time(metadata.creation_timestamp) or now,
        started_at=read_time(started_at),
        node=pod.spec.node_name,
        outcome=_outcome(pod, terminated, now, stop_asked_at),
        waiting_reason=None if obstacle is None else obstacle.reason,
        waiting_message=None if obstacle is None else obstacle.message,
        waiting_since=None if obstacle is None else obstacle.since,
        is_finished=is_pod_finished(pod),
        is_deleting=deletion is not None,
        is_tracked=is_tracked(pod),
        kind=AttemptKind.POD if job_owner(pod) is None else AttemptKind.JOB,
        version=metadata.version,
        is_held=obstacle is not None and obstacle.reason == Reason.ADMISSION_QUEUE,
        gone_due_at=deletion,
        can_end_in_place=can_end_in_place(pod),
        end_due_at=end_due_at(pod, now=now),
        began_at=identity.began_at,
        has_status=bool(pod.status.phase),
    )


def read_outcome(pod: Pod, *, now: float) -> Outcome | None:
    """Read how the attempt of a Pod ended; None if it has not.

    Args:
        pod: the Pod as it is now.
        now: seconds since the epoch, for ends that Kubernetes gives no time for.
    """
    main = main_state(pod)
    return _outcome(pod, None if main is None else main.terminated, now, None)


def is_main_finished(pod: Pod) -> bool:
    """Whether the task has finished while other containers of its Pod still run, and the Pod is not being deleted."""
    state = main_state(pod)
    is_deleting = pod.metadata.deletion_timestamp is not None
    return state is not None and state.terminated is not None and not is_deleting and not is_pod_finished(pod)


def is_pod_finished(pod: Pod) -> bool:
    """Whether no container of the Pod runs any more, except those that the kubelet is about to stop.

    The kubelet reports the ends of containers before it changes the phase; a Pod deleted in between loses its logs.
    """
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    # The kubelet lists every container of the spec from its first report on.
    states = [status.state for status in pod.status.container_statuses]
    return bool(states) and all(state.terminated is not None for state in states)


def read_stop_request(pod: Pod) -> float | None:
    """Return when the deletion or disruption of a Pod was asked for; None if it was not, or its time is lost.

    When all containers have ended, the kubelet deletes the Pod again, without grace, and that deletion's time replaces
    the first one. The time of a disruption remains.
    """
    disruption = _disruption_target(pod)
    times = [] if disruption is None else [disruption.transition_time]
    deletion = read_time(pod.metadata.deletion_timestamp)
    if deletion is not None:
        grace_s, main = pod.metadata.deletion_grace_period_seconds, main_state(pod)
        if grace_s or main is None or main.terminated is None:
            times.append(deletion - (grace_s or 0))
    # Most Pods have none.
    return min((time for time in times if time is not None), default=None) if times else None


def _outcome(pod: Pod, terminated: Terminated | None, now: float, stop_asked_at: float | None) -> Outcome | None:
    disruption = _disruption(pod)
    if terminated is not None:
        finished_at = read_time(terminated.finished_at) or now
        if disruption is not None and _was_interrupted(pod, terminated, finished_at, stop_asked_at):
            return disruption._replace(finished_at=finished_at, exit_code=terminated.exit_code)
        return _outcome_of_main(pod, terminated, finished_at)
    if disruption is not None and (pod.status.phase == "Failed" or pod.spec.node_name is None):
        return disruption._replace(finished_at=now)
    if pod.status.phase == "Failed":
        return _failed_without_main(pod, now)
    if pod.status.phase == "Succeeded":
        # Every container of a succeeded Pod exited with 0, whether or not the status still lists it.
        return Outcome(Cause.SUCCESS, now, outputs={})
    return None


def _was_interrupted(pod: Pod, terminated: Terminated, finished_at: float, stop_asked_at: float | None) -> bool:
    """Whether `main` ended because its Pod was deleted or disrupted, whatever its exit code.

    Times are in whole seconds. An end in the second of the request counts as interrupted: to run again is safer than
    to continue after work that is half done.
    """
    asked_at = read_stop_request(pod) if stop_asked_at is None else stop_asked_at
    if asked_at == ENDED_BEFORE:
        return False
    is_stopped = terminated.exit_code in _STOP_EXIT_CODES and terminated.reason != _OOM_KILLED
    if pod.status.reason in _POD_REASONS:
        # The kubelet itself ended a Pod that had not finished.
        return is_stopped or asked_at is None or finished_at >= asked_at
    if 0 < pod.status.observed_generation < pod.metadata.generation:
        # The kubelet reported the end before it knew of the deletion, which increased the generation.
        return False
    return is_stopped if asked_at is None else finished_at >= asked_at


def _outcome_of_main(pod: Pod, terminated: Terminated, finished_at: float) -> Outcome:
    if terminated.exit_code == 0 and terminated.reason != _OOM_KILLED:
        return _success(pod, terminated, finished_at)
    if terminated.reason == _UNKNOWN_STATUS:
        return Outcome(Cause.DISRUPTION, finished_at, Reason.NODE_LOST, terminated.message or terminated.reason)
    if pod.status.reason == "DeadlineExceeded" and terminated.exit_code in _STOP_EXIT_CODES:
        message = pod.status.message or pod.status.reason
        return Outcome(Cause.FAILURE, finished_at, Reason.DEADLINE_EXCEEDED, message, terminated.exit_code)
    failure = _failure(terminated, finished_at)
    if failure.reason == Reason.EXIT_CODE and (other := _other_out_of_memory(pod)) is not None:
        message = add_to_first_line(failure.message or "", f"; container {other} ran out of memory")
        return failure._replace(reason=Reason.OOM_KILLED, message=message)
    return failure


def _other_out_of_memory(pod: Pod) -> str | None:
    """Return the name of another container that ran out of memory: `main` was killed together with it."""
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        ended = status.state.terminated or status.last_state.terminated
        if status.name != names.MAIN_CONTAINER and ended is not None and ended.reason == _OOM_KILLED:
            return status.name
    return None


def _disruption(pod: Pod) -> Outcome | None:
    """Return the outcome if something other than the task ended the Pod, without time and exit code."""
    if pod.status.reason in _POD_REASONS:
        return Outcome(Cause.DISRUPTION, 0.0, _POD_REASONS[pod.status.reason], pod.status.message or None)
    target = _disruption_target(pod)
    if target is not None:
        reason = _DISRUPTIONS.get(target.reason, Reason.EVICTED)
        return Outcome(Cause.DISRUPTION, 0.0, reason, target.message or target.reason)
    if pod.metadata.deletion_timestamp is not None:
        return Outcome(Cause.DISRUPTION, 0.0, Reason.POD_DELETED, "the Pod was deleted")
    return None


def _disruption_target(pod: Pod) -> PodCondition | None:
    """Return the condition by which a Pod was disrupted; conditions are a map by type, so there is at most one."""
    target = find_condition(pod, "DisruptionTarget")
    return target if target is not None and target.status == "True" else None


def _failed_without_main(pod: Pod, now: float) -> Outcome:
    message = pod.status.message or pod.status.reason or "the Pod failed before the container main ran"
    if pod.status.reason == "DeadlineExceeded":
        # The deadline of a Pod while no operator ran: `main` never ran, so it did not exceed the task's `timeout`.
        obstacle = find_obstacle(pod) or Obstacle(Reason.QUEUE_TIMEOUT, None)
        return Outcome(Cause.FAILURE, now, obstacle.reason, obstacle.message or message)
    for status in pod.status.init_container_statuses:
        ended = status.state.terminated
        if ended is not None and ended.exit_code:
            failure = _failure(ended, read_time(ended.finished_at) or now)
            return failure._replace(message=f"init container {status.name}: {failure.message or ended.reason}")
    return Outcome(Cause.DISRUPTION, now, Reason.NODE_REFUSED, message)


def _failure(terminated: Terminated, finished_at: float) -> Outcome:
    reason = Reason.EXIT_CODE
    if terminated.reason == _OOM_KILLED:
        reason = Reason.OOM_KILLED
    elif terminated.reason in _START_REASONS:
        reason = Reason.START_ERROR
    raw = terminated.message.strip() or f"exit code {terminated.exit_code}"
    message = raw if reason is Reason.START_ERROR else describe_exit(terminated.exit_code, terminated.message)
    return Outcome(Cause.FAILURE, finished_at, reason, message, terminated.exit_code, raw_message=raw)


def _success(pod: Pod, terminated: Terminated, finished_at: float) -> Outcome:
    outputs, problem = read_outputs(
        terminated.message,
        containers=len(pod.status.container_statuses),
        is_text=pod.metadata.annotations.get(names.ANNOTATION_OUTPUTS_FORMAT) == TEXT_OUTPUTS,
    )
    if problem is not None:
        return Outcome(Cause.FAILURE, finished_at, Reason.INVALID_OUTPUTS, problem, terminated.exit_code)
    return Outcome(Cause.SUCCESS, finished_at, exit_code=0, outputs=outputs)
