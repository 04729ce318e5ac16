"""Writes to single Pods: deleted, ended in place, and freed of our finalizer."""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec

from penstock.api import names
from penstock.kube.errors import ApiError, ApiUnreachableError, is_conflict, is_not_found
from penstock.kube.resources import JOBS, PODS
from penstock.kube.writer import Priority, Writer
from penstock_operator.workloads.job_status import Job
from penstock_operator.workloads.pod import Pod
from penstock_operator.workloads.pod_status import is_main_finished
from penstock_operator.workloads.pod_stop import end_patch

logger = logging.getLogger(__name__)

STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
END_LIMIT_S: Final = 30.0
"""How long a refusal to end a running Pod in place is retried."""


class PodWriter:
    """Writes to Pods.

    Args:
        writer: for all of them.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Pod.

        Raises:
            ApiError: it was refused; not found or a conflict when the Pod is gone.
        """
        await self._writer.delete(PODS, namespace, name, uid)

    async def stop_orphan(self, pod: Pod, job: Job | None) -> None:
        """Stop a Pod whose run does not need it any more.

        Args:
            pod: the Pod, which carries an attempt.
            job: its Job, which would replace the Pod; None if it has none.
        """
        metadata = pod.metadata
        try:
            if is_main_finished(pod) and await self.end_remaining_containers(pod):
                return
            if job is not None:
                own = job.metadata
                await self._writer.delete(JOBS, own.namespace, own.name, own.uid, propagation="Background")
            else:
                await self._writer.delete(PODS, metadata.namespace, metadata.name, metadata.uid)
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                logger.warning("Failed to stop Pod %s: %s", metadata.key, error)

    async def end_remaining_containers(self, pod: Pod) -> bool:
        """End a Pod whose `main` has finished while other containers run, and keep its logs.

        An injected sidecar may never end by itself. Deleting the Pod would delete the log of `main`.

        Returns:
            Whether that was possible within END_LIMIT_S.

        Raises:
            ApiError: not found or a conflict: the Pod is gone.
        """
        metadata = pod.metadata
        return await self._end(metadata.namespace, metadata.name, end_patch(metadata.uid))

    async def end_pod(self, namespace: str, name: str, uid: str, *, now: float) -> bool:
        """End a Pod in which `main` may run, and keep it with its logs.

        Args:
            namespace: where.
            name: which.
            uid: of the Pod.
            now: seconds since the epoch: the Pod gets this time, from which its end is due.

        Returns:
            Whether that was possible within END_LIMIT_S.

        Raises:
            ApiError: not found or a conflict: the Pod is gone.
        """
        return await self._end(namespace, name, end_patch(uid, asked_at=now))

    async def _end(self, namespace: str, name: str, patch: bytes) -> bool:
        while True:
            deadline = time.monotonic() + END_LIMIT_S
            try:
                await self._writer.patch(
                    PODS, namespace, name, patch, content_type=STRATEGIC_MERGE_PATCH, deadline=deadline
                )
            except ApiUnreachableError:
                # A deletion would have to wait as well, and cost the log.
                continue
            except ApiError as error:
                if is_not_found(error) or is_conflict(error):
                    raise
                # A webhook for changes of Pods may be down for hours, and deletions pass it by.
                logger.warning("Pod %s/%s is deleted, as it cannot be ended: %s", namespace, name, error)
                return False
            return True

    async def remove_finalizer(self, namespace: str, name: str, uid: str) -> None:
        """Remove our finalizer from a Pod; one that is gone, or another Pod of its name, is left alone."""
        patch = {"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [names.FINALIZER]}}
        try:
            await self._writer.patch(
                PODS,
                namespace,
                name,
                msgspec.json.encode(patch),
                content_type=STRATEGIC_MERGE_PATCH,
                priority=Priority.FINALIZER,
            )
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                logger.warning("Failed to remove the finalizer from Pod %s/%s: %s", namespace, name, error)
