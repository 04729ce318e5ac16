"""A run that is not over: its machine, what was seen of it, and when its status is due to be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from penstock.engine.facts import Fact
from penstock.engine.machine import Machine, RunIdentity

LEAST_PAUSE_S: Final = 0.1
"""Between two flushes of a run's status."""
DUTY: Final = 20.0
"""The next flush begins no sooner than this many times the last one's duration after it."""
STALE_AFTER_S: Final = 60.0
"""A run whose status could not be stored for so long creates nothing."""


class RunKey(NamedTuple):
    """Which run."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the key as people write it."""
        return f"{self.namespace}/{self.name}"


class RunEnd(NamedTuple):
    """A run that is over, as far as others than the engine room want to know."""

    key: RunKey
    uid: str
    flow: str | None
    """Name of its Flow; None for an inline spec."""
    state: str | None
    """Its final state, which is stored; None: the run is gone."""


@dataclass(slots=True)
class LiveRun:
    """One run in memory.

    Attributes:
        key: which run.
        uid: its uid.
        generation: generation of the spec that was read.
        resource_version: of the object when it was read: guards the first status.
        body: the object as it was read.
        flow: name of its Flow; None for an inline spec.
        revision: ConfigMap with its spec and scripts.
        observed_generation: the one in the stored status.
        epoch: the epoch in the stored status; None while there is no status.
        machine: decides; None until the Flow is there.
        facts: what was seen and not yet told to the machine.
        tracked: Pods that carry our finalizer, by name, with their uid.
        is_spec_stale: the spec has changed since it was read.
        is_doubtful: the run may not exist any more.
        is_terminating: its namespace is being deleted: nothing can be created.
        is_counted: its end is in the metrics.
    """

    key: RunKey
    uid: str
    generation: int
    resource_version: str
    body: Mapping[str, Any]
    flow: str | None = None
    revision: str | None = None
    observed_generation: int | None = None
    epoch: int | None = None
    machine: Machine | None = None
    facts: list[Fact] = field(default_factory=list)
    tracked: dict[str, str] = field(default_factory=dict)
    is_spec_stale: bool = False
    is_doubtful: bool = False
    is_terminating: bool = False
    is_counted: bool = False
    flushing: asyncio.Task[None] | None = None
    next_flush_at: float = 0.0
    unstored_since: float | None = None

    @property
    def identity(self) -> RunIdentity:
        """The run in the engine's words."""
        return RunIdentity(self.key.namespace, self.key.name, self.uid, flow=self.flow)

    def end(self, state: str | None) -> RunEnd:
        """Return its end in that state."""
        return RunEnd(self.key, self.uid, self.flow, state)

    def may_create(self, now: float) -> bool:
        """Whether Pods may be created: not when their outcomes could not be stored.

        Args:
            now: monotonic seconds.
        """
        is_stale = self.unstored_since is not None and now - self.unstored_since > STALE_AFTER_S
        return not (self.is_terminating or is_stale)

    def flushed(self, started_at: float, ended_at: float) -> None:
        """Note a flush, in monotonic seconds: the next one keeps a distance from it."""
        self.next_flush_at = ended_at + max(LEAST_PAUSE_S, DUTY * (ended_at - started_at))


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
        return [*patch, {"op": "add", "path": "/status", "value": whole}]
    patch += operations
    if run.epoch != epoch:
        patch.append({"op": "replace", "path": "/status/epoch", "value": epoch})
    if run.observed_generation != run.generation:
        patch.append({"op": "add", "path": "/status/observedGeneration", "value": run.generation})
    return patch
