"""The Pods of attempts as writes: created or adopted, stopped, looked for, and let go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects import CreateAttempt, StopAttempt, VerifyAttempt
from penstock.engine.machine.facts import AttemptGone, AttemptSeen, CreateRefused
from penstock.engine.names import pod_name
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.engine.workloads.workspace import mount_of
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_conflict, is_not_found
from penstock.kube.reflector import EventType
from penstock.kube.resources import JOBS, PODS
from penstock.kube.writer import Writer
from penstock_operator.runs.attempts.create import AttemptCreator
from penstock_operator.runs.attempts.jobs import AttemptJobs
from penstock_operator.runs.attempts.reader import PatientReader
from penstock_operator.runs.attempts.workspaces import ClaimRefusedError, Workspaces
from penstock_operator.runs.listener import Listener
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.workloads.job import build_job, job_deadline_s
from penstock_operator.workloads.job_status import Job, job_owner
from penstock_operator.workloads.pod_status import Pod, is_main_over, is_pod_over, observe_pod, run_uid
from penstock_operator.workloads.retention_annotations import retention_annotations

logger = logging.getLogger(__name__)

STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
PATIENT_RELEASES: Final = 5000
"""With so many Pods waiting to be let go, more of them queue with what is created: else both would only grow."""
AT_ONCE_S: Final = 1
"""The shortest activeDeadlineSeconds there is."""

_POD: Final = msgspec.json.Decoder(Pod)


class Lanes(NamedTuple):
    """Ways to the API server that don't hold each other up."""

    work: Writer
    """Creates and stops Pods."""
    status: Writer
    """Stores statuses."""
    release: Writer
    """Lets Pods go: the least urgent write."""


class AttemptPods:
    """Carries out what the machine asks for.

    Args:
        client: for reads.
        lanes: for writes.
        settings: what the installer decided about Pods.
        listener: who hears of it.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        lanes: Lanes,
        *,
        settings: PodSettings,
        listener: Listener,
        clock: Callable[[], float],
    ) -> None:
        self._reader = PatientReader(client)
        self._lanes = lanes
        self._settings = settings
        self._listener = listener
        self._clock = clock
        self._creates = AttemptCreator(self._send, self._adopt, listener, full="the namespace's quota is full")
        self._workspaces = Workspaces(self._reader, lanes.work)
        self._jobs = AttemptJobs(client, lanes.work, listener=listener, clock=clock)
        self._releasing = 0

    async def close(self) -> None:
        """End what goes on in the background."""
        await self._jobs.close()

    # What is seen

    def on_job(self, event: EventType, job: Job) -> None:
        """Take over a change of an attempt's Job."""
        self._jobs.on_job(event, job)

    def claim_jobs(self, run: LiveRun) -> None:
        """Tell a run that has just become known of its Jobs that have no Pod."""
        self._jobs.claim(run)

    def observe(self, run: LiveRun, pod: Pod, *, is_there: bool = True) -> AttemptSeen | None:
        """Read an attempt from its Pod, and from its Job if it has one; None if the Pod carries none."""
        seen = observe_pod(pod, now=self._clock())
        return None if seen is None else self._jobs.join(run, pod, seen, is_there=is_there)

    def notice_room(self, namespace: str) -> None:
        """Learn that a Pod of ours in a namespace has ended: a quota may have room."""
        self._creates.notice_room(namespace)

    # What the machine asks for

    async def create(self, run: LiveRun, create: CreateAttempt) -> None:
        """Create the Pod or Job of an attempt, adopt the one that is there, or learn why it can't be had."""
        await self._creates.create(run, create)

    async def _send(self, run: LiveRun, create: CreateAttempt) -> None:
        machine = run.machine
        assert machine is not None
        task = _task_of(machine.plan, create.key)
        try:
            if machine.plan.workspace is not None:
                await self._workspaces.ensure(run, machine.plan.workspace)
            body = self._build(run, create, machine.plan, task)
            body["metadata"]["annotations"] |= retention_annotations(machine.plan.pod_retention)
            if task.is_job:
                await self._jobs.create(run, create, build_job(body, deadline_s=job_deadline_s(task)))
                return
            reply = await self._lanes.work.create(PODS, run.key.namespace, msgspec.json.encode(body), accept=METADATA)
        except ClaimRefusedError as refused:
            self._listener.tell(run, CreateRefused(create.key, create.attempt, str(refused)))
        else:
            self._hear_reply(run, _POD.decode(reply.body))

    def _build(self, run: LiveRun, create: CreateAttempt, plan: Plan, task: TaskPlan) -> dict[str, Any]:
        settings = self._settings
        if plan.track_pods is not None:
            settings = settings._replace(is_tracked=plan.track_pods)
        return build_pod(
            create,
            task,
            run.identity,
            flow=run.flow,
            revision=run.revision,
            settings=settings,
            workspace=None if plan.workspace is None else mount_of(plan.workspace, run.identity),
        )

    async def _adopt(self, run: LiveRun, create: CreateAttempt) -> None:
        name = pod_name(run.key.name, run.uid, create.key, create.attempt)
        pod = await self.read(run.key.namespace, name)
        if pod is None:
            # It went in between: the machine asks again.
            self._listener.tell(run, AttemptGone(create.key, create.attempt))
            return
        seen = observe_pod(pod, now=self._clock())
        if seen is None or run_uid(pod) != run.uid or (seen.key, seen.attempt) != (create.key, create.attempt):
            message = f"a Pod named {name} exists that is not of this run"
            self._listener.tell(run, CreateRefused(create.key, create.attempt, message))
            return
        self._hear_reply(run, pod)

    def _hear_reply(self, run: LiveRun, pod: Pod) -> None:
        if self._listener.is_live(run):
            self._listener.hear(run, pod)
        else:
            self._listener.stray(pod)

    async def stop(self, run: LiveRun, stop: StopAttempt) -> None:
        """Stop the attempt: delete what carries it, unless it has ended and mere company of it goes on."""
        try:
            if stop.reason is None and await self._is_over(run, stop):
                return
            if self._is_job(run, stop.key, stop.attempt):
                await self._jobs.stop(run, stop)
            else:
                await self._lanes.work.delete(PODS, run.key.namespace, stop.pod, stop.uid)
        except ApiError as error:
            if is_not_found(error) or is_conflict(error):
                await self.verify(run, VerifyAttempt(stop.key, stop.attempt))
            else:
                logger.warning("%s: the Pod %s could not be stopped: %s", run.key, stop.pod, error)

    async def discard(self, pod: Pod) -> None:
        """Delete a Pod of a run that has nothing to stop it, and the Job that would make another."""
        metadata = pod.metadata
        owner = job_owner(pod)
        resource, name, uid = (PODS, metadata.name, metadata.uid) if owner is None else (JOBS, owner.name, owner.uid)
        try:
            await self._lanes.work.delete(resource, metadata.namespace, name, uid, propagation="Background")
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                logger.warning("The Pod %s could not be stopped: %s", metadata.key, error)

    async def _is_over(self, run: LiveRun, stop: StopAttempt) -> bool:
        """Whether the Pod of an attempt that is merely in the way has ended, or is ended now without being deleted.

        What asked for its end may be older than what a read has shown since, so its state is read once more: a Pod that
        is over is kept, with its logs.
        """
        pod = await self.read(run.key.namespace, stop.pod)
        if pod is None or pod.metadata.uid != stop.uid:
            return False
        if is_main_over(pod):
            await self._dismiss_company(pod)
            return True
        return is_pod_over(pod)

    async def _dismiss_company(self, pod: Pod) -> None:
        """End what goes on of a Pod whose `main` is over, and keep its logs.

        A sidecar that something injected may never end by itself. Deleting the Pod would take `main`'s log away, but a
        Pod ends, and stays, when its activeDeadlineSeconds are over, which may be set at any time.
        """
        metadata = pod.metadata
        patch = {"metadata": {"uid": metadata.uid}, "spec": {"activeDeadlineSeconds": AT_ONCE_S}}
        await self._lanes.work.patch(
            PODS, metadata.namespace, metadata.name, msgspec.json.encode(patch), content_type=STRATEGIC_MERGE_PATCH
        )

    async def release(self, namespace: str, pod: str, uid: str) -> None:
        """Take the finalizer off a Pod; one that is gone, or is another of its name, is left alone."""
        patch = {"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [names.FINALIZER]}}
        writer = self._lanes.release if self._releasing < PATIENT_RELEASES else self._lanes.work
        self._releasing += 1
        try:
            await writer.patch(PODS, namespace, pod, msgspec.json.encode(patch), content_type=STRATEGIC_MERGE_PATCH)
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                logger.warning("The Pod %s/%s could not be let go: %s", namespace, pod, error)
        finally:
            self._releasing -= 1

    async def verify(self, run: LiveRun, verify: VerifyAttempt) -> None:
        """Find out whether the Pod of an attempt still exists."""
        if self._is_job(run, verify.key, verify.attempt):
            await self._jobs.verify(run, verify)
            return
        name = pod_name(run.key.name, run.uid, verify.key, verify.attempt)
        pod = await self.read(run.key.namespace, name)
        if pod is not None and run_uid(pod) == run.uid:
            self._listener.hear(run, pod)
        else:
            self._listener.tell(run, AttemptGone(verify.key, verify.attempt))

    async def read(self, namespace: str, name: str) -> Pod | None:
        """Read a Pod, however long that takes; None if there is none."""
        return await self._reader.read(PODS, namespace, name, _POD)

    def _is_job(self, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
        if run.machine is not None:
            return _task_of(run.machine.plan, key).is_job
        return self._jobs.is_known(run, key, attempt)


def _task_of(plan: Plan, key: TaskInstanceKey) -> TaskPlan:
    return plan.tasks[plan.positions[key.task]]
