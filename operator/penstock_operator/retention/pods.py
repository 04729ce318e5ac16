"""Deletes the Pods of ended attempts when they are due, and not before their outcome is stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from penstock.engine.keys import RunUid
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError, is_conflict, is_not_found
from penstock.kube.reflector import EventType
from penstock.kube.resources import JOBS
from penstock.kube.writer import Priority, Writer
from penstock_operator.metrics import Metrics
from penstock_operator.retention.kept_pods import UNTRACKED_GRACE_S, KeptPod, KeptPods, read_kept_pod, workload_uid
from penstock_operator.runtime.rate_limiter import RateLimiter
from penstock_operator.workloads.job_status import Job, makes_no_pod
from penstock_operator.workloads.pod import Pod, is_tracked

logger = logging.getLogger(__name__)

PER_S: Final = 50.0
"""Pods deleted a second, at most."""
WORKERS: Final = 4
DELETE_S: Final = 30.0
"""How long one deletion is retried at once."""
UNFINISHED_JOB_S: Final = 5.0
"""Until a Job is read again whose Pod has ended, but which does not say so yet."""
RETRY_S: Final = 60.0
"""Until a deletion that failed is tried again."""


class PodRetention:
    """Keeps the Pods of ended attempts for as long as their annotations say.

    Args:
        writer: for the deletions.
        unstored_since: since when a run has something to store, in monotonic seconds; None: it has nothing.
        find_job: returns the Job of a run by its name and uid, if it exists and is ours.
        metrics: where removals are counted.
        fail: called with an error after which this process must not continue.
        kept: the Pods that are kept.
        clock: seconds since the epoch.
        pace: limits the rate of deletions.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        unstored_since: Callable[[RunUid], float | None],
        find_job: Callable[[RunUid, str, str], Job | None],
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        kept: KeptPods | None = None,
        clock: Callable[[], float] = time.time,
        pace: RateLimiter | None = None,
    ) -> None:
        self._writer = writer
        self._unstored_since = unstored_since
        self._find_job = find_job
        self._removals = metrics.removals
        self._errors = metrics.internal_errors.labels("Pod")
        self._fail = fail
        self._kept = KeptPods() if kept is None else kept
        self._clock = clock
        self._pace = pace or RateLimiter(PER_S)
        self._tracked: set[str] = set()
        """Uids of Pods that carry our finalizer."""
        self._wake = asyncio.Event()

    def on_pod(self, event: EventType, pod: Pod) -> None:
        """Handle a change of a Pod."""
        uid = pod.metadata.uid
        if event is EventType.DELETED:
            self._tracked.discard(uid)
            self._kept.discard_pod(workload_uid(pod))
        elif is_tracked(pod):
            self._tracked.add(uid)
        elif pod.metadata.deletion_timestamp is not None:
            self._kept.discard_pod(workload_uid(pod))
        else:
            kept = read_kept_pod(pod, was_tracked=uid in self._tracked, now=self._clock())
            if kept is not None:
                self._kept.add_pod(kept)
                self._wake.set()

    async def run(self) -> None:
        """Delete what is due, forever."""
        while True:
            self._wake.clear()
            due = self._kept.pop_due(self._clock())
            if due:
                await self._delete_all(due)
                continue
            next_at = self._kept.next_due_at
            try:
                async with asyncio.timeout(None if next_at is None else max(next_at - self._clock(), 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _delete_all(self, due: list[KeptPod]) -> None:
        waiting = iter(due)

        async def work() -> None:
            for pod in waiting:
                await self._delete_pod(pod)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work())

    def _is_finished_job(self, pod: KeptPod, now: float) -> bool:
        """Whether the Job that a Pod names is ours and has finished; if it does not say so yet, it waits."""
        job = self._find_job(pod.run, pod.key.name, pod.uid)
        if job is None:
            return False
        if not makes_no_pod(job):
            self._kept.postpone_pod(pod, now + UNFINISHED_JOB_S)
            return False
        return True

    async def _delete_pod(self, pod: KeptPod) -> None:
        now = self._clock()
        if not pod.was_tracked:
            # The outcome counts as stored after some time, unless the status of its run has been unstored for long.
            since = self._unstored_since(pod.run)
            if since is not None and time.monotonic() - since > UNTRACKED_GRACE_S / 2:
                self._kept.postpone_pod(pod, now + UNTRACKED_GRACE_S)
                return
        if pod.resource is JOBS and not self._is_finished_job(pod, now):
            return
        await self._pace.step()
        # By default the deletion of a Job leaves its Pods behind.
        propagation = "Background" if pod.resource is JOBS else None
        deadline = time.monotonic() + DELETE_S
        try:
            await self._writer.delete(
                pod.resource,
                pod.key.namespace,
                pod.key.name,
                pod.uid,
                propagation=propagation,
                deadline=deadline,
                priority=Priority.REMOVAL,
            )
        except NotLeaderError as error:
            self._fail(error)
        except (ApiError, ApiUnreachableError) as error:
            if isinstance(error, ApiError) and (is_not_found(error) or is_conflict(error)):
                return
            logger.warning(
                "Cannot delete %s %s, retrying in %g s: %s",
                "Job" if pod.resource is JOBS else "Pod",
                pod.key,
                RETRY_S,
                error,
            )
            self._kept.postpone_pod(pod, now + RETRY_S)
        except Exception:
            self._errors.inc()
            logger.exception("Internal error while deleting Pod %s; retrying in %g s", pod.key, RETRY_S)
            self._kept.postpone_pod(pod, now + RETRY_S)
        else:
            self._removals.labels("Job" if pod.resource is JOBS else "Pod").inc()
