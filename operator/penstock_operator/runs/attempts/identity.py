"""Whether an object carries an attempt of a run: namespace, computed name, owner and labels must all agree.

Labels alone prove nothing: whoever may create a Pod chooses them. What can still be forged in the run's own namespace
is refused by the chart's admission policy.
"""

from __future__ import annotations

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from penstock.kube.metadata import ObjectMeta, OwnerReference
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.workloads.job_status import Job
from penstock_operator.workloads.pod_status import Pod, read_identity


def is_pod_of(run: LiveRun, pod: Pod, key: TaskInstanceKey, attempt: int) -> bool:
    """Whether a Pod carries an attempt of a run, by itself or for its Job.

    Args:
        run: the run.
        pod: the Pod.
        key: the task or item.
        attempt: number of the attempt.
    """
    owner = _controller(pod.metadata)
    if owner is None or not _is_labelled(pod.metadata, run, key, attempt):
        return False
    name = pod_name(run.key.name, run.uid, key, attempt)
    if owner.kind == "Job":
        return owner.name == name
    return pod.metadata.name == name and _is_run(owner, run)


def is_job_of(job: Job, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
    """Whether a Job carries an attempt of a run."""
    owner = _controller(job.metadata)
    return (
        owner is not None
        and _is_labelled(job.metadata, run, key, attempt)
        and job.metadata.name == pod_name(run.key.name, run.uid, key, attempt)
        and _is_run(owner, run)
    )


def is_job_of_any(job: Job, run: LiveRun) -> bool:
    """Whether a Job carries any attempt of a run."""
    identity = read_identity(job.metadata)
    return identity is not None and is_job_of(job, run, identity.key, identity.attempt)


def _is_labelled(metadata: ObjectMeta, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
    labels = metadata.labels
    return (
        metadata.namespace == run.key.namespace
        and labels.get(names.LABEL_RUN_UID) == run.uid
        and labels.get(names.LABEL_TASK) == key.task
        and labels.get(names.LABEL_INDEX) == (None if key.item is None else str(key.item))
        and labels.get(names.LABEL_ATTEMPT) == str(attempt)
    )


def _is_run(owner: OwnerReference, run: LiveRun) -> bool:
    return owner.kind == "FlowRun" and owner.uid == run.uid


def _controller(metadata: ObjectMeta) -> OwnerReference | None:
    return next((owner for owner in metadata.owner_references if owner.controller), None)
