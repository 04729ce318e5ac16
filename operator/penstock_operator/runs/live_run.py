"""A run that has not finished: its machine, the facts about it, and when its status is due to be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.flow_run import FlowRunSpec
from penstock.engine.concurrency.slots import Claim
from penstock.engine.keys import ObjectKey, RunIdentity, RunKey, RunUid
from penstock.engine.machine.facts import Fact
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.engine.timestamp import epoch
from penstock.engine.validation.parsing import parse_run
from penstock.engine.workloads.child_run import ParentLink, read_parent
from penstock.kube.kinds.flow_run import FlowRun, RunMetadata
from penstock_operator.flow_metrics import FlowSeries
from penstock_operator.runs.large_object import is_large, without_large_fields
from penstock_operator.runtime.recorder import Regarding

STALE_AFTER_S: Final = 60.0
"""A run whose status could not be stored for so long creates nothing."""


class RunEnd(NamedTuple):
    """A run that has finished or was deleted, as other controllers see it."""

    key: RunKey
    uid: str
    flow: str | None
    """Name of its Flow; None for an inline spec."""
    state: str | None
    """Its final state, which is stored; None: the run was deleted."""
    metadata: RunMetadata
    """As it was when the run was last read."""
    has_started: bool = True
    """Whether a task of it was started."""
    ended_at: float | None = None
    """When it finished, seconds since the epoch."""

    @property
    def run_uid(self) -> RunUid:
        """Namespace and uid."""
        return RunUid(self.key.namespace, self.uid)


@dataclass(slots=True)
class LiveRun:
    """One run in memory.

    Attributes:
        key: which run.
        uid: its uid.
        generation: generation of the spec that was read.
        resource_version: of the object when it was read: guards the first status.
        object: as it was read.
        flow: name of its Flow; None for an inline spec.
        revision: ConfigMap with its spec and scripts.
        observed_generation: the one in the stored status.
        epoch: the epoch in the stored status; None while there is no status.
        head: the stored status, as far as it is about the run as a whole.
        parent: the run and task that it was created for, if it is a child run.
        retry_of: what `status.retryOf` says, if it is a retry.
        machine: decides; None until the run starts.
        shutdown: decided outside the run before it had a machine.
        claim: its request for a slot, while it waits for one.
        is_slot_unstored: it has a slot that no stored status shows: it creates nothing.
        series: where it counts in the metrics; None until it counts.
        facts: those that the machine has not received yet.
        first_fact_at: when the first of them came, monotonic seconds.
        news_at: when the first of those came that the machine's last step received; None if it received none.
        tracked: Pods that carry our finalizer, by name, with their uid.
        stop_requests: when the deletion or disruption of a Pod was asked for, by the Pod's uid.
        is_spec_stale: the spec has changed since it was read.
        needs_recheck: the run may not exist any more.
        is_terminating: its namespace is being deleted: nothing can be created.
        is_cut: its object is without its large fields: it waits, and is read again when it starts.
        is_parked: work about it failed unexpectedly: it is resumed from its stored status.
        is_counted: its end is in the metrics.
        flushing: its status is being stored.
        stepping: its machine is in use by another thread: nothing else may change it meanwhile.
        is_slow: its next step waits for an expression.
        is_due_again: it was to be reconciled while its machine was in use.
        late_shutdown: decided outside the run while its machine was in use.
        next_flush_at: when its status may be stored again, monotonic seconds.
        unstored_since: since when it has something to store, monotonic seconds.
        run_uid: namespace and uid.
        workspace_claim: the creation of its workspace's PersistentVolumeClaim, in progress or done.
    """

    key: RunKey
    uid: str
    generation: int
    resource_version: str
    object: FlowRun
    flow: str | None = None
    revision: str | None = None
    observed_generation: int | None = None
    epoch: int | None = None
    head: dict[str, Any] = field(default_factory=dict)
    parent: ParentLink | None = None
    retry_of: dict[str, Any] | None = None
    machine: Machine | None = None
    shutdown: Shutdown | None = None
    claim: Claim | None = None
    is_slot_unstored: bool = False
    series: FlowSeries | None = None
    facts: list[Fact] = field(default_factory=list)
    first_fact_at: float = 0.0
    news_at: float | None = None
    tracked: dict[str, str] = field(default_factory=dict)
    stop_requests: dict[str, float] = field(default_factory=dict)
    is_spec_stale: bool = False
    needs_recheck: bool = False
    is_terminating: bool = False
    is_cut: bool = False
    is_parked: bool = False
    is_counted: bool = False
    flushing: asyncio.Task[None] | None = None
    stepping: asyncio.Task[None] | None = None
    is_slow: bool = False
    is_due_again: bool = False
    late_shutdown: Shutdown | None = None
    next_flush_at: float = 0.0
    unstored_since: float | None = None
    workspace_claim: asyncio.Future[None] | None = None
    run_uid: RunUid = field(init=False)

    def __post_init__(self) -> None:
        """Join namespace and uid once."""
        self.run_uid = RunUid(self.key.namespace, self.uid)

    @classmethod
    def of_object(cls, found: FlowRun) -> LiveRun:
        """Return a run as its object shows it, without its parent."""
        return cls(
            key=found.key,
            uid=found.uid,
            generation=found.metadata.generation,
            resource_version=found.metadata.resource_version,
            object=found,
            flow=found.flow,
            revision=found.revision,
            epoch=found.epoch,
            observed_generation=found.observed_generation,
            head=head_of(found.status),
            retry_of=found.retry_of,
        )

    @property
    def identity(self) -> RunIdentity:
        """The run as the engine identifies it."""
        scheduled_time = self.object.scheduled_time
        return RunIdentity(self.key.namespace, self.key.name, self.uid, flow=self.flow, scheduled_time=scheduled_time)

    @property
    def regarding(self) -> Regarding:
        """The run as the object that an Event is about."""
        return Regarding("FlowRun", self.key.namespace, self.key.name, self.uid)

    @property
    def flow_key(self) -> ObjectKey | None:
        """Which Flow; None for an inline spec."""
        return None if self.flow is None else ObjectKey(self.key.namespace, self.flow)

    @property
    def created_at(self) -> float:
        """When the run was created, seconds since the epoch."""
        return epoch(self.object.metadata.creation_timestamp or "")

    @property
    def callers(self) -> tuple[str, ...]:
        """The flows that this run is nested in, outermost first, then its own; `(RUN)` for an inline spec."""
        return (*(() if self.parent is None else self.parent.callers), self.flow or f"({self.key.name})")

    def end_as(self, state: str | None) -> RunEnd:
        """Return its end in a final state; None: it was deleted."""
        has_started = "startTime" in self.head
        ended = self.head.get("completionTime")
        ended_at = None if ended is None else epoch(ended)
        return RunEnd(self.key, self.uid, self.flow, state, self.object.metadata, has_started, ended_at)

    def adopt_status(self, found: FlowRun) -> None:
        """Take what is stored, whoever wrote it, as what the next write is compared with and changes."""
        self.epoch, self.head, self.observed_generation = found.epoch, head_of(found.status), found.observed_generation

    def set_object(self, found: FlowRun) -> None:
        """Set the run as it was read as a whole."""
        self.object = found
        self.is_cut = False

    def cut_object(self) -> None:
        """Keep little of the object, because the run waits."""
        if not self.is_cut and is_large(self.object):
            self.object = without_large_fields(self.object)
            self.is_cut = True

    async def wait_for_step(self) -> None:
        """Wait until no other thread uses the machine."""
        while self.stepping is not None:
            await asyncio.wait([self.stepping])

    def may_create(self, now: float) -> bool:
        """Whether Pods may be created: not while their outcomes cannot be stored.

        Args:
            now: monotonic seconds.
        """
        is_stale = self.unstored_since is not None and now - self.unstored_since > STALE_AFTER_S
        return not (self.is_terminating or is_stale or self.is_slot_unstored)


def read_spec(run: FlowRun) -> FlowRunSpec:
    """Read the spec of a run.

    Raises:
        InvalidSpecError: it is invalid.
    """
    return parse_run({"spec": run.spec}, has_begun=bool(run.tasks))


def parent_of(run: FlowRun) -> ParentLink | None:
    """Return the run and task that a run was created for; None if it is not a child run."""
    return read_parent(metadata_fields(run)) if names.LABEL_PARENT in run.metadata.labels else None


def metadata_fields(run: FlowRun) -> dict[str, Any]:
    """Return a run's metadata as plain data, for the engine."""
    fields: dict[str, Any] = msgspec.to_builtins(run.metadata)
    return fields


def head_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a status says of the run as a whole."""
    return {name: value for name, value in status.items() if name != "tasks"}


def stored_head(
    before: Mapping[str, Any], status: Mapping[str, Any] | None, operations: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what a stored status says of the run as a whole, after a write.

    Args:
        before: what it said before.
        status: the whole status that was written, if it was.
        operations: else the operations that changed it.
    """
    if status is not None:
        return head_of(status)
    head = dict(before)
    for operation in operations:
        _, _, name = operation["path"].partition("/status/")
        if "/" in name:
            continue
        if operation["op"] == "remove":
            head.pop(name, None)
        else:
            head[name] = operation["value"]
    return head


def status_patch(
    run: LiveRun, epoch: int, status: dict[str, Any] | None, operations: list[dict[str, Any]]
) -> list[Any]:
    """Build the JSON Patch that stores a run's status, and that fails when another leader wrote it.

    Args:
        run: the run.
        epoch: of this leader.
        status: the whole status, when none is stored; else None.
        operations: else what changed.
    """
    patch: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": run.uid}]
    if run.epoch is None:
        patch.append({"op": "test", "path": "/metadata/resourceVersion", "value": run.resource_version})
    else:
        patch.append({"op": "test", "path": "/status/epoch", "value": run.epoch})
    if status is not None:
        whole = {**status, "epoch": epoch, "observedGeneration": run.generation}
        if run.revision is not None:
            whole["revision"] = run.revision
        if run.retry_of is not None:
            whole["retryOf"] = run.retry_of
        return [*patch, {"op": "add", "path": "/status", "value": whole}]
    patch += operations
    if run.epoch != epoch:
        patch.append({"op": "replace", "path": "/status/epoch", "value": epoch})
    if run.observed_generation != run.generation:
        patch.append({"op": "add", "path": "/status/observedGeneration", "value": run.generation})
    return patch
