"""The FlowRun controller: reconciles every run, one key at a time.

Cluster -> reflector -> queue -> machine -> writer -> cluster. The machine receives facts, most of them from Pods. What
it decides is carried out immediately; the status follows when it is due.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from penstock.engine.concurrency.slots import Slots
from penstock.engine.keys import RunKey
from penstock.engine.machine.effects.effects import Step
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.run.unstarted import Ended, Waiting
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_RUN_STATES
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiUnreachableError
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.writer import Writer
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.runs.attempts.child_runs import ChildRuns
from penstock_operator.runs.attempts.orphans import Orphans
from penstock_operator.runs.attempts.pod_writer import PodWriter
from penstock_operator.runs.attempts.pods import AttemptPods
from penstock_operator.runs.attempts.reader import RetryingReader
from penstock_operator.runs.cache.lookup import CacheLookup
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.effects import EffectExecutor
from penstock_operator.runs.events import RunEvents
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.live_run import LiveRun, RunEnd
from penstock_operator.runs.parents_and_children import Hierarchy
from penstock_operator.runs.parked import ParkedRuns
from penstock_operator.runs.pending import PendingRuns
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runs.run_metrics import count_end, expose_live_runs
from penstock_operator.runs.start import RunStarter, Started
from penstock_operator.runs.status import StatusFlusher, StatusStore, Stored
from penstock_operator.runs.stepper import Stepper
from penstock_operator.runtime.recorder import EventRecorder
from penstock_operator.runtime.workers import run_workers

logger = logging.getLogger(__name__)

WORKERS: Final = 32
"""Runs reconciled together. Only their start waits for the API server; all else takes microseconds."""
RETRY_S: Final = 5.0
"""When to reconcile a run again after an error."""


class RunController:
    """Carries out every FlowRun of the cluster, or of one namespace.

    Args:
        client: for reads.
        writer: for writes; background writes wait while facts about runs come in.
        cache: entries of the cache of task outputs.
        flows: Flows and revisions.
        recorder: for Events.
        metrics: where work is counted.
        epoch: of this leader.
        confirm_leading: asks the Lease whether this process still leads.
        settings: what the installer decided about Pods.
        has_policy: whether the chart's admission policy is in force.
        fail: receives an error after which this process must not continue.
        clock: seconds since the epoch.

    Attributes:
        on_end: observers of every run that has finished, once that is stored, and of every run that was deleted. Now
            and then they are called twice, and not for a run that ended while no operator ran: one that must know of
            those lists the finished runs at its start.
        on_pod: handles a change of a Pod.
        on_job: handles a change of a Job.
        find_job: returns the Job of a run by its name and uid, if it exists and is ours.
        registry: the live runs.
        events: handles changes of runs, Flows and revisions.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        *,
        cache: CacheStore,
        flows: FlowStore,
        recorder: EventRecorder,
        metrics: Metrics,
        epoch: int,
        confirm_leading: Callable[[], Awaitable[bool]],
        settings: PodSettings,
        has_policy: bool,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.on_end: list[Callable[[RunEnd], None]] = []
        self._recorder = recorder
        self._fail = fail
        self._clock = clock
        registry = self.registry = RunRegistry(writer, metrics=metrics, fail=fail, on_error=self._park_run, clock=clock)
        self._statuses = StatusStore(client, writer, epoch=epoch, confirm_leading=confirm_leading)
        self._parked = ParkedRuns(self._statuses, registry, recorder, metrics)
        self._flusher = StatusFlusher(
            self._statuses, registry, metrics, on_stored=self._on_stored, on_refused=self._on_refused
        )
        self._initial_sync = InitialSync(registry)
        pod_writer = PodWriter(writer)
        self._stepper = Stepper(registry, metrics, carry_out=self._carry_out, clock=clock)
        self._orphans = Orphans(RetryingReader(client), pod_writer, registry, self._initial_sync)
        self._pods = AttemptPods(
            client,
            writer,
            pod_writer,
            orphans=self._orphans,
            registry=registry,
            slow_pool=self._stepper.slow_pool,
            settings=settings,
            clock=clock,
        )
        self.on_pod, self.on_job = self._pods.on_pod, self._pods.jobs.on_job
        self.find_job = self._pods.jobs.find_job
        self._child_runs = ChildRuns(self._statuses, writer, registry, slow_pool=self._stepper.slow_pool, clock=clock)
        self._cache = CacheLookup(
            cache, registry, recorder=recorder, metrics=metrics, clock=clock, has_policy=has_policy
        )
        self._effects = EffectExecutor(self._pods, self._child_runs, self._cache, registry, recorder=recorder)
        self._hierarchy = Hierarchy(registry, clock=clock)
        self._slots = Slots(registry.queue.add, self._replace_run)
        self._starter = RunStarter(
            flows,
            self._statuses,
            registry=registry,
            slots=self._slots,
            initial_sync=self._initial_sync,
            has_policy=has_policy,
        )
        self._pending = PendingRuns(self._flusher, registry, self._slots, recorder, clock=clock)
        self.events = RunEvents(
            registry,
            self._parked,
            orphans=self._orphans,
            initial_sync=self._initial_sync,
            child_runs=self._child_runs,
            starter=self._starter,
        )
        expose_live_runs(metrics, registry, clock)

    def open(self) -> None:
        """Begin, once the first lists of Pods and of runs that have begun are complete."""
        self._orphans.open()
        self._initial_sync.open()

    async def close(self) -> None:
        """Stop all work in progress."""
        await self._pods.close()
        await self.registry.background.close()
        self._stepper.slow_pool.close()
        self.registry.queue.close()

    async def work(self) -> None:
        """Reconcile runs until cancelled."""
        await run_workers(
            self.registry.queue,
            self._reconcile,
            kind="FlowRun",
            workers=WORKERS,
            retry_s=RETRY_S,
            fail=self._fail,
            on_error=self._park,
        )

    async def _park(self, key: RunKey, error: Exception) -> None:
        """Set aside a run whose reconciliation failed unexpectedly."""
        run = self.registry.find_run_by_key(key)
        if run is None:
            await self._parked.park_unloaded(key, error)
        else:
            self._park_run(run, error)

    def _park_run(self, run: LiveRun, error: Exception) -> None:
        self._parked.park(run, error)

    async def _reconcile(self, key: RunKey) -> None:
        if self._parked.holds_back(key):
            return
        try:
            await self._reconcile_run(key)
        except ApiUnreachableError:
            raise
        except Exception:
            # One run that cannot be reconciled must not keep all others waiting.
            self._initial_sync.mark_reconciled(key)
            raise
        self._initial_sync.mark_reconciled(key)
        run = self.registry.find_run_by_key(key)
        # Work in the background may have failed meanwhile.
        if run is None or not run.is_parked:
            self._parked.succeed(key)

    async def _reconcile_run(self, key: RunKey) -> None:
        await self._stepper.turn.wait()
        run = self.registry.find_run_by_key(key)
        if run is not None and run.stepping is not None:
            run.is_due_again = True
            return
        found = self.registry.take_announced(key)
        if run is not None and run.is_parked:
            run, found = await self._reload_run(run), None
            if run is None:
                return
        if run is not None and (run.needs_recheck or run.is_spec_stale or found is not None):
            run = await self._recheck_run(run)
        if run is None:
            run = await self._load_run(key, found)
        if run is None:
            return
        if run.machine is None and not await self._start_run(run):
            return
        # During the requests the run may have been forgotten, to be resumed from its stored status, or parked.
        if self.registry.is_live(run) and not run.is_parked:
            self._stepper.advance_run(run)

    async def _load_run(self, key: RunKey, found: FlowRun | None) -> LiveRun | None:
        """Make a run live, unless it has finished or does not exist."""
        if found is None:
            found = await self._statuses.read_run(key)
        shutdown = self.registry.take_shutdown(key, None if found is None else found.uid)
        if found is None or found.is_deleting:
            self._orphans.claim_pods(key, None)
            return None
        uid = found.uid
        if found.is_finished:
            # Perhaps the reply to the write that stored it was lost.
            self._report_end(LiveRun.of_object(found).end_as(found.state))
            self._starter.on_run_finished(key)
            self._orphans.finish_run(key, uid)
            self._orphans.claim_pods(key, None)
            return None
        pods = self._orphans.claim_pods(key, uid)
        run = self._starter.load_run(found)
        self.registry.add_run(run)
        run.shutdown = shutdown
        if pods and not found.tasks:
            self._starter.hold_slot(run)
        for pod in pods:
            self._pods.record_pod(run, pod)
        self._pods.jobs.record_jobs(run)
        self._hierarchy.add_run(run)
        return run

    async def _recheck_run(self, run: LiveRun) -> LiveRun | None:
        """Read whether a run still exists, and its present spec."""
        # Before the read: a change that comes meanwhile may not be in what is read.
        run.needs_recheck = run.is_spec_stale = False
        try:
            found = await self._statuses.read_run(run.key)
        except BaseException:
            run.needs_recheck = True
            raise
        if found is None or found.uid != run.uid or found.is_deleting:
            self._drop_deleted_run(run)
            return None
        self._orphans.claim_pods(run.key, run.uid)
        self._starter.update_spec(run, found, self._clock())
        self._hierarchy.report_to_parent(run)
        return run

    async def _reload_run(self, run: LiveRun) -> LiveRun | None:
        """Make a parked run live again, from what is stored."""
        if run.flushing is not None:
            await asyncio.wait([run.flushing])
        found = await self._statuses.read_run(run.key)
        if found is None or found.uid != run.uid or found.is_deleting:
            self._drop_deleted_run(run)
            return None
        self._forget_run(run)
        reloaded = await self._load_run(run.key, found)
        if reloaded is not None:
            reloaded.shutdown = run.shutdown or reloaded.shutdown
            reloaded.tracked |= run.tracked
        # Also if it has finished: then nothing else would remove their finalizers.
        await self._pods.record_tracked_pods(run)
        return reloaded

    def _drop_deleted_run(self, run: LiveRun) -> None:
        self._hierarchy.report_deletion_to_parent(run)
        self._drop_run(run)
        self._report_end(run.end_as(None))

    async def _start_run(self, run: LiveRun) -> bool:
        """Give a run its machine; false when it has to wait, or cannot run."""
        start = await self._starter.start_run(run, self._clock())
        if not self.registry.is_live(run):
            self._starter.forget_run(run)
            return False
        if run.is_parked:
            return False
        if isinstance(start, Started):
            run.machine, run.next_flush_at = start.machine, 0.0
            return True
        if isinstance(start, Waiting):
            await self._pending.park_run(run, start)
            run.cut_object()
        elif isinstance(start, Ended):
            await self._end_unstarted_run(run, start)
        return False

    async def _end_unstarted_run(self, run: LiveRun, ended: Ended) -> None:
        """End a run that cannot run, and its Pods and children if it had begun."""
        if await self._pending.end_run(run, ended):
            self._pods.stop_without_machine(run)
            self._hierarchy.end_children(run, None)
            self._drop_run(run)

    # One step

    def _carry_out(self, run: LiveRun, machine: Machine, step: Step, now: float) -> None:
        self._effects.execute_step(run, step)
        if step.is_slow:
            run.is_slow = True
            self.registry.reconcile_at(run, time.monotonic())
        if step.wake_at is not None:
            self.registry.queue.add_at(run.key, time.monotonic() + max(step.wake_at - now, 0.0))
        if step.is_changed:
            self._flusher.flush_when_due(run, is_urgent=step.is_urgent)
        elif machine.is_finished_and_stored and run.flushing is None:
            self._retire_run(run)

    def _replace_run(self, key: RunKey, message: str) -> None:
        run = self.registry.find_run_by_key(key)
        if run is not None:
            self._recorder.record(run.regarding, is_warning=True, reason="Replaced", note=message)
            self.registry.end_run(run, Shutdown(ShutdownMode.CANCEL, Reason.RUN_REPLACED, message))

    # The status

    def _on_stored(self, run: LiveRun) -> None:
        """Act on what a run's status says, now that it is stored."""
        self._hierarchy.report_to_parent(run)
        if run.is_counted or (state := run.head["state"]) not in FINAL_RUN_STATES:
            return
        run.is_counted = True
        # Not earlier: if the next run started while a crash could still show both as running, the limit would break.
        self._starter.free_slot(run)
        self._starter.on_run_finished(run.key)
        self._report_end(run.end_as(state))
        count_end(self.registry, run, state)

    async def _on_refused(self, run: LiveRun, stored: Stored) -> None:
        """Act on why a status was not stored."""
        if stored is Stored.RUN_GONE:
            self.registry.recheck_run(run)
        elif stored is Stored.CHANGED_BY_OTHERS:
            logger.warning("FlowRun %s: another writer changed its status; resuming from the stored one", run.key)
            await self._resume_run(run)

    async def _resume_run(self, run: LiveRun) -> None:
        """Forget what was decided for a run: that follows again from what is stored and from its Pods."""
        self._forget_run(run)
        self.registry.queue.add(run.key)
        # The end of these Pods may be stored already: then nothing else would remove their finalizers.
        await self._pods.record_tracked_pods(run)

    # The end

    def _retire_run(self, run: LiveRun) -> None:
        """Forget a run that has finished and is stored."""
        self._orphans.finish_run(run.key, run.uid)
        self._hierarchy.end_children(run, (run.head.get("shutdown") or {}).get("reason"))
        self._parked.forget_run(run.key)
        self._forget_run(run)
        self._cache.forget_run(run)

    def _drop_run(self, run: LiveRun) -> None:
        """Forget a run that was deleted, or cannot run."""
        self._orphans.finish_run(run.key, run.uid)
        self._parked.forget_run(run.key)
        self._forget_run(run)
        self._cache.forget_run(run)
        self._starter.on_run_finished(run.key)
        self._pods.remove_finalizers(run)

    def _forget_run(self, run: LiveRun) -> None:
        self.registry.remove_run(run)
        self._flusher.forget_run(run)
        self._hierarchy.remove_run(run)
        self._starter.forget_run(run)

    def _report_end(self, end: RunEnd) -> None:
        for observer in self.on_end:
            try:
                observer(end)
            except Exception as error:  # noqa: BLE001 - counted and logged; the fault is not in this run
                self.registry.count_error("FlowRun", end.key, error)
