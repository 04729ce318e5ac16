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
from penstock_operator.workloads.pod import Pod, job_owner
from penstock_operator.workloads.pod_status import read_identity


def is_pod_of(run: LiveRun, pod: Pod, key: TaskInstanceKey, attempt: int) -> bool:
    """Whether a Pod carries an attempt of a run, by itself or for its Job.

    Args:
        run: the run.
        pod: the Pod.
        key: the task or item.
        attempt: number of the attempt.
    """
    if not _is_labelled(pod.metadata, run, key, attempt):
        return False
    name = pod_name(run.key.name, run.uid, key, attempt)
    job = job_owner(pod)
    if job is not None:
        return job.name == name
    return pod.metadata.name == name and _is_managed_by(pod.metadata, run.key.name, run.uid)


def is_job_of(job: Job, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
    """Whether a Job carries an attempt of a run."""
    return (
        _is_labelled(job.metadata, run, key, attempt)
        and job.metadata.name == pod_name(run.key.name, run.uid, key, attempt)
        and _is_managed_by(job.metadata, run.key.name, run.uid)
    )


def is_job_of_any(job: Job, run: LiveRun) -> bool:
    """Whether a Job carries any attempt of a run."""
    identity = read_identity(job.metadata)
    return identity is not None and is_job_of(job, run, identity.key, identity.attempt)


def is_claim_of(metadata: ObjectMeta, run: LiveRun) -> bool:
    """Whether the PersistentVolumeClaim that has the name of a run's workspace belongs to the run."""
    return metadata.labels.get(names.LABEL_RUN_UID) == run.uid and _is_managed_by(metadata, run.key.name, run.uid)


def is_own_workload(metadata: ObjectMeta) -> bool:
    """Whether a Pod or Job carries the attempt that its labels name, of whatever run that is.

    For objects whose run is not live: the run may have finished, or may never have existed.
    """
    labels = metadata.labels
    return metadata.name == _claimed_name(metadata) and _is_managed_by(
        metadata, labels.get(names.LABEL_RUN, ""), labels.get(names.LABEL_RUN_UID, "")
    )


def own_job(pod: Pod) -> OwnerReference | None:
    """Return the Job that a Pod belongs to, if it has the name that follows from the Pod's labels.

    Whether that Job is ours has to be seen from the Job itself.
    """
    owner = job_owner(pod)
    return owner if owner is not None and owner.name == _claimed_name(pod.metadata) else None


def is_job_of_pod(job: Job, owner: OwnerReference) -> bool:
    """Whether a Job is ours, and the one that a Pod names as its owner."""
    return job.metadata.uid == owner.uid and is_own_workload(job.metadata)


def _claimed_name(metadata: ObjectMeta) -> str | None:
    identity, labels = read_identity(metadata), metadata.labels
    run, uid = labels.get(names.LABEL_RUN), labels.get(names.LABEL_RUN_UID)
    if identity is None or run is None or uid is None:
        return None
    return pod_name(run, uid, identity.key, identity.attempt)


def _is_labelled(metadata: ObjectMeta, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
    labels = metadata.labels
    return (
        metadata.namespace == run.key.namespace
        and labels.get(names.LABEL_RUN_UID) == run.uid
        and labels.get(names.LABEL_TASK) == key.task
        and labels.get(names.LABEL_INDEX) == (None if key.item is None else str(key.item))
        and labels.get(names.LABEL_ATTEMPT) == str(attempt)
    )


def _is_managed_by(metadata: ObjectMeta, run: str, uid: str) -> bool:
    owner = metadata.find_controller("FlowRun")
    return owner is not None and (owner.name, owner.uid) == (run, uid)
