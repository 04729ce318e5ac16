"""Which runs that are over are kept, and until when: pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.api.duration import duration_s
from penstock.engine.keys import ObjectKey
from penstock.engine.state import SUCCESSFUL_RUN_STATES
from penstock.errors import DurationError
from penstock.kube.kinds.flow_run import RunMetadata

NAMING_KINDS: Final = frozenset({"Schedule", "Backfill", "FlowRun"})
"""Our kinds that create runs, and name them."""
GENERATED_CHARACTERS: Final = 5
"""What the API server puts behind `generateName`:
https://kubernetes.io/docs/reference/using-api/api-concepts/#generated-values."""
STALE_ENTRIES: Final = 256
"""The heap is rebuilt when it holds so many entries more than twice the runs that wait."""


class RunPolicy(NamedTuple):
    """How long the runs of a Flow are kept, in seconds; None: until somebody deletes them."""

    completed_s: float | None
    failed_s: float | None

    def keep_s(self, *, is_successful: bool) -> float | None:
        """Return how long a run is kept that ended so."""
        return self.completed_s if is_successful else self.failed_s


class Parent(NamedTuple):
    """The run whose child a run is."""

    name: str
    uid: str


class EndedRun(NamedTuple):
    """A run that is over, and may be removed some day."""

    key: ObjectKey
    uid: str
    flow: str
    is_successful: bool
    ended_at: float
    """Seconds since the epoch."""
    parent: Parent | None

    @property
    def flow_key(self) -> ObjectKey:
        """Which Flow it is of."""
        return ObjectKey(self.key.namespace, self.flow)


def read_policy(flow: Mapping[str, Any]) -> RunPolicy | None:
    """Read how long a Flow's runs are kept; None if it does not say.

    Args:
        flow: the Flow as the API server has it.
    """
    retention = (flow.get("spec") or {}).get("retention") or {}
    policy = RunPolicy(_seconds(retention.get("completed")), _seconds(retention.get("failed")))
    return None if policy == RunPolicy(None, None) else policy


def _seconds(text: object) -> float | None:
    try:
        return duration_s(text) if isinstance(text, str) else None
    except DurationError:
        # It got past the schema somehow; what is in doubt is kept.
        return None


def read_ended_run(metadata: RunMetadata, *, flow: str | None, state: str, ended_at: float) -> EndedRun | None:
    """Read what decides about a run that is over.

    Args:
        metadata: of the run.
        flow: name of its Flow; None for an inline spec.
        state: its final state.
        ended_at: seconds since the epoch.

    Returns:
        None if it stays until somebody deletes it: a person named it, so it may be kept in Git; or it has no Flow.
    """
    if not flow or metadata.deletion_timestamp is not None or is_named_by_person(metadata):
        return None
    owners = (owner for owner in metadata.owner_references if owner.controller and owner.kind == "FlowRun")
    return EndedRun(
        key=metadata.key,
        uid=metadata.uid,
        flow=flow,
        is_successful=state in SUCCESSFUL_RUN_STATES,
        ended_at=ended_at,
        parent=next((Parent(owner.name, owner.uid) for owner in owners), None),
    )


def is_named_by_person(metadata: RunMetadata) -> bool:
    """Whether a person chose a run's name, rather than a Schedule, a parent run or `generateName`."""
    if any(owner.controller and owner.kind in NAMING_KINDS for owner in metadata.owner_references):
        return False
    prefix, name = metadata.generate_name, metadata.name
    # Who gives both has chosen the name. The API server cuts a long prefix.
    is_generated = bool(prefix) and len(name) > GENERATED_CHARACTERS and prefix.startswith(name[:-GENERATED_CHARACTERS])
    return not is_generated


class KeptRuns:
    """Every run that is over and waits to be removed. Runs of Flows that say nothing are not among them."""

    def __init__(self) -> None:
        self._policies: dict[ObjectKey, RunPolicy] = {}
        self._runs: dict[str, EndedRun] = {}
        self._due: list[tuple[float, str]] = []
        self._children: dict[str, dict[str, EndedRun]] = {}
        """Those that wait for their parent, by its uid and theirs."""

    def __len__(self) -> int:
        return len(self._runs) + sum(map(len, self._children.values()))

    def set_policy(self, flow: ObjectKey, policy: RunPolicy | None) -> bool:
        """Take over what a Flow says now.

        Returns:
            Whether its runs that are over must be looked through: some may wait here that should not, or the reverse.
        """
        if self._policies.get(flow) == policy:
            return False
        if policy is None:
            # Those that wait are found out about when their time comes.
            del self._policies[flow]
            return False
        self._policies[flow] = policy
        return True

    def has_policy(self, flow: ObjectKey) -> bool:
        """Whether a Flow says anything."""
        return flow in self._policies

    def add(self, run: EndedRun) -> None:
        """Take in a run that is over; one that is known is looked at anew."""
        due_at = self._due_at(run)
        if due_at is None or run.uid in self._children.get(run.parent.uid if run.parent else "", {}):
            return
        self._runs[run.uid] = run
        heapq.heappush(self._due, (due_at, run.uid))
        if len(self._due) > STALE_ENTRIES + 2 * len(self._runs):
            times = {uid: self._due_at(each) for uid, each in self._runs.items()}
            self._due = [(at, uid) for uid, at in times.items() if at is not None]
            heapq.heapify(self._due)

    def take_due(self, now: float) -> list[EndedRun]:
        """Return the runs that are to go now; they don't wait any more.

        Args:
            now: seconds since the epoch.
        """
        taken: list[EndedRun] = []
        while self._due and self._due[0][0] <= now:
            run = self._runs.pop(heapq.heappop(self._due)[1], None)
            if run is None:
                continue
            due_at = self._due_at(run)
            if due_at is not None and due_at <= now:
                taken.append(run)
            elif due_at is not None:
                self.add(run)
        return taken

    def postpone(self, run: EndedRun, until: float) -> None:
        """Have a run go later that could not go now.

        Args:
            run: the run.
            until: seconds since the epoch.
        """
        self._runs[run.uid] = run
        heapq.heappush(self._due, (until, run.uid))

    def wait_for_parent(self, run: EndedRun) -> None:
        """Have a run wait until its parent is over."""
        assert run.parent is not None
        self._children.setdefault(run.parent.uid, {})[run.uid] = run

    def parent_is_over(self, uid: str) -> bool:
        """Learn that a run is over; returns whether others waited for that."""
        children = self._children.pop(uid, {})
        for child in children.values():
            self.add(child)
        return bool(children)

    @property
    def next_due_at(self) -> float | None:
        """When there is something to do, seconds since the epoch; None: when something happens."""
        return self._due[0][0] if self._due else None

    def _due_at(self, run: EndedRun) -> float | None:
        policy = self._policies.get(run.flow_key)
        keep_s = None if policy is None else policy.keep_s(is_successful=run.is_successful)
        return None if keep_s is None else run.ended_at + keep_s
