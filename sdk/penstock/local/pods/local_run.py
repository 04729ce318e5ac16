"""A run on this machine: its object as the cluster would have it, its compiled spec, and its machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_run import FlowRunSpec
from penstock.api.names import API_VERSION
from penstock.engine.compiler.inheritance import all_tasks
from penstock.engine.compiler.plan import Plan
from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit
from penstock.engine.keys import RunIdentity, RunKey
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.run.run_status import Changes
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.engine.state import FINAL_RUN_STATES
from penstock.engine.timestamp import epoch
from penstock.engine.validation.parsing import parse
from penstock.engine.workloads.child_run import ParentLink
from penstock.local.pods.attempt import Attempt


class CompiledSpec:
    """A Flow's spec, or the inline spec of a run, with its plan.

    Args:
        spec: the spec.
        plan: the same, compiled.
        flow: name of the Flow; None for an inline spec.
        limit: how many runs of the Flow may be active at once.
    """

    def __init__(
        self, spec: InlineFlowSpec, plan: Plan, flow: str | None = None, limit: ConcurrencyLimit | None = None
    ) -> None:
        self.spec = spec
        self.plan = plan
        self.flow = flow
        self.limit = limit
        self.scripts = {task.name: task.script for task in all_tasks(spec)}


@dataclass(slots=True, eq=False)
class LocalRun:
    """One run.

    Attributes:
        body: the FlowRun, as the cluster would have it.
        source: its compiled spec.
        params: the resolved params.
        parent: the run whose task it carries out, if it is a child run, with the link to it.
        machine: decides; None until it starts.
        ending: the shutdown that was requested before it started.
        attempts: its active attempts, by name of the Pod.
        workspace: the directory that its tasks share.
        timer: wakes it for its next reconciliation.
        is_due: whether its next reconciliation is scheduled.
    """

    body: dict[str, Any]
    source: CompiledSpec
    params: Mapping[str, Any] = field(default_factory=dict)
    parent: tuple[LocalRun, ParentLink] | None = None
    machine: Machine | None = None
    ending: Shutdown | None = None
    attempts: dict[str, Attempt] = field(default_factory=dict)
    workspace: Path | None = None
    timer: asyncio.TimerHandle | None = None
    is_due: bool = False

    @property
    def key(self) -> RunKey:
        """Namespace and name."""
        return RunKey(self.body["metadata"]["namespace"], self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.body["metadata"]["uid"])

    @property
    def created_at(self) -> float:
        """When it was created, seconds since the epoch."""
        return epoch(self.body["metadata"]["creationTimestamp"])

    @property
    def spec(self) -> FlowRunSpec:
        """Its spec, parsed."""
        return parse(FlowRunSpec, self.body["spec"], "spec")

    @property
    def status(self) -> dict[str, Any]:
        """Its status; empty before its first reconciliation."""
        status: dict[str, Any] = self.body.setdefault("status", {})
        return status

    @property
    def identity(self) -> RunIdentity:
        """The identity of the run, for the engine."""
        scheduled_time = self.body["spec"].get("scheduledTime")
        return RunIdentity(*self.key, self.uid, flow=self.source.flow, scheduled_time=scheduled_time)

    @property
    def callers(self) -> tuple[str, ...]:
        """The flows that it is nested in, the outermost first, and its own; `(RUN)` for an inline spec."""
        before = () if self.parent is None else self.parent[1].callers
        return (*before, self.source.flow or f"({self.key.name})")

    @property
    def is_finished(self) -> bool:
        """Whether it has reached a final state."""
        return self.status.get("state") in FINAL_RUN_STATES

    def store_changes(self, changes: Changes) -> None:
        """Apply changes to its status."""
        if changes.status is not None:
            self.body["status"] = {**changes.status, "observedGeneration": self.body["metadata"]["generation"]}
            return
        status = self.status
        for operation in changes.operations:
            _, _, field_name, *position = operation["path"].split("/")
            if operation["op"] == "remove":
                status.pop(field_name, None)
            elif position:
                status[field_name][int(position[0])] = operation["value"]
            else:
                status[field_name] = operation["value"]


def new_run(name: str, spec: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a FlowRun.

    Args:
        name: its name.
        spec: its spec.
        metadata: further fields of its metadata.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {**(metadata or {}), "name": name},
        "spec": {**spec},
    }
