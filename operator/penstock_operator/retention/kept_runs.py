"""Which finished runs are kept, and until when: pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.api.duration import duration_s
from penstock.api.flow import Retention
from penstock.engine.keys import ObjectKey, RunUid
from penstock.engine.state import SUCCESSFUL_RUN_STATES
from penstock.kube.kinds.flow_run import RunMetadata
from penstock_operator.runtime.time_heap import TimeHeap
from penstock_operator.schedules.identity import backfill_of, schedule_of

NAMING_KINDS: Final = frozenset({"Schedule", "Backfill", "FlowRun"})
"""Our kinds that create runs, and name them."""
GENERATED_CHARACTERS: Final = 5
"""What the API server appends to `generateName`:
https://kubernetes.io/docs/reference/using-api/api-concepts/#generated-values."""


class RunPolicy(NamedTuple):
    """How long the runs of a Flow are kept, in seconds; None: until a person deletes them."""

    completed_s: float | None
    failed_s: float | None

    def keep_s(self, *, is_successful: bool) -> float | None:
        """Return how long a run with this outcome is kept."""
        return self.completed_s if is_successful else self.failed_s


class Parent(NamedTuple):
    """The run that a run is a child of."""

    name: str
    uid: str


class EndedRun(NamedTuple):
    """A finished run that may be removed some time."""

    key: ObjectKey
    uid: str
    flow: str
    is_successful: bool
    ended_at: float
    """Seconds since the epoch."""
    parent: Parent | None

    @property
    def flow_key(self) -> ObjectKey:
        """Its Flow."""
        return ObjectKey(self.key.namespace, self.flow)

    @property
    def parent_uid(self) -> RunUid | None:
        """Its parent."""
        return None if self.parent is None else RunUid(self.key.namespace, self.parent.uid)


def read_policy(retention: Retention | None) -> RunPolicy | None:
    """Read how long a Flow's runs are kept; None if nothing says so."""
    if retention is None:
        return None
    policy = RunPolicy(_seconds(retention.completed), _seconds(retention.failed))
    return None if policy == RunPolicy(None, None) else policy


def _seconds(text: str | None) -> float | None:
    return None if text is None else duration_s(text)


def read_ended_run(metadata: RunMetadata, *, flow: str | None, state: str, ended_at: float) -> EndedRun | None:
    """Read what decides about a finished run.

    Args:
        metadata: of the run.
        flow: name of its Flow; None for an inline spec.
        state: its final state.
        ended_at: seconds since the epoch.

    Returns:
        None if it stays until a person deletes it: a person named it, so it may be kept in Git; or it has no Flow.
    """
    if not flow or metadata.deletion_timestamp is not None or is_named_by_person(metadata):
        return None
    owner = metadata.find_controller("FlowRun")
    return EndedRun(
        key=metadata.key,
        uid=metadata.uid,
        flow=flow,
        is_successful=state in SUCCESSFUL_RUN_STATES,
        ended_at=ended_at,
        parent=None if owner is None else Parent(owner.name, owner.uid),
    )


def is_named_by_person(metadata: RunMetadata) -> bool:
    """Whether a person chose a run's name, rather than a Schedule, a parent run or `generateName`."""
    if any(metadata.find_controller(kind) is not None for kind in NAMING_KINDS):
        return False
    if schedule_of(metadata) is not None or backfill_of(metadata):
        return False
    prefix, name = metadata.generate_name, metadata.name
    # A writer that gives both has chosen the name. The API server cuts a long prefix.
    is_generated = bool(prefix) and len(name) > GENERATED_CHARACTERS and prefix.startswith(name[:-GENERATED_CHARACTERS])
    return not is_generated


class KeptRuns:
    """Every finished run that is to be removed. Runs of Flows without `retention` are not among them."""

    def __init__(self) -> None:
        self._policies: dict[ObjectKey, RunPolicy] = {}
        self._runs: dict[str, EndedRun] = {}
        self._due: TimeHeap[str] = TimeHeap()
        self._children: dict[RunUid, dict[str, EndedRun]] = {}
        """Those that wait for their parent to finish, by it and their uid."""

    def __len__(self) -> int:
        return len(self._runs) + sum(map(len, self._children.values()))

    def set_policy(self, flow: ObjectKey, policy: RunPolicy | None) -> bool:
        """Set how long the runs of a Flow are kept.

        Returns:
            Whether its finished runs must be listed: some may be missing here.
        """
        if self._policies.get(flow) == policy:
            return False
        if policy is None:
            # The runs that wait here are dropped when they are due.
            del self._policies[flow]
            return False
        self._policies[flow] = policy
        return True

    def has_policy(self, flow: ObjectKey) -> bool:
        """Whether a Flow has `retention`."""
        return flow in self._policies

    def policy_of(self, flow: ObjectKey) -> RunPolicy | None:
        """Return how long a Flow keeps its runs; None if nothing says so."""
        return self._policies.get(flow)

    def has_policy_in(self, namespace: str) -> bool:
        """Whether a Flow of a namespace has `retention`."""
        return any(flow.namespace == namespace for flow in self._policies)

    def add_run(self, run: EndedRun) -> None:
        """Add a finished run; the time of one that is known is computed again."""
        due_at = self._due_at(run)
        siblings = {} if run.parent_uid is None else self._children.get(run.parent_uid, {})
        if due_at is None or run.uid in siblings:
            return
        self._runs[run.uid] = run
        self._due.set(run.uid, due_at)

    def pop_due(self, now: float) -> list[EndedRun]:
        """Return the runs that are to be removed now, and forget them.

        Args:
            now: seconds since the epoch.
        """
        due: list[EndedRun] = []
        for uid in self._due.pop_due(now):
            run = self._runs.pop(uid)
            # The Flow may keep its runs longer by now, or forever.
            due_at = self._due_at(run)
            if due_at is not None and due_at <= now:
                due.append(run)
            elif due_at is not None:
                self.add_run(run)
        return due

    def postpone_run(self, run: EndedRun, until: float) -> None:
        """Have a run removed later that could not be removed now.

        Args:
            run: the run.
            until: seconds since the epoch.
        """
        self._runs[run.uid] = run
        self._due.set(run.uid, until)

    def wait_for_parent(self, run: EndedRun) -> None:
        """Have a run wait until its parent has finished."""
        assert run.parent_uid is not None
        self._children.setdefault(run.parent_uid, {})[run.uid] = run

    def on_parent_finished(self, uid: RunUid) -> bool:
        """Handle that a run has finished; returns whether children waited for that."""
        children = self._children.pop(uid, {})
        for child in children.values():
            self.add_run(child)
        return bool(children)

    @property
    def next_due_at(self) -> float | None:
        """When there is something to do, seconds since the epoch; None: when something happens."""
        return self._due.next_time

    def _due_at(self, run: EndedRun) -> float | None:
        policy = self._policies.get(run.flow_key)
        keep_s = None if policy is None else policy.keep_s(is_successful=run.is_successful)
        return None if keep_s is None else run.ended_at + keep_s
