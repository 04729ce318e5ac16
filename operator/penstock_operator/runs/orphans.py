"""Pods whose run is not known: one look at the run decides for all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from penstock.api import names
from penstock.engine.keys import RunKey
from penstock_operator.workloads.pod_status import Pod, is_tracked, run_uid

KNOWN_GONE: Final = 10_000
"""Uids of runs known to be over or gone, so that their many Pods cost one look."""


class Orphans:
    """Keeps Pods until their run is found, or lets them go when it is over or gone.

    Args:
        let_go: takes the finalizer off a Pod.
    """

    def __init__(self, let_go: Callable[[Pod], None]) -> None:
        self._let_go = let_go
        self._pods: dict[RunKey, dict[str, dict[str, Pod]]] = {}
        """By run, uid of the run, and name of the Pod: runs of one name may have come and gone."""
        self._expected: set[str] = set()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._is_open = False

    def expect(self, uid: str) -> None:
        """Learn that a run exists that will be made known."""
        if uid not in self._gone:
            self._expected.add(uid)

    def is_gone(self, uid: str) -> bool:
        """Whether a run is known to be over or gone."""
        return uid in self._gone

    def add(self, pod: Pod) -> RunKey | None:
        """Take in a Pod.

        Returns:
            The run to look for, if the Pod is held back by our finalizer.
        """
        uid, name = run_uid(pod), pod.metadata.labels.get(names.LABEL_RUN, "")
        if uid in self._gone:
            self._dismiss([pod])
            return None
        # Once all runs are known, a Pod that holds nothing back and whose run is not among them is of no interest.
        if not name or (self._is_open and not is_tracked(pod) and uid not in self._expected):
            return None
        key = RunKey(pod.metadata.namespace, name)
        self._pods.setdefault(key, {}).setdefault(uid, {})[pod.metadata.name] = pod
        return key if is_tracked(pod) else None

    def discard(self, pod: Pod) -> None:
        """Learn that a Pod is gone."""
        key = RunKey(pod.metadata.namespace, pod.metadata.labels.get(names.LABEL_RUN, ""))
        self._pods.get(key, {}).get(run_uid(pod), {}).pop(pod.metadata.name, None)

    def claim(self, key: RunKey, uid: str | None) -> list[Pod]:
        """Return the Pods of the run of this name and uid, and let those of its namesakes go.

        Args:
            key: the run.
            uid: its uid; None when there is no such run.
        """
        by_uid = self._pods.pop(key, {})
        claimed = list(by_uid.pop(uid, {}).values()) if uid is not None else []
        for other, pods in by_uid.items():
            self._note_gone(other)
            self._dismiss(pods.values())
        if uid is not None:
            self._expected.discard(uid)
        return claimed

    def close(self, key: RunKey, uid: str) -> None:
        """Learn that a run is over or gone: its Pods, and those that turn up later, are let go."""
        self._note_gone(uid)
        self._dismiss(self._pods.get(key, {}).pop(uid, {}).values())

    def open(self) -> None:
        """Learn that all Pods and all runs that have begun were seen: forget those that nobody waits for."""
        self._is_open = True
        for key, by_uid in list(self._pods.items()):
            for uid in [uid for uid in by_uid if uid not in self._expected]:
                by_uid[uid] = {name: pod for name, pod in by_uid[uid].items() if is_tracked(pod)}
            if not any(by_uid.values()):
                del self._pods[key]

    def _note_gone(self, uid: str) -> None:
        self._expected.discard(uid)
        self._gone[uid] = None
        if len(self._gone) > KNOWN_GONE:
            self._gone.popitem(last=False)

    def _dismiss(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            if is_tracked(pod):
                self._let_go(pod)
