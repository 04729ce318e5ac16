"""The Jobs of attempts: created or adopted, stopped, looked up, and kept from creating a second Pod.

The facts of an attempt come from its Pod as soon as there is one; until then they come from its Job. A Job would
replace a Pod that vanishes, or that ends while the Job is suspended, by another one of the same attempt. So a Job whose
Pod is being deleted is deleted too, and how that Pod ended is recorded only when the Job has finished or is gone. Two
attempts, or two Pods of one attempt, never run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from penstock.api import names
from penstock.engine.keys import RunUid, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt, StopAttempt, VerifyAttempt
from penstock.engine.machine.facts import AttemptGone, AttemptSeen, CreateRefused
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, is_already_exists, is_conflict, is_not_found
from penstock.kube.reflector import EventType
from penstock.kube.resources import JOBS, PODS
from penstock.kube.writer import Writer
from penstock_operator.runs.attempts.identity import is_job_of, is_job_of_any, is_own_workload
from penstock_operator.runs.attempts.job_warnings import JobWarnings
from penstock_operator.runs.attempts.known_jobs import KnownJob, KnownJobs, job_name, pod_selector
from penstock_operator.runs.attempts.reader import RetryingReader
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.workloads.job_status import (
    Job,
    classify_trouble,
    had_no_pod,
    is_suspended,
    makes_no_pod,
    observe_job,
)
from penstock_operator.workloads.pod import Pod, job_owner
from penstock_operator.workloads.pod_status import read_identity

logger = logging.getLogger(__name__)

_JOB: Final = msgspec.json.Decoder(Job)
UNEXPLAINED: Final = "the Job has no Pod yet, and the Job controller reports no reason"

RecordPod = Callable[[LiveRun, Pod], None]


class AttemptJobs:
    """Records what Jobs show, and carries out what the machine asks for where tasks run as Jobs.

    Args:
        client: for reads.
        writer: for writes.
        registry: the live runs.
        record_pod: records what a Pod shows, which comes back here as `add_job_state`.
        record_deleted_pod: the same for a Pod that does not exist any more.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        registry: RunRegistry,
        *,
        record_pod: RecordPod,
        record_deleted_pod: RecordPod,
        clock: Callable[[], float],
    ) -> None:
        self._reader = RetryingReader(client)
        self._writer = writer
        self._registry = registry
        self._record_pod = record_pod
        self._record_deleted_pod = record_deleted_pod
        self._clock = clock
        self._warnings = JobWarnings(client, on_error=partial(registry.count_error, "Event"))
        self._known = KnownJobs()

    async def close(self) -> None:
        """Stop the work in the background."""
        await self._warnings.close()

    # What Jobs show

    def on_job(self, event: EventType, job: Job) -> None:
        """Handle a change of a Job."""
        uid = RunUid(job.metadata.namespace, job.metadata.labels.get(names.LABEL_RUN_UID, ""))
        run = self._registry.find_run(uid)
        try:
            self._handle_job(run, uid, event, job)
        except Exception as error:
            if run is None:
                raise
            self._registry.handle_error(run, error)

    def _handle_job(self, run: LiveRun | None, uid: RunUid, event: EventType, job: Job) -> None:
        if event is EventType.DELETED:
            self._on_deleted_job(run, uid, job)
            return
        if run is not None and not is_job_of_any(job, run):
            return
        known = self._known.update_job(uid, job)
        if run is not None:
            self._record_job(run, known)

    def _on_deleted_job(self, run: LiveRun | None, uid: RunUid, job: Job) -> None:
        self._warnings.forget_job(job.metadata.namespace, job.metadata.uid)
        name = job.metadata.name
        known = self._known.find_job(uid, name)
        if known is None or (known.job is not None and known.job.metadata.uid != job.metadata.uid):
            return
        known.job, known.exists = job, False
        identity = read_identity(job.metadata)
        if run is None or not known.pods:
            self._known.forget_job(uid, name)
        if run is None or identity is None or not is_job_of(job, run, identity.key, identity.attempt):
            return
        if known.pods or known.deleted:
            self._record_held_pods(run, known)
        elif known.refusal is not None:
            self._registry.record_fact(run, CreateRefused(identity.key, identity.attempt, known.refusal))
        elif had_no_pod(job):
            self._registry.record_fact(run, AttemptGone(identity.key, identity.attempt))
        else:
            self._registry.spawn(run, self.verify_job(run, VerifyAttempt(identity.key, identity.attempt)))

    def record_jobs(self, run: LiveRun) -> None:
        """Record the Jobs without a Pod of a run that has just become live."""
        for known in self._known.jobs_of(run.run_uid):
            if not known.pods and known.exists and known.job is not None and is_job_of_any(known.job, run):
                self._record_job(run, known)

    def _record_job(self, run: LiveRun, known: KnownJob) -> None:
        job = known.job
        assert job is not None
        namespace, job_uid = job.metadata.namespace, job.metadata.uid
        if known.pods:
            self._warnings.forget_job(namespace, job_uid)
            if makes_no_pod(job):
                # How the Pod ended may have been held back until now.
                self._record_held_pods(run, known)
            return
        identity = read_identity(job.metadata)
        if identity is None:
            return
        if makes_no_pod(job) and not had_no_pod(job):
            # Its Pod's events come on another stream: only a list can show that there is none.
            self._warnings.forget_job(namespace, job_uid)
            self._registry.spawn(run, self.verify_job(run, VerifyAttempt(identity.key, identity.attempt)))
            return
        if is_suspended(job) or makes_no_pod(job):
            self._warnings.forget_job(namespace, job_uid)
        else:
            self._warnings.watch_job(namespace, job_uid, lambda warning: self._on_warning(run, known, warning))
        seen = observe_job(job, now=self._clock(), trouble=known.trouble)
        if seen is not None:
            self._registry.record_fact(run, seen)

    def _on_warning(self, run: LiveRun, known: KnownJob, warning: str) -> None:
        """Handle what the Job controller reports about a Job that has no Pod; empty if it reports nothing."""
        try:
            self._handle_warning(run, known, warning)
        except Exception as error:  # noqa: BLE001 - the owner logs it
            self._registry.handle_error(run, error)

    def _handle_warning(self, run: LiveRun, known: KnownJob, warning: str) -> None:
        job = known.job
        if job is None or not known.exists or known.pods or not self._registry.is_live(run):
            return
        trouble, is_final = classify_trouble(warning or UNEXPLAINED)
        if is_final:
            known.refusal = trouble.message
            self._registry.spawn(run, self._delete_job(run, known))
        elif trouble != known.trouble:
            known.trouble = trouble
            self._record_job(run, known)

    # What the Pods of Jobs show

    def add_job_state(self, run: LiveRun, pod: Pod, seen: AttemptSeen, *, exists: bool = True) -> AttemptSeen | None:
        """Add what a Pod's Job shows to what the Pod shows.

        Args:
            run: its run.
            pod: the Pod.
            seen: what it shows by itself.
            exists: false when the Pod is gone.

        Returns:
            The same for a Pod that no Job created. Else without an outcome as long as its Job may create another Pod.
            None if it names another Job as its owner than the one that carries the attempt.
        """
        owner = job_owner(pod)
        if owner is None:
            return seen
        known = self._known.expect_job(run.run_uid, owner.name)
        if known.job is not None and known.job.metadata.uid != owner.uid:
            return None
        known.note_pod(pod, exists=exists)
        if known.job is not None:
            self._warnings.forget_job(known.job.metadata.namespace, known.job.metadata.uid)
        seen = known.add_to(seen)
        if self._has_to_wait(run, known, seen, exists=exists):
            known.hold_pod(pod, exists=exists)
            return seen._replace(outcome=None)
        if known.held and (seen.is_finished or not exists):
            # After what this Pod shows: it came last, so its end is that of the attempt.
            asyncio.get_running_loop().call_soon(self._record_held_pods_later, run, known)
        if not (known.exists or known.pods or known.held):
            self._known.forget_job(run.run_uid, owner.name)
        return seen

    def _has_to_wait(self, run: LiveRun, known: KnownJob, seen: AttemptSeen, *, exists: bool) -> bool:
        """Whether a Pod's end does not count yet: its Job may create another, or has created one that still runs."""
        job = known.job
        if job is not None and known.exists and not makes_no_pod(job) and (seen.is_deleting or not exists):
            self._registry.spawn(run, self._delete_job(run, known))
            return True
        return known.has_other_running_pod(seen.uid, self._clock())

    def _record_held_pods_later(self, run: LiveRun, known: KnownJob) -> None:
        try:
            self._record_held_pods(run, known)
        except Exception as error:  # noqa: BLE001 - the owner logs it
            self._registry.handle_error(run, error)

    def _record_held_pods(self, run: LiveRun, known: KnownJob) -> None:
        held, known.held = known.held, set()
        for uid in held:
            if uid in known.pods:
                self._record_pod(run, known.pods[uid])
            elif uid in known.deleted:
                self._record_deleted_pod(run, known.deleted.pop(uid))

    def find_job(self, run: RunUid, name: str, uid: str) -> Job | None:
        """Return the Job of a run by its name and uid, if it exists and is ours."""
        known = self._known.find_job(run, name)
        if known is None or known.job is None or not known.exists or known.job.metadata.uid != uid:
            return None
        return known.job if is_own_workload(known.job.metadata) else None

    # What the machine asks for

    def is_known(self, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
        """Whether a Job of an attempt is known."""
        return self._known.find_job(run.run_uid, job_name(run, key, attempt)) is not None

    async def create_job(self, run: LiveRun, create: CreateAttempt, build: Callable[[], bytes]) -> None:
        """Create the Job of an attempt, or adopt the one that is there.

        Raises:
            ApiError: it was refused.
            ExpressionError: its inputs could not be rendered.
        """
        try:
            reply = await self._writer.create(JOBS, run.key.namespace, build)
            job = _JOB.decode(reply.body)
        except ApiError as error:
            if not is_already_exists(error):
                raise
            name = job_name(run, create.key, create.attempt)
            found = await self._reader.read_object(JOBS, run.key.namespace, name, Job)
            if found is None:
                # It was deleted in between: the machine asks again.
                self._registry.record_fact(run, AttemptGone(create.key, create.attempt))
                return
            if not is_job_of(found, run, create.key, create.attempt):
                message = f"a Job named {name} exists that does not belong to this run"
                self._registry.record_fact(run, CreateRefused(create.key, create.attempt, message))
                return
            job = found
        known = self._known.find_job(run.run_uid, job.metadata.name)
        if known is None or known.job is None or known.job.metadata.uid != job.metadata.uid:
            known = self._known.update_job(run.run_uid, job)
        current = run if self._registry.is_live(run) else self._registry.find_run(run.run_uid)
        if current is None:
            # Its run has finished or was deleted: no other event would stop it.
            await self._delete_job(run, known)
        elif known.exists:
            self._record_job(current, known)

    async def stop_job(self, run: LiveRun, stop: StopAttempt) -> None:
        """Delete the Job of an attempt, and its Pod with it.

        Raises:
            ApiError: it was refused.
        """
        known = self._known.find_job(run.run_uid, job_name(run, stop.key, stop.attempt))
        if known is not None and known.exists:
            await self._delete_job(run, known, is_repeated=True)
            return
        try:
            # The garbage collector is about to do this.
            await self._writer.delete(PODS, run.key.namespace, stop.pod, stop.uid)
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise
            await self.verify_job(run, VerifyAttempt(stop.key, stop.attempt))

    async def verify_job(self, run: LiveRun, verify: VerifyAttempt) -> None:
        """Find out what is left of an attempt whose Pod seems gone; a Job that is left must not create another."""
        namespace = run.key.namespace
        name = job_name(run, verify.key, verify.attempt)
        job = await self._reader.read_object(JOBS, namespace, name, Job)
        pods = await self._reader.list_pods(namespace, pod_selector(run, verify))
        if not self._registry.is_live(run):
            return
        if job is not None and not is_job_of(job, run, verify.key, verify.attempt):
            job = None
        known = None if job is None else self._known.update_job(run.run_uid, job)
        for pod in pods:
            self._record_pod(run, pod)
        if job is None or known is None:
            if not pods:
                self._registry.record_fact(run, AttemptGone(verify.key, verify.attempt))
        elif not makes_no_pod(job):
            await self._delete_job(run, known)
        elif not pods and job.metadata.deletion_timestamp is None:
            seen = observe_job(job, now=self._clock())
            if seen is not None:
                self._registry.record_fact(run, seen)

    async def _delete_job(self, run: LiveRun, known: KnownJob, *, is_repeated: bool = False) -> None:
        """Delete a Job, once; what follows from it comes with the Job's own deletion event."""
        job = known.job
        assert job is not None
        if known.is_deleting and not is_repeated:
            return
        known.is_deleting = True
        metadata = job.metadata
        try:
            await self._writer.delete(JOBS, metadata.namespace, metadata.name, metadata.uid, propagation="Background")
        except ApiError as error:
            if is_not_found(error) or is_conflict(error):
                if known.exists:
                    self._on_deleted_job(self._registry.find_run(run.run_uid), run.run_uid, job)
            else:
                known.is_deleting = False
                logger.warning("FlowRun %s: failed to stop Job %s: %s", run.key, metadata.name, error)
