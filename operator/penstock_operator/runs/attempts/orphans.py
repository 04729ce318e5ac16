"""Pods whose run is not live: they are kept until it is.

When their run has finished or is deleted, they lose their finalizer, and those that have not finished are stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from penstock.api import names
from penstock.engine.keys import RunKey, RunUid
from penstock_operator.runs.attempts.identity import is_own_workload
from penstock_operator.runs.attempts.pod_writer import PodWriter
from penstock_operator.runs.attempts.reader import RetryingReader
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.bounded import BoundedSet
from penstock_operator.workloads.pod import Pod, is_tracked, run_uid
from penstock_operator.workloads.pod_status import is_pod_finished

KNOWN_STOPPED: Final = 1000
"""Pods that are remembered, so that each further event of one does not stop it again."""

KNOWN_GONE: Final = 10_000
"""Runs that do not exist, as Pods name them, that are remembered."""


class Orphans:
    """Keeps Pods until their run is known: one read of the run decides about all of its Pods.

    Args:
        reader: for the Jobs of Pods.
        writer: stops Pods and removes finalizers.
        registry: has runs reconciled.
        initial_sync: expects them.
    """

    def __init__(
        self, reader: RetryingReader, writer: PodWriter, registry: RunRegistry, initial_sync: InitialSync
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._registry = registry
        self._initial_sync = initial_sync
        self._pods: dict[RunKey, dict[str, dict[str, Pod]]] = {}
        """By run, uid of the run, and name of the Pod: runs of one name may have come and gone."""
        self._expected: set[RunUid] = set()
        self._stopped: BoundedSet[str] = BoundedSet(KNOWN_STOPPED)
        """Uids of Pods."""
        self._gone: BoundedSet[tuple[RunKey, str]] = BoundedSet(KNOWN_GONE)
        """Names and uids by which Pods name a run that does not exist: each further Pod of it costs no read."""
        self._is_open = False

    def expect_run(self, uid: RunUid) -> None:
        """Keep the Pods of a run that exists and will be made live."""
        if not self._registry.is_finished(uid):
            self._expected.add(uid)

    def add_pod(self, pod: Pod) -> None:
        """Keep a Pod, and have its run reconciled if the Pod carries our finalizer or has not finished."""
        uid, name = RunUid(pod.metadata.namespace, run_uid(pod)), pod.metadata.labels.get(names.LABEL_RUN, "")
        if self._registry.is_finished(uid):
            self._release([pod])
            return
        key = RunKey(pod.metadata.namespace, name)
        if not name or (key, uid.uid) in self._gone:
            self._release([pod])
            return
        # Once all runs are known, a finished Pod without our finalizer whose run is not among them does not matter.
        if self._is_open and not _matters(pod) and uid not in self._expected:
            return
        self._pods.setdefault(key, {}).setdefault(uid.uid, {})[pod.metadata.name] = pod
        if _matters(pod):
            if (live := self._registry.find_run_by_key(key)) is not None:
                # The Pod says that another run of that name exists.
                live.needs_recheck = True
            self._initial_sync.expect_run(key)
            self._registry.queue.add(key)

    def release_foreign_pod(self, pod: Pod) -> None:
        """Remove our finalizer from a Pod that only seems to be of a live run, so that it can be deleted."""
        if is_tracked(pod) and pod.metadata.deletion_timestamp is not None:
            self._release([pod])

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
            # Not every run of this uid: a label may name the uid of a run that has another name.
            self._gone.add((key, other))
            self._release(pods.values())
        if uid is not None:
            self._expected.discard(RunUid(key.namespace, uid))
        return claimed

    def finish_run(self, key: RunKey, uid: str) -> None:
        """Release the Pods of a finished or deleted run, now and when they are seen later."""
        self._mark_finished(RunUid(key.namespace, uid))
        self._release(self._pods.get(key, {}).pop(uid, {}).values())

    def open(self) -> None:
        """Forget the Pods that no run will claim: the first lists of Pods and runs are complete."""
        self._is_open = True
        for key, by_uid in list(self._pods.items()):
            for uid in [uid for uid in by_uid if RunUid(key.namespace, uid) not in self._expected]:
                by_uid[uid] = {name: pod for name, pod in by_uid[uid].items() if _matters(pod)}
            if not any(by_uid.values()):
                del self._pods[key]

    def _mark_finished(self, uid: RunUid) -> None:
        self._expected.discard(uid)
        self._registry.mark_finished(uid)

    def _release(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            metadata = pod.metadata
            if _is_active(pod) and metadata.deletion_timestamp is None and metadata.uid not in self._stopped:
                self._stopped.add(metadata.uid)
                self._registry.spawn_about("Pod", metadata.key, self._stop(pod))
            if is_tracked(pod):
                removal = self._writer.remove_finalizer(metadata.namespace, metadata.name, metadata.uid)
                self._registry.spawn_about("Pod", metadata.key, removal)

    async def _stop(self, pod: Pod) -> None:
        if is_own_workload(pod.metadata):
            await self._writer.stop_orphan(pod, None)
        elif (job := await self._reader.read_own_job(pod)) is not None:
            await self._writer.stop_orphan(pod, job)


def _is_active(pod: Pod) -> bool:
    return not is_pod_finished(pod)


def _matters(pod: Pod) -> bool:
    """Whether something has to be done about a Pod when its run has finished."""
    return is_tracked(pod) or _is_active(pod)
