"""The intake: what happens to a run before it has a machine, and how it gets one.

A run waits for its time, for a person, for its Flow, for the run that it retries, for a slot; while it waits it holds
no machine. What it waits for has it looked at again; nothing is asked for again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from penstock.api.flow import InlineFlowSpec
from penstock.api.flowrun import FlowRunSpec
from penstock.engine.compiler.params import resolve_params
from penstock.engine.compiler.plan import Plan
from penstock.engine.concurrency.limit import ConcurrencyLimit
from penstock.engine.concurrency.slots import Admitted, Claim, Queued, Replaced, Skipped, Slots
from penstock.engine.keys import ObjectKey, RunKey
from penstock.engine.machine.control import read_control
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.unstarted import Ended, Waiting
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_RUN_STATES, RunState
from penstock.engine.validation.validation import parse_run, scheduled_at
from penstock.engine.workloads.child_run import read_parent
from penstock.errors import ExpressionError, InvalidSpecError, Problem, StoredStatusError
from penstock.kube.errors import ApiError, ApiUnreachableError, is_namespace_terminating, is_not_found
from penstock_operator.flows.revision import Owner
from penstock_operator.flows.store import FlowStore
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.retry_of import NAME_PATH, Retried, RetriedRuns, gone_revision
from penstock_operator.runs.status import StatusStore

logger = logging.getLogger(__name__)

READ_AGAIN_S: Final = 5.0

Waited = TypeVar("Waited", ObjectKey, RunKey)


class Started(NamedTuple):
    """A run that can go on."""

    machine: Machine


class Unknown(NamedTuple):
    """A run of which nothing can be said yet: it is looked at again by itself."""


class _Source(NamedTuple):
    """What a run is made of."""

    plan: Plan
    params: Mapping[str, Any]
    """As they are given."""
    limit: ConcurrencyLimit | None = None
    kept: tuple[Mapping[str, Any], ...] = ()


class RunStarter:
    """Brings runs to their start.

    Args:
        flows: Flows and revisions.
        statuses: reads runs.
        slots: who of a Flow's runs goes on.
        census: who is still to be looked at after a start.
        find: returns a run that is not over, by its uid.
        wake: has a run looked at.
    """

    def __init__(
        self,
        flows: FlowStore,
        statuses: StatusStore,
        *,
        slots: Slots,
        census: InitialSync,
        find: Callable[[str], LiveRun | None],
        wake: Callable[[RunKey], None],
    ) -> None:
        self._flows = flows
        self._statuses = statuses
        self._retries = RetriedRuns(statuses, flows)
        self._slots = slots
        self._census = census
        self._find = find
        self._wake = wake
        self._waiting_for_flow: dict[ObjectKey, set[RunKey]] = {}
        self._waiting_for_run: dict[RunKey, set[RunKey]] = {}

    # What it is told

    async def on_flow(self, flow: ObjectKey) -> None:
        """Learn that a Flow has appeared or changed."""
        for run in self._waiting_for_flow.pop(flow, ()):
            self._wake(run)
        while self._slots.has_runs_of(flow):
            try:
                current = await self._flows.current(flow)
            except InvalidSpecError:
                # The limit of before holds until the Flow can be used again; runs that ask say what is wrong.
                return
            except (ApiError, ApiUnreachableError) as error:
                if isinstance(error, ApiError) and is_namespace_terminating(error):
                    return
                logger.info("The limit of Flow %s can't be read: %s", flow, error)
                await asyncio.sleep(READ_AGAIN_S)
                continue
            if current is not None:
                self._slots.set_limit(flow, current.limit)
            return

    def on_run_over(self, run: RunKey) -> None:
        """Learn that a run is over and stored, or gone: others may wait to retry it."""
        for waiting in self._waiting_for_run.pop(run, ()):
            self._wake(waiting)

    def leave(self, run: LiveRun) -> None:
        """Learn that a run is over and stored, gone, or picked up anew."""
        run.claim = None
        if run.flow_key is not None:
            self._slots.remove_run(run.flow_key, run.uid)

    def forget(self, run: LiveRun) -> None:
        """Drop what a run waits for: it is gone, or is picked up anew."""
        self.leave(run)
        if run.flow_key is not None:
            _discard(self._waiting_for_flow, run.flow_key, run.key)
        retried = (run.body.get("spec") or {}).get("retryOf") or {}
        if "name" in retried:
            _discard(self._waiting_for_run, RunKey(run.key.namespace, retried["name"]), run.key)

    # Runs

    def read(self, key: RunKey, body: Mapping[str, Any]) -> LiveRun:
        """Make a run of its object. A spec that can't be read is found out about by `begin`."""
        metadata, status = body["metadata"], body.get("status") or {}
        run = LiveRun(
            key=key,
            uid=metadata["uid"],
            generation=metadata["generation"],
            resource_version=metadata["resourceVersion"],
            body=body,
            revision=status.get("revision"),
            epoch=status.get("epoch"),
            observed_generation=status.get("observedGeneration"),
            head={name: value for name, value in status.items() if name != "tasks"},
            parent=read_parent(metadata),
            retry_of=status.get("retryOf"),
        )
        run.flow = flow_name(body)
        if run.flow_key is not None and status.get("tasks"):
            # At once, before anybody else asks for a slot.
            self._hold(run, run.flow_key, status.get("params") or {})
        return run

    def hold(self, run: LiveRun) -> None:
        """Give a run its slot that has Pods, and no status that says so yet."""
        if run.flow_key is not None:
            self._hold(run, run.flow_key, (run.body.get("spec") or {}).get("params") or {})

    def renew(self, run: LiveRun, body: Mapping[str, Any], now: float) -> None:
        """Take over what may change in a run's spec."""
        run.body = body
        run.generation = body["metadata"]["generation"]
        run.claim = None
        if run.machine is None:
            return
        try:
            spec = parse_run(body)
        except InvalidSpecError as error:
            logger.warning("%s: its changed spec is not taken over: %s", run.key, error)
            return
        run.machine.set_control(read_control(spec), now)
        if spec.shutdown is not None and run.flow_key is not None:
            self._slots.mark_ending(run.flow_key, run.uid)

    async def begin(self, run: LiveRun, now: float) -> Started | Waiting | Ended | Unknown:
        """Get a run its machine, or find out what it waits for, or that it can't run.

        Args:
            run: the run.
            now: seconds since the epoch.

        Raises:
            ApiError: the API server refused a read or a write that should work.
            ApiUnreachableError: it did not answer.
        """
        queued = self._look_in_queue(run)
        if queued is not None:
            return queued
        stored = run.body.get("status") or {}
        try:
            spec = parse_run(run.body)
            if stored.get("tasks"):
                return Started(await self._resume(run, spec, stored, now))
            return await self._start(run, spec, now)
        except InvalidSpecError as error:
            is_params = all(problem.path.startswith("spec.params") for problem in error.problems)
            return Ended(RunState.FAILED, Reason.INVALID_PARAMS if is_params else Reason.INVALID_SPEC, str(error))
        except StoredStatusError as error:
            return Ended(RunState.FAILED, Reason.INVALID_STATUS, str(error))
        except ExpressionError as error:
            return Ended(RunState.FAILED, Reason.EXPRESSION_ERROR, str(error))

    def _look_in_queue(self, run: LiveRun) -> Waiting | None:
        """Say where a run stands that waits for a slot; None if it should ask for one."""
        if run.claim is None or run.ending is not None or run.flow_key is None:
            return None
        waits = self._slots.queue_place(run.flow_key, run.uid)
        return None if waits is None else _queued(waits)

    # Runs that have begun

    async def _resume(self, run: LiveRun, spec: FlowRunSpec, stored: Mapping[str, Any], now: float) -> Machine:
        plan = await self._resumed_plan(run, spec)
        given = stored.get("params") if spec.retry_of is not None else spec.params
        params = resolve_params(plan.params, given)
        machine = Machine(plan, run.identity, params, now=now, stored=stored, control=read_control(spec))
        if run.ending is not None:
            machine.shut_down(run.ending.mode, run.ending.reason, run.ending.message, now)
        if run.flow_key is not None:
            self._hold(run, run.flow_key, params)
        return machine

    async def _resumed_plan(self, run: LiveRun, spec: FlowRunSpec) -> Plan:
        if spec.flow_spec is not None:
            return await self._inline_plan(run, spec.flow_spec)
        if run.revision is None:
            raise StoredStatusError("the stored status names no revision")
        try:
            if spec.retry_of is not None:
                run.flow = (await self._flows.read_revision(run.key.namespace, run.revision)).flow
            return await self._flows.load_plan(run.key.namespace, run.revision)
        except ApiError as error:
            if is_not_found(error):
                raise StoredStatusError(f"the revision {run.revision} that the run began with is gone") from error
            raise

    async def _inline_plan(self, run: LiveRun, spec: InlineFlowSpec, *, is_kept: bool = False) -> Plan:
        owner = Owner(run.key.namespace, run.key.name, run.uid)
        plan = await self._flows.compile(owner, spec)
        if is_kept or any(task.has_script for task in plan.tasks):
            run.revision = await self._flows.keep_revision(owner, spec, is_owned_by_run=True)
        return plan

    # Runs that have not

    async def _start(self, run: LiveRun, spec: FlowRunSpec, now: float) -> Started | Waiting | Ended | Unknown:
        held = await self._held_back(run, spec, now)
        if held is not None:
            self.leave(run)
            return held
        source = await self._source(run, spec)
        if isinstance(source, Waiting):
            self.leave(run)
            return source
        params = resolve_params(source.plan.params, source.params)
        if run.ending is not None:
            # By somebody who did not wait for our reads.
            return Ended.by(run.ending)
        refused = self._ask_for_slot(run, spec, params, source.limit)
        if refused is not None:
            return refused
        machine = Machine(
            source.plan,
            run.identity,
            params,
            now=now,
            control=read_control(spec),
            ancestor=run.retry_of,
            kept=source.kept,
        )
        return Started(machine)

    async def _held_back(self, run: LiveRun, spec: FlowRunSpec, now: float) -> Waiting | Ended | None:
        """Say why a run does not start, as far as its Flow has nothing to do with it."""
        ending = run.ending
        if ending is None and spec.shutdown is not None:
            ending = Shutdown.by_spec(spec.shutdown)
        if ending is None and run.parent is not None and self._find(run.parent.uid) is None:
            ending = await self._ending_of_orphan(run.parent.run, run)
        if ending is not None:
            return Ended.by(ending)
        if spec.suspend:
            return Waiting(RunState.PAUSED, Reason.SUSPENDED, "spec.suspend is true: the run starts when it is false")
        due_at = scheduled_at(spec)
        if due_at is not None and due_at > now:
            return Waiting(RunState.SCHEDULED, Reason.NOT_DUE, f"starts at {spec.scheduled_time}", due_at=due_at)
        return None

    async def _ending_of_orphan(self, parent: str, run: LiveRun) -> Shutdown | None:
        """Decide about a child whose parent is not at work: it may be over, or not be looked at yet."""
        body = await self._statuses.read(RunKey(run.key.namespace, parent))
        assert run.parent is not None
        if body is not None and body["metadata"]["uid"] == run.parent.uid:
            state = (body.get("status") or {}).get("state", RunState.PENDING)
            if state not in FINAL_RUN_STATES:
                return None
            return Shutdown(ShutdownMode.CANCEL, Reason.PARENT_ENDED, f"the parent run {parent} is {state}")
        return Shutdown(ShutdownMode.CANCEL, Reason.PARENT_ENDED, f"the parent run {parent} is gone")

    async def _source(self, run: LiveRun, spec: FlowRunSpec) -> _Source | Waiting:
        """Find what a run is made of, or that it is not there yet."""
        if spec.flow_spec is not None:
            return _Source(await self._inline_plan(run, spec.flow_spec), spec.params or {})
        if spec.retry_of is None:
            return await self._source_of_flow(run, spec.params or {})
        # Before the run is read: one that ends during the read must not be missed.
        self._waiting_for_run.setdefault(RunKey(run.key.namespace, spec.retry_of.name), set()).add(run.key)
        retried = await self._retries.resolve(run.key, spec)
        if isinstance(retried, Waiting):
            return retried
        _discard(self._waiting_for_run, RunKey(run.key.namespace, spec.retry_of.name), run.key)
        run.flow, run.retry_of = retried.flow, retried.ancestor
        if retried.inline is not None:
            plan = await self._inline_plan(run, retried.inline, is_kept=True)
            return _Source(plan, retried.params, kept=tuple(retried.tasks))
        return await self._source_of_retry(run, retried)

    async def _source_of_flow(self, run: LiveRun, params: Mapping[str, Any]) -> _Source | Waiting:
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
        run.revision = current.revision
        return _Source(current.plan, params, current.limit)

    async def _source_of_retry(self, run: LiveRun, retried: Retried) -> _Source | Waiting:
        assert run.flow_key is not None
        if retried.revision is None:
            source = await self._source_of_flow(run, {})
            if isinstance(source, Waiting):
                return source
            # The Flow may have lost params since; what it has in common with before is kept.
            declared = {param.name for param in source.plan.params}
            params = {name: value for name, value in retried.params.items() if name in declared}
            return source._replace(params=params, kept=tuple(retried.tasks))
        try:
            plan = await self._flows.load_plan(run.key.namespace, retried.revision)
        except ApiError as error:
            if is_not_found(error):
                raise InvalidSpecError([Problem(NAME_PATH, gone_revision(retried.revision))]) from error
            raise
        run.revision = retried.revision
        current = await self._flows.current(run.flow_key)
        limit = None if current is None else current.limit
        return _Source(plan, retried.params, limit, tuple(retried.tasks))

    # Slots

    def _ask_for_slot(
        self, run: LiveRun, spec: FlowRunSpec, params: Mapping[str, Any], limit: ConcurrencyLimit | None
    ) -> Waiting | Ended | Unknown | None:
        """Ask for one of the Flow's slots; None if the run goes on."""
        flow = run.flow_key
        if flow is None or _uses_slot_of_ancestor(run):
            return None
        claim = self._claim(run, params, spec.priority or 0)
        if limit is not None and not self._census.is_complete:
            if run.head.get("state") == RunState.QUEUED:
                self._slots.enqueue(flow, claim)
            self._census.wait(run.key)
            return Unknown()
        verdict = self._slots.request_slot(flow, claim, limit)
        if isinstance(verdict, Queued):
            run.claim = claim
            return _queued(verdict)
        run.claim = None
        if isinstance(verdict, Skipped):
            return Ended(RunState.SKIPPED, Reason.CONCURRENCY_LIMIT, verdict.message)
        if isinstance(verdict, Replaced):
            return Ended(RunState.CANCELLED, Reason.RUN_REPLACED, verdict.message)
        assert isinstance(verdict, Admitted)
        run.is_slot_unstored = limit is not None
        return None

    def _hold(self, run: LiveRun, flow: ObjectKey, params: Mapping[str, Any]) -> None:
        if _uses_slot_of_ancestor(run):
            return
        self._slots.add_holder(flow, self._claim(run, params, 0))
        if "shutdown" in run.head or (run.body.get("spec") or {}).get("shutdown") is not None:
            self._slots.mark_ending(flow, run.uid)

    def _claim(self, run: LiveRun, params: Mapping[str, Any], priority: int) -> Claim:
        scheduled_time = run.identity.scheduled_time
        identity = {
            "namespace": run.key.namespace,
            "name": run.key.name,
            "uid": run.uid,
            "scheduledTime": scheduled_time,
        }
        return Claim(run.key, run.uid, run.created_at, priority, {"params": params, "run": identity})


def _uses_slot_of_ancestor(run: LiveRun) -> bool:
    """Whether a run is nested in a run of its own Flow: to wait for that one would be to wait for ever."""
    return run.parent is not None and run.flow in run.parent.callers


def _discard(waiting: dict[Waited, set[RunKey]], key: Waited, run: RunKey) -> None:
    runs = waiting.get(key, set())
    runs.discard(run)
    if not runs:
        waiting.pop(key, None)


def flow_name(body: Mapping[str, Any]) -> str | None:
    """Return the name of the Flow that a run names; None for an inline spec, and for a retry."""
    name: str | None = ((body.get("spec") or {}).get("flow") or {}).get("name")
    return name


def _queued(waits: Queued) -> Waiting:
    return Waiting(RunState.QUEUED, Reason.CONCURRENCY_LIMIT, waits.message, waits.position)
