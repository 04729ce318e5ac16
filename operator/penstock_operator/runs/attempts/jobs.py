"""The Jobs of attempts: created or adopted, stopped, looked for, and kept from making a second Pod.

The facts of an attempt come from its Pod as soon as there is one; until then its Job speaks. A Job would replace a Pod
that vanishes, or that ends while the Job is suspended, by another one of the same attempt: so a Job whose Pod is being
deleted is deleted too, and only when it is over or gone does the engine hear how that Pod ended. Two attempts, or two
Pods of one, never run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects import CreateAttempt, StopAttempt, VerifyAttempt
from penstock.engine.machine.facts import AttemptGone, AttemptSeen, CreateRefused
from penstock.engine.names import pod_name
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, is_already_exists, is_conflict, is_not_found
from penstock.kube.reflector import EventType
from penstock.kube.resources import JOBS, PODS
from penstock.kube.writer import Writer
from penstock_operator.runs.attempts.job_warnings import JobWarnings
from penstock_operator.runs.attempts.reader import PatientReader
from penstock_operator.runs.listener import Listener
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.workloads.job_status import (
    Job,
    Trouble,
    classify_trouble,
    explain_end,
    had_no_pod,
    is_suspended,
    job_owner,
    makes_no_pod,
    observe_job,
)
from penstock_operator.workloads.pod_status import Pod, observe_pod, read_identity

logger = logging.getLogger(__name__)

_JOB: Final = msgspec.json.Decoder(Job)
UNEXPLAINED: Final = "the Job has no Pod yet, and the Job controller does not say why"


@dataclass(slots=True)
class _Carried:
    """What is known of one attempt.

    Attributes:
        job: its Job as it was last seen; None if none was.
        is_there: the Job exists.
        pods: its Pods that exist, by uid, as they were last seen: more than one if nobody watched the Job.
        lost: Pods that do not exist any more, and of whose end the engine has not heard.
        held: uids of Pods of whose end the engine is to hear later.
        trouble: why the Job has no Pod.
        refusal: the Pod can never be created: told when the Job is gone.
        is_going: the Job's deletion was asked for.
    """

    job: Job | None = None
    is_there: bool = False
    pods: dict[str, Pod] = field(default_factory=dict)
    lost: dict[str, Pod] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    trouble: Trouble | None = None
    refusal: str | None = None
    is_going: bool = False

    def note(self, pod: Pod, *, is_there: bool) -> None:
        """Take over a Pod as it is now, or as it was at last."""
        uid = pod.metadata.uid
        self.held.discard(uid)
        self.lost.pop(uid, None)
        if is_there:
            self.pods[uid] = pod
        else:
            self.pods.pop(uid, None)

    def hold(self, pod: Pod, *, is_there: bool) -> None:
        """Keep a Pod whose end the engine is to hear of later."""
        self.held.add(pod.metadata.uid)
        if not is_there:
            self.lost[pod.metadata.uid] = pod


class AttemptJobs:
    """Carries out what the machine asks for where tasks run as Jobs.

    Args:
        client: for reads.
        writer: for writes.
        listener: who hears of it.
        clock: seconds since the epoch.
    """

    def __init__(self, client: ApiClient, writer: Writer, *, listener: Listener, clock: Callable[[], float]) -> None:
        self._reader = PatientReader(client)
        self._writer = writer
        self._listener = listener
        self._clock = clock
        self._podless = JobWarnings(client)
        self._carried: dict[str, dict[str, _Carried]] = {}
        """By uid of the run, and name of the Job."""

    async def close(self) -> None:
        """End what goes on in the background."""
        await self._podless.close()

    # What the reflector tells

    def on_job(self, event: EventType, job: Job) -> None:
        """Take over a change of a Job."""
        uid = job.metadata.labels.get(names.LABEL_RUN_UID, "")
        run = self._listener.find(uid)
        if event is EventType.DELETED:
            self._on_deleted(run, uid, job)
            return
        carried = self._take(uid, job)
        if run is not None:
            self._tell(run, carried)

    def _on_deleted(self, run: LiveRun | None, uid: str, job: Job) -> None:
        self._podless.discard(job.metadata.namespace, job.metadata.uid)
        name = job.metadata.name
        carried = self._carried.get(uid, {}).get(name)
        if carried is None or (carried.job is not None and carried.job.metadata.uid != job.metadata.uid):
            return
        carried.job, carried.is_there = job, False
        identity = read_identity(job.metadata)
        if run is None or not carried.pods:
            self._forget(uid, name)
        if run is None or identity is None:
            return
        if carried.pods or carried.lost:
            self._repeat(run, carried)
        elif carried.refusal is not None:
            self._listener.tell(run, CreateRefused(identity.key, identity.attempt, carried.refusal))
        elif had_no_pod(job):
            self._listener.tell(run, AttemptGone(identity.key, identity.attempt))
        else:
            self._listener.spawn(self.verify(run, VerifyAttempt(identity.key, identity.attempt)))

    def _take(self, uid: str, job: Job) -> _Carried:
        carried = self._carried.setdefault(uid, {}).setdefault(job.metadata.name, _Carried())
        if carried.job is not None and carried.job.metadata.uid != job.metadata.uid:
            carried = self._carried[uid][job.metadata.name] = _Carried()
        carried.job, carried.is_there = job, True
        if is_suspended(job) or makes_no_pod(job):
            carried.trouble = None
        return carried

    def _forget(self, uid: str, name: str) -> None:
        of_run = self._carried.get(uid, {})
        of_run.pop(name, None)
        if not of_run:
            self._carried.pop(uid, None)

    def claim(self, run: LiveRun) -> None:
        """Tell a run that has just become known of its Jobs that no Pod speaks for."""
        for carried in list(self._carried.get(run.uid, {}).values()):
            if not carried.pods and carried.is_there:
                self._tell(run, carried)

    def _tell(self, run: LiveRun, carried: _Carried) -> None:
        """Tell a run what a Job's change means."""
        job = carried.job
        assert job is not None
        namespace, job_uid = job.metadata.namespace, job.metadata.uid
        if carried.pods:
            self._podless.discard(namespace, job_uid)
            if makes_no_pod(job):
                # How the Pod ended may have been held back until now.
                self._repeat(run, carried)
            return
        identity = read_identity(job.metadata)
        if identity is None:
            return
        if makes_no_pod(job) and not had_no_pod(job):
            # Its Pod's events come on another stream: only a list can tell that there is none.
            self._podless.discard(namespace, job_uid)
            self._listener.spawn(self.verify(run, VerifyAttempt(identity.key, identity.attempt)))
            return
        if is_suspended(job) or makes_no_pod(job):
            self._podless.discard(namespace, job_uid)
        else:
            self._podless.add(namespace, job_uid, lambda said: self._explain(run, carried, said))
        seen = observe_job(job, now=self._clock(), trouble=carried.trouble)
        if seen is not None:
            self._listener.tell(run, seen)

    def _explain(self, run: LiveRun, carried: _Carried, said: str) -> None:
        """Learn what the Job controller says about a Job that has no Pod."""
        job = carried.job
        if job is None or not carried.is_there or carried.pods or not self._listener.is_live(run):
            return
        trouble, is_final = classify_trouble(said or UNEXPLAINED)
        if is_final:
            carried.refusal = trouble.message
            self._listener.spawn(self._delete(run, carried))
        elif trouble != carried.trouble:
            carried.trouble = trouble
            self._tell(run, carried)

    # What the Pods of Jobs say

    def join(self, run: LiveRun, pod: Pod, seen: AttemptSeen, *, is_there: bool = True) -> AttemptSeen:
        """Put what a Pod says together with what its Job says.

        Args:
            run: its run.
            pod: the Pod.
            seen: what it says by itself.
            is_there: false when the Pod is gone.

        Returns:
            The same for a Pod that no Job made. Else without an outcome for as long as its Job may make another Pod.
        """
        owner = job_owner(pod)
        if owner is None:
            return seen
        carried = self._carried.setdefault(run.uid, {}).setdefault(owner.name, _Carried())
        carried.note(pod, is_there=is_there)
        seen = self._with_job(carried, seen)
        if self._is_to_be_held(run, carried, seen, is_there=is_there):
            carried.hold(pod, is_there=is_there)
            return replace(seen, outcome=None)
        if carried.held and (seen.is_finished or not is_there):
            # After what this Pod says: it came last, so its end is that of the attempt.
            asyncio.get_running_loop().call_soon(self._repeat, run, carried)
        if not (carried.is_there or carried.pods or carried.held):
            self._forget(run.uid, owner.name)
        return seen

    def _with_job(self, carried: _Carried, seen: AttemptSeen) -> AttemptSeen:
        """Add to what a Pod says what its Job knows better."""
        job = carried.job
        if job is None:
            return replace(seen, is_deleting=True)
        self._podless.discard(job.metadata.namespace, job.metadata.uid)
        created = observe_job(job, now=seen.created_at)
        # Of a Job that is gone, or going, the garbage collector is about to delete the Pod.
        is_going = not carried.is_there or job.metadata.deletion_timestamp is not None
        seen = replace(
            seen,
            created_at=seen.created_at if created is None else min(seen.created_at, created.created_at),
            is_deleting=seen.is_deleting or is_going,
        )
        return explain_end(seen, job)

    def _is_to_be_held(self, run: LiveRun, carried: _Carried, seen: AttemptSeen, *, is_there: bool) -> bool:
        """Whether how a Pod ended is no matter yet: its Job may make another, or has made one that goes on."""
        job = carried.job
        if job is not None and carried.is_there and not makes_no_pod(job) and (seen.is_deleting or not is_there):
            self._listener.spawn(self._delete(run, carried))
            return True
        return self._has_another(carried, seen.uid)

    def _has_another(self, carried: _Carried, uid: str) -> bool:
        """Whether another Pod of the same Job is not over: it could run beside the next attempt."""
        for other, pod in carried.pods.items():
            seen = None if other == uid else observe_pod(pod, now=self._clock())
            if seen is not None and not seen.is_finished:
                return True
        return False

    def _repeat(self, run: LiveRun, carried: _Carried) -> None:
        """Tell again of the Pods of whose end the engine has not heard."""
        held, carried.held = carried.held, set()
        for uid in held:
            if uid in carried.pods:
                self._listener.hear(run, carried.pods[uid])
            elif uid in carried.lost:
                self._listener.lose(run, carried.lost.pop(uid))

    # What the machine asks for

    def is_known(self, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
        """Whether a Job of an attempt is known."""
        return _name(run, key, attempt) in self._carried.get(run.uid, {})

    async def create(self, run: LiveRun, create: CreateAttempt, body: Mapping[str, Any]) -> None:
        """Create the Job of an attempt, or adopt the one that is there.

        Raises:
            ApiError: it was refused.
        """
        try:
            reply = await self._writer.create(JOBS, run.key.namespace, msgspec.json.encode(body))
            job = _JOB.decode(reply.body)
        except ApiError as error:
            if not is_already_exists(error):
                raise
            name = _name(run, create.key, create.attempt)
            found = await self._reader.read(JOBS, run.key.namespace, name, _JOB)
            if found is None:
                # It went in between: the machine asks again.
                self._listener.tell(run, AttemptGone(create.key, create.attempt))
                return
            if not _is_of(found, run, create.key, create.attempt):
                message = f"a Job named {name} exists that is not of this run"
                self._listener.tell(run, CreateRefused(create.key, create.attempt, message))
                return
            job = found
        known = self._carried.get(run.uid, {}).get(job.metadata.name)
        if known is not None and known.job is not None and known.job.metadata.uid == job.metadata.uid:
            carried = known
        else:
            carried = self._take(run.uid, job)
        current = run if self._listener.is_live(run) else self._listener.find(run.uid)
        if current is None:
            # Its run is over or gone: nobody would ever stop it.
            await self._delete(run, carried)
        elif carried.is_there:
            self._tell(current, carried)

    async def stop(self, run: LiveRun, stop: StopAttempt) -> None:
        """Delete the Job of an attempt, and its Pod with it.

        Raises:
            ApiError: it was refused.
        """
        name = _name(run, stop.key, stop.attempt)
        carried = self._carried.get(run.uid, {}).get(name)
        if carried is not None and carried.is_there:
            await self._delete(run, carried, again=True)
            return
        try:
            # The garbage collector is about to do this.
            await self._writer.delete(PODS, run.key.namespace, stop.pod, stop.uid)
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise
            await self.verify(run, VerifyAttempt(stop.key, stop.attempt))

    async def verify(self, run: LiveRun, verify: VerifyAttempt) -> None:
        """Find out what is left of an attempt whose Pod seems to be gone; a Job that is left is not to make another."""
        namespace = run.key.namespace
        name = _name(run, verify.key, verify.attempt)
        job = await self._reader.read(JOBS, namespace, name, _JOB)
        pods = await self._reader.list_pods(namespace, _selector(run, verify))
        if not self._listener.is_live(run):
            return
        if job is not None and not _is_of(job, run, verify.key, verify.attempt):
            job = None
        carried = None if job is None else self._take(run.uid, job)
        for pod in pods:
            self._listener.hear(run, pod)
        if job is None or carried is None:
            if not pods:
                self._listener.tell(run, AttemptGone(verify.key, verify.attempt))
        elif not makes_no_pod(job):
            await self._delete(run, carried)
        elif not pods and job.metadata.deletion_timestamp is None:
            seen = observe_job(job, now=self._clock())
            if seen is not None:
                self._listener.tell(run, seen)

    async def _delete(self, run: LiveRun, carried: _Carried, *, again: bool = False) -> None:
        """Delete a Job in the background, once; what follows from it comes with its end."""
        job = carried.job
        assert job is not None
        if carried.is_going and not again:
            return
        carried.is_going = True
        metadata = job.metadata
        try:
            await self._writer.delete(JOBS, metadata.namespace, metadata.name, metadata.uid, propagation="Background")
        except ApiError as error:
            if is_not_found(error) or is_conflict(error):
                if carried.is_there:
                    self._on_deleted(self._listener.find(run.uid), run.uid, job)
            else:
                carried.is_going = False
                logger.warning("%s: the Job %s could not be stopped: %s", run.key, metadata.name, error)


def _name(run: LiveRun, key: TaskInstanceKey, attempt: int) -> str:
    return pod_name(run.key.name, run.uid, key, attempt)


def _is_of(job: Job, run: LiveRun, key: TaskInstanceKey, attempt: int) -> bool:
    identity = read_identity(job.metadata)
    return (
        identity is not None
        and job.metadata.labels.get(names.LABEL_RUN_UID) == run.uid
        and (identity.key, identity.attempt) == (key, attempt)
    )


def _selector(run: LiveRun, verify: VerifyAttempt) -> str:
    def words() -> Iterator[str]:
        yield f"{names.LABEL_RUN_UID}={run.uid}"
        yield f"{names.LABEL_TASK}={verify.key.task}"
        yield f"{names.LABEL_ATTEMPT}={verify.attempt}"
        if verify.key.item is not None:
            yield f"{names.LABEL_INDEX}={verify.key.item}"

    return ",".join(words())
