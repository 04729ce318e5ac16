"""What a run is made of: the plan and the params, from a Flow, an inline spec, or the run that it retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_run import FlowRunSpec
from penstock.engine.compiler.inheritance import inherit, sources_of
from penstock.engine.compiler.plan import Plan
from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit
from penstock.engine.keys import ObjectKey, RunKey
from penstock.engine.machine.run.unstarted import Waiting
from penstock.engine.reasons import Reason
from penstock.engine.state import RunState
from penstock.errors import InvalidSpecError, Problem, StoredStatusError
from penstock.kube.errors import ApiError, is_not_found
from penstock_operator.flows.revision import Owner, name_of
from penstock_operator.flows.store import FlowStore
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runs.retry_of import (
    NAME_PATH,
    Retried,
    RetriedRuns,
    check_restarted_tasks,
    gone_revision,
)
from penstock_operator.runs.status import StatusStore

Awaited = TypeVar("Awaited", ObjectKey, RunKey)


class Source(NamedTuple):
    """What a run is made of."""

    plan: Plan
    params: Mapping[str, Any]
    """As they are given."""
    limit: ConcurrencyLimit | None = None
    retried: Retried | None = None
    """The run that it retries."""


class RunSources:
    """Finds what runs are made of, and has a run reconciled when what it waits for is there.

    Args:
        flows: Flows and revisions.
        statuses: reads runs.
        registry: has runs reconciled.
    """

    def __init__(self, flows: FlowStore, statuses: StatusStore, registry: RunRegistry) -> None:
        self._flows = flows
        self._retries = RetriedRuns(statuses, flows)
        self._registry = registry
        self._waiting_for_flow: dict[ObjectKey, set[RunKey]] = {}
        self._waiting_for_run: dict[RunKey, set[RunKey]] = {}

    def on_flow(self, flow: ObjectKey) -> None:
        """Have the runs reconciled that wait for a Flow that has appeared or changed."""
        for run in self._waiting_for_flow.pop(flow, ()):
            self._registry.queue.add(run)

    def on_run_finished(self, run: RunKey) -> None:
        """Have the runs reconciled that wait to retry a run that has finished or was deleted."""
        for waiting in self._waiting_for_run.pop(run, ()):
            self._registry.queue.add(waiting)

    def forget_run(self, run: LiveRun) -> None:
        """Forget what a run waits for."""
        if run.flow_key is not None:
            _discard(self._waiting_for_flow, run.flow_key, run.key)
        retried = run.object.retried
        if retried is not None:
            _discard(self._waiting_for_run, RunKey(run.key.namespace, retried), run.key)

    async def find_source(self, run: LiveRun, spec: FlowRunSpec) -> Source | Waiting:
        """Return what a run is made of, or what it waits for."""
        if spec.flow_spec is not None:
            return Source(await self._compile_inline(run, spec.flow_spec), spec.params or {})
        if spec.retry_of is None:
            return await self._source_of_flow(run, spec.params or {})
        # Before the run is read: one that ends during the read must not be missed.
        self._waiting_for_run.setdefault(RunKey(run.key.namespace, spec.retry_of.name), set()).add(run.key)
        retried = await self._retries.resolve_retry(run.key, spec)
        if isinstance(retried, Waiting):
            return retried
        _discard(self._waiting_for_run, RunKey(run.key.namespace, spec.retry_of.name), run.key)
        run.flow, run.retry_of = retried.flow, retried.ancestor
        if retried.inline is not None:
            plan = await self._compile_retried(run, retried.inline, inherits=retried.inherits)
            return Source(plan, {**retried.params, **retried.given}, retried=retried)
        return await self._source_of_retry(run, retried)

    async def _source_of_flow(self, run: LiveRun, params: Mapping[str, Any]) -> Source | Waiting:
        assert run.flow_key is not None
        # Before the Flow is read: one that appears during the read must not be missed.
        self._waiting_for_flow.setdefault(run.flow_key, set()).add(run.key)
        current = await self._flows.current(run.flow_key)
        if current is None:
            message = (
                f"the Flow {run.flow} does not exist in namespace {run.key.namespace}; the run starts when it does"
            )
            return Waiting(RunState.PENDING, Reason.FLOW_NOT_FOUND, message)
        _discard(self._waiting_for_flow, run.flow_key, run.key)
        self._registry.set_revision(run, current.revision)
        return Source(current.plan, params, current.limit)

    async def _source_of_retry(self, run: LiveRun, retried: Retried) -> Source | Waiting:
        assert run.flow_key is not None
        if retried.revision is None:
            source = await self._source_of_flow(run, {})
            if isinstance(source, Waiting):
                return source
            check_restarted_tasks(retried, source.plan)
            # The Flow may have lost params since; what it has in common with before is kept.
            declared = {param.name for param in source.plan.params}
            params = {name: value for name, value in retried.params.items() if name in declared}
            return source._replace(params={**params, **retried.given}, retried=retried)
        try:
            plan = await self._flows.load_plan(run.key.namespace, retried.revision)
        except ApiError as error:
            if is_not_found(error):
                raise InvalidSpecError([Problem(NAME_PATH, gone_revision(retried.revision))]) from error
            raise
        self._registry.set_revision(run, retried.revision)
        current = await self._flows.current(run.flow_key)
        limit = None if current is None else current.limit
        return Source(plan, {**retried.params, **retried.given}, limit, retried)

    async def find_resumed_plan(self, run: LiveRun, spec: FlowRunSpec) -> Plan:
        """Return the plan of a run that has begun.

        Raises:
            StoredStatusError: it does not exist any more.
        """
        if spec.flow_spec is not None:
            return await self._resume_inline(run, spec.flow_spec)
        if run.revision is None:
            raise StoredStatusError("the stored status names no revision")
        try:
            return await self._load_plan(run, run.revision, is_retry=spec.retry_of is not None)
        except ApiError as error:
            if not is_not_found(error):
                raise
            if not await self._restore_revision(run, run.revision):
                message = (
                    f"ConfigMap {run.revision} with this run's Flow spec was deleted, and the Flow has changed since"
                )
                raise StoredStatusError(message) from error
        return await self._load_plan(run, run.revision, is_retry=spec.retry_of is not None)

    async def _restore_revision(self, run: LiveRun, revision: str) -> bool:
        try:
            return run.flow_key is not None and await self._flows.restore_revision(run.flow_key, revision)
        except InvalidSpecError:
            return False

    async def _load_plan(self, run: LiveRun, revision: str, *, is_retry: bool) -> Plan:
        if is_retry:
            run.flow = (await self._flows.read_revision(run.key.namespace, revision)).flow
        return await self._flows.load_plan(run.key.namespace, revision)

    async def restore_revision(self, run: LiveRun) -> None:
        """Store the revision of a run that has begun again, which was deleted."""
        if run.machine is not None:
            await self._flows.restore_revision_of(run.machine.plan, is_owned_by_run=run.flow is None)

    async def _compile_inline(self, run: LiveRun, spec: InlineFlowSpec) -> Plan:
        defaults = await self._flows.defaults.current(run.key.namespace)
        return await self._compile_own(run, inherit(spec, defaults.inherited))

    async def _compile_retried(self, run: LiveRun, spec: InlineFlowSpec, *, inherits: bool) -> Plan:
        """Compile the spec of a run that had it inline; `inherits`: with the defaults that are in force now."""
        if inherits:
            spec = inherit(spec, (await self._flows.defaults.current(run.key.namespace)).inherited)
        return await self._compile_own(run, spec, is_kept=True)

    async def _compile_own(self, run: LiveRun, spec: InlineFlowSpec, *, is_kept: bool = False) -> Plan:
        owner = Owner(run.key.namespace, run.key.name, run.uid)
        plan = await self._flows.compile_in_turn(owner, spec)
        # What it inherits must not change while it runs.
        if is_kept or sources_of(spec) or any(task.has_script for task in plan.tasks):
            self._registry.set_revision(run, await self._flows.keep_revision(owner, spec, is_owned_by_run=True))
        return plan

    async def _resume_inline(self, run: LiveRun, spec: InlineFlowSpec) -> Plan:
        if run.revision is None:
            return await self._compile_own(run, spec)
        try:
            return await self._flows.load_plan(run.key.namespace, run.revision)
        except ApiError as error:
            if not is_not_found(error):
                raise
            owner = Owner(run.key.namespace, run.key.name, run.uid)
            defaults = await self._flows.defaults.current(run.key.namespace)
            for candidate in (spec, inherit(spec, defaults.inherited)):
                if name_of(owner, candidate) == run.revision:
                    return await self._compile_own(run, candidate, is_kept=True)
            message = f"ConfigMap {run.revision} with this run's spec was deleted, and FlowDefaults have changed since"
            raise StoredStatusError(message) from error


def _discard(waiting: dict[Awaited, set[RunKey]], key: Awaited, run: RunKey) -> None:
    runs = waiting.get(key, set())
    runs.discard(run)
    if not runs:
        waiting.pop(key, None)
