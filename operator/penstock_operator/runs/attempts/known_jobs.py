"""What is known of the Jobs of attempts and of their Pods. In memory only: no reads, no writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock.api import names
from penstock.engine.keys import RunUid, TaskInstanceKey
from penstock.engine.machine.effects.effects import VerifyAttempt
from penstock.engine.machine.facts import AttemptSeen
from penstock.engine.names import pod_name
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.workloads.job_status import (
    Job,
    Trouble,
    explain_end,
    is_suspended,
    makes_no_pod,
    observe_job,
)
from penstock_operator.workloads.pod import Pod, job_owner
from penstock_operator.workloads.pod_status import observe_pod


@dataclass(slots=True)
class KnownJob:
    """What is known of the Job of one attempt.

    Attributes:
        job: as it was last seen; None if it never was.
        exists: the Job exists.
        pods: its Pods that exist, by uid, as they were last seen: more than one if no operator watched the Job.
        deleted: Pods that do not exist any more and whose end is not recorded yet.
        held: uids of Pods whose end is to be recorded later.
        trouble: why the Job has no Pod.
        refusal: why its Pod can never be created: recorded when the Job is gone.
        is_deleting: the Job's deletion was requested.
    """

    job: Job | None = None
    exists: bool = False
    pods: dict[str, Pod] = field(default_factory=dict)
    deleted: dict[str, Pod] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    trouble: Trouble | None = None
    refusal: str | None = None
    is_deleting: bool = False

    def note_pod(self, pod: Pod, *, exists: bool) -> None:
        """Keep a Pod as it is now, or forget one that was deleted."""
        uid = pod.metadata.uid
        self.held.discard(uid)
        self.deleted.pop(uid, None)
        if exists:
            self.pods[uid] = pod
        else:
            self.pods.pop(uid, None)

    def hold_pod(self, pod: Pod, *, exists: bool) -> None:
        """Keep a Pod whose end is to be recorded later."""
        self.held.add(pod.metadata.uid)
        if not exists:
            self.deleted[pod.metadata.uid] = pod

    def has_other_running_pod(self, uid: str, now: float) -> bool:
        """Whether another Pod of the Job has not ended: it could run beside the next attempt."""
        for other, pod in self.pods.items():
            seen = None if other == uid else observe_pod(pod, now=now)
            if seen is not None and not seen.is_finished:
                return True
        return False

    def add_to(self, seen: AttemptSeen) -> AttemptSeen:
        """Add to what a Pod shows what its Job knows better."""
        job = self.job
        if job is None:
            return seen._replace(is_deleting=True)
        created = observe_job(job, now=seen.created_at)
        # The garbage collector is about to delete the Pod of a Job that is deleted, or being deleted.
        is_job_going = not self.exists or job.metadata.deletion_timestamp is not None
        seen = seen._replace(
            created_at=seen.created_at if created is None else min(seen.created_at, created.created_at),
            is_deleting=seen.is_deleting or is_job_going,
        )
        return explain_end(seen, job)


class KnownJobs:
    """What is known of all Jobs, by run and name of the Job."""

    def __init__(self) -> None:
        self._runs: dict[RunUid, dict[str, KnownJob]] = {}

    def find_job(self, uid: RunUid, name: str) -> KnownJob | None:
        """Return what is known of a Job."""
        return self._runs.get(uid, {}).get(name)

    def jobs_of(self, uid: RunUid) -> list[KnownJob]:
        """Return what is known of the Jobs of a run."""
        return list(self._runs.get(uid, {}).values())

    def expect_job(self, uid: RunUid, name: str) -> KnownJob:
        """Return what is known of a Job, which may be nothing yet."""
        return self._runs.setdefault(uid, {}).setdefault(name, KnownJob())

    def update_job(self, uid: RunUid, job: Job) -> KnownJob:
        """Keep a Job as it is now."""
        known = self.expect_job(uid, job.metadata.name)
        if known.job is not None and known.job.metadata.uid != job.metadata.uid:
            known = self._runs[uid][job.metadata.name] = KnownJob()
        known.pods = {uid: pod for uid, pod in known.pods.items() if _is_owned_by(pod, job)}
        known.job, known.exists = job, True
        if is_suspended(job) or makes_no_pod(job):
            known.trouble = None
        return known

    def forget_job(self, uid: RunUid, name: str) -> None:
        """Forget a Job."""
        of_run = self._runs.get(uid, {})
        of_run.pop(name, None)
        if not of_run:
            self._runs.pop(uid, None)


def _is_owned_by(pod: Pod, job: Job) -> bool:
    owner = job_owner(pod)
    return owner is not None and owner.uid == job.metadata.uid


def job_name(run: LiveRun, key: TaskInstanceKey, attempt: int) -> str:
    """Name the Job of an attempt."""
    return pod_name(run.key.name, run.uid, key, attempt)


def pod_selector(run: LiveRun, verify: VerifyAttempt) -> str:
    """Return the label selector of the Pods of an attempt."""

    def terms() -> Iterator[str]:
        yield f"{names.LABEL_RUN_UID}={run.uid}"
        yield f"{names.LABEL_TASK}={verify.key.task}"
        yield f"{names.LABEL_ATTEMPT}={verify.attempt}"
        if verify.key.item is not None:
            yield f"{names.LABEL_INDEX}={verify.key.item}"

    return ",".join(terms())
