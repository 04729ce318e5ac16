"""Tasks whose attempts are Jobs, and what a queue and a quota do to them."""

from __future__ import annotations

from typing import Any

from kubernetes import client as kubernetes_client

from penstock.api import names
from tests.api.scene import Scene, Seen, task


def job_task(name: str = "main", **fields: Any) -> dict[str, Any]:
    return task(name, workload="Job", **fields)


def the_job(scene: Scene, attempt: int = 1, task_name: str = "main") -> Seen:
    """Wait for the Job of an attempt."""
    labels = {names.LABEL_TASK: task_name, names.LABEL_ATTEMPT: str(attempt)}

    def find() -> Seen | None:
        jobs = list(scene.now["jobs"].values())
        return next((job for job in jobs if labels.items() <= job.metadata.labels.items()), None)

    found = scene.until(find, f"the Job of attempt {attempt}")
    assert found is not None
    return found


def suspend(batch: kubernetes_client.BatchV1Api, job: Seen, *, is_suspended: bool) -> None:
    """Do as a queue does."""
    batch.patch_namespaced_job(job.metadata.name, job.metadata.namespace, {"spec": {"suspend": is_suspended}})


def hold_pods(scene: Scene, **hard: str) -> None:
    """Give the namespace a quota, and wait until it is enforced."""
    quota: Any = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    scene.core.create_namespaced_resource_quota(scene.namespace, quota)
