"""Reads that are repeated until they succeed: without their answer nothing can be decided."""

from __future__ import annotations

from typing import TypeVar

from penstock.kube.client import ApiClient
from penstock.kube.repeated_read import read_until_answered
from penstock.kube.resources import JOBS, PODS, Resource
from penstock_operator.runs.attempts.identity import is_job_of_pod, own_job
from penstock_operator.workloads.job_status import Job
from penstock_operator.workloads.pod import Pod

T = TypeVar("T")


class RetryingReader:
    """Reads objects until the API server answers.

    Args:
        client: the way to the API server.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def read_object(self, resource: Resource, namespace: str, name: str, kind: type[T]) -> T | None:
        """Read an object as a struct; None if there is none."""
        return await read_until_answered(
            lambda: self._client.get(resource, namespace, name, kind=kind), resource.path(namespace, name)
        )

    async def read_own_job(self, pod: Pod) -> Job | None:
        """Read the Job that a Pod belongs to; None if there is none, or it is not ours."""
        owner = own_job(pod)
        if owner is None:
            return None
        job = await self.read_object(JOBS, pod.metadata.namespace, owner.name, Job)
        return job if job is not None and is_job_of_pod(job, owner) else None

    async def list_pods(self, namespace: str, selector: str) -> list[Pod]:
        """Return the Pods of a namespace that a label selector selects, as they are now."""

        async def read() -> list[Pod]:
            pods = self._client.list(PODS, kind=Pod, namespace=namespace, label_selector=selector)
            return [pod async for pod in pods]

        return await read_until_answered(read, PODS.path(namespace))
