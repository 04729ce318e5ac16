"""The operator as a process: stand by, lead, and end when leadership does."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from penstock.api import names
from penstock.api.flow import FlowSpec
from penstock.engine.keys import ObjectKey
from penstock.engine.state import FINAL_RUN_STATES
from penstock.engine.validation.validation import parse_flow, parse_schedule
from penstock.engine.workloads.pod import PodSettings
from penstock.errors import PenstockError
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.kinds.backfill import Backfill
from penstock.kube.kinds.flow import Flow
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.lease import LeaderElection
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import BACKFILLS, FLOWRUNS, FLOWS, JOBS, PODS, SCHEDULES, Resource
from penstock.kube.writer import Writer
from penstock_operator.backfills.controller import BackfillController
from penstock_operator.event_loop import RestingSelector
from penstock_operator.flows.controller import FlowController
from penstock_operator.flows.dry_run import DryRun
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.options import Options
from penstock_operator.retention.pods import PodRetention
from penstock_operator.retention.runs import RunRetention
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.cache.sweep import CacheSweep
from penstock_operator.runs.controller import RunController
from penstock_operator.runs.watches import new_runs
from penstock_operator.runtime.controller import decode_as
from penstock_operator.runtime.kopf_thread import KopfThread, Receivers
from penstock_operator.runtime.recorder import EventRecorder
from penstock_operator.schedules.controller import ScheduleController
from penstock_operator.schedules.runs import ScheduleRuns
from penstock_operator.triggers.controller import TriggerController
from penstock_operator.triggers.webhook import WebhookReceiver
from penstock_operator.webhooks.admission import Admission
from penstock_operator.webhooks.flow_lookup import FlowLookup
from penstock_operator.webhooks.server import HttpServers
from penstock_operator.workloads.job_status import Job
from penstock_operator.workloads.pod_status import Pod

logger = logging.getLogger(__name__)

T = TypeVar("T")

UNFINISHED_RUNS: Final = ",".join(["status.state!=", *(f"status.state!={state}" for state in sorted(FINAL_RUN_STATES))])
"""Field selector of the runs that have begun and are not over; new ones come from kopf."""
DELIVERIES_IN_FLIGHT: Final = 16
LOOKUP_S: Final = 3.0
"""The API server waits for admission's answer: an object that admission needs must be read within this time."""
SILENT_S: Final = 300.0
"""A stream that has not said a word for so long, bookmarks included, makes the process unhealthy."""


async def run(options: Options, environ: Mapping[str, str], selector: RestingSelector) -> int:
    """Run the operator until it is told to stop, or may not go on.

    Args:
        options: how.
        environ: the environment, for credentials.
        selector: of the running loop; it learns how much is in hand.

    Returns:
        The exit code: 0 when told to stop.

    Raises:
        PenstockError: it could not start.
    """
    return await Process(options, environ, selector).run()


class Process:
    """One replica of the operator."""

    def __init__(self, options: Options, environ: Mapping[str, str], selector: RestingSelector) -> None:
        self._options = options
        self._connection = Connection.load(environ)
        self._selector = selector
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._reflectors: list[Reflector[Any]] = []
        self._kopf: KopfThread | None = None
        self._is_leading = False

    async def run(self) -> int:
        """Serve, stand by, lead; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        options = self._options
        async with ApiClient(self._connection, metrics=self._metrics) as client:
            servers = self._servers(client)
            await servers.start()
            logger.info(
                "penstock-operator %s serves %s:%d, watches %s",
                options.identity,
                options.bind_address,
                servers.http_port,
                options.namespace or "all namespaces",
            )
            if servers.event_port is not None:
                logger.info("Webhooks of Schedules are served on %s:%d", options.bind_address, servers.event_port)
            election = LeaderElection(
                client,
                namespace=options.lease_namespace,
                name=options.lease_name,
                identity=options.identity,
                times=options.lease_times,
            )
            try:
                leading = asyncio.create_task(self._lead(client, election))
                stopping = asyncio.create_task(self._stop.wait())
                await asyncio.wait([leading, stopping], return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                leading.cancel()
                (result,) = await asyncio.gather(leading, return_exceptions=True)
                if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                    self._failure = self._failure or result
            finally:
                await election.release()
                await servers.stop()
        if self._failure is not None:
            if not isinstance(self._failure, PenstockError):
                logger.error("The operator ends", exc_info=self._failure)
            else:
                logger.error("The operator ends: %s", self._failure)
            return 1
        logger.info("The operator ends as it was told to")
        return 0

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stop.set()

    def _servers(self, client: ApiClient) -> HttpServers:
        options = self._options

        async def look_up_flow(namespace: str, name: str) -> FlowSpec | None:
            return await _look_up(client, FLOWS, parse_flow, ObjectKey(namespace, name))

        admission = Admission(
            look_up_flow,
            lambda namespace, name: _look_up(client, SCHEDULES, parse_schedule, ObjectKey(namespace, name)),
            lambda namespace, name: _look_up(client, FLOWRUNS, _state_of, ObjectKey(namespace, name)),
            options.event_kinds,
            recent=FlowLookup(look_up_flow),
        )
        # Not the leader's alone: the name of what it makes follows from what comes in.
        writer = Writer(client, may_write=lambda: True, work_in_flight=DELIVERIES_IN_FLIGHT)
        recorder = EventRecorder(writer, instance=options.identity)
        deliveries = WebhookReceiver(client, writer, recorder, namespace=options.namespace)
        return HttpServers(
            bind_address=options.bind_address,
            http_port=options.http_port,
            registry=self._metrics.registry,
            health={"streams": self._check_streams, "kopf": self._check_kopf},
            readiness={"leading": self._check_synced},
            webhook_port=options.webhook_port,
            webhook_cert_dir=options.webhook_cert_dir,
            webhooks={
                "/validate/flows": admission.validate_flow,
                "/validate/flowruns": admission.validate_flowrun,
                "/validate/schedules": admission.validate_schedule,
                "/validate/backfills": admission.validate_backfill,
            },
            event_port=options.event_port,
            events=deliveries.app(),
        )

    def _check_streams(self) -> str | None:
        now = time.monotonic()
        ages = [reflector.age_s(now) for reflector in self._reflectors]
        return f"a stream has been silent for {max(ages):.0f} s" if ages and max(ages) > SILENT_S else None

    def _check_kopf(self) -> str | None:
        return "kopf's thread has ended" if self._kopf is not None and not self._kopf.is_alive else None

    def _check_synced(self) -> str | None:
        if self._is_leading and not all(reflector.synced.is_set() for reflector in self._reflectors):
            return "the first lists are not complete"
        return None

    async def _lead(self, client: ApiClient, election: LeaderElection) -> None:
        epoch = await election.acquire()
        self._is_leading = True
        self._metrics.leader.set_function(lambda: float(election.is_leading()))
        options = self._options
        writer = Writer(client, may_write=election.is_leading, work_in_flight=options.writes_in_flight)
        cache = CacheStore(client, writer)
        recorder = EventRecorder(writer, instance=options.identity)
        store = FlowStore(client, writer)
        settings = PodSettings(options.task_user, options.track_pods)
        room = RunController(
            client,
            writer,
            cache=cache,
            flows=store,
            recorder=recorder,
            metrics=self._metrics,
            epoch=epoch,
            settings=settings,
            fail=self._fail,
        )
        self._selector.count = room.task_instances_in_progress
        common = {"writer": writer, "recorder": recorder, "fail": self._fail}
        flows = FlowController(
            client,
            store=store,
            dry_run=DryRun(writer, settings),
            namespace=options.namespace,
            on_ready=room.on_flow,
            revisions_in_use=room.revisions_in_use,
            resource=FLOWS,
            kind="Flow",
            **common,
        )
        schedules, of_schedules = self._schedules(client, **common)
        cache_sweep = CacheSweep(
            client,
            cache,
            namespace=options.namespace,
            is_live=room.is_carried_out,
            metrics=self._metrics,
            fail=self._fail,
        )
        pod_retention, run_retention = self._retention(client, writer, room)

        def on_pod(event: EventType, pod: Pod) -> None:
            room.on_pod(event, pod)
            pod_retention.on_pod(event, pod)

        backfills, events = self._followers(client, room, common)
        pods = Reflector(
            client,
            PODS,
            kind=Pod,
            namespace=options.namespace,
            label_selector=names.LABEL_RUN_UID,
            on_event=on_pod,
            keep_objects=True,
        )
        jobs = Reflector(
            client,
            JOBS,
            kind=Job,
            namespace=options.namespace,
            label_selector=names.LABEL_RUN_UID,
            on_event=room.on_job,
            keep_objects=True,
        )
        runs = Reflector(
            client,
            FLOWRUNS,
            kind=PartialObject,
            namespace=options.namespace,
            field_selector=UNFINISHED_RUNS,
            metadata_only=True,
            on_event=room.on_run,
        )
        beginning = new_runs(client, room.on_new_run, namespace=options.namespace)
        self._reflectors = [pods, jobs, runs, beginning, *of_schedules]
        self._kopf = KopfThread(
            self._connection,
            namespace=options.namespace,
            receivers=Receivers(
                flow=decode_as(Flow, flows.on_object, run_retention.on_flow),
                schedule=decode_as(Schedule, schedules.on_object, events.on_object, backfills.on_schedule),
                backfill=decode_as(Backfill, backfills.on_object),
            ),
            failed=self._fail,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_lease(election))
                await _open(tasks, pods, jobs)
                # Pods first: a status that is read later than its Pods can only know more than they show.
                await _open(tasks, runs, *of_schedules)
                room.open()
                self._kopf.start()
                await _open(tasks, beginning)
                tasks.create_task(room.work())
                tasks.create_task(flows.work())
                tasks.create_task(flows.sweep())
                tasks.create_task(cache_sweep.run())
                tasks.create_task(pod_retention.run())
                tasks.create_task(run_retention.run())
                tasks.create_task(schedules.work())
                tasks.create_task(backfills.work())
                tasks.create_task(events.work())
        finally:
            await self._kopf.stop()
            await events.close()
            await room.close()

    def _retention(self, client: ApiClient, writer: Writer, room: RunController) -> tuple[PodRetention, RunRetention]:
        """Make what removes Pods and runs that are over."""
        pods = PodRetention(writer, unstored_since=room.unstored_since, metrics=self._metrics, fail=self._fail)
        runs = RunRetention(
            client,
            writer,
            namespace=self._options.namespace,
            is_live=room.is_carried_out,
            metrics=self._metrics,
            fail=self._fail,
        )
        room.on_end.append(runs.on_run_end)
        return pods, runs

    def _schedules(self, client: ApiClient, **common: Any) -> tuple[ScheduleController, tuple[Reflector[Any], ...]]:
        """Make the controller of Schedules, and the watches of their runs."""
        runs = ScheduleRuns()
        controller = ScheduleController(
            client, runs=runs, metrics=self._metrics, resource=SCHEDULES, kind="Schedule", **common
        )
        return controller, runs.reflectors(client, self._options.namespace)

    def _followers(
        self, client: ApiClient, room: RunController, common: Mapping[str, Any]
    ) -> tuple[BackfillController, TriggerController]:
        """Make what looks at Schedules besides their own controller."""
        options = self._options
        backfills = BackfillController(client, resource=BACKFILLS, kind="Backfill", **common)
        events = TriggerController(
            client,
            options.event_kinds,
            namespace=options.namespace,
            has_webhooks=options.event_port is not None,
            resource=SCHEDULES,
            kind="Schedule",
            **common,
        )
        room.on_end += [backfills.on_run_end, events.on_run_end]
        return backfills, events

    async def _watch_lease(self, election: LeaderElection) -> None:
        await election.lost.wait()
        self._fail(PenstockError("the Lease is lost, so that another replica can lead"))


async def _open(tasks: asyncio.TaskGroup, *reflectors: Reflector[Any]) -> None:
    """Begin to watch, and wait until the first lists are complete."""
    for reflector in reflectors:
        tasks.create_task(reflector.run())
    for reflector in reflectors:
        await reflector.synced.wait()


def _state_of(run: Mapping[str, Any]) -> str:
    return str((run.get("status") or {}).get("state", ""))


async def _look_up(
    client: ApiClient, resource: Resource, parse: Callable[[Mapping[str, Any]], T], key: ObjectKey
) -> T | None:
    """Return an object's spec for admission; None if there is none."""
    body = await client.get(resource, key.namespace, key.name, kind=dict[str, Any], urgent=True, timeout_s=LOOKUP_S)
    return None if body is None else parse(body)
