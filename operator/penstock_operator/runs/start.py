"""The start of a run: what it waits for before it has a machine, and how it gets one.

A run waits for its time, for a person, for its Flow, for the run that it retries, for a slot; while it waits it holds
no machine. When that changes the run is reconciled again; nothing is polled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.api.flow_run import FlowRunSpec
from penstock.engine.compiler.params import resolve_params
from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit
from penstock.engine.concurrency.slots import Admitted, Claim, Queued, Replaced, Skipped, Slots
from penstock.engine.keys import ObjectKey, RunKey, RunUid
from penstock.engine.machine.control import read_control
from penstock.engine.machine.facts import Control
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.run.unstarted import Ended, Waiting
from penstock.engine.reasons import Reason
from penstock.engine.restart import KEEP_COMPLETED, Restart, changed_params, read_restart
from penstock.engine.state import RunState
from penstock.engine.validation.validation import scheduled_at
from penstock.engine.workloads.child_run import ParentLink
from penstock.errors import ExpressionError, InvalidSpecError, StoredStatusError
from penstock.kube.errors import ApiError, ApiUnreachableError, is_namespace_terminating, is_not_found, is_transient
from penstock.kube.kinds.flow_run import FlowRun
from penstock_operator.flows.store import FlowStore
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.live_run import LiveRun, parent_of, read_spec
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runs.retry_of import Retried
from penstock_operator.runs.source import RunSources
from penstock_operator.runs.status import StatusStore

logger = logging.getLogger(__name__)

READ_AGAIN_S: Final = 5.0


class Started(NamedTuple):
    """A run that has its machine."""

    machine: Machine


class NotSynced(NamedTuple):
    """A run that has to wait until all others are known: it is reconciled again then."""


class RunStarter:
    """Starts runs.

    Args:
        flows: Flows and revisions.
        statuses: reads runs.
        registry: the live runs.
        slots: which of a Flow's runs may run.
        initial_sync: the runs that are still to be reconciled after a start.
        has_policy: whether the chart's admission policies are in force: who decided about an approval is proved then.
    """

    def __init__(
        self,
        flows: FlowStore,
        statuses: StatusStore,
        *,
        registry: RunRegistry,
        slots: Slots,
        initial_sync: InitialSync,
        has_policy: bool,
    ) -> None:
        self._flows = flows
        self._statuses = statuses
        self._sources = RunSources(flows, statuses, registry)
        self._registry = registry
        self._slots = slots
        self._initial_sync = initial_sync
        self._has_policy = has_policy

    # Events

    async def on_flow(self, flow: ObjectKey) -> None:
        """Handle a Flow that has appeared or changed: runs may wait for it, or its limit may be another."""
        self._sources.on_flow(flow)
        while self._slots.has_runs_of(flow):
            try:
                current = await self._flows.current(flow)
            except InvalidSpecError:
                # The earlier limit holds until the Flow is valid again; runs that ask for a slot report what is wrong.
                return
            except (ApiError, ApiUnreachableError) as error:
                if isinstance(error, ApiError) and is_namespace_terminating(error):
                    return
                logger.info("Failed to read the limit of Flow %s; trying again: %s", flow, error)
                await asyncio.sleep(READ_AGAIN_S)
                continue
            if current is not None:
                self._slots.set_limit(flow, current.limit)
            return

    def on_run_finished(self, run: RunKey) -> None:
        """Handle a run that has finished and is stored, or was deleted: others may wait to retry it."""
        self._sources.on_run_finished(run)

    async def restore_revision(self, run: LiveRun) -> None:
        """Store the revision of a run that has begun again, which was deleted."""
        while self._registry.is_live(run):
            try:
                await self._sources.restore_revision(run)
            except InvalidSpecError as error:
                logger.warning("FlowRun %s: its spec cannot be stored in a ConfigMap again: %s", run.key, error)
            except (ApiError, ApiUnreachableError) as error:
                if isinstance(error, ApiUnreachableError) or is_transient(error):
                    logger.info("FlowRun %s: failed to store its spec in a ConfigMap; retrying: %s", run.key, error)
                    await asyncio.sleep(READ_AGAIN_S)
                    continue
                if not (is_namespace_terminating(error) or is_not_found(error)):
                    logger.warning("FlowRun %s: failed to store its spec in a ConfigMap again: %s", run.key, error)
            return

    def free_slot(self, run: LiveRun) -> None:
        """Free the slot of a run that has finished and is stored, was deleted, or starts over."""
        run.claim = None
        if run.flow_key is not None:
            self._slots.remove_run(run.flow_key, run.uid)

    def forget_run(self, run: LiveRun) -> None:
        """Forget what a run waits for, and its slot."""
        self.free_slot(run)
        self._sources.forget_run(run)

    # Runs

    def load_run(self, found: FlowRun) -> LiveRun:
        """Build a run from its object. An invalid spec is found by `start_run`."""
        run = LiveRun.of_object(found)
        run.parent = parent_of(found)
        if run.flow_key is not None and found.tasks:
            # Immediately, before another run asks for a slot.
            self._hold_slot(run, run.flow_key, found.stored_params)
        return run

    def hold_slot(self, run: LiveRun) -> None:
        """Give a slot to a run that has Pods already, though no stored status shows that."""
        if run.flow_key is not None:
            self._hold_slot(run, run.flow_key, run.object.params)

    def update_spec(self, run: LiveRun, found: FlowRun, now: float) -> None:
        """Apply what may change in a run's spec."""
        run.set_object(found)
        run.generation = found.metadata.generation
        run.claim = None
        if run.machine is None:
            return
        try:
            spec = read_spec(found)
        except InvalidSpecError as error:
            logger.warning("FlowRun %s: its changed spec is invalid; keeping the earlier one: %s", run.key, error)
            return
        run.machine.set_control(self._control(spec, found), now)
        if spec.shutdown is not None and run.flow_key is not None:
            self._slots.mark_ending(run.flow_key, run.uid)

    async def start_run(self, run: LiveRun, now: float) -> Started | Waiting | Ended | NotSynced:
        """Give a run its machine, or find out what it waits for, or why it cannot run.

        Args:
            run: the run.
            now: seconds since the epoch.

        Raises:
            ApiError: the API server refused a read or a write that should work.
            ApiUnreachableError: it did not answer.
        """
        held = self._queue_position(run) or await self._read_whole(run)
        if held is not None:
            return held
        try:
            spec = read_spec(run.object)
            if run.object.tasks:
                return Started(await self._resume(run, spec, now))
            return await self._start(run, spec, now)
        except InvalidSpecError as error:
            is_params = all(problem.path.startswith("spec.params") for problem in error.problems)
            return Ended(RunState.FAILED, Reason.INVALID_PARAMS if is_params else Reason.INVALID_SPEC, str(error))
        except StoredStatusError as error:
            return Ended(RunState.FAILED, Reason.INVALID_STATUS, str(error))
        except ExpressionError as error:
            return Ended(RunState.FAILED, Reason.EXPRESSION_ERROR, str(error))

    async def _read_whole(self, run: LiveRun) -> NotSynced | None:
        """Read a run again of which little was kept while it waited; NotSynced: it does not exist any more."""
        if not run.is_cut:
            return None
        found = await self._statuses.read_run(run.key)
        if found is None or found.uid != run.uid or found.is_deleting:
            self._registry.recheck_run(run)
            return NotSynced()
        run.set_object(found)
        return None

    def _queue_position(self, run: LiveRun) -> Waiting | None:
        """Return where a run waits for a slot; None if it should ask for one."""
        if run.claim is None or run.shutdown is not None or run.flow_key is None:
            return None
        waits = self._slots.queue_place(run.flow_key, run.uid)
        return None if waits is None else _queued(waits)

    # Runs that have begun

    async def _resume(self, run: LiveRun, spec: FlowRunSpec, now: float) -> Machine:
        plan = await self._sources.find_resumed_plan(run, spec)
        stored = run.object.status
        given = stored.get("params") if spec.retry_of is not None else spec.params
        params = resolve_params(plan.params, given, is_stored=True)
        machine = Machine(plan, run.identity, params, now=now, stored=stored, control=self._control(spec, run.object))
        if run.shutdown is not None:
            machine.shut_down(run.shutdown.mode, run.shutdown.reason, run.shutdown.message, now)
        elif run.parent is not None and (shutdown := await self._shutdown_by_parent(run, run.parent)) is not None:
            # The process that ended the parent did not get to end this run as well.
            machine.shut_down(shutdown.mode, shutdown.reason, shutdown.message, now)
        if run.flow_key is not None:
            self._hold_slot(run, run.flow_key, params)
        return machine

    # Runs that have not

    async def _start(self, run: LiveRun, spec: FlowRunSpec, now: float) -> Started | Waiting | Ended | NotSynced:
        held = await self._held_back(run, spec, now)
        if held is not None:
            self.free_slot(run)
            return held
        source = await self._sources.find_source(run, spec)
        if isinstance(source, Waiting):
            self.free_slot(run)
            return source
        params = resolve_params(source.plan.params, source.params)
        if run.shutdown is not None:
            # Decided during our reads.
            return Ended.by(run.shutdown)
        refused = self._ask_for_slot(run, spec, params, source.limit)
        if refused is not None:
            return refused
        retried = source.retried
        machine = Machine(
            source.plan,
            run.identity,
            params,
            now=now,
            control=self._control(spec, run.object),
            ancestor=run.retry_of,
            kept=() if retried is None else retried.tasks,
            restart=KEEP_COMPLETED if retried is None else _read_restart(retried, params),
        )
        return Started(machine)

    async def _held_back(self, run: LiveRun, spec: FlowRunSpec, now: float) -> Waiting | Ended | None:
        """Return why a run does not start, apart from its Flow."""
        shutdown = run.shutdown
        if shutdown is None and spec.shutdown is not None:
            shutdown = Shutdown.by_spec(spec.shutdown, self._control(spec, run.object).shutdown_by)
        if shutdown is None and run.parent is not None:
            shutdown = await self._shutdown_by_parent(run, run.parent)
        if shutdown is not None:
            return Ended.by(shutdown)
        if spec.suspend:
            return Waiting(RunState.PAUSED, Reason.SUSPENDED, "spec.suspend is true: the run starts when it is false")
        due_at = scheduled_at(spec)
        if due_at is not None and due_at > now:
            return Waiting(RunState.SCHEDULED, Reason.NOT_DUE, f"starts at {spec.scheduled_time}", due_at=due_at)
        return None

    async def _shutdown_by_parent(self, run: LiveRun, link: ParentLink) -> Shutdown | None:
        """Decide about a child by its parent, which may have finished, or not be reconciled yet."""
        parent = RunKey(run.key.namespace, link.run)
        if self._registry.find_run(RunUid(run.key.namespace, link.uid)) is not None:
            return None
        if self._initial_sync.is_expected(parent):
            # It ends its children itself when it has finished.
            return None
        found = await self._statuses.read_run(parent)
        if found is None or found.uid != link.uid:
            return Shutdown(ShutdownMode.CANCEL, Reason.PARENT_ENDED, f"parent run {link.run} was deleted")
        if not found.is_finished:
            return None
        return Shutdown(ShutdownMode.CANCEL, Reason.PARENT_ENDED, f"parent run {link.run} is {found.state}")

    def _control(self, spec: FlowRunSpec, found: FlowRun) -> Control:
        return read_control(spec, found.metadata.annotations, has_proofs=self._has_policy)

    # Slots

    def _ask_for_slot(
        self, run: LiveRun, spec: FlowRunSpec, params: Mapping[str, Any], limit: ConcurrencyLimit | None
    ) -> Waiting | Ended | NotSynced | None:
        """Ask for one of the Flow's slots; None if the run may start."""
        flow = run.flow_key
        if flow is None or _uses_slot_of_ancestor(run):
            return None
        claim = self._claim(run, params, spec.priority or 0)
        if limit is not None and not self._initial_sync.is_complete:
            if run.head.get("state") == RunState.QUEUED:
                self._slots.enqueue(flow, claim)
            self._initial_sync.reconcile_when_complete(run.key)
            return NotSynced()
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

    def _hold_slot(self, run: LiveRun, flow: ObjectKey, params: Mapping[str, Any]) -> None:
        if _uses_slot_of_ancestor(run):
            return
        self._slots.add_holder(flow, self._claim(run, params, 0))
        if "shutdown" in run.head or run.object.is_shutdown_requested:
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
    """Whether a run is nested in a run of its own Flow: waiting for that one would never end."""
    return run.parent is not None and run.flow in run.parent.callers


def _queued(waits: Queued) -> Waiting:
    return Waiting(RunState.QUEUED, Reason.CONCURRENCY_LIMIT, waits.message, waits.position)


def _read_restart(retried: Retried, params: Mapping[str, Any]) -> Restart:
    return read_restart(retried.references, changed_params(retried.params, params, retried.given))
