"""Which Pods of ended attempts are kept, and until when: pure."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.api import names
from penstock.api.duration import duration_s
from penstock.engine.keys import ObjectKey
from penstock.engine.machine.facts import Cause
from penstock.errors import DurationError
from penstock.kube.resources import JOBS, PODS, Resource
from penstock_operator.workloads.pod_status import Pod, is_tracked, observe_pod, run_uid

KEPT_PER_RUN: Final = 50
KEPT: Final = 5_000
UNTRACKED_GRACE_S: Final = 60.0
"""A Pod that never had our finalizer is kept so long in any case: its outcome is in the status by then."""
SURPLUS_GRACE_S: Final = 30.0
"""A Pod too many stays so long after its end: somebody may look at it, and work that goes on comes first."""
STALE_ENTRIES: Final = 256
"""A heap is rebuilt when it holds so many entries more than twice the Pods that it is about."""


@dataclass(frozen=True, slots=True)
class KeptPod:
    """A Pod of an ended attempt.

    Attributes:
        resource: what is deleted: the Pod, or the Job that it belongs to.
        key: namespace and name of that.
        uid: uid of that.
        run_uid: uid of the run.
        is_completed: whether the attempt ended well.
        ended_at: seconds since the epoch.
        due_at: when it is to go; None: with its run.
        not_before: when it may go at the soonest.
        was_tracked: our finalizer was seen on it, and is off: its outcome is stored.
    """

    resource: Resource
    key: ObjectKey
    uid: str
    run_uid: str
    is_completed: bool
    ended_at: float
    due_at: float | None
    not_before: float
    was_tracked: bool


def read_kept_pod(pod: Pod, *, was_tracked: bool, now: float) -> KeptPod | None:
    """Read when the Pod of an ended attempt is to go.

    Args:
        pod: the Pod as it is now.
        was_tracked: whether our finalizer was seen on it before.
        now: seconds since the epoch.

    Returns:
        None while the Pod runs, holds an outcome that is not stored, or is not one of ours.
    """
    metadata = pod.metadata
    is_over = pod.status.phase in ("Succeeded", "Failed")
    if not is_over or metadata.deletion_timestamp is not None or is_tracked(pod):
        return None
    carrier = _carrier(pod)
    seen = observe_pod(pod, now=now)
    if carrier is None or seen is None or seen.outcome is None:
        return None
    resource, key, uid = carrier
    is_completed = seen.outcome.cause is Cause.SUCCESS
    # A node's clock may be wrong: neither before the creation nor after the first sight.
    ended_at = max(seen.created_at, min(seen.outcome.finished_at, now))
    keep_s = _keep_s(metadata.annotations, is_completed=is_completed)
    return KeptPod(
        resource=resource,
        key=key,
        uid=uid,
        run_uid=run_uid(pod),
        is_completed=is_completed,
        ended_at=ended_at,
        due_at=None if keep_s is None else ended_at + keep_s,
        not_before=now if was_tracked else now + UNTRACKED_GRACE_S,
        was_tracked=was_tracked,
    )


def carrier_uid(pod: Pod) -> str:
    """Return the uid of what is deleted for a Pod: its own, or that of its Job."""
    carrier = _carrier(pod)
    return pod.metadata.uid if carrier is None else carrier[2]


def _carrier(pod: Pod) -> tuple[Resource, ObjectKey, str] | None:
    """Return what is deleted for a Pod; None if it is none of our making, whatever its labels say."""
    metadata = pod.metadata
    if metadata.labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        return None
    for owner in metadata.owner_references:
        if owner.kind == "Job" and owner.controller:
            return JOBS, ObjectKey(metadata.namespace, owner.name), owner.uid
        if owner.kind == "FlowRun" and owner.uid == run_uid(pod):
            return PODS, metadata.key, metadata.uid
    return None


def _keep_s(annotations: Mapping[str, str], *, is_completed: bool) -> float | None:
    text = annotations.get(names.ANNOTATION_KEEP_COMPLETED if is_completed else names.ANNOTATION_KEEP_FAILED)
    try:
        return None if text is None else duration_s(text)
    except DurationError:
        # Somebody edited it: then it goes with its run.
        return None


class _Shelf:
    """Pods in order of their end, those that ended well apart: they go first."""

    def __init__(self) -> None:
        self.count = 0
        self._completed: list[tuple[float, str]] = []
        self._failed: list[tuple[float, str]] = []

    def put(self, pod: KeptPod, kept: Mapping[str, KeptPod]) -> None:
        """Take in a Pod."""
        heapq.heappush(self._completed if pod.is_completed else self._failed, (pod.ended_at, pod.uid))
        self.count += 1
        if len(self._completed) + len(self._failed) > STALE_ENTRIES + 2 * self.count:
            self._completed = [entry for entry in self._completed if entry[1] in kept]
            self._failed = [entry for entry in self._failed if entry[1] in kept]
            heapq.heapify(self._completed)
            heapq.heapify(self._failed)

    def first_to_go(self, kept: Mapping[str, KeptPod]) -> KeptPod:
        """Return the oldest of those that ended well, else the oldest."""
        for heap in (self._completed, self._failed):
            # Those that went for another reason leave their entries behind.
            while heap and heap[0][1] not in kept:
                heapq.heappop(heap)
            if heap:
                return kept[heap[0][1]]
        raise AssertionError("an empty shelf has nothing to give")


class KeptPods:
    """Every kept Pod, and which of them are to go.

    Args:
        per_run: most Pods kept for one run.
        total: most Pods kept in all.
        surplus_grace_s: how long a Pod stays after its end that is too many for its run, seconds.
    """

    def __init__(
        self, *, per_run: int = KEPT_PER_RUN, total: int = KEPT, surplus_grace_s: float = SURPLUS_GRACE_S
    ) -> None:
        self._per_run = per_run
        self._surplus_grace_s = surplus_grace_s
        self._total = total
        self._kept: dict[str, KeptPod] = {}
        self._shelves: dict[str, _Shelf] = {}
        self._all = _Shelf()
        self._due: list[tuple[float, str]] = []
        self._leaving: list[tuple[float, int, KeptPod]] = []
        self._awaited: set[str] = set()
        """Uids of those that are to leave and are not gone yet."""
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, pod: KeptPod) -> None:
        """Keep a Pod; one that is known stays as it is."""
        if pod.uid in self._kept:
            return
        self._kept[pod.uid] = pod
        shelf = self._shelves.setdefault(pod.run_uid, _Shelf())
        shelf.put(pod, self._kept)
        self._all.put(pod, self._kept)
        if pod.due_at is not None:
            heapq.heappush(self._due, (pod.due_at, pod.uid))
            if len(self._due) > STALE_ENTRIES + 2 * len(self._kept):
                self._due = [entry for entry in self._due if entry[1] in self._kept]
                heapq.heapify(self._due)
        if shelf.count > self._per_run:
            self._send_away(shelf.first_to_go(self._kept), grace_s=self._surplus_grace_s)
        elif self._all.count > self._total:
            self._send_away(self._all.first_to_go(self._kept))

    def discard(self, uid: str) -> None:
        """Learn that a Pod is gone, or goes."""
        self._awaited.discard(uid)
        pod = self._kept.pop(uid, None)
        if pod is None:
            return
        self._all.count -= 1
        shelf = self._shelves[pod.run_uid]
        shelf.count -= 1
        if not shelf.count:
            del self._shelves[pod.run_uid]

    def _send_away(self, pod: KeptPod, *, grace_s: float = 0.0) -> None:
        self.discard(pod.uid)
        may_stay = grace_s > 0 and len(self._leaving) < self._total
        self.postpone(pod, max(pod.not_before, pod.ended_at + grace_s) if may_stay else pod.not_before)

    def postpone(self, pod: KeptPod, until: float) -> None:
        """Have a Pod go later that could not go now.

        Args:
            pod: the Pod, which does not count as kept any more.
            until: seconds since the epoch.
        """
        self._awaited.add(pod.uid)
        heapq.heappush(self._leaving, (until, next(self._order), pod))

    def take_due(self, now: float) -> list[KeptPod]:
        """Return the Pods that are to go now; they are not kept any more.

        Args:
            now: seconds since the epoch.
        """
        while self._due and self._due[0][0] <= now:
            pod = self._kept.get(heapq.heappop(self._due)[1])
            if pod is not None:
                self._send_away(pod)
        taken: list[KeptPod] = []
        while self._leaving and self._leaving[0][0] <= now:
            pod = heapq.heappop(self._leaving)[2]
            # Somebody else may have deleted it meanwhile: its namespace, for one.
            if pod.uid in self._awaited:
                self._awaited.discard(pod.uid)
                taken.append(pod)
        return taken

    @property
    def next_due_at(self) -> float | None:
        """When there is something to do, seconds since the epoch; None: when another Pod comes."""
        times = [heap[0][0] for heap in (self._due, self._leaving) if heap]
        return min(times, default=None)
