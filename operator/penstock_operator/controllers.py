"""What the leading replica runs: every controller and every watch, and which is connected to which."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.state import RunState
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.kinds.backfill import Backfill
from penstock.kube.kinds.flow import Flow
from penstock.kube.kinds.flow_defaults import FlowDefaults
from penstock.kube.kinds.run_summary import UNFINISHED_RUNS
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import BACKFILLS, CONFIGMAPS, FLOW_DEFAULTS, FLOWRUNS, FLOWS, JOBS, PODS, SCHEDULES
from penstock.kube.writer import Writer
from penstock_operator import handlers
from penstock_operator.backfills.controller import BackfillController
from penstock_operator.flow_defaults.controller import FlowDefaultsController
from penstock_operator.flow_defaults.in_force import NamespaceDefaults
from penstock_operator.flows.controller import REVISIONS, FlowController
from penstock_operator.flows.dry_run import DryRun
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.options import Options
from penstock_operator.retention.orphans import OrphanedRuns
from penstock_operator.retention.pods import PodRetention
from penstock_operator.retention.runs import RunRetention
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.cache.sweep import CacheSweep
from penstock_operator.runs.controller import RunController
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runs.watches import new_runs, restored_runs
from penstock_operator.runtime.controller import decode_as
from penstock_operator.runtime.kopf_thread import KopfThread
from penstock_operator.runtime.recorder import EventRecorder
from penstock_operator.schedules.controller import ScheduleController
from penstock_operator.schedules.runs import ScheduleRuns
from penstock_operator.triggers.controller import TriggerController
from penstock_operator.workloads.job_status import Job
from penstock_operator.workloads.pod import Pod


class Controllers:
    """The controllers of the leading replica.

    Args:
        client: the way to the API server.
        connection: the same, for kopf.
        options: of the operator.
        metrics: where things are counted.
        epoch: of this leader: how often the Lease has changed hands.
        confirm_leading: asks the Lease whether this replica still leads.
        may_write: whether this replica still leads.
        fail: called with an error after which this process must not continue.
    """

    def __init__(
        self,
        client: ApiClient,
        connection: Connection,
        options: Options,
        *,
        metrics: Metrics,
        epoch: int,
        confirm_leading: Callable[[], Awaitable[bool]],
        may_write: Callable[[], bool],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._client = client
        self._namespaces = options.namespaces
        is_alone = len(options.namespaces) == 1 and options.namespaces[0] != ""
        writer = Writer(
            client, may_write=may_write, work_in_flight=options.writes_in_flight, leaves_places=not is_alone
        )
        recorder = EventRecorder(writer, instance=options.identity)
        settings = PodSettings(options.task_user, options.track_pods)
        defaults = NamespaceDefaults(client, options.flow_defaults)
        store = FlowStore(client, writer, defaults)
        cache = CacheStore(client, writer)
        self._runs = RunController(
            client,
            writer,
            cache=cache,
            flows=store,
            recorder=recorder,
            metrics=metrics,
            epoch=epoch,
            confirm_leading=confirm_leading,
            settings=settings,
            has_policy=options.admission_policy,
            fail=fail,
        )
        shared: dict[str, Any] = {"writer": writer, "recorder": recorder, "metrics": metrics, "fail": fail}
        self._run_retention = RunRetention(
            client,
            writer,
            namespaces=options.namespaces,
            is_live=self._runs.registry.is_carried_out,
            metrics=metrics,
            fail=fail,
        )
        self._flows = FlowController(
            client,
            store=store,
            dry_run=DryRun(writer, settings),
            namespaces=options.namespaces,
            on_ready=self._runs.events.on_flow,
            on_retention=self._run_retention.on_retention,
            revisions_in_use=self._runs.registry.revisions_in_use,
            flow_metrics=self._runs.registry.flow_metrics,
            resource=FLOWS,
            kind="Flow",
            **shared,
        )
        self._flow_defaults = FlowDefaultsController(
            defaults=defaults,
            on_change=self._flows.on_defaults,
            resource=FLOW_DEFAULTS,
            kind="FlowDefaults",
            **shared,
        )
        self._schedule_runs = ScheduleRuns()
        self._schedules = ScheduleController(
            client,
            runs=self._schedule_runs,
            end_run=self._runs.registry.end_run_when_live,
            resource=SCHEDULES,
            kind="Schedule",
            **shared,
        )
        self._orphans = OrphanedRuns(
            client,
            writer,
            runs=self._schedule_runs,
            policy_of=self._run_retention.policy_of,
            has_no_retention=store.has_no_retention,
            metrics=metrics,
        )
        self._triggers = TriggerController(
            client,
            options.event_kinds,
            namespaces=options.namespaces,
            has_webhooks=options.event_port is not None,
            resource=SCHEDULES,
            kind="Schedule",
            **shared,
        )
        self._backfills = BackfillController(client, resource=BACKFILLS, kind="Backfill", **shared)
        self._pod_retention = PodRetention(
            writer,
            unstored_since=self._runs.registry.unstored_since,
            find_job=self._runs.find_job,
            metrics=metrics,
            fail=fail,
        )
        self._cache_sweep = CacheSweep(
            client,
            cache,
            namespaces=options.namespaces,
            is_live=self._runs.registry.is_carried_out,
            metrics=metrics,
            fail=fail,
        )
        self._runs.on_end += [
            self._on_run_end,
            self._run_retention.on_run_end,
            self._backfills.on_run_end,
            self._triggers.on_run_end,
        ]
        # One watch for each kind and namespace: with rights in some namespaces only, none can be of all.
        self._workloads = [each for namespace in self._namespaces for each in self._watch_workloads(namespace)]
        self._known_runs = [self._watch_known_runs(namespace) for namespace in self._namespaces]
        self._new_runs = [
            new_runs(client, self._runs.events.on_new_run, namespace=namespace) for namespace in self._namespaces
        ]
        self._restored_runs = [
            restored_runs(client, self._on_restored_run, namespace=namespace) for namespace in self._namespaces
        ]
        self._revisions = [self._watch_revisions(namespace) for namespace in self._namespaces]
        self._runs_of_schedules = self._schedule_runs.reflectors(client, options.namespaces)
        self.kopf = KopfThread(
            handlers.registry,
            handlers.Memo(
                connection,
                asyncio.get_running_loop(),
                on_flow=decode_as(Flow, self._flows.on_object),
                on_schedule=decode_as(
                    Schedule, self._schedules.on_object, self._triggers.on_object, self._backfills.on_schedule
                ),
                on_backfill=decode_as(Backfill, self._backfills.on_object),
                on_flow_defaults=decode_as(FlowDefaults, self._flow_defaults.on_object),
            ),
            namespaces=options.namespaces,
            fail=fail,
        )

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """Every watch that is open while this replica leads."""
        return (
            *self._workloads,
            *self._revisions,
            *self._known_runs,
            *self._new_runs,
            *self._restored_runs,
            *self._runs_of_schedules,
        )

    def task_instances_in_progress(self, most: int) -> int:
        """Count the task instances that are in progress, up to so many: more make no difference to the caller."""
        return self._runs.registry.task_instances_in_progress(most)

    def expose_watches(self, metrics: Metrics) -> None:
        """Have it read at each scrape how long the watches have been silent."""

        def silences() -> Iterable[tuple[tuple[str, ...], float]]:
            now = time.monotonic()
            longest: dict[str, float] = {}
            for reflector in self.reflectors:
                longest[reflector.plural] = max(longest.get(reflector.plural, 0.0), reflector.age_s(now))
            return [((plural,), silence) for plural, silence in longest.items()]

        metrics.watch_silence.add_source(silences)

    async def run(self) -> None:
        """Open the watches in the order that recovery needs, then reconcile until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await _open(tasks, *self._workloads)
                # Pods first: a status that is read later than its Pods can only know more than they show.
                await _open(tasks, *self._known_runs, *self._restored_runs, *self._revisions, *self._runs_of_schedules)
                self._runs.open()
                self.kopf.start()
                await _open(tasks, *self._new_runs)
                for work in (
                    self._runs.work,
                    self._flows.work,
                    self._flows.sweep,
                    self._flow_defaults.work,
                    self._schedules.work,
                    self._triggers.work,
                    self._backfills.work,
                    self._pod_retention.run,
                    self._run_retention.run,
                    self._orphans.run,
                    self._cache_sweep.run,
                ):
                    tasks.create_task(work())
        finally:
            await self.kopf.stop()
            await self._triggers.close()
            await self._runs.close()

    def _on_run_end(self, end: RunEnd) -> None:
        if end.flow is not None and end.ended_at is not None and end.state == RunState.COMPLETED:
            self._flows.on_success(ObjectKey(end.key.namespace, end.flow), end.ended_at)

    def _on_restored_run(self, run: PartialObject) -> None:
        self._runs.events.on_restored_run(run)
        self._run_retention.on_restored_run(run)

    def _watch_workloads(self, namespace: str) -> tuple[Reflector[Pod], Reflector[Job]]:
        def on_pod(event: EventType, pod: Pod) -> None:
            self._runs.on_pod(event, pod)
            self._pod_retention.on_pod(event, pod)

        shared: dict[str, Any] = {
            "namespace": namespace,
            "label_selector": names.LABEL_RUN_UID,
            "keep_objects": True,
        }
        pods = Reflector(self._client, PODS, kind=Pod, on_event=on_pod, **shared)
        jobs = Reflector(self._client, JOBS, kind=Job, on_event=self._runs.on_job, **shared)
        return pods, jobs

    def _watch_revisions(self, namespace: str) -> Reflector[PartialObject]:
        def on_revision(event: EventType, item: PartialObject) -> None:
            self._flows.on_revision(event, item)
            self._runs.events.on_revision(event, item)

        return Reflector(
            self._client,
            CONFIGMAPS,
            kind=PartialObject,
            namespace=namespace,
            label_selector=REVISIONS,
            metadata_only=True,
            on_event=on_revision,
        )

    def _watch_known_runs(self, namespace: str) -> Reflector[PartialObject]:
        return Reflector(
            self._client,
            FLOWRUNS,
            kind=PartialObject,
            namespace=namespace,
            field_selector=UNFINISHED_RUNS,
            metadata_only=True,
            on_event=self._runs.events.on_run,
        )


async def _open(tasks: asyncio.TaskGroup, *reflectors: Reflector[Any]) -> None:
    """Start to watch, and wait until the first lists are complete."""
    for reflector in reflectors:
        tasks.create_task(reflector.run())
    for reflector in reflectors:
        await reflector.synced.wait()
