"""Which Pods of ended attempts are kept, and until when: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from penstock.api import names
from penstock.api.duration import duration_s
from penstock.engine.keys import ObjectKey, RunUid
from penstock.engine.machine.facts import Cause
from penstock.errors import DurationError
from penstock.kube.resources import JOBS, PODS, Resource
from penstock_operator.runs.attempts.identity import is_own_workload, own_job
from penstock_operator.runtime.time_heap import TimeHeap
from penstock_operator.workloads.pod import Pod, is_tracked, job_owner, read_time, run_uid
from penstock_operator.workloads.pod_status import read_outcome
from penstock_operator.workloads.pod_stop import end_due_at

G = TypeVar("G", str, RunUid)

KEPT_PER_RUN: Final = 50
KEPT: Final = 5_000
"""In all. Beyond it, the namespace that has most of them loses one."""
UNTRACKED_GRACE_S: Final = 60.0
"""How long a Pod that never had our finalizer is kept in any case: its outcome is in the status by then."""
SURPLUS_GRACE_S: Final = 30.0
"""How long a surplus Pod stays after its end: a person may want its logs, and active work has priority."""


class WorkloadUid(NamedTuple):
    """A Pod or Job. Which Job a Pod belongs to is only what the Pod says: so not without its namespace."""

    namespace: str
    uid: str


class KeptPod(NamedTuple):
    """A Pod of an ended attempt.

    Attributes:
        resource: what is deleted: the Pod, or the Job that it belongs to.
        key: namespace and name of that.
        workload: namespace and uid of that.
        run: the run.
        is_completed: whether the attempt succeeded.
        ended_at: seconds since the epoch.
        due_at: when it is removed; None: with its run.
        not_before: the earliest time at which it may be removed.
        was_tracked: our finalizer was seen on it and has been removed: its outcome is stored.
    """

    resource: Resource
    key: ObjectKey
    workload: WorkloadUid
    run: RunUid
    is_completed: bool
    ended_at: float
    due_at: float | None
    not_before: float
    was_tracked: bool

    @property
    def uid(self) -> str:
        """Uid of what is deleted."""
        return self.workload.uid


def read_kept_pod(pod: Pod, *, was_tracked: bool, now: float) -> KeptPod | None:
    """Read when the Pod of an ended attempt is to be removed.

    Args:
        pod: the Pod as it is now.
        was_tracked: whether our finalizer was seen on it before.
        now: seconds since the epoch.

    Returns:
        None while the Pod runs, holds an outcome that is not stored, or is not ours.
    """
    metadata = pod.metadata
    is_finished = pod.status.phase in ("Succeeded", "Failed")
    if not is_finished or metadata.deletion_timestamp is not None or is_tracked(pod):
        return None
    workload = _workload(pod)
    outcome = read_outcome(pod, now=now)
    if workload is None or outcome is None:
        return None
    resource, key, uid = workload
    # One that we stopped has not completed, whatever its exit code.
    is_completed = outcome.cause is Cause.SUCCESS and end_due_at(pod, now=now) is None
    # A node's clock may be wrong: the end is neither before the creation nor in the future.
    ended_at = max(read_time(metadata.creation_timestamp) or now, min(outcome.finished_at, now))
    keep_s = _keep_s(metadata.annotations, is_completed=is_completed)
    return KeptPod(
        resource=resource,
        key=key,
        workload=WorkloadUid(key.namespace, uid),
        run=RunUid(metadata.namespace, run_uid(pod)),
        is_completed=is_completed,
        ended_at=ended_at,
        due_at=None if keep_s is None else ended_at + keep_s,
        not_before=now if was_tracked else now + UNTRACKED_GRACE_S,
        was_tracked=was_tracked,
    )


def workload_uid(pod: Pod) -> WorkloadUid:
    """Return what is deleted for a Pod: itself, or its Job."""
    workload = None if job_owner(pod) is None else _workload(pod)
    return WorkloadUid(pod.metadata.namespace, pod.metadata.uid if workload is None else workload[2])


def _workload(pod: Pod) -> tuple[Resource, ObjectKey, str] | None:
    """Return what is deleted for a Pod; None if the operator did not create it, though it may have our labels.

    Whether the Job is ours has to be seen from the Job itself, before it is deleted.
    """
    metadata = pod.metadata
    if metadata.labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        return None
    if is_own_workload(metadata):
        return PODS, metadata.key, metadata.uid
    job = own_job(pod)
    return None if job is None else (JOBS, ObjectKey(metadata.namespace, job.name), job.uid)


def _keep_s(annotations: Mapping[str, str], *, is_completed: bool) -> float | None:
    text = annotations.get(names.ANNOTATION_KEEP_COMPLETED if is_completed else names.ANNOTATION_KEEP_FAILED)
    try:
        return None if text is None else duration_s(text)
    except DurationError:
        # Another writer edited it: then the Pod is removed with its run.
        return None


class _PodsByEnd:
    """Pods in the order of their end. Those of successful attempts are removed first."""

    def __init__(self) -> None:
        self._completed: TimeHeap[WorkloadUid] = TimeHeap()
        self._failed: TimeHeap[WorkloadUid] = TimeHeap()

    def __len__(self) -> int:
        return len(self._completed) + len(self._failed)

    def add_pod(self, pod: KeptPod) -> None:
        (self._completed if pod.is_completed else self._failed).set(pod.workload, pod.ended_at)

    def discard_pod(self, pod: KeptPod) -> None:
        (self._completed if pod.is_completed else self._failed).discard(pod.workload)

    @property
    def first_to_remove(self) -> WorkloadUid:
        """The oldest Pod of a successful attempt; if there is none, the oldest Pod."""
        uid = self._completed.first or self._failed.first
        assert uid is not None, "there is a Pod"
        return uid


def _discard(groups: dict[G, _PodsByEnd], group: G, pod: KeptPod) -> None:
    pods = groups[group]
    pods.discard_pod(pod)
    if not len(pods):
        del groups[group]


class KeptPods:
    """Every kept Pod, and which of them are to be removed.

    Args:
        per_run: most Pods kept for one run.
        total: most Pods kept in all; beyond them the namespace with most kept Pods loses one.
        surplus_grace_s: how long a Pod beyond the limit of its run stays after its end, seconds.
    """

    def __init__(
        self, *, per_run: int = KEPT_PER_RUN, total: int = KEPT, surplus_grace_s: float = SURPLUS_GRACE_S
    ) -> None:
        self._per_run = per_run
        self._surplus_grace_s = surplus_grace_s
        self._total = total
        self._kept: dict[WorkloadUid, KeptPod] = {}
        self._by_run: dict[RunUid, _PodsByEnd] = {}
        self._by_namespace: dict[str, _PodsByEnd] = {}
        self._due: TimeHeap[WorkloadUid] = TimeHeap()
        """Of kept Pods, by uid: when their own time comes."""
        self._leaving: TimeHeap[WorkloadUid] = TimeHeap()
        """Of Pods that are not kept any more, by uid: when they are removed."""
        self._leaving_pods: dict[WorkloadUid, KeptPod] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def add_pod(self, pod: KeptPod) -> None:
        """Keep a Pod; one that is known stays as it is."""
        if pod.workload in self._kept:
            return
        self._kept[pod.workload] = pod
        of_run = self._by_run.setdefault(pod.run, _PodsByEnd())
        of_run.add_pod(pod)
        self._by_namespace.setdefault(pod.key.namespace, _PodsByEnd()).add_pod(pod)
        if pod.due_at is not None:
            self._due.set(pod.workload, pod.due_at)
        if len(of_run) > self._per_run:
            self._stop_keeping(of_run.first_to_remove, grace_s=self._surplus_grace_s)
        elif len(self._kept) > self._total:
            self._stop_keeping(max(self._by_namespace.values(), key=len).first_to_remove)

    def discard_pod(self, uid: WorkloadUid) -> None:
        """Forget a Pod that is deleted or being deleted."""
        self._leaving.discard(uid)
        self._leaving_pods.pop(uid, None)
        self._remove_kept(uid)

    def _remove_kept(self, uid: WorkloadUid) -> KeptPod | None:
        pod = self._kept.pop(uid, None)
        if pod is None:
            return None
        self._due.discard(uid)
        _discard(self._by_namespace, pod.key.namespace, pod)
        _discard(self._by_run, pod.run, pod)
        return pod

    def _stop_keeping(self, uid: WorkloadUid, *, grace_s: float = 0.0) -> None:
        pod = self._remove_kept(uid)
        if pod is not None:
            may_stay = grace_s > 0 and len(self._leaving) < self._total
            self.postpone_pod(pod, max(pod.not_before, pod.ended_at + grace_s) if may_stay else pod.not_before)

    def postpone_pod(self, pod: KeptPod, until: float) -> None:
        """Have a Pod removed later that could not be removed now.

        Args:
            pod: the Pod, which does not count as kept any more.
            until: seconds since the epoch.
        """
        known = self._leaving.time_of(pod.workload)
        if known is None or until < known:
            self._leaving.set(pod.workload, until)
            self._leaving_pods[pod.workload] = pod

    def pop_due(self, now: float) -> list[KeptPod]:
        """Return the Pods that are to be removed now; they are not kept any more.

        Args:
            now: seconds since the epoch.
        """
        for uid in self._due.pop_due(now):
            self._stop_keeping(uid)
        return [self._leaving_pods.pop(uid) for uid in self._leaving.pop_due(now)]

    @property
    def next_due_at(self) -> float | None:
        """When there is something to do, seconds since the epoch; None: when another Pod comes."""
        times = [heap.next_time for heap in (self._due, self._leaving)]
        return min((time for time in times if time is not None), default=None)
