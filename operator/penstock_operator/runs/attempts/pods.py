"""The Pods of attempts: read into facts, and created or adopted, stopped and looked up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.keys import RunUid, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt, RemoveFinalizer, StopAttempt, VerifyAttempt
from penstock.engine.machine.facts import AttemptGone, AttemptKind, AttemptSeen, Cause, CreateRefused
from penstock.engine.names import pod_name
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.engine.workloads.workspace import mount_of
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_conflict, is_not_found
from penstock.kube.reflector import EventType
from penstock.kube.resources import PODS
from penstock.kube.writer import Writer
from penstock_operator.runs.attempts.create import AttemptCreator, building
from penstock_operator.runs.attempts.identity import is_pod_of
from penstock_operator.runs.attempts.jobs import AttemptJobs
from penstock_operator.runs.attempts.orphans import Orphans
from penstock_operator.runs.attempts.pod_events import PodEvents
from penstock_operator.runs.attempts.pod_writer import PodWriter
from penstock_operator.runs.attempts.reader import RetryingReader
from penstock_operator.runs.attempts.workspaces import ClaimRefusedError, Workspaces
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.slow_pool import SlowPool
from penstock_operator.workloads.job import build_job, job_deadline_s
from penstock_operator.workloads.pod import Pod, run_uid
from penstock_operator.workloads.pod_status import (
    ENDED_BEFORE,
    is_main_finished,
    is_pod_finished,
    observe_pod,
    read_stop_request,
)
from penstock_operator.workloads.retention_annotations import retention_annotations

logger = logging.getLogger(__name__)

_POD: Final = msgspec.json.Decoder(Pod)


class AttemptPods:
    """Records what Pods show, and carries out what the machine asks for.

    Args:
        client: for reads.
        writer: for creates.
        pod_writer: for other writes to Pods.
        orphans: receives Pods whose run is not live.
        registry: the live runs.
        settings: what the installer decided about Pods.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        pod_writer: PodWriter,
        *,
        orphans: Orphans,
        registry: RunRegistry,
        slow_pool: SlowPool,
        settings: PodSettings,
        clock: Callable[[], float],
    ) -> None:
        self._reader = RetryingReader(client)
        self._writer = writer
        self._pod_writer = pod_writer
        self._orphans = orphans
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._creates = AttemptCreator(
            self._send, self._adopt, registry, slow_pool=slow_pool, full="the namespace's quota is full"
        )
        self._workspaces = Workspaces(self._reader, writer)
        self._events = PodEvents(client, registry, self.record_pod)
        self.jobs = AttemptJobs(
            client,
            writer,
            registry,
            record_pod=self.record_pod,
            record_deleted_pod=self._record_deleted_pod,
            clock=clock,
        )

    async def close(self) -> None:
        """Stop reading Events."""
        await self._events.close()
        await self.jobs.close()

    # What Pods show

    def on_pod(self, event: EventType, pod: Pod) -> None:
        """Handle a change of a Pod."""
        run = self._registry.find_run(RunUid(pod.metadata.namespace, run_uid(pod)))
        try:
            self._handle_pod(run, event, pod)
        except Exception as error:
            if run is None:
                raise
            self._registry.handle_error(run, error)

    def _handle_pod(self, run: LiveRun | None, event: EventType, pod: Pod) -> None:
        if event is EventType.DELETED:
            self._events.forget_pod(pod)
            self._orphans.forget_pod(pod)
            if run is not None:
                self._record_deleted_pod(run, pod)
        elif run is not None:
            self.record_pod(run, pod, is_event=True)
        else:
            self._orphans.add_pod(pod)

    def record_pod(self, run: LiveRun, pod: Pod, *, is_event: bool = False) -> None:
        """Record what a Pod and its Job show about an attempt of a run.

        Args:
            run: the run.
            pod: the Pod as it is now.
            is_event: nothing waits for the answer, so one that the machine knows already is dropped.
        """
        seen = self._observe(run, pod)
        if seen is None:
            self._orphans.release_foreign_pod(pod)
            return
        if is_event and run.machine is not None and not run.machine.is_news(seen):
            return
        if seen.is_tracked:
            run.tracked[seen.pod] = seen.uid
        else:
            run.tracked.pop(seen.pod, None)
        self._registry.record_fact(run, seen)

    def _record_deleted_pod(self, run: LiveRun, pod: Pod) -> None:
        """Record a Pod that does not exist any more, as it was last seen."""
        run.tracked.pop(pod.metadata.name, None)
        seen = self._observe(run, pod, exists=False)
        if seen is None:
            return
        if seen.outcome is not None and seen.is_finished:
            self._registry.record_fact(run, seen)
        else:
            self._registry.spawn(run, self.verify_attempt(run, VerifyAttempt(seen.key, seen.attempt)))

    def _observe(self, run: LiveRun, pod: Pod, *, exists: bool = True) -> AttemptSeen | None:
        # The reply to a create has no status: what the watch has shown already, says more.
        known = self._events.note_pod(pod) if exists and pod.status.phase else None
        uid = pod.metadata.uid
        asked_at = run.stop_requests.get(uid)
        if asked_at is None:
            asked_at = read_stop_request(pod)
        seen = observe_pod(pod, now=self._clock(), known=known, stop_asked_at=asked_at)
        if seen is None or not is_pod_of(run, pod, seen.key, seen.attempt):
            return None
        shown = self.jobs.add_job_state(run, pod, seen, exists=exists)
        is_held = seen.outcome is not None and shown is not None and shown.outcome is None
        is_disrupted = seen.outcome is None or seen.outcome.cause is Cause.DISRUPTION
        if not is_disrupted and is_held:
            # Its Job holds the end back, and the Pod may be deleted before it counts.
            run.stop_requests[uid] = ENDED_BEFORE
        elif asked_at is not None and (is_held or (is_disrupted and exists)):
            run.stop_requests[uid] = asked_at
        else:
            run.stop_requests.pop(uid, None)
        return shown

    async def record_tracked_pods(self, run: LiveRun) -> None:
        """Read the Pods of a run that carry our finalizer, and handle each as if it had changed."""
        for name in list(run.tracked):
            pod = await self.read_pod(run.key.namespace, name)
            if pod is not None:
                self.on_pod(EventType.MODIFIED, pod)

    def report_freed_quota(self, namespace: str) -> None:
        """Note that a Pod of ours in a namespace has ended: its quota may have capacity."""
        self._creates.report_freed_quota(namespace)

    # What the machine asks for

    async def create_attempt(self, run: LiveRun, create: CreateAttempt) -> None:
        """Create the Pod or Job of an attempt, adopt the one that is there, or record why there is none."""
        await self._creates.create_attempt(run, create)

    async def _send(self, run: LiveRun, create: CreateAttempt) -> None:
        machine = run.machine
        assert machine is not None
        task = _task_of(machine.plan, create.key)
        try:
            if machine.plan.workspace is not None:
                await self._workspaces.ensure_claim(run, machine.plan.workspace)
            # It is built when its turn to be sent has come: thousands may wait for that.
            if task.is_job:
                await self.jobs.create_job(run, create, lambda: self._build(run, create, machine.plan, task))
                return
            reply = await self._writer.create(
                PODS, run.key.namespace, lambda: self._build(run, create, machine.plan, task), accept=METADATA
            )
        except ClaimRefusedError as refused:
            self._registry.record_fact(run, CreateRefused(create.key, create.attempt, str(refused)))
        else:
            self._record_reply(run, _POD.decode(reply.body))

    def _build(self, run: LiveRun, create: CreateAttempt, plan: Plan, task: TaskPlan) -> bytes:
        """Build the Pod or Job of an attempt, as JSON.

        Raises:
            ExpressionError: its inputs could not be rendered.
        """
        settings = self._settings
        if plan.track_pods is not None:
            settings = settings._replace(is_tracked=plan.track_pods)
        with building(f"{plan.path_of(task)}{'.podTemplate' if task.pod_templates else ''}"):
            pod = build_pod(
                create,
                task,
                run.identity,
                flow=run.flow,
                revision=run.revision,
                settings=settings,
                workspace=None if plan.workspace is None else mount_of(plan.workspace, run.identity),
            )
            pod["metadata"]["annotations"] |= retention_annotations(plan.pod_retention)
            return msgspec.json.encode(build_job(pod, deadline_s=job_deadline_s(task)) if task.is_job else pod)

    async def _adopt(self, run: LiveRun, create: CreateAttempt) -> None:
        name = pod_name(run.key.name, run.uid, create.key, create.attempt)
        pod = await self.read_pod(run.key.namespace, name)
        if pod is None:
            # It was deleted in between: the machine asks again.
            self._registry.record_fact(run, AttemptGone(create.key, create.attempt))
            return
        if not is_pod_of(run, pod, create.key, create.attempt):
            message = f"a Pod named {name} exists that does not belong to this run"
            self._registry.record_fact(run, CreateRefused(create.key, create.attempt, message))
            return
        self._record_reply(run, pod)

    def _record_reply(self, run: LiveRun, pod: Pod) -> None:
        if self._registry.is_live(run):
            self.record_pod(run, pod)
        else:
            # Its run has finished, or was resumed from its stored status: then it is still a Pod of that run.
            self.on_pod(EventType.MODIFIED, pod)

    async def stop_attempt(self, run: LiveRun, stop: StopAttempt) -> None:
        """Stop an attempt: end its Pod in place if that keeps its log, else delete its Pod or Job.

        If `main` has ended, only the other containers are ended.
        """
        try:
            if stop.reason is None and await self._has_ended(run, stop):
                return
            # The same for the Pod of a Job: the Job fails with its Pod, and creates no other.
            if stop.is_in_place and await self._pod_writer.end_pod(
                run.key.namespace, stop.pod, stop.uid, now=self._clock()
            ):
                return
            if self._is_job(run, stop.key, stop.attempt):
                await self.jobs.stop_job(run, stop)
            else:
                await self._pod_writer.delete_pod(run.key.namespace, stop.pod, stop.uid)
        except ApiError as error:
            if is_not_found(error) or is_conflict(error):
                await self.verify_attempt(run, VerifyAttempt(stop.key, stop.attempt))
            else:
                logger.warning("FlowRun %s: failed to stop Pod %s: %s", run.key, stop.pod, error)

    async def _has_ended(self, run: LiveRun, stop: StopAttempt) -> bool:
        """Whether a Pod that is only in the way of the next attempt has ended, or is being ended without deletion.

        The decision to stop it may be older than what a read has shown since, so its state is read once more: a Pod
        that has ended is kept, with its logs.
        """
        pod = await self.read_pod(run.key.namespace, stop.pod)
        if pod is None or pod.metadata.uid != stop.uid:
            return False
        if is_main_finished(pod):
            return await self._pod_writer.end_remaining_containers(pod)
        return is_pod_finished(pod)

    def remove_finalizer(self, run: LiveRun, removal: RemoveFinalizer) -> None:
        """Remove the finalizer from the Pod of an attempt whose end is stored."""
        self._registry.spawn(run, self._pod_writer.remove_finalizer(run.key.namespace, removal.pod, removal.uid))

    def remove_finalizers(self, run: LiveRun) -> None:
        """Remove the finalizer from all Pods of a run that is not carried out any more."""
        for pod, uid in run.tracked.items():
            self._registry.spawn(run, self._pod_writer.remove_finalizer(run.key.namespace, pod, uid))

    def stop_without_machine(self, run: LiveRun) -> None:
        """Stop the known Pods of a run that has no machine to do so."""
        pods = {fact.pod: fact for fact in run.facts if isinstance(fact, AttemptSeen)}
        for seen in pods.values():
            is_child = seen.kind is AttemptKind.CHILD_RUN
            if not (seen.is_finished or seen.is_deleting or is_child):
                stop = StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid)
                self._registry.spawn(run, self.stop_attempt(run, stop))

    async def verify_attempt(self, run: LiveRun, verify: VerifyAttempt) -> None:
        """Find out whether the Pod of an attempt exists."""
        await self._creates.wait_for_create(run, verify)
        if self._is_job(run, verify.key, verify.attempt):
            await self.jobs.verify_job(run, verify)
            return
        name = pod_name(run.key.name, run.uid, verify.key, verify.attempt)
        pod = await self.read_pod(run.key.namespace, name)
        if pod is not None and is_pod_of(run, pod, verify.key, verify.attempt):
            self.record_pod(run, pod)
        else:
            self._registry.record_fact(run, AttemptGone(verify.key, verify.attempt))

    async def read_pod(self, namespace: str, name: str) -> Pod | None:
        """Read a Pod, however long that takes; None if there is none."""
        return await self._reader.read_object(PODS, namespace, name, Pod)

    def _is_job(self, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
        if run.machine is not None:
            return _task_of(run.machine.plan, key).is_job
        return self.jobs.is_known(run, key, attempt)


def _task_of(plan: Plan, key: TaskInstanceKey) -> TaskPlan:
    return plan.tasks[plan.positions[key.task]]
