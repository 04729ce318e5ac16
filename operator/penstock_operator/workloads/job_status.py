"""Reads a Job as the attempt that it carries, while it has no Pod. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from penstock.engine.machine.facts import AttemptKind, AttemptSeen, Cause, Outcome
from penstock.engine.reasons import Reason
from penstock.kube.errors import QUOTA_TEXT
from penstock_operator.workloads.metadata import WorkloadMeta
from penstock_operator.workloads.pod import read_time
from penstock_operator.workloads.pod_status import read_identity

_END_CONDITIONS: Final = frozenset({"Complete", "SuccessCriteriaMet", "Failed", "FailureTarget"})
"""Each of them means that the Job creates no further Pod:
https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions."""
_REFUSALS: Final = (" is forbidden: ", " is invalid: ", " denied the request")
"""In the Job controller's message about a Pod that the API server refuses permanently."""


class JobCondition(msgspec.Struct, frozen=True):
    """A condition of the Job."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class JobStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What is known of the Job."""

    conditions: tuple[JobCondition, ...] = ()
    start_time: str | None = None
    """When it was last unsuspended; a Job without it has never had a Pod."""


class JobSpec(msgspec.Struct, frozen=True):
    """Whether it may start."""

    suspend: bool | None = None


class Job(msgspec.Struct, frozen=True):
    """An attempt's Job: the fields that the operator reads."""

    metadata: WorkloadMeta = WorkloadMeta()
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class Trouble(NamedTuple):
    """Why a Job that may start has no Pod."""

    reason: Reason
    message: str


def makes_no_pod(job: Job) -> bool:
    """Whether a Job has finished or is being deleted, so that it never creates another Pod."""
    return job.metadata.deletion_timestamp is not None or _end(job) is not None


def had_no_pod(job: Job) -> bool:
    """Whether a Job has certainly never had a Pod."""
    return job.status.start_time is None and _end(job) is None


def is_suspended(job: Job) -> bool:
    """Whether a Job waits for admission by its queue."""
    return bool(job.spec.suspend)


def _end(job: Job) -> JobCondition | None:
    return next((one for one in job.status.conditions if one.type in _END_CONDITIONS and one.status == "True"), None)


def observe_job(job: Job, *, now: float, trouble: Trouble | None = None) -> AttemptSeen | None:
    """Read an attempt from its Job, of which no Pod is known.

    Args:
        job: the Job as it is now.
        now: seconds since the epoch.
        trouble: why it has no Pod although it may start, if that is known.

    Returns:
        The facts for the engine; an outcome only if the Job has finished. None if its labels don't name an attempt.
    """
    metadata = job.metadata
    identity = read_identity(metadata)
    if identity is None:
        return None
    reason: str | None = None
    message: str | None = None
    if is_suspended(job):
        reason, message = Reason.ADMISSION_QUEUE, f"Job {metadata.name} is suspended: its queue has not admitted it"
    elif trouble is not None:
        reason, message = trouble
    return AttemptSeen(
        key=identity.key,
        attempt=identity.attempt,
        failures=identity.failures,
        disruptions=identity.disruptions,
        pod=metadata.name,
        uid=metadata.uid,
        created_at=read_time(metadata.creation_timestamp) or now,
        outcome=_outcome(job, now),
        waiting_reason=reason,
        waiting_message=message,
        is_finished=_end(job) is not None,
        is_deleting=metadata.deletion_timestamp is not None,
        is_tracked=False,
        kind=AttemptKind.JOB,
        is_held=reason is not None,
        began_at=identity.began_at,
    )


def _outcome(job: Job, now: float) -> Outcome | None:
    end = _end(job)
    if end is None:
        return None
    if end.reason == "DeadlineExceeded":
        # The deadline of a Job while no operator ran, before its Pod started.
        return Outcome(Cause.FAILURE, now, Reason.QUEUE_TIMEOUT, end.message or end.reason)
    message = (
        f"the Pod of Job {job.metadata.name} was deleted before its outcome was recorded;"
        f" message of the Job: {end.message}"
    )
    return Outcome(Cause.DISRUPTION, now, Reason.POD_DELETED, message)


def explain_end(seen: AttemptSeen, job: Job) -> AttemptSeen:
    """Replace the reason PodDeleted by why the Job deleted its Pod."""
    outcome = seen.outcome
    if outcome is None or outcome.reason != Reason.POD_DELETED:
        return seen
    end = _end(job)
    if end is not None and end.reason == "DeadlineExceeded":
        outcome = outcome._replace(cause=Cause.FAILURE, reason=Reason.DEADLINE_EXCEEDED, message=end.message)
    elif is_suspended(job):
        message = f"Job {job.metadata.name} was suspended by its queue while its Pod ran"
        outcome = outcome._replace(reason=Reason.PREEMPTED, message=message)
    return seen._replace(outcome=outcome)


def classify_trouble(message: str) -> tuple[Trouble, bool]:
    """Classify the Job controller's message about a Pod that it could not create.

    Only its Events report it: https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_utils.go
    (`FailedCreatePodReason`), `Error creating: ` and the API server's message.

    Returns:
        The trouble, and whether it is permanent.
    """
    text = message.removeprefix("Error creating: ")
    if QUOTA_TEXT in text:
        return Trouble(Reason.QUOTA_EXCEEDED, text), False
    if any(refusal in text for refusal in _REFUSALS):
        return Trouble(Reason.CREATE_REFUSED, text), True
    return Trouble(Reason.ADMISSION_QUEUE, text), False
