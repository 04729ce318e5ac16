"""Pods whose run is not live: they are kept until it is, or lose their finalizer when it has finished or is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from penstock.api import names
from penstock.engine.keys import RunKey
from penstock_operator.runs.attempts.pod_writer import PodWriter
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.live_run import RunUid
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.bounded import BoundedSet
from penstock_operator.workloads.pod_status import Pod, is_tracked, observe_pod, run_uid

KNOWN_BROKEN: Final = 1000
"""Runs that are remembered; the stored reason of any other is read again when its Pods are seen."""


class Orphans:
    """Keeps Pods until their run is known: one read of the run decides about all of its Pods.

    Args:
        writer: deletes Pods and removes finalizers.
        registry: has runs reconciled.
        initial_sync: expects them.
        clock: seconds since the epoch.
    """

    def __init__(
        self, writer: PodWriter, registry: RunRegistry, initial_sync: InitialSync, *, clock: Callable[[], float]
    ) -> None:
        self._writer = writer
        self._registry = registry
        self._initial_sync = initial_sync
        self._clock = clock
        self._pods: dict[RunKey, dict[str, dict[str, Pod]]] = {}
        """By run, uid of the run, and name of the Pod: runs of one name may have come and gone."""
        self._expected: set[RunUid] = set()
        self._broken: BoundedSet[RunUid] = BoundedSet(KNOWN_BROKEN)
        self._is_open = False

    def expect_run(self, uid: RunUid) -> None:
        """Keep the Pods of a run that exists and will be made live."""
        if not self._registry.is_finished(uid):
            self._expected.add(uid)

    def mark_broken(self, uid: RunUid) -> None:
        """Have the Pods of a run stopped when they are seen: it had begun and cannot continue, so it has no machine."""
        self._broken.add(uid)

    def add_pod(self, pod: Pod) -> None:
        """Keep a Pod, and have its run reconciled if the Pod carries our finalizer."""
        uid, name = RunUid(pod.metadata.namespace, run_uid(pod)), pod.metadata.labels.get(names.LABEL_RUN, "")
        if self._registry.is_finished(uid):
            self._remove_finalizers([pod])
            return
        # Once all runs are known, a Pod without our finalizer whose run is not among them does not matter.
        if not name or (self._is_open and not is_tracked(pod) and uid not in self._expected):
            return
        key = RunKey(pod.metadata.namespace, name)
        self._pods.setdefault(key, {}).setdefault(uid.uid, {})[pod.metadata.name] = pod
        if is_tracked(pod):
            self._initial_sync.expect_run(key)
            self._registry.queue.add(key)

    def forget_pod(self, pod: Pod) -> None:
        """Forget a Pod that was deleted."""
        key = RunKey(pod.metadata.namespace, pod.metadata.labels.get(names.LABEL_RUN, ""))
        self._pods.get(key, {}).get(run_uid(pod), {}).pop(pod.metadata.name, None)

    def claim_pods(self, key: RunKey, uid: str | None) -> list[Pod]:
        """Return the Pods of the run of this name and uid, and release those of earlier runs of the name.

        Args:
            key: the run.
            uid: its uid; None when there is no such run.
        """
        by_uid = self._pods.pop(key, {})
        claimed = list(by_uid.pop(uid, {}).values()) if uid is not None else []
        for other, pods in by_uid.items():
            self._mark_finished(RunUid(key.namespace, other))
            self._remove_finalizers(pods.values())
        if uid is not None:
            self._expected.discard(RunUid(key.namespace, uid))
        return claimed

    def finish_run(self, key: RunKey, uid: str) -> None:
        """Remove the finalizers from the Pods of a finished or deleted run, now and when they are seen later."""
        self._mark_finished(RunUid(key.namespace, uid))
        self._remove_finalizers(self._pods.get(key, {}).pop(uid, {}).values())

    def open(self) -> None:
        """Forget the Pods that no run will claim: the first lists of Pods and runs are complete."""
        self._is_open = True
        for key, by_uid in list(self._pods.items()):
            for uid in [uid for uid in by_uid if RunUid(key.namespace, uid) not in self._expected]:
                by_uid[uid] = {name: pod for name, pod in by_uid[uid].items() if is_tracked(pod)}
            if not any(by_uid.values()):
                del self._pods[key]

    def _mark_finished(self, uid: RunUid) -> None:
        self._expected.discard(uid)
        self._registry.mark_finished(uid)

    def _remove_finalizers(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            if is_tracked(pod):
                self._remove_finalizer(pod)

    def _remove_finalizer(self, pod: Pod) -> None:
        metadata = pod.metadata
        if RunUid(metadata.namespace, run_uid(pod)) in self._broken and metadata.deletion_timestamp is None:
            seen = observe_pod(pod, now=self._clock())
            if seen is not None and not seen.is_finished:
                self._registry.spawn_about("Pod", metadata.key, self._writer.delete_with_job(pod))
        removal = self._writer.remove_finalizer(metadata.namespace, metadata.name, metadata.uid)
        self._registry.spawn_about("Pod", metadata.key, removal)
