"""The child runs of attempts: created or adopted, ended early, and looked up."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.engine.keys import RunKey
from penstock.engine.machine.effects.effects import CreateAttempt, StopAttempt, VerifyAttempt
from penstock.engine.machine.facts import AttemptGone, AttemptKind, AttemptSeen, Cause, CreateRefused, Outcome
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.engine.names import pod_name
from penstock.engine.reasons import Reason
from penstock.engine.workloads.child_run import build_child, observe_child, shutdown_of_child, too_deep
from penstock.kube.kinds.flow_run import DECODER, FlowRun
from penstock.kube.repeated_read import read_until_answered
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Writer
from penstock_operator.runs.attempts.create import AttemptCreator, building
from penstock_operator.runs.live_run import LiveRun, metadata_fields, parent_of
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runs.status import StatusStore
from penstock_operator.runtime.slow_pool import SlowPool


class ChildRuns:
    """Carries out what the machine asks for about tasks that run a flow.

    Args:
        statuses: reads runs.
        writer: for writes.
        registry: the live runs.
        slow_pool: where params are rendered whose expressions take long.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        statuses: StatusStore,
        writer: Writer,
        registry: RunRegistry,
        *,
        slow_pool: SlowPool,
        clock: Callable[[], float],
    ) -> None:
        self._statuses = statuses
        self._writer = writer
        self._registry = registry
        self._clock = clock
        full = "the namespace's quota of FlowRuns is full"
        self._creates = AttemptCreator(self._send, self._adopt, registry, slow_pool=slow_pool, full=full)

    def report_freed_quota(self, namespace: str) -> None:
        """Note that a run in a namespace was deleted: a quota may have capacity."""
        self._creates.report_freed_quota(namespace)

    async def create_attempt(self, run: LiveRun, create: CreateAttempt) -> None:
        """Create the child run of an attempt, adopt the one that is there, or record why there is none."""
        assert run.machine is not None
        plan = run.machine.plan
        child = plan.tasks[plan.positions[create.key.task]].child
        assert child is not None
        problem = too_deep(run.callers, child.flow)
        if problem is not None:
            self._registry.record_fact(run, self._failed(run, create, Reason.TOO_DEEP, problem))
            return
        await self._creates.create_attempt(run, create)

    async def _send(self, run: LiveRun, create: CreateAttempt) -> None:
        assert run.machine is not None
        plan = run.machine.plan
        path = f"{plan.path_of(plan.tasks[plan.positions[create.key.task]])}.flow"

        def build() -> bytes:
            with building(path):
                child = build_child(create, run.identity, callers=run.callers, priority=run.object.priority)
                return msgspec.json.encode(child)

        reply = await self._writer.create(FLOWRUNS, run.key.namespace, build)
        self._record_child(run, DECODER.decode(reply.body))

    async def _adopt(self, run: LiveRun, create: CreateAttempt) -> None:
        key = _child_key(run, create)
        found = await self._read_run(key)
        if found is None:
            # It was deleted in between: the machine asks again.
            self._registry.record_fact(run, AttemptGone(create.key, create.attempt))
            return
        link = parent_of(found)
        if link is None or (link.uid, link.key, link.attempt) != (run.uid, create.key, create.attempt):
            message = f"a FlowRun named {key.name} exists that is not a child of this run"
            self._registry.record_fact(run, CreateRefused(create.key, create.attempt, message))
            return
        self._record_child(run, found)

    def _record_child(self, run: LiveRun, found: FlowRun, shutdown: Shutdown | None = None) -> None:
        link = parent_of(found)
        if link is None or link.uid != run.uid:
            return
        seen = observe_child(link, metadata_fields(found), found.spec, found.status, now=self._clock())
        if self._registry.is_live(run):
            self._registry.record_fact(run, seen)
        if not seen.is_finished:
            self._registry.announce_run(found, shutdown)

    async def stop_attempt(self, run: LiveRun, stop: StopAttempt) -> None:
        """End the child run of an attempt early: it stops its own tasks and stores that in its status."""
        shutdown = shutdown_of_child(run.key.name, stop.reason)
        key = RunKey(run.key.namespace, stop.pod)
        if self._registry.end_run_by_key(key, stop.uid, shutdown):
            return
        found = await self._read_run(key)
        if found is None or found.uid != stop.uid:
            self._registry.record_fact(run, AttemptGone(stop.key, stop.attempt))
            return
        self._record_child(run, found, shutdown)

    async def verify_attempt(self, run: LiveRun, verify: VerifyAttempt) -> None:
        """Find out whether the child run of an attempt exists, and its state."""
        await self._creates.wait_for_create(run, verify)
        found = await self._read_run(_child_key(run, verify))
        link = None if found is None else parent_of(found)
        if found is None or link is None or link.uid != run.uid:
            self._registry.record_fact(run, AttemptGone(verify.key, verify.attempt))
        else:
            self._record_child(run, found)

    async def _read_run(self, key: RunKey) -> FlowRun | None:
        """Read a run, however long that takes; None if there is none."""
        return await read_until_answered(lambda: self._statuses.read_run(key), f"FlowRun {key}")

    def _failed(self, run: LiveRun, create: CreateAttempt, reason: Reason, message: str) -> AttemptSeen:
        """Return the fact of an attempt that failed before its child run existed."""
        now = self._clock()
        return AttemptSeen(
            key=create.key,
            attempt=create.attempt,
            failures=create.failures,
            disruptions=create.disruptions,
            pod=_child_key(run, create).name,
            uid="",
            created_at=now,
            outcome=Outcome(Cause.FAILURE, now, reason, message),
            is_finished=True,
            is_tracked=False,
            kind=AttemptKind.CHILD_RUN,
        )


def _child_key(run: LiveRun, attempt: CreateAttempt | VerifyAttempt) -> RunKey:
    return RunKey(run.key.namespace, pod_name(run.key.name, run.uid, attempt.key, attempt.attempt))
